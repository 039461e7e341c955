//! The pictures of a run in one file, as they are stored, so that they can be read in any order:
//! archives can only be read from their beginning.

use crate::{Result, TrainError};
use std::{
    fs::File,
    io::{BufWriter, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::Mutex,
};

/// Where a picture lies: its first byte and their number.
pub type Place = (u64, u64);

/// A file that is being written.
#[derive(Debug)]
pub struct PictureFileWriter {
    path: PathBuf,
    file: BufWriter<File>,
    end: u64,
}

impl PictureFileWriter {
    /// Starts a file; one that is there is begun anew.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).map_err(|error| TrainError::io("write", path, error))?;
        Ok(Self {
            path: path.to_owned(),
            file: BufWriter::new(file),
            end: 0,
        })
    }

    /// Adds a picture and says where it lies.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn push(&mut self, picture: &[u8]) -> Result<Place> {
        let written = self.file.write_all(picture);
        written.map_err(|error| TrainError::io("write", &self.path, error))?;
        let place = (self.end, picture.len() as u64);
        self.end += place.1;
        Ok(place)
    }

    /// Brings everything to the disk.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn finish(mut self) -> Result<()> {
        let flushed = self
            .file
            .flush()
            .and_then(|()| self.file.get_ref().sync_all());
        flushed.map_err(|error| TrainError::io("write", &self.path, error))
    }
}

/// A file that is read.
#[derive(Debug)]
pub struct PictureFile {
    path: PathBuf,
    file: Mutex<File>,
    length: u64,
}

impl PictureFile {
    /// Opens a file.
    ///
    /// # Errors
    /// When it is not there.
    pub fn open(path: &Path) -> Result<Self> {
        let open = || {
            let file = File::open(path)?;
            let length = file.metadata()?.len();
            Ok((file, length))
        };
        let (file, length) = open().map_err(|error| TrainError::io("read", path, error))?;
        Ok(Self {
            path: path.to_owned(),
            file: Mutex::new(file),
            length,
        })
    }

    /// The bytes of a picture.
    ///
    /// # Errors
    /// When the file ends before, or cannot be read.
    pub fn picture(&self, (start, length): Place) -> Result<Vec<u8>> {
        if start
            .checked_add(length)
            .is_none_or(|end| end > self.length)
        {
            return Err(TrainError::Damaged {
                path: self.path.clone(),
                why: "it ends before a picture does".into(),
            });
        }
        // A poisoned lock means that a thread died while reading; the file is still whole.
        let mut file = self
            .file
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let mut bytes = vec![0; length as usize];
        let read = file
            .seek(SeekFrom::Start(start))
            .and_then(|_| file.read_exact(&mut bytes));
        read.map_err(|error| TrainError::io("read", &self.path, error))?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_read_in_any_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pictures");
        let mut writer = PictureFileWriter::create(&path).unwrap();
        let places = [&b"one"[..], b"", b"three"].map(|picture| writer.push(picture).unwrap());
        writer.finish().unwrap();
        let file = PictureFile::open(&path).unwrap();
        assert_eq!(file.picture(places[2]).unwrap(), b"three");
        assert_eq!(file.picture(places[0]).unwrap(), b"one");
        assert_eq!(file.picture(places[1]).unwrap(), b"");
        for place in [(4, 5), (u64::MAX, 2), (9, 0)] {
            assert!(file.picture(place).is_err(), "{place:?}");
        }
    }
}
