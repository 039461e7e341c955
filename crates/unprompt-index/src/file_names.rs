//! The files of an index in its folder.

use std::path::{Path, PathBuf};

/// Written last: where it is, the index is finished.
pub(crate) const MANIFEST: &str = "manifest.json";

/// Here while the index is built.
pub(crate) const PLAN: &str = "build.json";

/// Where the segments lie.
pub(crate) fn segment_folder(folder: &Path) -> PathBuf {
    folder.join("segments")
}

/// The file of one segment.
pub(crate) fn segment_path(folder: &Path, index: usize) -> PathBuf {
    segment_folder(folder).join(format!("{index:06}.segment"))
}
