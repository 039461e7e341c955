//! Lists of prompts: one a line, CSV, JSON lines, parquet. All are read as a stream, under limits.

mod lines;
mod parquet;
mod table;

use crate::{IndexError, Result};
use std::{
    fs::File,
    io::{BufReader, Read},
    path::{Path, PathBuf},
};

/// Prompts as they come from a list.
pub type PromptIterator = Box<dyn Iterator<Item = Result<String>>>;

/// The longest line, CSV row or JSON record that is read, in bytes.
pub const MAX_RECORD_BYTES: usize = 4 << 20;

/// The longest prompt that is taken, in bytes: a thousand times what any model reads.
pub const MAX_PROMPT_BYTES: usize = 1 << 20;

/// How a list is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PromptFormat {
    /// One prompt a line.
    Lines,
    /// Comma-separated values with a header.
    Csv,
    /// One JSON object a line.
    JsonLines,
    /// Apache parquet, as DiffusionDB's `metadata.parquet`.
    Parquet,
}

/// A file with prompts.
#[derive(Clone, Debug)]
pub struct PromptFile {
    path: PathBuf,
    format: PromptFormat,
    column: String,
}

impl PromptFile {
    /// Looks at a file and tells how it is laid out: parquet by its content, CSV and JSON lines by
    /// the extension (`.csv`; `.jsonl` or `.ndjson`), all others are one prompt a line. `column` is the
    /// column or key that holds the prompts.
    ///
    /// # Errors
    /// When it is no regular file (a list is read twice) or cannot be read.
    pub fn open(path: &Path, column: &str) -> Result<Self> {
        let opening = |error| IndexError::io("open", path, error);
        // Asked before opening: to open a named pipe would wait for ever.
        if !std::fs::metadata(path).map_err(opening)?.is_file() {
            let message = "not a regular file, and a list is read twice; save it as a file first";
            return Err(IndexError::prompts(path, message));
        }
        let mut start = Vec::new();
        File::open(path)
            .and_then(|file| file.take(4).read_to_end(&mut start))
            .map_err(opening)?;
        let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
        let format = match extension.to_str() {
            _ if start == *b"PAR1" => PromptFormat::Parquet,
            Some("parquet") => {
                let message = "named as parquet, but it does not begin with `PAR1`";
                return Err(IndexError::prompts(path, message));
            }
            Some("csv") => PromptFormat::Csv,
            Some("jsonl" | "ndjson") => PromptFormat::JsonLines,
            _ => PromptFormat::Lines,
        };
        Ok(Self {
            path: path.to_owned(),
            format,
            column: column.to_owned(),
        })
    }

    /// How it is laid out.
    pub fn format(&self) -> PromptFormat {
        self.format
    }

    /// Reads the prompts from the start, in their order. Missing values come as empty prompts.
    ///
    /// # Errors
    /// When the file cannot be read or has no such column; the iterator gives an error, naming the
    /// place, where the file is broken, and ends there.
    pub fn read(&self) -> Result<PromptIterator> {
        let path = &self.path;
        let open = || File::open(path).map_err(|error| IndexError::io("open", path, error));
        let prompts: PromptIterator = match self.format {
            PromptFormat::Lines => Box::new(lines::plain(path.clone(), BufReader::new(open()?))),
            PromptFormat::JsonLines => {
                let reader = BufReader::new(open()?);
                Box::new(lines::json(path.clone(), reader, self.column.clone()))
            }
            PromptFormat::Csv => Box::new(table::prompts(path.clone(), open()?, &self.column)?),
            PromptFormat::Parquet => {
                Box::new(parquet::prompts(path.clone(), open()?, &self.column)?)
            }
        };
        let path = path.clone();
        let mut ended = false;
        // What follows a break in the file is not to be trusted.
        Ok(Box::new(prompts.map_while(move |prompt| {
            if ended {
                return None;
            }
            let prompt = prompt.and_then(|prompt| checked(&path, prompt));
            ended = prompt.is_err();
            Some(prompt)
        })))
    }
}

fn checked(path: &Path, prompt: String) -> Result<String> {
    if prompt.len() <= MAX_PROMPT_BYTES {
        return Ok(prompt);
    }
    let start: String = prompt
        .chars()
        .take(60)
        .flat_map(char::escape_default)
        .collect();
    let message = format!(
        "the prompt that begins with `{start}` has {} bytes, more than the {MAX_PROMPT_BYTES} that are taken",
        prompt.len()
    );
    Err(IndexError::prompts(path, message))
}
