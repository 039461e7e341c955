//! One file of answers: an embedding or a prompt for each image.

use std::collections::HashMap;
use std::collections::hash_map;
use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read};
use std::path::Path;

use crate::csv_rows::Rows;
use crate::error::{Error, Problem, shortened_bytes};
use crate::{prompt_table, records, submission};

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
}

/// All answers of one file, in the order of the file, each id once.
#[derive(Debug)]
pub struct Answers {
    name: String,
    entries: Vec<Entry>,
    index: HashMap<String, usize>,
}

impl Answers {
    /// Opens and reads a file, see [`Answers::read`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        let name = path.display().to_string();
        let file = File::open(path).map_err(|cause| Error::new(&name, None, Problem::Io(cause)))?;
        Self::read(&name, BufReader::with_capacity(1 << 16, file))
    }

    /// Reads answers in any of the formats, told apart by their content:
    ///
    /// - a submission: CSV with the header `imgId_eId,val`, 384 rows an image, in any order;
    /// - a table of prompts: CSV with a column `prompt` and one of `imgId`, `id` (the id as it is),
    ///   `file`, `path`, `image` or `filename` (the id is the file's stem), in any case of letters;
    ///   other columns are ignored;
    /// - JSON records, one a line or all in one array: `id`, `imgId` or `path`, and `embedding` or
    ///   `prompt` (the embedding counts where both are there), as `predict` writes them.
    ///
    /// A byte order mark and Windows line ends are accepted. `name` appears in error messages.
    pub fn read(name: &str, reader: impl BufRead) -> Result<Self, Error> {
        let mut answers = Self::empty(name);
        let io_error = |cause| Error::new(name, None, Problem::Io(cause));
        let mut reader = without_byte_order_mark(reader).map_err(io_error)?;
        let mut line = 1;
        match first_byte(&mut reader, &mut line).map_err(io_error)? {
            None => return Err(Error::new(name, None, Problem::Empty)),
            Some(b'{') => records::read_lines(&mut answers, reader, line)?,
            Some(b'[') => records::read_array(&mut answers, reader, line)?,
            Some(_) => read_csv(&mut answers, reader, line)?,
        }
        if answers.entries.is_empty() {
            return Err(Error::new(name, None, Problem::Empty));
        }
        Ok(answers)
    }

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
        self.entries.push(Entry { id, line, answer });
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

fn read_csv(answers: &mut Answers, reader: impl BufRead, line: u64) -> Result<(), Error> {
    let mut rows = Rows::new(reader, line);
    rows.advance(answers)?;
    let header = rows.row();
    if submission::is_header(header) {
        return submission::read(answers, rows);
    }
    match prompt_table::columns(header) {
        Some(columns) => prompt_table::read(answers, rows, columns),
        None => {
            let fields: Vec<&[u8]> = header.fields().collect();
            let found = shortened_bytes(&fields.join(&b','));
            Err(answers.error(line, Problem::Header { found }))
        }
    }
}

pub(crate) fn without_byte_order_mark<R: BufRead>(mut reader: R) -> std::io::Result<impl BufRead> {
    let mut start = Vec::with_capacity(3);
    reader.by_ref().take(3).read_to_end(&mut start)?;
    if start == b"\xEF\xBB\xBF" {
        start.clear();
    }
    Ok(Cursor::new(start).chain(reader))
}

/// Skips white space, counting lines, and gives the byte that follows without taking it.
pub(crate) fn first_byte(reader: &mut impl BufRead, line: &mut u64) -> std::io::Result<Option<u8>> {
    loop {
        let (byte, taken) = match reader.fill_buf()? {
            [] => return Ok(None),
            buffer => match buffer.iter().position(|byte| !byte.is_ascii_whitespace()) {
                Some(taken) => (Some(buffer[taken]), taken),
                None => (None, buffer.len()),
            },
        };
        let skipped = &reader.fill_buf()?[..taken];
        *line += skipped.iter().filter(|&&byte| byte == b'\n').count() as u64;
        reader.consume(taken);
        if byte.is_some() {
            return Ok(byte);
        }
    }
}
