//! Answers: an embedding or a prompt for each image.

use crate::error::{Error, Problem};
use std::{
    collections::{HashMap, hash_map},
    path::Path,
};

/// What a file says about one image.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// An embedding: [`DIMENSIONS`](crate::DIMENSIONS) finite numbers, any length above zero.
    Embedding(Vec<f64>),
    /// A prompt that has yet to be embedded.
    Prompt(String),
}

/// One image of a file of answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The image's id: the file name without folder and extension.
    pub id: String,
    /// The line that it was read from, counted from 1 (a submission: the image's first row).
    pub line: u64,
    /// What the file says about it.
    pub answer: Answer,
    /// The model that made the picture, where the file says it: the column or key `generator`.
    pub generator: Option<String>,
}

/// All answers of one file, in the order of the file, each id once.
#[derive(Debug)]
pub struct Answers {
    name: String,
    entries: Vec<Entry>,
    index: HashMap<String, usize>,
}

impl Answers {
    pub(crate) fn empty(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            entries: Vec::new(),
            index: HashMap::new(),
        }
    }

    /// The name given to [`Answers::read`].
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Every image in the order of the file.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The answer for one image.
    pub fn get(&self, id: &str) -> Option<&Entry> {
        self.index.get(id).map(|&position| &self.entries[position])
    }

    pub(crate) fn error(&self, line: u64, problem: Problem) -> Error {
        Error::new(&self.name, line, problem)
    }

    pub(crate) fn position(&self, id: &str) -> Option<usize> {
        self.index.get(id).copied()
    }

    pub(crate) fn entry_mut(&mut self, position: usize) -> &mut Entry {
        &mut self.entries[position]
    }

    /// Adds an image; a second one with the same id is an error.
    pub(crate) fn add(&mut self, id: String, line: u64, answer: Answer) -> Result<usize, Error> {
        if id.is_empty() {
            return Err(self.error(line, Problem::EmptyId));
        }
        let position = self.entries.len();
        match self.index.entry(id.clone()) {
            hash_map::Entry::Occupied(taken) => {
                let first_line = self.entries[*taken.get()].line;
                return Err(self.error(line, Problem::DuplicateId { id, first_line }));
            }
            hash_map::Entry::Vacant(free) => free.insert(position),
        };
        self.entries.push(Entry {
            id,
            line,
            answer,
            generator: None,
        });
        Ok(position)
    }
}

/// The id of an image: its file name without folder and extension.
///
/// An empty text where the path has no file name (`..`, `/`).
pub fn image_id(path: &Path) -> String {
    path.file_stem()
        .map(|stem| stem.to_string_lossy().into_owned())
        .unwrap_or_default()
}
