//! Columns of a file, a few rows at a time.

use crate::{
    TableError,
    structures::{Fault, check_footer, check_page_header},
};
use parquet::{
    basic::{ConvertedType, LogicalType, Type},
    column::reader::ColumnReaderImpl,
    data_type::{DataType, FloatType},
    errors::ParquetError,
    file::{
        metadata::ColumnChunkMetaData,
        reader::{ChunkReader, FileReader, Length, SerializedFileReader},
    },
    schema::types::ColumnDescPtr,
};
use std::{
    cell::Cell,
    fs::File,
    panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook},
    path::{Path, PathBuf},
    sync::{Arc, Once},
};

type Result<T> = std::result::Result<T, TableError>;

/// A parquet file that is open.
#[derive(Clone)]
pub struct Table {
    path: PathBuf,
    file: Arc<SerializedFileReader<File>>,
    /// The same file, as bytes.
    bytes: Arc<File>,
}

/// What a column holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnShape {
    /// Its path, with full stops between a group and what is in it.
    pub name: String,
    /// Whether its values are bytes, text or not.
    pub is_bytes: bool,
    /// Whether it says that its bytes are text.
    pub is_text: bool,
    /// Whether a row can have several values.
    pub is_repeated: bool,
}

impl Table {
    /// Reads the footer of a file; `path` is what errors call it.
    ///
    /// # Errors
    /// When the file is no parquet file or is damaged.
    pub fn open(path: &Path, file: File) -> Result<Self> {
        let (bytes, file) = guarded(path, || {
            check_end(&file)?;
            Ok((file.try_clone()?, SerializedFileReader::new(file)?))
        })?;
        Ok(Self {
            path: path.to_owned(),
            file: Arc::new(file),
            bytes: Arc::new(bytes),
        })
    }

    /// Rows, as the footer has it.
    ///
    /// # Errors
    /// When the footer says nonsense.
    pub fn rows(&self) -> Result<u64> {
        let rows = self.file.metadata().file_metadata().num_rows();
        u64::try_from(rows).map_err(|_| self.error("its number of rows is negative"))
    }

    /// The columns, in their order.
    pub fn columns(&self) -> Vec<ColumnShape> {
        let schema = self.file.metadata().file_metadata().schema_descr();
        let shape = |column: &ColumnDescPtr| ColumnShape {
            name: column.path().string(),
            is_bytes: column.physical_type() == Type::BYTE_ARRAY,
            is_text: column.converted_type() == ConvertedType::UTF8
                || matches!(column.logical_type_ref(), Some(LogicalType::String)),
            is_repeated: column.max_rep_level() > 0,
        };
        schema.columns().iter().map(shape).collect()
    }

    /// A value of the file's own notes.
    pub fn note(&self, key: &str) -> Option<&str> {
        let notes = self.file.metadata().file_metadata().key_value_metadata()?;
        let note = notes.iter().find(|note| note.key == key)?;
        note.value.as_deref()
    }

    /// A column with one value a row, read `batch` rows at a time.
    ///
    /// # Errors
    /// When there is none of this name, or it holds something else.
    pub fn column<T: DataType>(&self, name: &str, batch: usize) -> Result<Column<T>> {
        Ok(Column {
            reader: self.reader(name, batch, false)?,
            batch: Vec::new().into_iter(),
        })
    }

    /// A column of lists of f32, read `batch` rows at a time.
    ///
    /// # Errors
    /// When there is none of this name, or it holds something else.
    pub fn vectors(&self, name: &str, batch: usize) -> Result<Vectors> {
        self.lists(name, batch)
    }

    /// A column of lists, read `batch` rows at a time.
    ///
    /// # Errors
    /// When there is none of this name, or it holds something else.
    pub fn lists<T: DataType>(&self, name: &str, batch: usize) -> Result<Lists<T>> {
        Ok(Lists {
            reader: self.reader(name, batch, true)?,
            batch: Vec::new().into_iter(),
        })
    }

