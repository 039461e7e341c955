//! JSON records, as `predict` writes them: one object a line, or one array of objects.

use crate::{
    DIMENSIONS,
    answers::{Answer, Answers, image_id},
    error::{Error, Problem, shortened},
    record_limit::{MAX_RECORD_BYTES, Progress, RecordLimit},
};
use serde::{
    Deserialize,
    de::{DeserializeOwned, DeserializeSeed, Deserializer, IgnoredAny, SeqAccess, Visitor},
};
use std::{
    io::{BufRead, BufReader, Read},
    marker::PhantomData,
    path::Path,
};

/// What takes records in.
pub(crate) trait RecordSink {
    /// What it wants of a record's `members`.
    type Members: DeserializeOwned;

    /// Takes one record.
    fn add_record(&mut self, record: Record<Self::Members>, line: u64) -> Result<(), Error>;

    /// The error of a record that is none.
    fn bad(&self, line: u64, problem: Problem) -> Error;
}

/// The keys that matter here; all others are ignored.
#[derive(Deserialize)]
#[serde(expecting = "a JSON object")]
pub(crate) struct Record<M> {
    id: Option<String>,
    #[serde(rename = "imgId")]
    image_id: Option<String>,
    path: Option<String>,
    /// JSON has no NaN: writers put `null` there.
    embedding: Option<Vec<Option<f64>>>,
    pub(crate) prompt: Option<String>,
    pub(crate) members: Option<M>,
    /// Whatever is no text says nothing.
    generator: Option<serde_json::Value>,
    error: Option<serde_json::Value>,
}

impl<M> Record<M> {
    pub(crate) fn entry(self) -> Result<(String, Answer), Problem> {
        let from_path = self.path.map(|path| image_id(Path::new(&path)));
        let id = self.id.or(self.image_id).or(from_path);
        let id = id.ok_or(Problem::MissingKey {
            wanted: "`path`, `id` or `imgId`",
        })?;
        if let Some(reason) = self.error {
            let reason = reason
                .as_str()
                .map_or_else(|| reason.to_string(), str::to_owned);
            return Err(Problem::FailedInput {
                id,
                reason: shortened(&reason),
            });
        }
        let answer = match (self.embedding, self.prompt) {
            (Some(embedding), _) => Answer::Embedding(finite(&id, embedding)?),
            (None, Some(prompt)) => Answer::Prompt(prompt),
            (None, None) => {
                return Err(Problem::MissingKey {
                    wanted: "`embedding` or `prompt`",
                });
            }
        };
        Ok((id, answer))
    }
}

pub(crate) fn finite(id: &str, embedding: Vec<Option<f64>>) -> Result<Vec<f64>, Problem> {
    if embedding.len() != DIMENSIONS {
        return Err(Problem::Width {
            id: id.to_owned(),
            found: embedding.len(),
        });
    }
    let numbers = embedding
        .into_iter()
        .enumerate()
        .map(|(dimension, number)| {
            let not_finite = || Problem::NotFinite {
                id: id.to_owned(),
                dimension,
                text: "null".to_owned(),
            };
            number
                .filter(|number| number.is_finite())
                .ok_or_else(not_finite)
        });
    numbers.collect()
}

impl RecordSink for Answers {
    type Members = IgnoredAny;

    fn add_record(&mut self, mut record: Record<IgnoredAny>, line: u64) -> Result<(), Error> {
        let generator = match record.generator.take() {
            Some(serde_json::Value::String(name)) if !name.trim().is_empty() => Some(name),
            _ => None,
        };
        let (id, answer) = record
            .entry()
            .map_err(|problem| self.error(line, problem))?;
        let position = self.add(id, line, answer)?;
        self.entry_mut(position).generator = generator;
        Ok(())
    }

    fn bad(&self, line: u64, problem: Problem) -> Error {
        self.error(line, problem)
    }
}

/// Reads one object a line; blank lines are passed over.
pub(crate) fn read_lines<S: RecordSink>(
    sink: &mut S,
    mut reader: impl BufRead,
    first_line: u64,
) -> Result<(), Error> {
    let mut text = Vec::new();
    for line in first_line.. {
        text.clear();
        let read = reader
            .by_ref()
            .take(MAX_RECORD_BYTES + 1)
            .read_until(b'\n', &mut text);
        match read.map_err(|cause| sink.bad(line, Problem::Io(cause)))? {
            0 => break,
            length if length as u64 > MAX_RECORD_BYTES => {
                return Err(sink.bad(line, Problem::RecordTooLong));
            }
            _ => {}
        }
        if text.trim_ascii().is_empty() {
            continue;
        }
        let record = serde_json::from_slice(&text).map_err(|cause| {
            // The reader saw one line only: its own count of lines would mislead.
            let reason = cause
                .to_string()
                .replace(" at line 1 column ", " at column ");
            sink.bad(
                line,
                Problem::BadRecord {
                    reason: shortened(&reason),
                },
            )
        })?;
        sink.add_record(record, line)?;
    }
    Ok(())
}

/// Reads one array of objects, an object at a time.
pub(crate) fn read_array<S: RecordSink>(
    sink: &mut S,
    reader: impl Read,
    first_line: u64,
) -> Result<(), Error> {
    let progress = Progress::new(first_line);
    // The limit sits outside the buffer, so that its count is exact: the JSON reader takes bytes
    // one by one and looks ahead by one at most.
    let reader = RecordLimit::new(BufReader::with_capacity(1 << 16, reader), &progress);
    let mut json = serde_json::Deserializer::from_reader(reader);
    let mut failure = None;
    let array = Array {
        sink: &mut *sink,
        progress: progress.clone(),
        failure: &mut failure,
    };
    let read = json.deserialize_seq(array).and_then(|()| json.end());
    match (failure, read) {
        (Some(failure), _) => Err(failure),
        (None, Ok(())) => Ok(()),
        (None, Err(_)) if progress.exceeded() => {
            Err(sink.bad(progress.line(), Problem::RecordTooLong))
        }
        (None, Err(cause)) => {
            let reason = shortened(&cause.to_string());
            Err(sink.bad(progress.line(), Problem::BadRecord { reason }))
        }
    }
}

struct Array<'a, S> {
    sink: &'a mut S,
    progress: Progress,
    /// Carries our own error past the JSON reader's error type.
    failure: &'a mut Option<Error>,
}

impl<'de, S: RecordSink> Visitor<'de> for Array<'_, S> {
    type Value = ();

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("an array of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<(), A::Error> {
        while let Some((line, record)) = array.next_element_seed(WithLine::new(&self.progress))? {
            self.progress.next_record();
            if let Err(error) = self.sink.add_record(record, line) {
                *self.failure = Some(error);
                return Err(serde::de::Error::custom("unusable record"));
            }
        }
        Ok(())
    }
}

/// Reads a record together with the line that it begins on.
struct WithLine<'a, M> {
    progress: &'a Progress,
    members: PhantomData<M>,
}

impl<'a, M> WithLine<'a, M> {
    fn new(progress: &'a Progress) -> Self {
        Self {
            progress,
            members: PhantomData,
        }
    }
}

impl<'de, M: DeserializeOwned> DeserializeSeed<'de> for WithLine<'_, M> {
    type Value = (u64, Record<M>);

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        let line = self.progress.line();
        Ok((line, Record::deserialize(json)?))
    }
}
