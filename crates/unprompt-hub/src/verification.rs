//! What hashing a model's files found.

use std::{fmt, path::PathBuf};

/// The result of hashing every file of a model.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Verification {
    /// The model.
    pub name: String,
    /// Each file, in manifest order for a named model, else by name.
    pub files: Vec<FileCheck>,
}

impl Verification {
    /// Whether every file is what it should be (a file with nothing to compare with counts).
    pub fn is_good(&self) -> bool {
        self.files.iter().all(|file| !file.state.is_bad())
    }
}

/// One file of a [`Verification`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FileCheck {
    /// Its name in the model.
    pub name: String,
    /// Where it is, or should be.
    pub path: PathBuf,
    /// What was found.
    pub state: FileState,
}

/// What hashing a file found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileState {
    /// Size and hash are the listed ones.
    Good,
    /// The file is not there.
    Missing,
    /// The size differs.
    WrongSize {
        /// Listed size in bytes.
        expected: u64,
        /// Size on disk in bytes.
        found: u64,
    },
    /// The hash differs.
    WrongHash {
        /// Listed hash.
        expected: String,
        /// Hash of the bytes on disk.
        found: String,
    },
    /// Nothing is listed to compare with; this is its SHA-256.
    Unlisted {
        /// Hash of the bytes on disk.
        sha256: String,
    },
}

impl FileState {
    /// Whether the file is known to be wrong.
    pub fn is_bad(&self) -> bool {
        !matches!(self, Self::Good | Self::Unlisted { .. })
    }
}

impl fmt::Display for FileState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Good => f.write_str("good"),
            Self::Missing => f.write_str("missing"),
            Self::WrongSize { expected, found } => {
                write!(f, "wrong size: expected {expected} bytes, found {found}")
            }
            Self::WrongHash { expected, found } => {
                write!(f, "wrong hash: expected {expected}, found {found}")
            }
            Self::Unlisted { sha256 } => write!(f, "not listed, SHA-256 {sha256}"),
        }
    }
}
