//! One part of a job: its journal while it is in work, its file when it is whole.

use crate::{
    Item, Job, JobError, PartFormat,
    error::Result,
    journal::Journal,
    list::id_and_failure,
    record::{self, Column},
};
use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
};
use unprompt_files::{sync_folder, write_by};
use unprompt_table::{ByteArrayType, Cell, DoubleType, Kind, Table, TableWriter};

/// The note in a table that says how many of its records are failures.
const FAILURES: &str = "unprompt.failures";
/// The note in a table that says which version of a job it belongs to.
const VERSION: &str = "unprompt.job.version";
/// Rows that are read together.
const BATCH: usize = 256;

/// A part that is in work.
#[derive(Debug)]
pub struct OpenPart {
    journal: Journal,
    items: Vec<Item>,
    done: usize,
    failures: usize,
    torn: bool,
}

impl OpenPart {
    /// Opens a part; `None` where it is whole.
    pub(crate) fn open(job: &Job, part: usize) -> Result<Option<Self>> {
        let path = job.journal_path(part);
        let whole = job.part_path(part);
        if whole.is_file() {
            // A journal that its part survived was about to go.
            let _ = fs::remove_file(path);
            return Ok(None);
        }
        job.step().map_err(JobError::io(&path))?;
        let Some(mut journal) = Journal::open(&path)? else {
            let message = format!(
                "part {part} is in the hands of another process; wait for it, or end it, and begin again"
            );
            return Err(JobError::refused(job.folder(), message));
        };
        // The other process may have finished it between the two looks.
        if whole.is_file() {
            let _ = fs::remove_file(path);
            return Ok(None);
        }
        let items = job.items(part)?;
        let ids: Vec<&str> = items.iter().map(|item| item.id.as_str()).collect();
        let found = journal.recover(&ids)?;
        Ok(Some(Self {
            journal,
            items,
            done: found.records,
            failures: found.failures,
            torn: found.torn,
        }))
    }

    /// Its items.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// How many of them have a record; the first ones.
    pub fn done(&self) -> usize {
        self.done
    }

    /// How many of these are failures.
    pub fn failures(&self) -> usize {
        self.failures
    }

    /// Whether the end of the journal was torn, and was cut off.
    pub fn was_torn(&self) -> bool {
        self.torn
    }

    /// Appends the record of the next item, one line of JSON. It is safe from the end of this process
    /// at once, and from that of the machine after [`sync`](Self::sync).
    ///
    /// # Errors
    /// When it is not the record of that item, or cannot be written.
    pub fn append(&mut self, job: &Job, record: &str) -> Result<bool> {
        let (id, failed) = id_and_failure(record).unwrap_or_default();
        let expected = self.items.get(self.done).map_or("", |item| &item.id);
        if id != expected || record.contains('\n') {
            let message = format!("the worker answered for `{id}` where `{expected}` was asked");
            return Err(JobError::worker(message));
        }
        job.step().map_err(JobError::io(job.folder()))?;
        self.journal.append(record)?;
        self.done += 1;
        self.failures += usize::from(failed);
        Ok(failed)
    }

    /// Brings what was appended to the disk.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn sync(&mut self, job: &Job) -> Result<()> {
        job.step().map_err(JobError::io(job.folder()))?;
        self.journal.sync()
    }

    /// Whether every item has its record.
    pub fn is_complete(&self) -> bool {
        self.done == self.items.len()
    }

    /// Writes the whole part in place of the journal.
    ///
    /// # Errors
    /// When a record does not fit its columns or the disk refuses; the journal is there still.
    pub fn finish(mut self, job: &Job, part: usize) -> Result<()> {
        let path = job.part_path(part);
        let failures = self.failures;
        let expected = self.items.len();
        let records = &mut self.journal;
        write_by(
            &path,
            || job.step(),
            |file| {
                let mut records = records.records()?;
                let mut count = 0;
                let mut counted = || {
                    let record = records.next()?;
                    count += 1;
                    Some(record)
                };
                match job.manifest().part_format {
                    PartFormat::Jsonl => {
                        while let Some(record) = counted() {
                            writeln!(file, "{}", record?)?;
                        }
                    }
                    PartFormat::Parquet => {
                        let columns = job.columns();
                        let row = |record: io::Result<String>| {
                            record::row(columns, &record?).map_err(io::Error::other)
                        };
                        let rows: io::Result<Vec<_>> =
                            std::iter::from_fn(&mut counted).map(row).collect();
                        let notes = notes(failures as u64);
                        write_table(file, columns, &notes, std::iter::once(Ok(rows?)))?;
                    }
                }
                match count == expected {
                    true => Ok(()),
                    false => Err(io::Error::other("the journal was changed")),
                }
            },
        )
        .map_err(JobError::io(&path))?;
        job.step().map_err(JobError::io(&path))?;
        let journal = job.journal_path(part);
        fs::remove_file(&journal).map_err(JobError::io(&journal))?;
        sync_folder(unprompt_files::folder_of(&journal));
        Ok(())
    }
}

