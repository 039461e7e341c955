//! Work off the calling thread.
//!
//! The calling thread gives Python's lock away and waits. Now and then it looks for signals, so that
//! Ctrl-C works, and does what the worker asks of Python: the next pictures of an iterator, a line for
//! `logging`, a step of a progress bar.

use crate::{UnpromptError, pictures::Pictures, pool::pool, progress::Progress};
use pyo3::prelude::*;
use std::{
    error::Error,
    iter,
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel},
    thread,
    time::Duration,
};
use unprompt::{Source, interrogate::TableProgress};

/// How often is looked for signals.
const TICK: Duration = Duration::from_millis(50);

/// Why a call has no result at all.
#[derive(Debug)]
pub(crate) struct Failed(pub(crate) String);

impl<E: Error> From<E> for Failed {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

impl From<Failed> for PyErr {
    fn from(failed: Failed) -> Self {
        UnpromptError::new_err(failed.0)
    }
}

/// What the worker asks of the calling thread.
enum Event {
    Note(String),
    Total(usize),
    Advance(usize),
    Pictures(usize, SyncSender<Vec<Source>>),
}

/// The calling thread, as the worker sees it.
#[derive(Clone)]
pub(crate) struct Caller(Sender<Event>);

impl Caller {
    /// A line for `logging`.
    pub(crate) fn say(&self, message: String) {
        // Nobody may be there any more to hear it.
        let _ = self.0.send(Event::Note(message));
    }

    /// So many are to be done.
    pub(crate) fn total(&self, total: usize) {
        let _ = self.0.send(Event::Total(total));
    }

    /// So many more are done.
    ///
    /// # Errors
    /// When the call was interrupted, so that nobody waits for the rest.
    pub(crate) fn advance(&self, by: usize) -> Result<(), Failed> {
        let sent = self.0.send(Event::Advance(by));
        sent.map_err(|_| Failed("the call was interrupted".into()))
    }

    /// The next pictures, at most so many; none at the end.
    pub(crate) fn pictures(&self, most: usize) -> Vec<Source> {
        let (reply, pictures) = sync_channel(1);
        match self.0.send(Event::Pictures(most, reply)) {
            Ok(()) => pictures.recv().unwrap_or_default(),
            Err(_) => Vec::new(),
        }
    }

    /// All pictures, of which so many are asked for at a time.
    pub(crate) fn all_pictures(&self, at_once: usize) -> impl Iterator<Item = Source> + '_ {
        let mut batch = Vec::new().into_iter();
        iter::from_fn(move || {
            if batch.len() == 0 {
                batch = self.pictures(at_once).into_iter();
            }
            batch.next()
        })
    }

    /// One result for each picture, worked on so many at a time.
    pub(crate) fn for_each<R, E: ToString>(
        &self,
        at_once: usize,
        work: impl Fn(&[Source]) -> Result<Vec<Result<R, E>>, Failed>,
    ) -> Result<Vec<Done<R>>, Failed> {
        let mut all = Vec::new();
        loop {
            let batch = self.pictures(at_once);
            if batch.is_empty() {
                return Ok(all);
            }
            let results = work(&batch)?;
            let count = batch.len();
            let done = batch.into_iter().zip(results).map(|(source, result)| Done {
                path: source.path().to_string_lossy().into_owned(),
                result: result.map_err(|error| error.to_string()),
            });
            all.extend(done);
            self.advance(count)?;
        }
    }
}

/// What became of one picture.
pub(crate) struct Done<R> {
    /// As the record shows it.
    pub(crate) path: String,
    /// Its result, or what is wrong with it.
    pub(crate) result: Result<R, String>,
}

impl unprompt::Progress for Caller {
    fn start(&self, name: &str, total_bytes: u64) {
        let size = match total_bytes {
            0 => "of unknown size".to_owned(),
            bytes => unprompt::hub::megabytes(bytes),
        };
        self.say(format!("fetching {name}, {size}"));
    }

    fn advance(&self, _: u64) {}

    fn finish(&self) {}

    fn note(&self, message: &str) {
        self.say(message.to_owned());
    }
}

impl TableProgress for Caller {
    fn start(&self, table: &str, labels: usize) {
        self.say(format!("embedding the {labels} labels of {table}, once"));
    }

    fn advance(&self, _: usize) {}

    fn finish(&self) {}

    fn note(&self, message: &str) {
        self.say(message.to_owned());
    }
}

/// What the calling thread serves the worker with.
#[derive(Default)]
pub(crate) struct Served<'py> {
    pub(crate) pictures: Option<Pictures<'py>>,
    pub(crate) progress: Option<Progress<'py>>,
}

impl<'py> Served<'py> {
    /// Pictures, and what hears of them.
    pub(crate) fn of(
        images: &Bound<'py, PyAny>,
        progress: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Self> {
        let pictures = Pictures::new(images)?;
        let total = pictures.total();
        let progress = progress.map(|progress| Progress::new(progress, total));
        Ok(Self {
            pictures: Some(pictures),
            progress: progress.transpose()?,
        })
    }
}

impl Served<'_> {
    fn serve(&mut self, py: Python<'_>, event: Event) -> PyResult<()> {
        match event {
            Event::Note(message) => note(py, &message)?,
            Event::Total(total) => {
                if let Some(progress) = &mut self.progress {
                    progress.set_total(total)?;
                }
            }
            Event::Advance(by) => {
                if let Some(progress) = &mut self.progress {
                    progress.advance(by)?;
                }
            }
            Event::Pictures(most, reply) => {
                let pictures = self.pictures.as_mut();
                let batch = pictures.map(|pictures| pictures.next(most)).transpose()?;
                let _ = reply.send(batch.unwrap_or_default());
            }
        }
        Ok(())
    }
}

/// A line for the logger `unprompt`.
pub(crate) fn note(py: Python<'_>, message: &str) -> PyResult<()> {
    let logger = py
        .import("logging")?
        .call_method1("getLogger", ("unprompt",))?;
    logger.call_method1("info", ("%s", message))?;
    Ok(())
}

/// Runs `work` on a pool of so many threads and waits for it.
///
/// # Errors
/// What `work` fails with, what a signal handler, an iterator or a progress bar raises.
pub(crate) fn call<T: Send + 'static>(
    py: Python<'_>,
    threads: Option<usize>,
    served: &mut Served<'_>,
    work: impl FnOnce(&Caller) -> Result<T, Failed> + Send + 'static,
) -> PyResult<T> {
    let pool = pool(threads)?;
    let (sender, mut events) = channel();
    let (finish, result) = sync_channel(1);
    let worker = move || {
        let caller = Caller(sender);
        let found = pool.install(|| work(&caller));
        let _ = finish.send(found);
    };
    thread::Builder::new()
        .name("unprompt".into())
        .spawn(worker)?;
    loop {
        let event;
        (events, event) = py.detach(move || wait(events));
        match event {
            Ok(event) => served.serve(py, event)?,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        py.check_signals()?;
    }
    match result.try_recv() {
        Ok(found) => Ok(found?),
        Err(_) => Err(UnpromptError::new_err(
            "the work ended in a panic, which is a mistake of unprompt: its message is on standard \
             error; please report it",
        )),
    }
}

fn wait(events: Receiver<Event>) -> (Receiver<Event>, Result<Event, RecvTimeoutError>) {
    let event = events.recv_timeout(TICK);
    (events, event)
}
