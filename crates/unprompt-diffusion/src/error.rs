//! The crate's one error type.

use std::path::Path;
use unprompt_models::ModelError;

/// What this crate returns.
pub type Result<T> = std::result::Result<T, DiffusionError>;

/// Why a pipeline cannot be opened, or a picture not drawn.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiffusionError {
    /// A file of the folder is missing, broken, or asks for something that is not built.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// What was asked for cannot be drawn; says what can.
    #[error("{0}")]
    Request(String),
    /// The network gave a value that is no number.
    #[error(
        "step {step} gave values that are no numbers; the weights are damaged, or the scheduler does not fit \
         this model"
    )]
    NotFinite {
        /// Counted from 1.
        step: usize,
    },
    /// The finished picture could not be put into a file's form.
    #[error("the picture cannot be written as a PNG: {0}")]
    Picture(String),
}

impl From<candle_core::Error> for DiffusionError {
    fn from(error: candle_core::Error) -> Self {
        Self::Model(error.into())
    }
}

/// An error about a configuration file.
pub(crate) fn configuration(path: &Path, message: impl Into<String>) -> DiffusionError {
    DiffusionError::Model(ModelError::Configuration {
        path: path.to_owned(),
        message: message.into(),
    })
}
