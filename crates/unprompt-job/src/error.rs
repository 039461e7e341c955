//! Why a job cannot begin or go on.

use std::{
    io,
    path::{Path, PathBuf},
};
use unprompt_table::TableError;

pub(crate) type Result<T> = std::result::Result<T, JobError>;

/// Why a job cannot begin or go on. What is in its folder stays as it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JobError {
    /// The system refused to read or write.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file of the job is not what it should be.
    #[error("{}: {message}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        message: String,
    },
    /// What is asked for is not this job, or cannot be done to it now.
    #[error("{}: {message}", folder.display())]
    Refused {
        /// The job's folder.
        folder: PathBuf,
        /// Why, and what to do.
        message: String,
    },
    /// The worker cannot work, whatever the item is.
    #[error("{message}")]
    Worker {
        /// What happened.
        message: String,
        /// Whether the worker said itself what is wrong.
        was_told: bool,
    },
}

impl JobError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    pub(crate) fn damaged(path: &Path, message: impl ToString) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            message: message.to_string(),
        }
    }

    pub(crate) fn refused(folder: &Path, message: impl Into<String>) -> Self {
        Self::Refused {
            folder: folder.to_owned(),
            message: message.into(),
        }
    }

    pub(crate) fn worker(message: impl Into<String>) -> Self {
        Self::Worker {
            message: message.into(),
            was_told: false,
        }
    }
}

impl From<TableError> for JobError {
    fn from(error: TableError) -> Self {
        Self::Damaged {
            path: error.path,
            message: error.message,
        }
    }
}
