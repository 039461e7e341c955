//! The crate's one error type.

use std::{
    io,
    path::{Path, PathBuf},
};
use unprompt_nn::training::LayerError;

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
    /// Rows that do not fit a layer.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// A device that refused its work.
    #[error("the device failed: {0}; a smaller --batch-size needs less memory")]
    Device(#[from] candle_core::Error),
    /// A loss that is no number.
    #[error("step {step}: the loss is no number")]
    NotFinite {
        /// Steps that were done before.
        step: u64,
        /// What the step saw: items, and which of their pictures.
        items: Vec<(usize, usize)>,
    },
    /// A file of a run that is not as it was written.
    #[error("{}: damaged: {why}; begin anew in another folder", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A run that was begun with other options or pictures.
    #[error(
        "{}: it belongs to a run with other options or pictures; give the same again, or choose another \
         folder",
        .0.display()
    )]
    OtherPlan(PathBuf),
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
