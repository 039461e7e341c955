//! The process that keeps the job's folder.

use super::{WORKER, list, sha256, shown, watch::Watch};
use crate::{
    Finished,
    arguments::{Common, Format, JobFlags},
    output::complain,
    progress::Bar,
    records::one_line,
    setup::memory,
    signals,
};
use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};
use std::{
    cell::RefCell,
    collections::VecDeque,
    ops::Range,
    path::{Path, PathBuf},
    process::Command,
};
use unprompt::job::{
    Ended, Event, Item, Job, JobError, Limits, NewJob, Next, OpenPart, PartFormat, Worker, status,
    supervise,
};

/// Goes on with a job or begins one.
pub(super) fn run(
    common: &Common,
    flags: &JobFlags,
    folder: &Path,
    paths: &[PathBuf],
) -> Result<Finished> {
    let is_gone = |from: &Path| from.as_os_str() == "-";
    if flags.watch && flags.from.as_deref().is_some_and(is_gone) {
        bail!("--watch: standard input is read once; give --from a file");
    }
    let items = || list::items(paths, flags.from.as_deref(), &flags.exclude);
    let watched = flags.watch.then_some(paths);
    finish(work(
        common,
        flags,
        folder,
        inputs(flags, paths)?,
        items,
        watched,
    ))
}

/// The same for items of the caller's own; `inputs` says where they come from, which must be the same
/// when the job goes on.
pub(in crate::commands) fn run_items(
    common: &Common,
    flags: &JobFlags,
    folder: &Path,
    inputs: Map<String, Value>,
    items: impl FnOnce() -> Result<Box<dyn Iterator<Item = Item>>>,
) -> Result<Finished> {
    finish(work(common, flags, folder, inputs, items, None))
}

/// What the worker could not do it has said itself.
fn finish(finished: Result<Finished>) -> Result<Finished> {
    let told = |error: &JobError| matches!(error, JobError::Worker { was_told: true, .. });
    match finished {
        Err(error) if error.downcast_ref().is_some_and(told) => Ok(Finished::Refused),
        finished => finished,
    }
}

fn work(
    common: &Common,
    flags: &JobFlags,
    folder: &Path,
    inputs: Map<String, Value>,
    items: impl FnOnce() -> Result<Box<dyn Iterator<Item = Item>>>,
    watched: Option<&[PathBuf]>,
) -> Result<Finished> {
    let part_format = match common.format {
        Format::Text => None,
        Format::Jsonl => Some(PartFormat::Jsonl),
        Format::Parquet => Some(PartFormat::Parquet),
        other => {
            let name = format!("{other:?}").to_lowercase();
            bail!("--format {name}: a job writes jsonl or parquet");
        }
    };
    if common.out.is_some() {
        bail!("--out: a job writes into its folder; `unprompt merge` makes one file of it");
    }
    let is_there = folder.join("job.json").is_file();
    if flags.resume && !is_there {
        bail!("--resume: no job was begun in {}", folder.display());
    }
    let items = match is_there {
        true => None,
        false => Some(items()?),
    };
    let stop = signals::ask_first();
    let start = worker;
    let mut worker = Worker::start(&mut start()?)?;
    let Some(work) = worker.hello(&stop)? else {
        return Ok(stopped(common));
    };
    let new = NewJob {
        work,
        inputs,
        part_format,
        part_items: flags.part_size,
    };
    let (job, _) = Job::open_or_begin(folder, &new, || Ok(items.into_iter().flatten()))?;
    let (lock, parts) = job.take(flags.shard)?;
    let total: u64 = parts.clone().map(|part| job.part_len(part)).sum();
    let watch = match watched {
        Some(paths) => Some(Watch::new(&job, paths, flags)?),
        None => None,
    };
    let bar = Bar::count(
        "pictures",
        usize::try_from(total).unwrap_or(usize::MAX),
        common.quiet,
    );
    let progress = RefCell::new(Progress {
        common,
        job,
        watch,
        parts: parts.clone(),
        open: VecDeque::new(),
        bar,
        is_dirty: false,
    });
    let limits = Limits {
        batch: common.batch_size.into(),
        time: flags.time_limit,
        memory: flags.memory_limit.or_else(usual_memory),
    };
    let again = || start().unwrap_or_else(|_| Command::new(WORKER));
    let ended = supervise(
        worker,
        again,
        &new.work,
        limits,
        &stop,
        || progress.borrow_mut().next(),
        |event| progress.borrow_mut().take(event),
    )?;
    let mut progress = progress.into_inner();
    progress.settle()?;
    progress.bar.finish();
    let job = progress.job;
    drop(lock);
    if ended == Ended::Stopped {
        return Ok(stopped(common));
    }
    let mut failures = 0;
    for part in parts {
        failures += job.failures(part)?;
    }
    if !common.quiet {
        let status = status(&job)?;
        let next = match status.complete {
            true => format!("`unprompt merge {}` makes one file of them", shown(folder)),
            false => format!("{} of the job's {} are done", status.done, status.items),
        };
        complain(&format!("{total} records, {failures} of failures; {next}"));
    }
    Ok(match failures {
        0 => Finished::Whole,
        _ => Finished::WithFailures,
    })
}

