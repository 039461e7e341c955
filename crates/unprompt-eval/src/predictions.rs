//! A file of predictions with its parts: what each member of the preset gave.

use crate::{
    answer_file::{first_byte, without_byte_order_mark},
    answers::{Answer, Answers},
    error::{Error, Problem},
    records::{self, Record, RecordSink, finite},
};
use serde::Deserialize;
use std::{
    fs::File,
    io::{BufRead, BufReader, Read, repeat},
    path::Path,
};

/// The answers of one file, and the answers of each member where its records have `members`.
#[derive(Debug)]
pub struct Predictions {
    /// The file's own answers: an embedding or a prompt for each image.
    pub answers: Answers,
    /// The prompts, where every record has both a prompt and an embedding.
    pub prompts: Option<Answers>,
    /// Each member with its name, in the order of the first record; empty where records have none.
    /// A member's embedding counts, as long as its `length` says; its text where it has no embedding;
    /// one with neither is left out.
    pub members: Vec<(String, Answers)>,
}

/// One of a record's members.
#[derive(Deserialize)]
pub(crate) struct InnerMember {
    name: String,
    embedding: Option<Vec<Option<f64>>>,
    /// How long the embedding was before it was brought to unit length.
    length: Option<f64>,
    text: Option<String>,
}

impl Predictions {
    /// Opens and reads a file, see [`Predictions::read`].
    ///
    /// # Errors
    /// As [`Predictions::read`], and when the file cannot be opened.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let name = path.display().to_string();
        let file = File::open(path).map_err(|cause| Error::new(&name, None, Problem::Io(cause)))?;
        Self::read(&name, BufReader::with_capacity(1 << 16, file))
    }

    /// Reads what [`Answers::read`] reads; of JSON records, `members` too.
    ///
    /// # Errors
    /// As [`Answers::read`]; records that have other members than the first.
    pub fn read(name: &str, reader: impl BufRead) -> Result<Self, Error> {
        let io_error = |cause| Error::new(name, None, Problem::Io(cause));
        let mut reader = without_byte_order_mark(reader).map_err(io_error)?;
        let mut line = 1;
        let mut found = Self {
            answers: Answers::empty(name),
            prompts: Some(Answers::empty(name)),
            members: Vec::new(),
        };
        match first_byte(&mut reader, &mut line).map_err(io_error)? {
            Some(b'{') => records::read_lines(&mut found, reader, line)?,
            Some(b'[') => records::read_array(&mut found, reader, line)?,
            _ => {
                // The lines that were passed over are given back, so that errors count them.
                let passed = BufReader::new(repeat(b'\n').take(line - 1));
                found.answers = Answers::read(name, passed.chain(reader))?;
                found.prompts = None;
            }
        }
        if found.answers.entries().is_empty() {
            return Err(Error::new(name, None, Problem::Empty));
        }
        Ok(found)
    }
}

impl RecordSink for Predictions {
    type Members = Vec<InnerMember>;

    fn add_record(&mut self, mut record: Record<Self::Members>, line: u64) -> Result<(), Error> {
        let (members, prompt) = (record.members.take(), record.prompt.clone());
        let (id, answer) = record.entry().map_err(|problem| self.bad(line, problem))?;
        match (&mut self.prompts, &answer, prompt) {
            (Some(prompts), Answer::Embedding(_), Some(prompt)) => {
                prompts.add(id.clone(), line, Answer::Prompt(prompt))?;
            }
            _ => self.prompts = None,
        }
        let first = self.answers.entries().is_empty();
        self.answers.add(id.clone(), line, answer)?;
        let mut parts = Vec::new();
        for member in members.unwrap_or_default() {
            let answer = match (member.embedding, member.text) {
                (Some(numbers), _) => {
                    let mut row =
                        finite(&id, numbers).map_err(|problem| self.bad(line, problem))?;
                    if let Some(length) = member.length {
                        row.iter_mut().for_each(|value| *value *= length);
                    }
                    Answer::Embedding(row)
                }
                (None, Some(text)) => Answer::Prompt(text),
                (None, None) => continue,
            };
            parts.push((member.name, answer));
        }
        if first {
            for (name, _) in &parts {
                if self.members.iter().any(|(before, _)| before == name) {
                    let name = name.clone();
                    return Err(self.bad(line, Problem::SameMember { name }));
                }
                let answers = Answers::empty(self.answers.name());
                self.members.push((name.clone(), answers));
            }
        }
        let named = |parts: &mut dyn Iterator<Item = &String>| {
            let names: Vec<String> = parts.map(|name| format!("`{name}`")).collect();
            if names.is_empty() {
                "none".to_owned()
            } else {
                names.join(", ")
            }
        };
        let same = self.members.iter().map(|(name, _)| name);
        if !same.clone().eq(parts.iter().map(|(name, _)| name)) {
            let problem = Problem::OtherMembers {
                id,
                expected: named(&mut same.clone()),
                found: named(&mut parts.iter().map(|(name, _)| name)),
            };
            return Err(self.bad(line, problem));
        }
        for ((_, answers), (_, answer)) in self.members.iter_mut().zip(parts) {
            answers.add(id.clone(), line, answer)?;
        }
        Ok(())
    }

    fn bad(&self, line: u64, problem: Problem) -> Error {
        Error::new(self.answers.name(), line, problem)
    }
}
