//! The crate's error types: one for what stops a run, one for what costs a single input.

use std::path::PathBuf;

/// What this crate returns.
pub type Result<T> = std::result::Result<T, EngineError>;

/// Why a run cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// A model is not here and cannot be fetched, or is not known.
    #[error(transparent)]
    Hub(#[from] unprompt_hub::Error),
    /// A model's files are broken or of another kind than needed.
    #[error("model `{name}`: {reason}")]
    Model {
        /// The model as the user named it.
        name: String,
        /// What is wrong with it.
        reason: unprompt_models::ModelError,
    },
    /// A prompt index cannot be built, opened or searched.
    #[error(transparent)]
    Index(#[from] unprompt_index::IndexError),
    /// Labels or options of an interrogation are wrong.
    #[error(transparent)]
    Interrogate(#[from] unprompt_interrogate::InterrogateError),
    /// A preset cannot be read or asks for something impossible.
    #[error("preset {preset}: {message}")]
    Preset {
        /// Its name or file.
        preset: String,
        /// What is wrong and what would be right.
        message: String,
    },
    /// A path given by the user does not exist, or a folder holds nothing.
    #[error("{}: {message}", path.display())]
    Path {
        /// The path.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
}

/// Why one input has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// The input cannot be read.
    #[error("cannot be read: {0}")]
    Read(#[from] std::io::Error),
    /// The input is no picture, a broken one, or larger than the limits.
    #[error(transparent)]
    Image(#[from] unprompt_image::ImageError),
    /// A model refused it.
    #[error(transparent)]
    Model(#[from] unprompt_models::ModelError),
    /// It has no prompt.
    #[error(transparent)]
    Interrogate(#[from] unprompt_interrogate::InterrogateError),
    /// A folder could not be walked to its end.
    #[error("{0}")]
    Walk(String),
}