fn stopped(common: &Common) -> Finished {
    if !common.quiet {
        complain("stopped; the same command goes on");
    }
    Finished::Stopped
}

/// Where the items come from: what must be the same when the job goes on. What relative paths mean
/// depends on the working folder.
fn inputs(flags: &JobFlags, paths: &[PathBuf]) -> Result<Map<String, Value>> {
    let shown = |path: &Path| path.to_string_lossy().into_owned();
    let mut inputs = Map::new();
    let all: Vec<String> = paths.iter().map(|path| shown(path)).collect();
    inputs.insert("PATH".into(), all.into());
    inputs.insert("--exclude".into(), flags.exclude.clone().into());
    if let Some(from) = &flags.from {
        let digest = match from.as_os_str() == "-" {
            // It can be read only once, and need not be there when the job goes on.
            true => None,
            false => {
                let failed = || format!("--from {}", from.display());
                Some(sha256(std::fs::read(from).with_context(failed)?))
            }
        };
        inputs.insert("--from".into(), shown(from).into());
        inputs.insert("--from (SHA-256)".into(), digest.into());
    }
    if flags.from.is_some() || paths.iter().any(|path| path.is_relative()) {
        let folder = std::env::current_dir().context("the working folder")?;
        inputs.insert("working folder".into(), shown(&folder).into());
    }
    Ok(inputs)
}

/// Nine tenths of the memory that this process may use. Beyond it the system would end some process,
/// perhaps another one.
fn usual_memory() -> Option<u64> {
    memory("MemTotal:").map(|bytes| bytes / 10 * 9)
}

/// The same command once more.
fn worker() -> Result<Command> {
    let program = std::env::current_exe().context("where this program is")?;
    let mut command = Command::new(program);
    command.args(std::env::args_os().skip(1)).env(WORKER, "1");
    Ok(command)
}

/// The parts of the shard, as they are worked through.
struct Progress<'a> {
    common: &'a Common,
    job: Job,
    /// What looks for pictures that arrive.
    watch: Option<Watch<'a>>,
    /// Those that are not open yet.
    parts: Range<usize>,
    /// Parts that are not whole, in their order, each with the number of items that were given away. The
    /// first ones may have all their records.
    open: VecDeque<(usize, OpenPart, usize)>,
    bar: Bar,
    is_dirty: bool,
}

impl Progress<'_> {
    /// The next item that has no record yet.
    fn next(&mut self) -> Result<Next, JobError> {
        loop {
            if let Some((_, part, given)) = self.open.back_mut()
                && let Some(item) = part.items().get(*given)
            {
                *given += 1;
                return Ok(Next::Item(item.clone()));
            }
            let Some(number) = self.parts.next() else {
                let Some(watch) = &mut self.watch else {
                    return Ok(Next::Nothing);
                };
                let arrived = watch.look();
                if arrived.is_empty() {
                    return Ok(Next::Later);
                }
                self.parts = self.job.append(&arrived)?;
                self.bar.lengthen(arrived.len() as u64);
                continue;
            };
            let Some(part) = self.job.open_part(number)? else {
                self.bar.skip(self.job.part_len(number));
                continue;
            };
            self.bar.skip(part.done() as u64);
            if part.was_torn() && !self.common.quiet {
                let message = format!(
                    "the journal of part {number} was torn after {} records; what followed is done again",
                    part.done()
                );
                self.bar.suspend(|| complain(&message));
            }
            if part.is_complete() {
                part.finish(&self.job, number)?;
            } else {
                let given = part.done();
                self.open.push_back((number, part, given));
            }
        }
    }

    fn take(&mut self, event: Event<'_>) -> Result<(), JobError> {
        let Event::Record(_, record) = event else {
            return self.settle();
        };
        let mut parts = self.open.iter_mut().map(|(_, part, _)| part);
        let Some(part) = parts.find(|part| !part.is_complete()) else {
            return Ok(());
        };
        let has_failed = part.append(&self.job, record)?;
        self.is_dirty = true;
        if has_failed {
            let record: Value = serde_json::from_str(record).unwrap_or_default();
            let text = |key: &str| record[key].as_str().unwrap_or_default().to_owned();
            let line = one_line(&format!("{}: {}", text("path"), text("error")));
            self.bar.suspend(|| complain(&line));
        }
        self.bar.advance(1);
        Ok(())
    }

    /// Makes whole what has all its records, and brings the rest to the disk.
    fn settle(&mut self) -> Result<(), JobError> {
        if !std::mem::take(&mut self.is_dirty) {
            return Ok(());
        }
        while let Some((number, part, _)) =
            self.open.pop_front_if(|(_, part, _)| part.is_complete())
        {
            part.finish(&self.job, number)?;
        }
        // Records come in order, so that no other part has one.
        if let Some((_, part, _)) = self.open.front_mut() {
            part.sync(&self.job)?;
        }
        Ok(())
    }
}
