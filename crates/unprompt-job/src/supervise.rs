//! The worker: a process of its own that makes records of items.
//!
//! It reads items from its standard input and writes to its standard output, one line of JSON each: first
//! what it does ([`Work`]), then the record of each item, in their order. It may wait for a whole batch
//! before it answers, but not past an empty line, nor longer than until its input ends, at which it ends
//! too.
//!
//! Each of its records is answered by a line [`KEPT`] as soon as the end of this process cannot undo it any
//! more. A worker begins to compute a batch only when all records of the one before are kept; it may read
//! and decode ahead, which is cheap. So whatever is killed at whatever moment, what was computed and is not
//! kept is one batch at most.
//!
//! A process and not a thread, for a thread cannot be ended, and takes all others with it when it runs
//! out of stack or memory. When the worker ends or hangs, those items that it may have had in hand are
//! given to a new one, one by one, and the item that it then dies of gets a record that says so. What
//! killed the worker from outside costs nothing but time.

use crate::{Item, JobError, Work, error::Result};
use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    thread,
    time::{Duration, Instant},
};

/// The line that says that one more record is kept.
pub const KEPT: &str = "kept";

/// A worker that gives nothing for so long is computing: what takes time for us takes none from it now.
const QUIET: Duration = Duration::from_millis(5);
/// A worker that is never quiet is let wait so often.
const BREATH: Duration = Duration::from_secs(1);
/// How often is looked whether the work should end.
const POLL: Duration = Duration::from_millis(50);
/// Batches that the worker has: one that it computes, one that it decodes, one that waits.
const BATCHES: usize = 3;
/// After so many deaths without a record in between it is not the items.
const MOST_DEATHS: usize = 20;
/// The exit code of a worker that has said what is wrong, whatever the item is.
const TOLD: i32 = 1;

/// Bounds on the worker.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Items that it takes together.
    pub batch: usize,
    /// How long it may give no record while it has items.
    pub time: Duration,
    /// Bytes that it may hold of its own (what the system calls anonymous; mapped files do not count),
    /// looked at twenty times a second. Where the system does not say, as outside of Linux, there is no
    /// bound.
    pub memory: Option<u64>,
}

/// Why another worker is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// It ended.
    Ended,
    /// It gives nothing.
    Hangs,
    /// It holds too much memory.
    Grew,
}

/// How the work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All items have their record.
    Whole,
    /// It was asked to stop, and did at the end of a batch.
    Stopped,
}

/// What the caller has for the worker.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// An item.
    Item(Item),
    /// Nothing now; perhaps later.
    Later,
    /// Nothing any more.
    Nothing,
}

/// What the caller hears of.
#[derive(Debug)]
pub enum Event<'a> {
    /// The record of an item, one line of JSON. The worker waits until it is taken, so that this is
    /// the time for what keeps it, and for nothing more.
    Record(&'a Item, &'a str),
    /// The worker computes, or a second has passed since the last pause: the time for everything else.
    Pause,
}

