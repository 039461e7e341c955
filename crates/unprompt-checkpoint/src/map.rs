//! The memory map: the only `unsafe` code of this crate.
#![allow(unsafe_code)]

use crate::error::{CheckpointError, Fault, Result};
use memmap2::Mmap;
#[cfg(target_os = "linux")]
use memmap2::{Advice, UncheckedAdvice};
use std::{fs::File, ops::Deref, path::Path};

/// The bytes of a weight file.
#[derive(Debug)]
pub(crate) enum FileBytes {
    /// A file on the disk.
    Mapped(Mmap),
    /// A file that the program carries.
    Carried(&'static [u8]),
}

impl Deref for FileBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Carried(bytes) => bytes,
        }
    }
}

/// Maps a regular file for reading. An empty file is an error, as no format allows it.
pub(crate) fn map_file(path: &Path) -> Result<FileBytes> {
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
    let map = unsafe { Mmap::map(&file) };
    let map = map.map_err(|source| CheckpointError::io(path, "map", source))?;
    Ok(FileBytes::Mapped(map))
}

/// Brings a stretch of the file into memory at once, which is faster than page by page. Only a
/// hint: where the system cannot, reading does it.
#[cfg(target_os = "linux")]
pub(crate) fn prefetch(bytes: &FileBytes, start: usize, length: usize) {
    if let FileBytes::Mapped(map) = bytes
        && is_inside(map, start, length)
    {
        let _ = map.advise_range(Advice::PopulateRead, start, length);
    }
}

/// Gives back the memory of a stretch that has been read. Without this a model's weights would
/// count twice while it is built: as the mapped file and as the layers made of it.
#[cfg(target_os = "linux")]
pub(crate) fn release(bytes: &FileBytes, start: usize, length: usize) {
    if let FileBytes::Mapped(map) = bytes
        && is_inside(map, start, length)
    {
        // SAFETY: the stretch is inside the map, which is a read-only view of a file and never
        // written through, so that dropping its pages loses nothing: the next read brings them
        // back from the file.
        let _ = unsafe { map.unchecked_advise_range(UncheckedAdvice::DontNeed, start, length) };
    }
}

/// A strided tensor of a pickle may hold more bytes than the file, where it repeats some.
#[cfg(target_os = "linux")]
fn is_inside(map: &Mmap, start: usize, length: usize) -> bool {
    start
        .checked_add(length)
        .is_some_and(|end| end <= map.len())
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn prefetch(_: &FileBytes, _: usize, _: usize) {}

#[cfg(not(target_os = "linux"))]
pub(crate) fn release(_: &FileBytes, _: usize, _: usize) {}
