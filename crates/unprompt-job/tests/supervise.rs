//! Workers that end, hang and stop, as shell scripts.
#![cfg(unix)]

use serde_json::{Map, Value};
use std::{
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use unprompt_job::{
    Column, ColumnKind, Ended, Event, Item, JobError, Limits, Next, Worker, supervise,
};

type Result<T> = std::result::Result<T, JobError>;

/// A worker that answers at once, ends at items that begin with `kill` or `told`, waits for ever at those
/// that begin with `hang`, and so with 100 MB at those that begin with `grow`.
const SCRIPT: &str = r#"
    printf '{"program":"1","command":"test","settings":{},"models":[],"columns":[{"name":"path","kind":"text"}]}\n'
    while IFS= read -r line; do
        id=$(printf '%s' "$line" | sed 's/.*"id":"\([^"]*\)".*/\1/')
        case $id in
            ''|kept) continue ;;
            kill*) kill -9 $$ ;;
            hang*) exec sleep 1000 ;;
            grow*) held=$(head -c 100000000 /dev/zero | tr '\0' a); sleep 1000 ;;
            told*) exit 1 ;;
        esac
        printf '{"id":"%s"}\n' "$id"
    done
"#;

fn command() -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", SCRIPT]);
    command
}

struct Run {
    ended: Result<Ended>,
    records: Vec<Value>,
}

fn run(ids: &[&str], batch: usize, stop_after: usize) -> Run {
    let limits = Limits {
        batch,
        time: Duration::from_millis(500),
        memory: None,
    };
    run_within(limits, ids, stop_after)
}

fn run_within(limits: Limits, ids: &[&str], stop_after: usize) -> Run {
    let stop = AtomicBool::new(false);
    let mut worker = Worker::start(&mut command()).unwrap();
    let work = worker.hello(&stop).unwrap().unwrap();
    assert_eq!(work.columns, [Column::new("path", ColumnKind::Text)]);
    let mut items = ids.iter().map(|id| Item {
        id: (*id).into(),
        fields: Map::from_iter([("path".to_owned(), format!("{id}.png").into())]),
    });
    let mut records = Vec::new();
    let take = |event: Event<'_>| {
        if let Event::Record(item, record) = event {
            let record: Value = serde_json::from_str(record).unwrap();
            assert_eq!(record["id"], item.id.as_str());
            records.push(record);
            if records.len() == stop_after {
                stop.store(true, Ordering::Relaxed);
            }
        }
        Ok(())
    };
    let ended = supervise(
        worker,
        command,
        &work,
        limits,
        &stop,
        || Ok(items.next().map_or(Next::Nothing, Next::Item)),
        take,
    );
    Run { ended, records }
}

/// Failures with their places.
fn failed(records: &[Value]) -> Vec<(usize, &str)> {
    let records = records.iter().enumerate();
    let failures = records.filter(|(_, record)| record.get("error").is_some());
    failures
        .map(|(place, record)| (place, record["error"].as_str().unwrap()))
        .collect()
}

#[test]
fn an_item_that_ends_or_holds_its_worker_costs_its_own_record() {
    let ids = [
        "a", "b", "kill1", "c", "hang1", "kill2", "d", "e", "f", "g", "h", "kill3",
    ];
    for batch in [1, 2, 5] {
        let run = run(&ids, batch, usize::MAX);
        assert_eq!(run.ended.unwrap(), Ended::Whole);
        assert_eq!(run.records.len(), ids.len());
        let failed = failed(&run.records);
        let places: Vec<usize> = failed.iter().map(|(index, _)| *index).collect();
        assert_eq!(places, [2, 4, 5, 11], "{batch}");
        assert!(failed[0].1.contains("signal: 9"), "{failed:?}");
        assert_eq!(failed[1].1, "nothing came of it within 0.5 s");
        assert_eq!(run.records[2]["path"], "kill1.png");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_item_that_takes_too_much_memory_costs_its_own_record() {
    let limits = Limits {
        batch: 3,
        time: Duration::from_secs(60),
        memory: Some(50_000_000),
    };
    let run = run_within(limits, &["a", "grow1", "b", "c", "grow2"], usize::MAX);
    assert_eq!(run.ended.unwrap(), Ended::Whole);
    let message = "it took more than 50 MB of memory";
    assert_eq!(failed(&run.records), [(1, message), (4, message)]);
}

#[test]
fn it_stops_at_the_end_of_a_batch() {
    let ids: Vec<String> = (0..40).map(|index| format!("item{index}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    for (stop_after, expected) in [(1, 4), (4, 8), (6, 8), (39, 40), (40, 40)] {
        let run = run(&ids, 4, stop_after);
        let all = expected == 40;
        assert_eq!(run.records.len(), expected, "{stop_after}");
        assert!(all || run.ended.unwrap() == Ended::Stopped);
    }
}

#[test]
fn what_is_not_the_items_fault_ends_the_work() {
    let found = run(&["a", "told"], 1, usize::MAX);
    assert!(matches!(
        found.ended,
        Err(JobError::Worker { was_told: true, .. })
    ));
    let ids = vec!["kill"; 60];
    let found = run(&ids, 4, usize::MAX);
    let message = found.ended.unwrap_err().to_string();
    assert!(message.contains("20 workers in a row"), "{message}");
    assert!(found.records.len() < 30);

    let mut worker = Worker::start(Command::new("sh").args(["-c", "exit 3"])).unwrap();
    let error = worker.hello(&AtomicBool::new(false)).unwrap_err();
    assert!(error.to_string().contains("exit status: 3"), "{error}");
    let mut worker = Worker::start(Command::new("sh").args(["-c", "echo hi"])).unwrap();
    assert!(worker.hello(&AtomicBool::new(false)).is_err());
    assert!(Worker::start(&mut Command::new("/nonexistent/program")).is_err());
}
