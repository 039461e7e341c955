//! How much is made twice when everything is killed: a worker that writes down what it makes, below a
//! process that is killed at many moments.
#![cfg(target_os = "linux")]

use serde_json::Map;
use std::{
    cell::RefCell,
    collections::VecDeque,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::AtomicBool,
    thread::sleep,
    time::Duration,
};
use unprompt_job::{
    Event, Item, Job, JobError, Limits, NewJob, Next, OpenPart, PartFormat, Shard, Worker, merge,
    status, supervise,
};

const FOLDER: &str = "UNPROMPT_TEST_JOB";
const ITEMS: usize = 240;
const BATCH: usize = 4;
const KILLS: usize = 12;

/// Takes four items together, or fewer after an empty line, when its earlier records are kept; writes them
/// down; answers.
const WORKER: &str = r#"
    printf '{"program":"1","command":"test","settings":{},"models":[],"columns":[]}\n'
    log=$1 queue= count=0 owed=0 asked=
    compute() {
        batch= queue=
        for id in "$@"; do
            if [ "$owed" -lt 4 ]; then
                batch="$batch $id" owed=$((owed + 1))
            else
                queue="$queue $id"
            fi
        done
        count=$((count - owed))
        sleep 0.02
        for id in $batch; do echo "$id" >> "$log"; done
        for id in $batch; do printf '{"id":"%s"}\n' "$id"; done
    }
    while IFS= read -r line; do
        case $line in
            kept) owed=$((owed - 1)) ;;
            '') asked=yes ;;
            *)
                id=${line#*\"id\":\"} id=${id%%\"*}
                queue="$queue $id" count=$((count + 1)) asked= ;;
        esac
        [ "$owed" = 0 ] && [ "$count" -gt 0 ] || continue
        if [ "$count" -ge 4 ] || [ -n "$asked" ]; then compute $queue; fi
    done
"#;

fn worker(log: &Path) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", WORKER, "worker"]).arg(log);
    command
}

fn made_in(log: &Path) -> usize {
    fs::read_to_string(log).unwrap().lines().count()
}

/// The process that is killed: goes on with the job of a folder until it is done.
#[test]
fn process() {
    let Some(folder) = env::var_os(FOLDER).map(PathBuf::from) else {
        return;
    };
    let log = folder.with_extension("log");
    let stop = AtomicBool::new(false);
    let mut first = Worker::start(&mut worker(&log)).unwrap();
    let work = first.hello(&stop).unwrap().unwrap();
    let new = NewJob {
        work: work.clone(),
        inputs: Map::new(),
        part_format: Some(PartFormat::Jsonl),
        part_items: Some(30),
    };
    let items = (0..ITEMS).map(|index| Item {
        id: format!("item{index}"),
        fields: Map::new(),
    });
    let (job, _) = Job::open_or_begin(&folder, &new, || Ok(items)).unwrap();
    let (_lock, mut parts) = job.take(Shard::WHOLE).unwrap();
    let open: RefCell<VecDeque<(usize, OpenPart, usize)>> = RefCell::default();
    let next = || -> Result<Next, JobError> {
        loop {
            let mut open = open.borrow_mut();
            if let Some((_, part, given)) = open.back_mut()
                && let Some(item) = part.items().get(*given)
            {
                *given += 1;
                return Ok(Next::Item(item.clone()));
            }
            let Some(number) = parts.next() else {
                return Ok(Next::Nothing);
            };
            if let Some(part) = job.open_part(number)? {
                match part.is_complete() {
                    true => part.finish(&job, number)?,
                    false => {
                        let done = part.done();
                        open.push_back((number, part, done));
                    }
                }
            }
        }
    };
    let take = |event: Event<'_>| -> Result<(), JobError> {
        let mut open = open.borrow_mut();
        let (Event::Record(_, record), Some((_, part, _))) = (event, open.front_mut()) else {
            return Ok(());
        };
        part.append(&job, record)?;
        if part.is_complete()
            && let Some((number, part, _)) = open.pop_front()
        {
            part.finish(&job, number)?;
        }
        Ok(())
    };
    let limits = Limits {
        batch: BATCH,
        time: Duration::from_secs(60),
        memory: None,
    };
    supervise(first, || worker(&log), &work, limits, &stop, next, take).unwrap();
}

#[test]
#[allow(clippy::print_stdout, reason = "for --nocapture")]
fn a_kill_costs_one_batch_at_most() {
    let folder = tempfile::tempdir().unwrap();
    let (job, log) = (folder.path().join("job"), folder.path().join("job.log"));
    let begin = || {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "process"]).env(FOLDER, &job);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap()
    };
    let done = || match Job::open(&job) {
        Ok(job) => status(&job).unwrap().done as usize,
        Err(_) => 0,
    };
    for kill in 0..KILLS {
        let mut process = begin();
        // Somewhere between two numbers of records, at no particular moment of a batch.
        let enough = (kill + 1) * ITEMS / (KILLS + 2);
        while done() < enough && process.try_wait().unwrap().is_none() {
            sleep(Duration::from_millis(1));
        }
        sleep(Duration::from_millis(7 * kill as u64 % 23));
        assert!(process.try_wait().unwrap().is_none(), "it ended too soon");
        process.kill().unwrap();
        process.wait().unwrap();
    }
    assert!(begin().wait().unwrap().success());
    let job = Job::open(&job).unwrap();
    let merged = folder.path().join("merged");
    merge(&job, &merged, |_| ()).unwrap();
    let records = fs::read_to_string(merged).unwrap();
    let expected: Vec<String> = (0..ITEMS)
        .map(|index| format!("{{\"id\":\"item{index}\"}}"))
        .collect();
    assert_eq!(records.lines().collect::<Vec<_>>(), expected);
    let twice = made_in(&log) - ITEMS;
    println!("{twice} of {ITEMS} items were made twice by {KILLS} kills");
    assert!(twice <= KILLS * BATCH, "{twice} by {KILLS} kills");
}