    fn reader<T: DataType>(&self, name: &str, batch: usize, repeated: bool) -> Result<Rows<T>> {
        let schema = self.file.metadata().file_metadata().schema_descr();
        let columns = schema.columns();
        let is_it = |column: &ColumnDescPtr| match repeated {
            // `NAME.list.item`, or however its writer calls what is inside.
            true => column
                .path()
                .parts()
                .first()
                .is_some_and(|first| first == name),
            false => column.path().string() == name,
        };
        let index = columns.iter().position(is_it);
        let index = index.ok_or_else(|| self.error(format!("no column `{name}`")))?;
        let described = schema.column(index);
        let (stored, levels) = (described.physical_type(), described.max_rep_level());
        let expected = T::get_physical_type();
        if stored != expected || levels != i16::from(repeated) {
            let what = if repeated { "lists of " } else { "" };
            let expected = match expected {
                Type::BYTE_ARRAY => "text".to_owned(),
                other => other.to_string(),
            };
            return Err(self.error(format!(
                "the column `{name}` is {stored}, expected {what}{expected}"
            )));
        }
        Ok(Rows {
            table: self.clone(),
            index,
            most: described.max_def_level(),
            batch: batch.max(1),
            group: 0,
            reader: None,
        })
    }

    fn error(&self, message: impl Into<String>) -> TableError {
        TableError {
            path: self.path.clone(),
            message: message.into(),
        }
    }
}

/// Where a column is read.
struct Rows<T: DataType> {
    table: Table,
    index: usize,
    /// The definition level of a value that is there.
    most: i16,
    /// Rows that are decoded together.
    batch: usize,
    /// The next row group.
    group: usize,
    reader: Option<ColumnReaderImpl<T>>,
}

/// Values, and the levels that say where they belong.
struct Read<V> {
    rows: usize,
    definitions: Vec<i16>,
    repetitions: Vec<i16>,
    values: Vec<V>,
}

impl<T: DataType> Rows<T> {
    /// The next rows; none at the end of the file.
    fn read(&mut self) -> Result<Option<Read<T::T>>> {
        loop {
            let Some(reader) = &mut self.reader else {
                if !self.open()? {
                    return Ok(None);
                }
                continue;
            };
            let (mut definitions, mut repetitions) = (Vec::new(), Vec::new());
            let mut values = Vec::new();
            let batch = self.batch;
            let (rows, ..) = guarded(&self.table.path, || {
                let repetitions = Some(&mut repetitions);
                reader.read_records(batch, Some(&mut definitions), repetitions, &mut values)
            })?;
            if rows == 0 {
                self.reader = None;
                continue;
            }
            return Ok(Some(Read {
                rows,
                definitions,
                repetitions,
                values,
            }));
        }
    }

    /// Opens the next row group; `false` where there is none.
    fn open(&mut self) -> Result<bool> {
        let (file, group, index) = (&self.table.file, self.group, self.index);
        if group == file.num_row_groups() {
            return Ok(false);
        }
        let reader = guarded(&self.table.path, || {
            check_pages(
                &self.table.bytes,
                file.metadata().row_group(group).column(index),
            )?;
            file.get_row_group(group)?.get_column_reader(index)
        })?;
        self.group += 1;
        self.reader = T::get_column_reader(reader);
        match &self.reader {
            Some(_) => Ok(true),
            None => Err(self.table.error("a row group has something else in it")),
        }
    }

    /// Goes past rows without decoding what need not be.
    fn skip(&mut self, mut rows: u64) -> Result<()> {
        while rows > 0 {
            let Some(reader) = &mut self.reader else {
                if self.group == self.table.file.num_row_groups() {
                    return Ok(());
                }
                let whole = self.table.file.metadata().row_group(self.group).num_rows();
                let whole = u64::try_from(whole).map_err(|_| {
                    self.table
                        .error("a row group has a negative number of rows")
                })?;
                if rows >= whole {
                    (rows, self.group) = (rows - whole, self.group + 1);
                } else {
                    self.open()?;
                }
                continue;
            };
            let most = usize::try_from(rows).unwrap_or(usize::MAX);
            let skipped = guarded(&self.table.path, || reader.skip_records(most))?;
            rows -= (skipped as u64).min(rows);
            if skipped == 0 {
                self.reader = None;
            }
        }
        Ok(())
    }
}

/// A column with one value a row; `None` where a row has no value.
pub struct Column<T: DataType> {
    reader: Rows<T>,
    batch: std::vec::IntoIter<Option<T::T>>,
}

impl<T: DataType> Column<T> {
    /// Goes past rows; past the end there are none.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn skip_rows(&mut self, mut rows: u64) -> Result<()> {
        while rows > 0 && self.batch.next().is_some() {
            rows -= 1;
        }
        self.reader.skip(rows)
    }
}

