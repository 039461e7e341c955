//! The crate's one error type.

use std::{
    io,
    path::{Path, PathBuf},
};

/// What this crate returns.
pub type Result<T> = std::result::Result<T, TrainError>;

/// Why a head cannot be trained or kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
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
    /// Rows that no head can be trained on.
    #[error("{0}")]
    Data(String),
    /// The folder of the head holds something already.
    #[error("{}: a `config.json` is there; choose another folder or remove this one", .0.display())]
    Occupied(PathBuf),
}

impl TrainError {
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        Self::Io {
            action,
            path,
            source,
        }
    }
}
