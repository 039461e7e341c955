//! The crate's error type.

use std::path::Path;

/// What kept a file's metadata from being read, for callers that branch on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MetadataErrorKind {
    /// The file could not be opened or read.
    Io,
    /// The first bytes belong to no image format that the project reads.
    UnknownFormat,
    /// The container or a generator's record in it is damaged, and nothing else in the file
    /// carries a prompt.
    Malformed,
    /// A text, or the file, is longer than is read, and nothing else in it carries a prompt.
    TooLarge,
}

/// Why a file's metadata could not be read.
///
/// Only a file in which no prompt was found gives an error: a prompt that lies before the damage is
/// returned. To a caller that would predict the prompt instead, every kind but
/// [`MetadataErrorKind::Io`] means "no usable metadata".
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct MetadataError {
    kind: MetadataErrorKind,
    message: String,
    source: Option<std::io::Error>,
}

impl MetadataError {
    /// The class of the failure.
    pub fn kind(&self) -> MetadataErrorKind {
        self.kind
    }

    pub(crate) fn io(path: &Path, error: std::io::Error) -> Self {
        Self {
            kind: MetadataErrorKind::Io,
            message: format!("cannot read `{}`: {error}", path.display()),
            source: Some(error),
        }
    }

    pub(crate) fn new(kind: MetadataErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
        }
    }

    pub(crate) fn malformed(what: impl std::fmt::Display) -> Self {
        Self::new(
            MetadataErrorKind::Malformed,
            format!("damaged metadata: {what}"),
        )
    }

    pub(crate) fn too_large(what: impl std::fmt::Display) -> Self {
        Self::new(
            MetadataErrorKind::TooLarge,
            format!("metadata refused: {what}"),
        )
    }

    /// Puts the file's name before the message.
    pub(crate) fn at(mut self, path: &Path) -> Self {
        self.message = format!("`{}`: {}", path.display(), self.message);
        self
    }
}
