//! Whether memory grows with the number of pictures: a folder of them, and ten times as many.

use super::row::Row;
use crate::{
    arguments::{Bench, Common},
    commands::peak_memory::held_mb,
    output::complain,
};
use anyhow::{Context, Result, bail};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::Duration,
};
use unprompt::metadata::write::{Form, write};

const FEW: usize = 10_000;
/// With `--quick`.
const VERY_FEW: usize = 200;
/// File systems bound the names of one file.
const MOST_NAMES: usize = 10_000;
/// Between two looks at the processes.
const INTERVAL: Duration = Duration::from_millis(20);

/// A pixel as a PNG.
const PICTURE: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0:~\x9bU\
    \0\0\0\nIDATx\xdach\0\0\0\x82\0\x81\xdaE\x08;\0\0\0\0IEND\xaeB`\x82";

/// Measures each way with few pictures and with ten times as many.
pub(super) fn memory(common: &Common, arguments: &Bench, folder: &Path) -> Result<Vec<Row>> {
    let few = if arguments.quick { VERY_FEW } else { FEW };
    let mut rows = Vec::new();
    for (way, is_job, is_list) in [
        ("without a job", false, false),
        ("as a job", true, false),
        ("as a job of --from", true, true),
    ] {
        let mut before: Option<Held> = None;
        for count in [few, 10 * few] {
            if !common.quiet {
                complain(&format!("memory: {count} pictures {way}"));
            }
            let place = folder.join(format!("{count}"));
            if !place.exists() {
                write_pictures(&place, count)?;
            }
            let Some(held) = run(folder, &place, is_job, is_list)? else {
                let why = "the system does not tell the memory of processes".to_owned();
                return Ok(vec![Row::missing("memory", way, why)]);
            };
            let measurement = match count == few {
                true => "memory, few pictures",
                false => "memory, ten times as many",
            };
            for (what, now, tenth) in [
                ("at most", held.peak, before.as_ref().map(|held| held.peak)),
                (
                    "at the end",
                    held.last,
                    before.as_ref().map(|held| held.last),
                ),
            ] {
                rows.push(Row {
                    memory_to_tenth: tenth.map(|tenth| now / tenth),
                    ..Row::peak(measurement, format!("{count} {way}, {what}"), now)
                });
            }
            before = Some(held);
        }
    }
    Ok(rows)
}

/// What the processes of a run held together, in millions of bytes.
#[derive(Default)]
struct Held {
    /// The most of each.
    peak: f64,
    /// The last time that all of them were there.
    last: f64,
}

/// A folder `pictures` with so many names of one picture, and a file `list` with their paths.
fn write_pictures(place: &Path, count: usize) -> Result<()> {
    let pictures = place.join("pictures");
    fs::create_dir_all(&pictures)?;
    // With its prompt, so that what is measured is what the program does around its networks.
    let bytes = write(
        PICTURE,
        "a cup of coffee on a wooden table",
        Form::default(),
    )?
    .bytes;
    let (mut list, mut first) = (String::new(), PathBuf::new());
    for index in 0..count {
        let path = pictures.join(format!("{index:06}.png"));
        if index % MOST_NAMES == 0 {
            fs::write(&path, &bytes)?;
            first.clone_from(&path);
        } else {
            fs::hard_link(&first, &path)?;
        }
        list += &format!("{}\n", path.display());
    }
    Ok(fs::write(place.join("list"), list)?)
}

/// Predicts all of them; `None` where the system does not tell.
fn run(folder: &Path, place: &Path, is_job: bool, is_list: bool) -> Result<Option<Held>> {
    let job = folder.join("job");
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["predict", "--offline", "--quiet", "--format", "jsonl"]);
    command.args(["--threads", &rayon::current_num_threads().to_string()]);
    match is_list {
        true => command.arg("--from").arg(place.join("list")),
        false => command.arg(place.join("pictures")),
    };
    if is_job {
        command.arg("--job").arg(&job);
    }
    let child = command.stdout(Stdio::null()).spawn()?;
    let held = watch(child);
    if job.exists() {
        fs::remove_dir_all(&job)?;
    }
    held
}

/// Looks at a process and those that it started until it ends.
fn watch(mut child: Child) -> Result<Option<Held>> {
    let id = child.id();
    let (mut held, mut most) = (Held::default(), 0);
    let status = loop {
        if let Some(status) = child.try_wait().context("the program")? {
            break status;
        }
        let found: Vec<(f64, f64)> = family(id).iter().filter_map(|id| held_mb(id)).collect();
        let sum = |part: fn(&(f64, f64)) -> f64| found.iter().map(part).sum::<f64>();
        if found.len() >= most && !found.is_empty() {
            most = found.len();
            held.last = sum(|(_, now)| *now);
        }
        held.peak = held.peak.max(sum(|(peak, _)| *peak));
        sleep(INTERVAL);
    };
    if !status.success() {
        bail!("predict: {status}");
    }
    Ok((most > 0).then_some(held))
}

/// A process and those that it started, whichever of its threads did.
fn family(id: u32) -> Vec<String> {
    let threads = fs::read_dir(format!("/proc/{id}/task"))
        .into_iter()
        .flatten();
    let children = threads.flatten().filter_map(|thread| {
        let children = fs::read_to_string(thread.path().join("children")).ok()?;
        Some(
            children
                .split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>(),
        )
    });
    std::iter::once(id.to_string())
        .chain(children.flatten())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::mpsc::channel, thread};

    #[test]
    fn a_process_that_another_thread_started_counts() {
        if !Path::new("/proc/self/task").exists() {
            return;
        }
        let (tell, told) = channel();
        let (seen, is_seen) = channel::<()>();
        let thread = thread::spawn(move || {
            let mut child = Command::new("sleep").arg("60").spawn().unwrap();
            tell.send(child.id()).unwrap();
            // It is a child of this thread while this thread lives.
            is_seen.recv().unwrap();
            child.kill().unwrap();
            child.wait().unwrap();
        });
        let id = told.recv().unwrap();
        let found = family(std::process::id());
        seen.send(()).unwrap();
        thread.join().unwrap();
        assert!(found.contains(&std::process::id().to_string()));
        assert!(found.contains(&id.to_string()), "{found:?}");
    }
}
