//! The crate's one error type.

use std::{
    io,
    path::{Path, PathBuf},
};

/// What this crate returns.
pub type Result<T> = std::result::Result<T, IndexError>;

/// Why an index cannot be built, opened or searched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// The system refused to read or write.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No index is there.
    #[error("{}: no index here, expected {}; make one with `index build`", folder.display(), crate::file_names::MANIFEST)]
    Missing {
        /// The folder.
        folder: PathBuf,
    },
    /// A build was begun and not finished.
    #[error("{}: the index is not finished; run the same `index build` again, it goes on where it ended", folder.display())]
    Unfinished {
        /// The folder.
        folder: PathBuf,
    },
    /// A file of the index is not what was written.
    #[error("{}: damaged: {message}; bring the file back from a copy, or build the index again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        message: String,
    },
    /// The folder holds another index, or something else.
    #[error("{}: {message}; choose another folder or remove this one", folder.display())]
    Occupied {
        /// The folder.
        folder: PathBuf,
        /// What is there and what was to be.
        message: String,
    },
    /// Another process builds in the same folder.
    #[error("{}: another process is building here; wait for it to end", folder.display())]
    Busy {
        /// The folder.
        folder: PathBuf,
    },
    /// A list of prompts that cannot be read.
    #[error("{}: {message}", path.display())]
    Prompts {
        /// The file.
        path: PathBuf,
        /// Where and what is wrong, and what would be right.
        message: String,
    },
    /// A database that holds an index cannot be reached, or refuses what is asked of it.
    #[error("{place}: {message}")]
    Database {
        /// The server and the table, without the password.
        place: String,
        /// What is wrong, and what would be right.
        message: String,
    },
    /// An embedding that cannot be stored or searched for.
    #[error("{0}")]
    Embedding(String),
    /// The function that embeds failed.
    #[error("the prompts could not be embedded: {0}")]
    Embedder(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl IndexError {
    /// Whether the index itself cannot be read, so that no other query will fare better: a run ends
    /// there. Other errors are of one query or one list.
    pub fn is_of_the_index(&self) -> bool {
        match self {
            Self::Io { .. }
            | Self::Missing { .. }
            | Self::Unfinished { .. }
            | Self::Damaged { .. }
            | Self::Database { .. } => true,
            Self::Occupied { .. }
            | Self::Busy { .. }
            | Self::Prompts { .. }
            | Self::Embedding(_)
            | Self::Embedder(_) => false,
        }
    }

    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) fn damaged(path: &Path, message: impl Into<String>) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            message: message.into(),
        }
    }

    pub(crate) fn prompts(path: &Path, message: impl Into<String>) -> Self {
        Self::Prompts {
            path: path.to_owned(),
            message: message.into(),
        }
    }
}
