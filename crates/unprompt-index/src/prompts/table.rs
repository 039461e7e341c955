//! A column of a CSV file.

use super::MAX_RECORD_BYTES;
use crate::{IndexError, Result};
use csv::{ByteRecord, Reader, ReaderBuilder};
use std::{
    cell::Cell,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    rc::Rc,
};

pub(super) fn prompts(
    path: PathBuf,
    file: File,
    column: &str,
) -> Result<impl Iterator<Item = Result<String>> + use<>> {
    let left = Rc::new(Cell::new(MAX_RECORD_BYTES));
    let reader = Limited {
        inner: file,
        left: Rc::clone(&left),
    };
    let mut reader = ReaderBuilder::new().from_reader(reader);
    let header = reader
        .byte_headers()
        .map_err(|error| explained(&path, &error))?;
    let names = || header.iter().map(String::from_utf8_lossy);
    let Some(index) = names().position(|name| name.trim_start_matches('\u{feff}').trim() == column)
    else {
        let found: Vec<_> = names().take(20).collect();
        let found: String = found.join(", ").escape_debug().take(300).collect();
        let message = format!("no column `{column}` among {found}; name another with --column");
        return Err(IndexError::prompts(&path, message));
    };
    Ok(Column {
        path,
        reader,
        left,
        index,
        record: ByteRecord::new(),
    })
}

struct Column {
    path: PathBuf,
    reader: Reader<Limited>,
    left: Rc<Cell<usize>>,
    index: usize,
    record: ByteRecord,
}

impl Iterator for Column {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left.set(MAX_RECORD_BYTES);
        let row = match self.reader.read_byte_record(&mut self.record) {
            Ok(false) => return None,
            Ok(true) => self.record.get(self.index).unwrap_or_default(),
            Err(error) => return Some(Err(explained(&self.path, &error))),
        };
        Some(String::from_utf8(row.to_vec()).map_err(|_| {
            let line = self.record.position().map_or(0, csv::Position::line);
            let message = format!("line {line}: not UTF-8 text; save the file as UTF-8");
            IndexError::prompts(&self.path, message)
        }))
    }
}

fn explained(path: &Path, error: &csv::Error) -> IndexError {
    let line = error.position().map_or(0, csv::Position::line);
    let message = match error.kind() {
        csv::ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => {
            format!(
                "line {line}: {len} fields, expected {expected_len}; quote a field that holds a comma"
            )
        }
        _ => error.to_string(),
    };
    IndexError::prompts(path, message)
}

/// Ends with an error where a record asks for more than its share: a quote that is never closed
/// would otherwise bring the whole file into memory.
struct Limited {
    inner: File,
    left: Rc<Cell<usize>>,
}

impl Read for Limited {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.left.get();
        if left == 0 {
            let message =
                format!("a row is longer than {MAX_RECORD_BYTES} bytes; is a quote never closed?");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        let most = buffer.len().min(left);
        let read = self.inner.read(&mut buffer[..most])?;
        self.left.set(left - read);
        Ok(read)
    }
}
