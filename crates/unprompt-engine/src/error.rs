//! The crate's error types: one for what stops a run, one for what costs a single input.

use crate::missing_model::MissingModel;
use std::{fmt, path::PathBuf, sync::Arc};

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
    Index(Arc<unprompt_index::IndexError>),
    /// Labels or options of an interrogation are wrong.
    #[error(transparent)]
    Interrogate(#[from] unprompt_interrogate::InterrogateError),
    /// A captioner on another server cannot be asked.
    #[error(transparent)]
    Remote(#[from] unprompt_remote::RemoteError),
    /// A preset cannot be read or asks for something impossible.
    #[error("preset {preset}: {message}")]
    Preset {
        /// Its name or file.
        preset: String,
        /// What is wrong and what would be right.
        message: String,
    },
    /// Models of a preset are not on this machine and could not be had.
    #[error(
        "{cause}\npreset `{preset}`: {} of its {needed} models {} not on this machine\n{}{}",
        missing.len(),
        if missing.len() == 1 { "is" } else { "are" },
        Lines(missing),
        Offer(*complete)
    )]
    Incomplete {
        /// The preset.
        preset: String,
        /// How many models it needs.
        needed: usize,
        /// Those that are not here.
        missing: Vec<MissingModel>,
        /// The best shipped preset that is complete on this machine.
        complete: Option<&'static str>,
        /// Why the first of them could not be had.
        cause: Box<EngineError>,
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

impl From<unprompt_index::IndexError> for EngineError {
    fn from(error: unprompt_index::IndexError) -> Self {
        Self::Index(Arc::new(error))
    }
}

/// Missing models, one a line.
struct Lines<'a>(&'a [MissingModel]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(|model| format!("  - {model}")).collect();
        f.write_str(&lines.join("\n"))
    }
}

/// The preset that would work at once.
struct Offer(Option<&'static str>);

impl fmt::Display for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(preset) => write!(f, "\n`--preset {preset}` is complete on this machine"),
            None => Ok(()),
        }
    }
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
    /// The prompt index cannot be searched for it; one error may concern a whole batch.
    #[error(transparent)]
    Index(#[from] Arc<unprompt_index::IndexError>),
    /// A captioner on another server gave no caption.
    #[error(transparent)]
    Remote(#[from] unprompt_remote::RemoteError),
    /// The program was built from a damaged list.
    #[error(transparent)]
    Carried(#[from] unprompt_eye::Damaged),
    /// A text of it has to be embedded, and the sentence encoder cannot be had.
    #[error("its prompt cannot be embedded: {0}")]
    Encoder(String),
    /// A folder could not be walked to its end.
    #[error("{0}")]
    Walk(String),
}

impl InputError {
    /// The error of the whole run, where this one is not about the picture: an index that is damaged or
    /// cannot be read has no answer for any.
    pub(crate) fn of_every_picture(&self) -> Option<EngineError> {
        match self {
            Self::Index(error) if error.is_of_the_index() => {
                Some(EngineError::Index(Arc::clone(error)))
            }
            Self::Remote(error) if error.is_of_every_picture() => {
                Some(EngineError::Remote(error.clone()))
            }
            _ => None,
        }
    }
}
