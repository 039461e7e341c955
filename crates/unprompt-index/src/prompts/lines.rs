//! One prompt a line, as text or as a JSON object.

use super::MAX_RECORD_BYTES;
use crate::{IndexError, Result};
use std::{
    io::{BufRead, Read},
    path::{Path, PathBuf},
};

/// Every line is a prompt.
pub(super) fn plain(path: PathBuf, reader: impl BufRead) -> impl Iterator<Item = Result<String>> {
    Lines::new(path, reader).map(|line| line.map(|(_, text)| text))
}

/// Every line is an object whose `key` is a prompt, or null. Blank lines are passed over.
pub(super) fn json(
    path: PathBuf,
    reader: impl BufRead,
    key: String,
) -> impl Iterator<Item = Result<String>> {
    let lines = Lines::new(path.clone(), reader);
    lines.filter_map(move |line| match line {
        Ok((_, text)) if text.trim().is_empty() => None,
        Ok((number, text)) => Some(prompt_of(&path, number, &text, &key)),
        Err(error) => Some(Err(error)),
    })
}

fn prompt_of(path: &Path, number: u64, text: &str, key: &str) -> Result<String> {
    use serde_json::Value;
    let failed = |message: String| IndexError::prompts(path, format!("line {number}: {message}"));
    let value: Value = serde_json::from_str(text).map_err(|error| {
        // The reader saw one line only: its own count of lines would mislead.
        failed(
            error
                .to_string()
                .replace(" at line 1 column ", " at column "),
        )
    })?;
    match value.get(key) {
        Some(Value::String(prompt)) => Ok(prompt.clone()),
        Some(Value::Null) => Ok(String::new()),
        Some(_) => Err(failed(format!("`{key}` is no text"))),
        None => Err(failed(format!(
            "no object with the key `{key}`; name another with --column"
        ))),
    }
}

/// Lines with their numbers, of bounded length, without their ends.
struct Lines<R> {
    path: PathBuf,
    reader: R,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    fn new(path: PathBuf, reader: R) -> Self {
        Self {
            path,
            reader,
            number: 0,
        }
    }

    fn read(&mut self) -> Result<Option<String>> {
        let mut bytes = Vec::new();
        self.reader
            .by_ref()
            .take(MAX_RECORD_BYTES as u64 + 1)
            .read_until(b'\n', &mut bytes)
            .map_err(|error| IndexError::io("read", &self.path, error))?;
        if bytes.is_empty() {
            return Ok(None);
        }
        self.number += 1;
        let number = self.number;
        let failed =
            |message: String| IndexError::prompts(&self.path, format!("line {number}: {message}"));
        if bytes.len() > MAX_RECORD_BYTES {
            return Err(failed(format!("longer than {MAX_RECORD_BYTES} bytes")));
        }
        let mut text = String::from_utf8(bytes)
            .map_err(|_| failed("not UTF-8 text; save the file as UTF-8".to_owned()))?;
        if number == 1 && text.starts_with('\u{feff}') {
            text.remove(0);
        }
        text.truncate(text.trim_end_matches(['\n', '\r']).len());
        Ok(Some(text))
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = Result<(u64, String)>;

    fn next(&mut self) -> Option<Self::Item> {
        let line = self.read().transpose()?;
        Some(line.map(|line| (self.number, line)))
    }
}
