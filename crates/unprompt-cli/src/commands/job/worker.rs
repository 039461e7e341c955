//! The process that makes records: one batch, and the next when the records of that one are kept.

use super::list::Opener;
use crate::{Finished, arguments::Common, output::Output};
use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::{Map, Value};
use std::{
    cell::RefCell,
    collections::VecDeque,
    io::{BufRead, Write, stdin},
    num::NonZeroUsize,
    sync::mpsc::{Receiver, channel},
    thread,
};
use unprompt::{
    FailureRecord, PredictOptions, PredictionRecord, Predictor, PromptSource, Source,
    job::{Column, ColumnKind, Item, KEPT, Model, Work},
};

/// What a command tells of its work.
pub(in crate::commands) struct Described {
    pub(in crate::commands) command: &'static str,
    /// Everything on the command line that the records depend on, by its flag's name.
    pub(in crate::commands) settings: Map<String, Value>,
    pub(in crate::commands) models: Vec<Model>,
    /// Besides `path`.
    pub(in crate::commands) columns: Vec<(&'static str, ColumnKind)>,
}

impl Described {
    fn work(self) -> Work {
        let path = Column::new("path", ColumnKind::Text);
        let columns = self.columns.into_iter();
        let columns = columns.map(|(name, kind)| Column::new(name, kind));
        Work {
            program: env!("CARGO_PKG_VERSION").into(),
            command: self.command.into(),
            settings: self.settings,
            models: self.models,
            columns: std::iter::once(path).chain(columns).collect(),
        }
    }
}

/// Makes records of items until there are no more: `work` gives one result for each source.
pub(in crate::commands) fn serve<R: Serialize>(
    common: &Common,
    described: Described,
    work: impl Fn(&[Source]) -> Vec<Result<R, FailureRecord>>,
) -> Result<Finished> {
    let (mut queue, kept) = Queue::new();
    let mut answers = Answers::begin(described, kept)?;
    while queue.wait() {
        loop {
            let batch: Vec<(Item, Source)> =
                queue.by_ref().take(common.batch_size.into()).collect();
            if batch.is_empty() {
                break;
            }
            let (items, sources): (Vec<Item>, Vec<Source>) = batch.into_iter().unzip();
            for (item, result) in items.iter().zip(work(&sources)) {
                answers.give(item, result)?;
            }
            answers.wait();
        }
    }
    answers.output.finish()?;
    Ok(Finished::Whole)
}

/// The same for items that are no pictures: `work` gives one result for each of at most `batch` items.
pub(in crate::commands) fn serve_items<R: Serialize>(
    described: Described,
    batch: usize,
    work: impl Fn(&[Item]) -> Vec<Result<R, FailureRecord>>,
) -> Result<Finished> {
    let (mut queue, kept) = Queue::new();
    let mut answers = Answers::begin(described, kept)?;
    while queue.wait() {
        loop {
            let next = std::iter::from_fn(|| queue.next_item());
            let items: Vec<Item> = next.take(batch).collect();
            if items.is_empty() {
                break;
            }
            for (item, result) in items.iter().zip(work(&items)) {
                answers.give(item, result)?;
            }
            answers.wait();
        }
    }
    answers.output.finish()?;
    Ok(Finished::Whole)
}

/// The same for predictions: the next batch is read and decoded while the networks work on this one.
pub(in crate::commands) fn serve_predictions(
    common: &Common,
    described: Described,
    predictor: &Predictor,
    options: &PredictOptions,
) -> Result<Finished> {
    let (queue, kept) = Queue::new();
    let mut answers = Answers::begin(described, kept)?;
    let queue = RefCell::new(queue);
    let items = RefCell::new(VecDeque::new());
    let batch_size = NonZeroUsize::new(common.batch_size.into()).unwrap_or(NonZeroUsize::MIN);
    while queue.borrow_mut().wait() {
        let sources = std::iter::from_fn(|| {
            let (item, source) = queue.borrow_mut().next()?;
            items.borrow_mut().push_back(item);
            Some(source)
        });
        // An empty line ends these, not the first ones after it.
        let sources = sources.fuse();
        predictor.predict_each(sources, batch_size, options, |_, outcome| {
            let item = items.borrow_mut().pop_front();
            let item = item.context("a record that belongs to no item")?;
            answers.give(&item, outcome.into_result().map(Prediction::from))?;
            if answers.owed == batch_size.get() {
                answers.wait();
            }
            anyhow::Ok(())
        })?;
        answers.wait();
    }
    answers.output.finish()?;
    Ok(Finished::Whole)
}

/// What a job keeps of a prediction: members, evidence and receipt are the same in every record, or
/// too long for millions of them.
#[derive(Serialize)]
struct Prediction {
    path: String,
    prompt: String,
    source: PromptSource,
    embedding: Option<Vec<f32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected_score: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata_error: Option<String>,
    elapsed_ms: f64,
}

impl From<Box<PredictionRecord>> for Prediction {
    fn from(record: Box<PredictionRecord>) -> Self {
        Self {
            path: record.path,
            prompt: record.prompt,
            source: record.source,
            embedding: record.embedding,
            expected_score: record.expected_score,
            metadata_error: record.metadata_error,
            elapsed_ms: record.elapsed_ms,
        }
    }
}

/// The columns of a prediction.
pub(in crate::commands) fn prediction_columns(width: usize) -> Vec<(&'static str, ColumnKind)> {
    vec![
        ("prompt", ColumnKind::Text),
        ("source", ColumnKind::Text),
        ("embedding", ColumnKind::Vector(width)),
        ("expected_score", ColumnKind::Number),
        ("metadata_error", ColumnKind::Text),
        ("elapsed_ms", ColumnKind::Number),
    ]
}

/// Where records go.
struct Answers {
    output: Output,
    kept: Receiver<()>,
    /// Records that are not kept yet, as far as was heard.
    owed: usize,
}

/// A record with the name of its item.
#[derive(Serialize)]
struct Named<'a, R> {
    id: &'a str,
    #[serde(flatten)]
    record: R,
}

