//! The crate's one error type.

use std::path::{Path, PathBuf};

/// What this crate returns.
pub type Result<T> = std::result::Result<T, InterrogateError>;

/// Why pictures cannot be interrogated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InterrogateError {
    /// The network or its tokenizer refused a text.
    #[error(transparent)]
    Model(#[from] unprompt_models::ModelError),
    /// A label file or its folder cannot be used.
    #[error("labels {}: {message}", path.display())]
    Labels {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong and what would be right.
        message: String,
    },
    /// A file of label embeddings cannot be read any more.
    #[error("label embeddings {}: {message}", path.display())]
    Cache {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// Options that do not go together, or lack something.
    #[error("{0}")]
    Options(String),
}

impl InterrogateError {
    pub(crate) fn labels(path: &Path, message: impl Into<String>) -> Self {
        Self::Labels {
            path: path.to_owned(),
            message: message.into(),
        }
    }

    pub(crate) fn cache(path: &Path, message: impl ToString) -> Self {
        Self::Cache {
            path: path.to_owned(),
            message: message.to_string(),
        }
    }
}