/// The notes of a table.
pub(crate) fn notes(failures: u64) -> [(&'static str, String); 2] {
    [
        (VERSION, crate::manifest::TABLE_VERSION.to_string()),
        (FAILURES, failures.to_string()),
    ]
}

/// Writes a table of groups of rows.
pub(crate) fn write_table(
    file: &mut (impl Write + Send),
    columns: &[Column],
    notes: &[(&str, String)],
    groups: impl Iterator<Item = Result<Vec<Vec<Cell>>>>,
) -> io::Result<()> {
    let fields = record::fields(columns);
    let mut table = TableWriter::new(file, &fields, notes).map_err(io::Error::other)?;
    for rows in groups {
        let rows = rows.map_err(io::Error::other)?;
        table.write_group(&rows).map_err(io::Error::other)?;
    }
    table.close().map_err(io::Error::other)
}

/// A whole part that is read again.
pub(crate) enum WholePart {
    /// Its lines.
    Lines(String),
    /// Its rows.
    Rows(Vec<Vec<Cell>>),
}

impl WholePart {
    /// Reads a part and checks that its records are those of its items.
    pub(crate) fn read(job: &Job, part: usize) -> Result<Self> {
        let path = job.part_path(part);
        let items = job.items(part)?;
        let (found, whole) = match job.manifest().part_format {
            PartFormat::Jsonl => {
                let text = fs::read_to_string(&path).map_err(JobError::io(&path))?;
                let ids = text.lines().map(|line| Some(id_and_failure(line)?.0));
                (ids.collect(), Self::Lines(text))
            }
            PartFormat::Parquet => {
                let rows = read_rows(&path, job.columns())?;
                let id = |row: &Vec<Cell>| match row.first() {
                    Some(Cell::Text(id)) => Some(id.clone()),
                    _ => None,
                };
                (rows.iter().map(id).collect(), Self::Rows(rows))
            }
        };
        let found: Vec<Option<String>> = found;
        let pairs = found.iter().zip(&items);
        let same = pairs.filter(|(id, item)| id.as_deref() == Some(item.id.as_str()));
        if found.len() != items.len() || same.count() != items.len() {
            let message = format!(
                "its records are not those of items {} of the list, each once; delete it, and run the job again",
                job.range(part)
            );
            return Err(JobError::damaged(&path, message));
        }
        Ok(whole)
    }

    /// Its rows, of `columns`.
    pub(crate) fn rows(self, columns: &[Column], path: &Path) -> Result<Vec<Vec<Cell>>> {
        match self {
            Self::Rows(rows) => Ok(rows),
            Self::Lines(text) => {
                let rows = text.lines().map(|line| record::row(columns, line));
                let rows: std::result::Result<_, String> = rows.collect();
                rows.map_err(|message| JobError::damaged(path, message))
            }
        }
    }
}

/// All rows of a table.
fn read_rows(path: &PathBuf, columns: &[Column]) -> Result<Vec<Vec<Cell>>> {
    let file = File::open(path).map_err(JobError::io(path))?;
    let table = Table::open(path, file)?;
    let count = usize::try_from(table.rows()?).unwrap_or(usize::MAX);
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    for (index, field) in record::fields(columns).iter().enumerate() {
        let cells: Box<dyn Iterator<Item = Result<Cell>>> = match field.kind {
            Kind::Text => {
                let texts = table.column::<ByteArrayType>(&field.name, BATCH)?;
                Box::new(texts.map(|text| {
                    let Some(text) = text? else {
                        return Ok(Cell::Null);
                    };
                    let text = String::from_utf8(text.data().to_vec());
                    let text = text.map_err(|error| JobError::damaged(path, error))?;
                    Ok(Cell::Text(text))
                }))
            }
            Kind::Number => {
                let numbers = table.column::<DoubleType>(&field.name, BATCH)?;
                Box::new(numbers.map(|number| Ok(number?.map_or(Cell::Null, Cell::Number))))
            }
            Kind::Vector(width) => {
                let vectors = table.vectors(&field.name, BATCH)?;
                Box::new(vectors.map(move |vector| match vector? {
                    None => Ok(Cell::Null),
                    Some(vector) if vector.iter().all(|value| value.is_nan()) => Ok(Cell::Null),
                    Some(vector) if vector.len() == width => Ok(Cell::Vector(vector)),
                    Some(_) => Err(JobError::damaged(path, "a vector of another width")),
                }))
            }
        };
        let mut found = 0;
        for cell in cells.take(count) {
            if index == 0 {
                rows.push(Vec::with_capacity(columns.len()));
            }
            let row = rows.get_mut(found);
            row.ok_or_else(|| JobError::damaged(path, "columns of different lengths"))?
                .push(cell?);
            found += 1;
        }
        if found != rows.len() {
            return Err(JobError::damaged(path, "columns of different lengths"));
        }
    }
    Ok(rows)
}

/// How many records of a whole part are failures.
pub(crate) fn failures(job: &Job, part: usize) -> Result<u64> {
    let path = job.part_path(part);
    match job.manifest().part_format {
        PartFormat::Jsonl => {
            let file = File::open(&path).map_err(JobError::io(&path))?;
            let mut failures = 0;
            for line in BufReader::new(file).lines() {
                let line = line.map_err(JobError::io(&path))?;
                failures += u64::from(id_and_failure(&line).is_some_and(|(_, failed)| failed));
            }
            Ok(failures)
        }
        PartFormat::Parquet => {
            let file = File::open(&path).map_err(JobError::io(&path))?;
            let table = Table::open(&path, file)?;
            let note = table.note(FAILURES).and_then(|note| note.parse().ok());
            note.ok_or_else(|| JobError::damaged(&path, format!("no note `{FAILURES}`")))
        }
    }
}