/// A worker that runs. It ends when it is dropped.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Worker {
    /// Starts a worker.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start(command: &mut Command) -> Result<Self> {
        #[cfg(unix)]
        {
            // An interrupt from the terminal is for us alone; we end the worker.
            use std::os::unix::process::CommandExt as _;
            command.process_group(0);
        }
        let failed = |error| JobError::worker(format!("the worker cannot be started: {error}"));
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(failed)?;
        let (sender, lines) = channel();
        let input = child.stdin.take();
        if let Some(output) = child.stdout.take() {
            thread::spawn(move || {
                let lines = BufReader::new(output).lines();
                for line in lines.map_while(|line| line.ok()) {
                    if sender.send(line).is_err() {
                        break;
                    }
                }
            });
        }
        Ok(Self {
            child,
            input,
            lines,
        })
    }

    /// Waits until the worker has loaded what it needs, and says what it does; `None` when the work
    /// should end before.
    ///
    /// # Errors
    /// When the worker ends, or says something else.
    pub fn hello(&mut self, stop: &AtomicBool) -> Result<Option<Work>> {
        loop {
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            match self.lines.recv_timeout(POLL) {
                Ok(line) => {
                    let work = serde_json::from_str(&line);
                    return work.map(Some).map_err(|error| {
                        JobError::worker(format!("the worker does not say what it does: {error}"))
                    });
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    let (how, was_told) = self.end();
                    let message = format!("the worker ended before it began: {how}");
                    return Err(JobError::Worker { message, was_told });
                }
            }
        }
    }

    /// A worker that has ended is noticed by its output.
    fn send(&mut self, line: &str) {
        if let Some(input) = &mut self.input {
            let _ = input.write_all(&[line.as_bytes(), b"\n"].concat());
        }
    }

    /// Ends the worker if it has not ended; how it did, and whether it has said why.
    fn end(&mut self) -> (String, bool) {
        // It ends with its output, which is closed a moment before.
        let end = Instant::now() + Duration::from_secs(1);
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return (status.to_string(), status.code() == Some(TOLD)),
                Ok(None) if Instant::now() < end => thread::sleep(Duration::from_millis(2)),
                _ => break,
            }
        }
        self.kill();
        ("its output ended".to_owned(), false)
    }

    /// Bytes of its own that it holds.
    fn memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"))?;
        let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kilobytes * 1024)
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Gives items to a worker until there are none any more, or `stop` is set; `take` hears of every record, in the
/// order of the items, and has kept it when it returns.
///
/// `start` makes the command of another worker, where the first one ends. Of a worker that is stopped the
/// batch in work is waited for.
///
/// # Errors
/// The first error of `items` and of `take`; when a worker cannot be started, does other work than
/// `work`, has said that it cannot go on, or ends again and again whatever the item is.
pub fn supervise(
    worker: Worker,
    start: impl Fn() -> Command,
    work: &Work,
    limits: Limits,
    stop: &AtomicBool,
    items: impl FnMut() -> Result<Next>,
    take: impl FnMut(Event<'_>) -> Result<()>,
) -> Result<Ended> {
    Supervisor {
        worker,
        start,
        work,
        limits: Limits {
            batch: limits.batch.max(1),
            ..limits
        },
        stop,
        items,
        take,
        pending: VecDeque::new(),
        sent: 0,
        suspects: 0,
        deaths: 0,
        answered: 0,
        is_flushed: false,
        is_exhausted: false,
        is_waiting: false,
        left: None,
        last: Instant::now(),
        looked: Instant::now(),
        paused: Instant::now(),
    }
    .run()
}

struct Supervisor<'a, S, I, T> {
    worker: Worker,
    start: S,
    work: &'a Work,
    limits: Limits,
    stop: &'a AtomicBool,
    items: I,
    take: T,
    /// Items without a record, those that the worker has first.
    pending: VecDeque<Item>,
    sent: usize,
    /// How many of the first ones are given to the worker one by one.
    suspects: usize,
    /// Workers that ended since the last record.
    deaths: usize,
    /// Records since the worker last began with nothing in hand: its batches are counted from there.
    answered: usize,
    /// Whether the worker was told not to wait for more.
    is_flushed: bool,
    /// Whether the list has no more items.
    is_exhausted: bool,
    /// Whether it has none now.
    is_waiting: bool,
    /// Records that are still waited for when the work should end.
    left: Option<usize>,
    /// When the worker last gave a record, or first got an item.
    last: Instant,
    /// When its memory was last looked at.
    looked: Instant,
    /// When the caller last had a pause.
    paused: Instant,
}

