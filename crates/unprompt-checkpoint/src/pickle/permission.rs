//! Whether pickles are read.

use crate::error::{CheckpointError, CheckpointErrorKind, Fault};
use std::path::Path;

/// Whether a pickle may be read at all.
///
/// Nothing in a pickle is ever run here, but the format is the usual carrier of attacks, so that
/// reading one is a decision of the caller: a pinned hash, or the user's `--allow-pickle`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pickle {
    /// Safetensors only.
    Deny,
    /// Files of `torch.save` too.
    Allow,
}

/// The error of a pickle that may not be read.
pub(crate) fn pickle_denied(path: &Path) -> CheckpointError {
    Fault::new(
        CheckpointErrorKind::PickleDenied,
        "these weights are a pickle, a format made to run code; pass --allow-pickle to read its \
         data (nothing in it is run), or bring a safetensors file",
    )
    .at(path)
}
