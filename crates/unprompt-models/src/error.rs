//! The crate's one error type.

use std::path::{Path, PathBuf};

/// What this crate returns.
pub type Result<T> = std::result::Result<T, ModelError>;

/// Why a model cannot be built or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The weight file is missing, broken, or holds other tensors than the configuration says.
    #[error(transparent)]
    Checkpoint(#[from] unprompt_checkpoint::CheckpointError),
    /// A configuration file is missing, broken, or asks for something that is not built.
    #[error("{}: {message}", path.display())]
    Configuration {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        message: String,
    },
    /// The network gave a value that is no number: its weights or its input hold one.
    #[error(
        "{model}: the result is not a finite number; the weights are damaged or the input is not finite"
    )]
    NotFinite {
        /// The kind of model.
        model: &'static str,
    },
    /// What was asked of a text's generation does not fit the model.
    #[error("{0}")]
    Generation(String),
    /// The device is not here, or does not compute in the number type asked for.
    #[error("{0}")]
    Device(String),
    /// The text could not be tokenised.
    #[error("tokenizer: {0}")]
    Tokenizer(String),
    /// A tensor operation failed: an input's shape does not fit the model.
    #[error(transparent)]
    Compute(#[from] candle_core::Error),
}

impl ModelError {
    pub(crate) fn configuration(path: &Path, message: impl Into<String>) -> Self {
        Self::Configuration {
            path: path.to_owned(),
            message: message.into(),
        }
    }
}