impl Answers {
    fn begin(described: Described, kept: Receiver<()>) -> Result<Self> {
        let mut answers = Self {
            output: Output::open(None)?,
            kept,
            owed: 0,
        };
        answers.line(&described.work())?;
        Ok(answers)
    }

    fn give<R: Serialize>(&mut self, item: &Item, result: Result<R, FailureRecord>) -> Result<()> {
        let id = &item.id;
        self.owed += 1;
        match result {
            Ok(record) => self.line(&Named { id, record }),
            Err(record) => self.line(&Named { id, record }),
        }
    }

    /// Waits until all records are kept, before which no other batch is computed.
    fn wait(&mut self) {
        while self.owed > 0 && self.kept.recv().is_ok() {
            self.owed -= 1;
        }
    }

    fn line(&mut self, value: &impl Serialize) -> Result<()> {
        serde_json::to_writer(&mut self.output, value)?;
        writeln!(self.output)?;
        Ok(self.output.flush()?)
    }
}

/// Items as they come, up to an empty line, which asks for the records of all.
struct Queue {
    lines: Receiver<Option<Item>>,
    first: Option<Item>,
    opener: Opener,
}

impl Queue {
    /// Begins to read; the second is told of each record that is kept.
    fn new() -> (Self, Receiver<()>) {
        let (sender, lines) = channel();
        let (keeper, kept) = channel();
        thread::spawn(move || {
            for line in stdin().lock().lines() {
                let Ok(line) = line else { break };
                if line == KEPT {
                    let _ = keeper.send(());
                    continue;
                }
                let item = match line.is_empty() {
                    true => None,
                    false => match serde_json::from_str(&line) {
                        Ok(item) => Some(item),
                        Err(_) => break,
                    },
                };
                if sender.send(item).is_err() {
                    return;
                }
            }
            // Whoever asked is gone or has all that it wants, whatever is in work.
            std::process::exit(0);
        });
        let queue = Self {
            lines,
            first: None,
            opener: Opener::default(),
        };
        (queue, kept)
    }

    /// The next item; `None` at an empty line, or where no line comes any more.
    fn next_item(&mut self) -> Option<Item> {
        match self.first.take() {
            Some(item) => Some(item),
            None => self.lines.recv().ok()?,
        }
    }

    /// Waits for an item after an empty line; `false` where none comes.
    fn wait(&mut self) -> bool {
        while let Ok(line) = self.lines.recv() {
            if line.is_some() {
                self.first = line;
                return true;
            }
        }
        false
    }
}

impl Iterator for Queue {
    type Item = (Item, Source);

    fn next(&mut self) -> Option<(Item, Source)> {
        let item = self.next_item()?;
        let source = self.opener.source(&item);
        Some((item, source))
    }
}
