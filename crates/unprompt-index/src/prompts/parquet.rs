//! A column of a parquet file.
//!
//! Read through the library's plain column reader: its reader into arrow's arrays divides by numbers
//! of the file without a look at them.

use crate::{IndexError, Result};
use parquet::{
    basic::Type,
    column::reader::{ColumnReader, ColumnReaderImpl},
    data_type::{ByteArray, ByteArrayType},
    errors::ParquetError,
    file::reader::{FileReader, SerializedFileReader},
};
use std::{
    cell::Cell,
    fs::File,
    panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook},
    path::{Path, PathBuf},
    sync::Once,
};

/// Rows that are decoded together.
const BATCH: usize = 1024;

pub(super) fn prompts(
    path: PathBuf,
    file: File,
    column: &str,
) -> Result<impl Iterator<Item = Result<String>> + use<>> {
    let file = guarded(&path, || SerializedFileReader::new(file))?;
    let schema = file.metadata().file_metadata().schema_descr();
    let names = || schema.columns().iter().map(|column| column.path().string());
    let refused = |message: String| Err(IndexError::prompts(&path, message));
    let Some(index) = names().position(|name| name == column) else {
        let found: Vec<String> = names().take(20).collect();
        let found: String = found.join(", ").escape_debug().take(300).collect();
        return refused(format!(
            "no column `{column}` among {found}; name another with --column"
        ));
    };
    let described = schema.column(index);
    let (found, repeated) = (described.physical_type(), described.max_rep_level());
    if found != Type::BYTE_ARRAY || repeated > 0 {
        return refused(format!("the column `{column}` is {found}, expected text"));
    }
    let most = described.max_def_level();
    Ok(Column {
        path,
        file,
        index,
        most,
        group: 0,
        reader: None,
        batch: Vec::new().into_iter(),
    })
}

struct Column {
    path: PathBuf,
    file: SerializedFileReader<File>,
    index: usize,
    /// The definition level of a value that is there.
    most: i16,
    /// The next row group.
    group: usize,
    reader: Option<ColumnReaderImpl<ByteArrayType>>,
    batch: std::vec::IntoIter<Option<ByteArray>>,
}

impl Column {
    /// The next values of the row group, none at its end.
    fn read(&mut self) -> Result<Vec<Option<ByteArray>>> {
        let Some(reader) = &mut self.reader else {
            return Ok(Vec::new());
        };
        let (mut levels, mut values) = (Vec::new(), Vec::new());
        let read = guarded(&self.path, || {
            reader.read_records(BATCH, Some(&mut levels), None, &mut values)
        })?;
        let (rows, ..) = read;
        let mut values = values.into_iter();
        Ok(match self.most {
            0 => values.map(Some).collect(),
            // A value that is not there is not in the list either.
            most => levels
                .into_iter()
                .take(rows)
                .map(|level| if level == most { values.next() } else { None })
                .collect(),
        })
    }

    /// Opens the next row group; `false` where there is none.
    fn open(&mut self) -> Result<bool> {
        if self.group == self.file.num_row_groups() {
            return Ok(false);
        }
        let (file, group, index) = (&self.file, self.group, self.index);
        let reader = guarded(&self.path, || {
            file.get_row_group(group)?.get_column_reader(index)
        })?;
        self.group += 1;
        match reader {
            ColumnReader::ByteArrayColumnReader(reader) => self.reader = Some(reader),
            _ => {
                return Err(IndexError::prompts(
                    &self.path,
                    "a row group without the text",
                ));
            }
        }
        Ok(true)
    }
}

impl Iterator for Column {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(value) = self.batch.next() {
                return Some(text(&self.path, value));
            }
            match self.read() {
                Ok(batch) if !batch.is_empty() => {
                    self.batch = batch.into_iter();
                    continue;
                }
                Ok(_) => {}
                Err(error) => return Some(Err(error)),
            }
            match self.open() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// A value's text; empty where it is missing.
fn text(path: &Path, value: Option<ByteArray>) -> Result<String> {
    let bytes = value.map_or_else(Vec::new, |value| value.data().to_vec());
    String::from_utf8(bytes).map_err(|_| IndexError::prompts(path, "a prompt is not UTF-8 text"))
}

/// Calls the library. Where it panics at something in the file, that is an error of the file like
/// any other, and nothing else is said about it.
fn guarded<T>(
    path: &Path,
    read: impl FnOnce() -> std::result::Result<T, ParquetError>,
) -> Result<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        // Everybody else's panics are reported as before.
        let usual = take_hook();
        set_hook(Box::new(move |panic| {
            if !READING.get() {
                usual(panic);
            }
        }));
    });
    READING.set(true);
    let read = catch_unwind(AssertUnwindSafe(read));
    READING.set(false);
    match read {
        Ok(read) => read.map_err(|error| IndexError::prompts(path, error.to_string())),
        Err(_) => Err(IndexError::prompts(path, "the parquet file is damaged")),
    }
}

thread_local! {
    /// Whether this thread is inside [`guarded`].
    static READING: Cell<bool> = const { Cell::new(false) };
}
