//! Prompts out of a file of records: JSON, one a line or in an array, or CSV with a header.

use anyhow::{Result, bail};
use serde::Deserialize;
use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::Path,
};

/// Columns of a table that name the picture.
const PATHS: [&str; 4] = ["path", "file", "image", "filename"];

/// A prompt, and the picture it belongs to.
#[derive(Debug, PartialEq)]
pub(crate) struct PromptRecord {
    pub(crate) path: Option<String>,
    pub(crate) prompt: String,
}

/// The keys that matter here; records of failures have no prompt.
#[derive(Deserialize)]
struct Line {
    path: Option<String>,
    prompt: Option<String>,
}

/// The records of a file that have a prompt. Where `with_paths`, a table without a column of paths is an
/// error.
pub(crate) fn read(file: &Path, with_paths: bool) -> Result<Vec<PromptRecord>> {
    let mut reader = BufReader::new(File::open(file)?);
    if reader.fill_buf()?.starts_with(b"\xef\xbb\xbf") {
        reader.consume(3);
    }
    let first = loop {
        match reader.fill_buf()?.first() {
            Some(byte) if byte.is_ascii_whitespace() => reader.consume(1),
            other => break other.copied(),
        }
    };
    let lines: Vec<Line> = match first {
        Some(b'{') => serde_json::Deserializer::from_reader(reader)
            .into_iter::<Line>()
            .collect::<serde_json::Result<_>>()?,
        Some(b'[') => serde_json::from_reader(reader)?,
        _ => return table(reader, with_paths),
    };
    let record = |line: Line| {
        line.prompt.map(|prompt| PromptRecord {
            path: line.path,
            prompt,
        })
    };
    Ok(lines.into_iter().filter_map(record).collect())
}

fn table(reader: impl Read, with_paths: bool) -> Result<Vec<PromptRecord>> {
    let mut rows = csv::Reader::from_reader(reader);
    let header = rows.headers()?.clone();
    let column = |name: &str| {
        header
            .iter()
            .position(|field| field.trim().eq_ignore_ascii_case(name))
    };
    let path = PATHS.iter().find_map(|name| column(name));
    let Some(prompt) = column("prompt").filter(|_| path.is_some() || !with_paths) else {
        match with_paths {
            true => bail!(
                "a table needs a column `prompt` and one of `path`, `file`, `image` or `filename`"
            ),
            false => bail!("a table needs a column `prompt`"),
        }
    };
    let mut records = Vec::new();
    for row in rows.records() {
        let row = row?;
        let field = |index: usize| row.get(index).unwrap_or_default().to_owned();
        records.push(PromptRecord {
            path: path.map(field),
            prompt: field(prompt),
        });
    }
    Ok(records)
}
