//! What can be wrong with a source as a whole, and with one record of it.

use std::{
    io,
    path::{Path, PathBuf},
};

/// Why a source cannot be used at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A `--data` that says nothing sensible.
    #[error("data `{spec}`: {message}")]
    Spec {
        /// What was given.
        spec: String,
        /// What is wrong, and what would be right.
        message: String,
    },
    /// The system refused to read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A list of pictures that cannot be read.
    #[error("{}: {message}", path.display())]
    List {
        /// The file.
        path: PathBuf,
        /// Where and what is wrong.
        message: String,
    },
    /// Pictures that cannot be divided as they are to be.
    #[error("{0}")]
    Split(String),
}

impl DataError {
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        Self::Io { path, source }
    }

    pub(crate) fn list(path: &Path, message: impl ToString) -> Self {
        Self::List {
            path: path.to_owned(),
            message: message.to_string(),
        }
    }
}

/// One record that gave no sample.
#[derive(Debug, thiserror::Error)]
#[error("{id}: {problem}")]
pub struct RecordError {
    /// The record, or the archive where there is no more to be had of it.
    pub id: String,
    /// What is wrong.
    pub problem: RecordProblem,
}

/// What is wrong with a record.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordProblem {
    /// The name leads out of its folder: it is absolute, or has `..` in it.
    #[error("the name leads out of its folder")]
    Traversal,
    /// A link, a device or whatever else is no file.
    #[error("not a file but {0}")]
    NotAFile(&'static str),
    /// More bytes than may be read.
    #[error("longer than {most} bytes")]
    TooLarge {
        /// The limit.
        most: u64,
    },
    /// The archive ends too early or is damaged: nothing after this place can be read.
    #[error("the archive is damaged or cut off: {0}")]
    Archive(io::Error),
    /// The system refused to read.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// A line or an object that is not what it should be.
    #[error("{0}")]
    Malformed(String),
    /// No picture belongs to the captions.
    #[error("no picture")]
    NoPicture,
    /// No caption belongs to the picture, or none is left after the clean-up.
    #[error("no caption")]
    NoCaption,
}

impl RecordProblem {
    /// With the record that it is about.
    pub(crate) fn of(self, id: impl Into<String>) -> RecordError {
        RecordError {
            id: id.into(),
            problem: self,
        }
    }
}