impl<S, I, T> Supervisor<'_, S, I, T>
where
    S: Fn() -> Command,
    I: FnMut() -> Result<Next>,
    T: FnMut(Event<'_>) -> Result<()>,
{
    fn run(mut self) -> Result<Ended> {
        loop {
            if self.left.is_none() && self.stop.load(Ordering::Relaxed) {
                let batch = self.limits.batch;
                self.left = Some(match self.suspects {
                    0 => batch - self.answered % batch,
                    _ => 1,
                });
            }
            if self.left == Some(0) {
                return Ok(Ended::Stopped);
            }
            self.feed()?;
            if self.sent == 0 {
                match self.left {
                    Some(_) => return Ok(Ended::Stopped),
                    None if self.is_exhausted => return Ok(Ended::Whole),
                    None => {
                        self.pause()?;
                        thread::sleep(POLL);
                        continue;
                    }
                }
            }
            match self.next_line()? {
                Ok(line) => self.record(&line)?,
                Err(None) => {}
                Err(Some(trouble)) => {
                    if !self.replace(trouble)? {
                        return Ok(Ended::Stopped);
                    }
                }
            }
            if self.paused.elapsed() >= BREATH {
                self.pause()?;
            }
        }
    }

    /// What the worker gives, or what is wrong with it; neither where it is at work.
    fn next_line(&mut self) -> Result<std::result::Result<String, Option<Trouble>>> {
        match self.worker.lines.recv_timeout(QUIET) {
            Ok(line) => return Ok(Ok(line)),
            Err(RecvTimeoutError::Disconnected) => return Ok(Err(Some(Trouble::Ended))),
            Err(RecvTimeoutError::Timeout) => {}
        }
        // What it has given is taken before anything is held against it.
        if self.has_grown() {
            return Ok(Err(Some(Trouble::Grew)));
        }
        self.pause()?;
        let line = self.worker.lines.recv_timeout(POLL);
        Ok(line.map_err(|error| match error {
            RecvTimeoutError::Disconnected => Some(Trouble::Ended),
            RecvTimeoutError::Timeout => {
                let hangs = self.last.elapsed() >= self.limits.time;
                hangs.then_some(Trouble::Hangs)
            }
        }))
    }

    /// Lets the caller do what takes time.
    fn pause(&mut self) -> Result<()> {
        (self.take)(Event::Pause)?;
        self.paused = Instant::now();
        Ok(())
    }

    /// Whether the worker holds more memory than it may.
    fn has_grown(&mut self) -> bool {
        let Some(most) = self.limits.memory else {
            return false;
        };
        if self.looked.elapsed() < POLL {
            return false;
        }
        self.looked = Instant::now();
        self.worker.memory().is_some_and(|held| held > most)
    }

    /// Gives the worker what it may have.
    fn feed(&mut self) -> Result<()> {
        let room = match self.suspects {
            0 => self.limits.batch * BATCHES,
            _ => 1,
        };
        if self.left.is_none() {
            while self.pending.len() < room && !self.is_exhausted {
                let next = (self.items)()?;
                self.is_waiting = next == Next::Later;
                match next {
                    Next::Item(item) => self.pending.push_back(item),
                    Next::Later => break,
                    Next::Nothing => self.is_exhausted = true,
                }
            }
            while self.sent < room.min(self.pending.len()) {
                let line = serde_json::to_string(&self.pending[self.sent]);
                let line = line.map_err(|error| JobError::worker(error.to_string()))?;
                if self.sent == 0 {
                    self.last = Instant::now();
                }
                self.worker.send(&line);
                self.sent += 1;
                self.is_flushed = false;
            }
        }
        let is_last = (self.is_exhausted || self.is_waiting) && self.sent == self.pending.len();
        if !self.is_flushed && (self.suspects > 0 || is_last || self.left.is_some()) {
            self.worker.send("");
            self.is_flushed = true;
        }
        Ok(())
    }

    /// Takes the record of the first item.
    fn record(&mut self, line: &str) -> Result<()> {
        let Some(item) = self.pending.pop_front() else {
            return Err(JobError::worker("the worker answered what nobody asked"));
        };
        self.sent -= 1;
        self.suspects = self.suspects.saturating_sub(1);
        self.deaths = 0;
        self.answered += 1;
        if self.sent == 0 && self.is_flushed {
            self.answered = 0;
        }
        self.last = Instant::now();
        self.left = self.left.map(|left| left - 1);
        (self.take)(Event::Record(&item, line))?;
        // A worker that is about to be ended begins nothing more.
        if self.left != Some(0) {
            self.worker.send(KEPT);
        }
        Ok(())
    }

    /// Puts another worker in the place of one that is of no use; `false` where none is needed.
    fn replace(&mut self, trouble: Trouble) -> Result<bool> {
        let (how, was_told) = match trouble {
            Trouble::Hangs => {
                self.worker.kill();
                let seconds = self.limits.time.as_secs_f64();
                (format!("nothing came of it within {seconds} s"), false)
            }
            Trouble::Grew => {
                self.worker.kill();
                let megabytes = self.limits.memory.unwrap_or_default() / 1_000_000;
                (format!("it took more than {megabytes} MB of memory"), false)
            }
            Trouble::Ended => self.worker.end(),
        };
        if was_told {
            let message = "the worker cannot go on".to_owned();
            return Err(JobError::Worker { message, was_told });
        }
        self.deaths += 1;
        if self.deaths > MOST_DEATHS {
            return Err(JobError::worker(format!(
                "{MOST_DEATHS} workers in a row ended without a record ({how}); it is not the items"
            )));
        }
        if self.suspects > 0 {
            if let Some(item) = self.pending.pop_front() {
                let error = match trouble {
                    Trouble::Hangs | Trouble::Grew => how,
                    Trouble::Ended => format!("the process that worked on it ended: {how}"),
                };
                let record = item.failure(&self.work.columns, &error);
                (self.take)(Event::Record(&item, &record))?;
            }
            self.suspects -= 1;
        } else {
            self.suspects = self.sent.min(2 * self.limits.batch);
        }
        (self.sent, self.answered, self.is_flushed) = (0, 0, false);
        if self.left.is_some() || self.stop.load(Ordering::Relaxed) {
            return Ok(false);
        }
        self.worker = Worker::start(&mut (self.start)())?;
        match self.worker.hello(self.stop)? {
            None => Ok(false),
            Some(work) if work == *self.work => Ok(true),
            Some(_) => Err(JobError::worker(
                "another worker would do other work: a model or a setting changed meanwhile",
            )),
        }
    }
}
