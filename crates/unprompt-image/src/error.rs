//! The crate's error type.

use crate::Format;
use std::path::Path;

/// What went wrong, for callers that branch on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ImageErrorKind {
    /// The file could not be opened or read.
    Io,
    /// The first bytes belong to no format this crate reads.
    UnknownFormat,
    /// The encoded file, a side, the pixel count or a buffer exceeds [`crate::Limits`].
    LimitExceeded,
    /// The file is damaged or cut short.
    Malformed,
    /// The file is of a known format but of a variant that is not read.
    Unsupported,
    /// A third-party decoder panicked on the file; the panic was contained.
    DecoderPanicked,
    /// A preprocessing configuration cannot be understood.
    InvalidConfig,
    /// The caller asked for something impossible, such as a resize to zero pixels.
    InvalidArgument,
}

/// Why an image could not be read, resized or preprocessed.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ImageError {
    kind: ImageErrorKind,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The crate's result type.
pub type Result<T, E = ImageError> = std::result::Result<T, E>;

impl ImageError {
    /// The class of the failure.
    pub fn kind(&self) -> ImageErrorKind {
        self.kind
    }

    pub(crate) fn new(kind: ImageErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
        }
    }

    pub(crate) fn io(path: &Path, error: std::io::Error) -> Self {
        Self {
            kind: ImageErrorKind::Io,
            message: format!("cannot read `{}`: {error}", path.display()),
            source: Some(Box::new(error)),
        }
    }

    pub(crate) fn malformed(format: Format, detail: impl std::fmt::Display) -> Self {
        Self::new(
            ImageErrorKind::Malformed,
            format!("damaged {format} picture: {detail}"),
        )
    }

    pub(crate) fn unsupported(format: Format, detail: impl std::fmt::Display) -> Self {
        Self::new(
            ImageErrorKind::Unsupported,
            format!("this variant of {format} is not read: {detail}; convert the picture to PNG"),
        )
    }

    pub(crate) fn limit(what: impl std::fmt::Display) -> Self {
        Self::new(
            ImageErrorKind::LimitExceeded,
            format!("picture refused: {what}"),
        )
    }

    /// Puts the file's name before the message.
    pub(crate) fn at(mut self, path: &Path) -> Self {
        self.message = format!("`{}`: {}", path.display(), self.message);
        self
    }
}
