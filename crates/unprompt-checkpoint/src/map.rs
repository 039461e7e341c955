//! The memory map: the only `unsafe` code of the workspace.
#![allow(unsafe_code)]

use std::fs::File;
use std::path::Path;

use memmap2::Mmap;

use crate::error::{CheckpointError, Fault, Result};

/// Maps a regular file for reading. An empty file is an error, as no format allows it.
pub(crate) fn map_file(path: &Path) -> Result<Mmap> {
    let opening = |source| CheckpointError::io(path, "open", source);
    // Asked before opening: to open a named pipe would wait for ever.
    let found = std::fs::metadata(path).map_err(opening)?;
    if !found.is_file() {
        return Err(Fault::unsupported("not a regular file").at(path));
    }
    if found.len() == 0 {
        return Err(Fault::malformed("the file is empty").at(path));
    }
    let file = File::open(path).map_err(opening)?;
    // SAFETY: the map is private to this crate, read-only and never written through, and its
    // bytes are only ever read as `u8`, for which every bit pattern is valid. What remains is
    // another process changing the file meanwhile: its bytes are validated data, never trusted
    // for memory safety after a check (all offsets live in our own memory), and a file cut short
    // ends the process with a signal rather than reading elsewhere. The crate docs say so.
    unsafe { Mmap::map(&file) }.map_err(|source| CheckpointError::io(path, "map", source))
}
