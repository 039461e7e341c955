//! The crate's one error type.

use std::{
    fmt,
    path::{Path, PathBuf},
};

/// What [`Checkpoint`](crate::Checkpoint) operations return.
pub type Result<T> = std::result::Result<T, CheckpointError>;

/// Why a weight file, or a tensor in it, cannot be used.
///
/// The message names the file, what was expected and what was found; [`kind`](Self::kind) is for
/// code that must tell the cases apart.
#[derive(Debug, thiserror::Error)]
#[error("{}: {message}", path.display())]
pub struct CheckpointError {
    kind: CheckpointErrorKind,
    path: PathBuf,
    message: String,
    #[source]
    source: Option<std::io::Error>,
}

/// The sorts of [`CheckpointError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CheckpointErrorKind {
    /// The file could not be found, opened, read or written.
    Io,
    /// The bytes are not what their format allows: cut short, overlapping, contradictory.
    Malformed,
    /// The file asks for more than this crate's limits, or than memory, allows.
    TooLarge,
    /// A valid file of a kind, or with an element type, that this crate does not read.
    Unsupported,
    /// The weights are in a pickle, and pickles are not allowed here.
    PickleDenied,
    /// A pickle names a Python function that no weight file has a use for.
    ForbiddenGlobal,
    /// A tensor that was asked for is not in the file.
    MissingTensor,
    /// A tensor has another shape than was asked for.
    ShapeMismatch,
    /// A tensor has an element type that cannot be converted as was asked.
    DTypeMismatch,
    /// The file holds tensors that nothing used.
    UnusedTensors,
}

impl CheckpointError {
    /// What sort of failure this is.
    pub fn kind(&self) -> CheckpointErrorKind {
        self.kind
    }

    /// The file or folder it is about.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn io(path: &Path, doing: &str, source: std::io::Error) -> Self {
        Self {
            kind: CheckpointErrorKind::Io,
            path: path.to_owned(),
            message: format!("cannot {doing}: {source}"),
            source: Some(source),
        }
    }
}

/// A failure that does not know its file yet; [`Fault::at`] adds it.
#[derive(Debug)]
pub(crate) struct Fault {
    pub kind: CheckpointErrorKind,
    pub message: String,
}

impl Fault {
    pub fn new(kind: CheckpointErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    pub fn malformed(message: impl Into<String>) -> Self {
        Self::new(CheckpointErrorKind::Malformed, message)
    }

    pub fn too_large(message: impl Into<String>) -> Self {
        Self::new(CheckpointErrorKind::TooLarge, message)
    }

    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(CheckpointErrorKind::Unsupported, message)
    }

    pub fn at(self, path: &Path) -> CheckpointError {
        CheckpointError {
            kind: self.kind,
            path: path.to_owned(),
            message: self.message,
            source: None,
        }
    }
}

/// Shows text from a file in a message: quoted, without control characters, and cut to a length
/// that a terminal bears.
pub(crate) struct Quoted<'a>(pub &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 120;
        f.write_str("`")?;
        let mut characters = self.0.chars();
        for character in characters.by_ref().take(SHOWN) {
            write!(f, "{}", character.escape_debug())?;
        }
        if characters.next().is_some() {
            f.write_str("...")?;
        }
        f.write_str("`")
    }
}
