//! The records of a part that is in work: `CHECKSUM RECORD`, one a line.
//!
//! Only its end can be torn: a write that was cut off, or blocks that did not reach the disk before the
//! power went. From the first line that is not whole on, everything is cut away.

use crate::{JobError, error::Result, list::id_and_failure};
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

/// A journal that is open for appending, by this process alone.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    dirty: bool,
}

/// What stands in a journal.
#[derive(Debug, Default)]
pub(crate) struct Journaled {
    /// Records whose ids are those of the items, one after the other.
    pub(crate) records: usize,
    /// Those of failures.
    pub(crate) failures: usize,
    /// Where the last of them ends.
    end: u64,
    /// Whether something follows that is none.
    pub(crate) torn: bool,
}

impl Journal {
    /// Opens the journal, or makes one; `None` where another process has it open.
    pub(crate) fn open(path: &Path) -> Result<Option<Self>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(JobError::io(path))?;
        // A file system that does not lock leaves it to the lock of the shard.
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            return Ok(None);
        }
        Ok(Some(Self {
            path: path.to_owned(),
            file,
            dirty: false,
        }))
    }

    /// Reads what is there, and cuts off what is torn; `ids` are those of the items.
    pub(crate) fn recover(&mut self, ids: &[&str]) -> Result<Journaled> {
        let failed = JobError::io(&self.path);
        let mut recover = || {
            let mut bytes = Vec::new();
            self.file.seek(SeekFrom::Start(0))?;
            self.file.read_to_end(&mut bytes)?;
            let found = journaled(&bytes, ids);
            if found.torn {
                self.file.set_len(found.end)?;
            }
            self.file.seek(SeekFrom::Start(found.end))?;
            Ok(found)
        };
        recover().map_err(failed)
    }

    /// Appends a record.
    pub(crate) fn append(&mut self, record: &str) -> Result<()> {
        let line = format!("{:08x} {record}\n", crc32fast::hash(record.as_bytes()));
        self.dirty = true;
        self.file
            .write_all(line.as_bytes())
            .map_err(JobError::io(&self.path))
    }

    /// Brings what was appended to the disk.
    pub(crate) fn sync(&mut self) -> Result<()> {
        if std::mem::take(&mut self.dirty) {
            self.file.sync_data().map_err(JobError::io(&self.path))?;
        }
        Ok(())
    }

    /// All records as they were appended, read one after the other: together they are long.
    pub(crate) fn records(&mut self) -> io::Result<impl Iterator<Item = io::Result<String>> + '_> {
        self.file.seek(SeekFrom::Start(0))?;
        let lines = BufReader::new(&self.file).lines();
        Ok(lines.map(|line| {
            let changed = || io::Error::new(io::ErrorKind::InvalidData, "the journal was changed");
            record(&line?).map(str::to_owned).ok_or_else(changed)
        }))
    }
}

/// The record of a line of the journal, if it is whole.
pub(crate) fn record(line: &str) -> Option<&str> {
    let (checksum, record) = line.split_once(' ')?;
    let checksum = (checksum.len() == 8).then(|| u32::from_str_radix(checksum, 16).ok())??;
    (crc32fast::hash(record.as_bytes()) == checksum).then_some(record)
}

/// What stands in the bytes of a journal.
pub(crate) fn journaled(bytes: &[u8], ids: &[&str]) -> Journaled {
    let mut found = Journaled::default();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let whole = line.strip_suffix(b"\n");
        let text = whole.and_then(|line| std::str::from_utf8(line).ok());
        let parsed = text.and_then(record).and_then(id_and_failure);
        match parsed {
            Some((id, failed)) if ids.get(found.records) == Some(&id.as_str()) => {
                found.records += 1;
                found.failures += usize::from(failed);
                found.end += line.len() as u64;
            }
            _ => {
                found.torn = true;
                break;
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_end_is_cut_off_wherever_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("part.journal");
        let ids = ["a", "b", "c"];
        let records = [
            r#"{"id":"a","x":1}"#,
            r#"{"id":"b","error":"no"}"#,
            r#"{"id":"c"}"#,
        ];
        let mut journal = Journal::open(&path).unwrap().unwrap();
        for record in records {
            journal.append(record).unwrap();
        }
        journal.sync().unwrap();
        assert!(Journal::open(&path).unwrap().is_none(), "it is ours");
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        let ends: Vec<usize> = (0..whole.len()).filter(|&at| whole[at] == b'\n').collect();
        for end in 0..=whole.len() {
            std::fs::write(&path, &whole[..end]).unwrap();
            let mut journal = Journal::open(&path).unwrap().unwrap();
            let found = journal.recover(&ids).unwrap();
            let expected = ends.iter().filter(|&&line| line < end).count();
            assert_eq!(found.records, expected);
            assert_eq!(found.failures, usize::from(expected >= 2));
            for record in &records[expected..] {
                journal.append(record).unwrap();
            }
            assert_eq!(std::fs::read(&path).unwrap(), whole);
        }
        // A changed byte ends what is believed, and so does a record of something else.
        for place in 0..whole.len() {
            let mut changed = whole.clone();
            changed[place] ^= 1;
            let found = journaled(&changed, &ids);
            assert!(found.torn && found.records < 3, "{place}");
        }
        assert_eq!(journaled(&whole, &["a", "x", "c"]).records, 1);
    }
}