impl<T: DataType> Iterator for Column<T> {
    type Item = Result<Option<T::T>>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(value) = self.batch.next() {
                return Some(Ok(value));
            }
            let read = match self.reader.read() {
                Ok(read) => read?,
                Err(error) => return Some(Err(error)),
            };
            let mut values = read.values.into_iter();
            let batch: Vec<Option<T::T>> = match self.reader.most {
                0 => values.map(Some).collect(),
                // A value that is not there is not in the list either.
                most => read
                    .definitions
                    .into_iter()
                    .take(read.rows)
                    .map(|level| if level == most { values.next() } else { None })
                    .collect(),
            };
            self.batch = batch.into_iter();
        }
    }
}

/// A column of lists of f32.
pub type Vectors = Lists<FloatType>;

/// A column of lists; `None` where a row has no list. A value that is not there is not in its list.
pub struct Lists<T: DataType> {
    reader: Rows<T>,
    batch: std::vec::IntoIter<Option<Vec<T::T>>>,
}

impl<T: DataType> Iterator for Lists<T> {
    type Item = Result<Option<Vec<T::T>>>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(vector) = self.batch.next() {
                return Some(Ok(vector));
            }
            let read = match self.reader.read() {
                Ok(read) => read?,
                Err(error) => return Some(Err(error)),
            };
            let mut values = read.values.into_iter();
            let mut batch: Vec<Option<Vec<T::T>>> = Vec::with_capacity(read.rows);
            for (level, repetition) in read.definitions.into_iter().zip(read.repetitions) {
                if repetition == 0 {
                    // Below the level of an empty list there is none.
                    let is_there = level + 1 >= self.reader.most;
                    batch.push(is_there.then(Vec::new));
                }
                if level == self.reader.most
                    && let (Some(Some(list)), Some(value)) = (batch.last_mut(), values.next())
                {
                    list.push(value);
                }
            }
            self.batch = batch.into_iter();
        }
    }
}

/// Walks the footer, if the file ends as one with a footer does; else the library says what is wrong.
fn check_end(file: &File) -> std::result::Result<(), ParquetError> {
    /// The footer's length and four letters.
    const TAIL: usize = 8;
    let Some(tail_start) = file.len().checked_sub(TAIL as u64) else {
        return Ok(());
    };
    let tail = file.get_bytes(tail_start, TAIL)?;
    let Some((length, b"PAR1")) = tail.split_first_chunk() else {
        return Ok(());
    };
    let length = u32::from_le_bytes(*length);
    match tail_start.checked_sub(length.into()) {
        None => Ok(()),
        Some(start) => {
            let footer = file.get_bytes(start, length as usize)?;
            check_footer(&footer).map_err(|fault| damaged("footer", fault))
        }
    }
}

/// Walks the headers of a column's pages.
fn check_pages(file: &File, column: &ColumnChunkMetaData) -> std::result::Result<(), ParquetError> {
    /// Bytes that are read at a time: many small pages, or the header of a large one.
    const WINDOW: u64 = 1 << 14;
    let (mut at, length) = column.byte_range();
    let end = at.saturating_add(length);
    let (mut start, mut bytes, mut window) = (at, Vec::new(), WINDOW);
    while at < end {
        let rest = usize::try_from(at - start).ok();
        let rest = rest.and_then(|offset| bytes.get(offset..)).unwrap_or(&[]);
        match check_page_header(rest) {
            Ok((header, stored)) => {
                at = at
                    .saturating_add(header as u64)
                    .saturating_add(stored as u64);
                window = WINDOW;
            }
            Err(Fault::Ends) if (rest.len() as u64) < end - at => {
                if !rest.is_empty() && at == start {
                    window = window.saturating_mul(4);
                }
                start = at;
                bytes = file.get_bytes(start, window.min(end - at) as usize)?.into();
            }
            Err(fault) => return Err(damaged("header of a page", fault)),
        }
    }
    Ok(())
}

fn damaged(what: &str, fault: Fault) -> ParquetError {
    ParquetError::General(match fault {
        Fault::Ends => format!("the {what} is cut off"),
        Fault::Damaged => format!("the {what} is damaged"),
    })
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
    let error = |message: String| TableError {
        path: path.to_owned(),
        message,
    };
    match read {
        Ok(read) => read.map_err(|problem| error(problem.to_string())),
        Err(_) => Err(error("the parquet file is damaged".to_owned())),
    }
}

thread_local! {
    /// Whether this thread is inside [`guarded`].
    static READING: Cell<bool> = const { Cell::new(false) };
}
