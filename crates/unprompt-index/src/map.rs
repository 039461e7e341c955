//! The memory map: the only `unsafe` code of this crate.
#![allow(unsafe_code)]

use crate::{IndexError, Result};
use memmap2::Mmap;
#[cfg(target_os = "linux")]
use memmap2::{Advice, UncheckedAdvice};
use std::{fs::File, ops::Range, path::Path};

/// Maps a regular file for reading.
pub(crate) fn map_file(path: &Path) -> Result<Mmap> {
    let opening = |source| IndexError::io("open", path, source);
    // Asked before opening: to open a named pipe would wait for ever.
    if !std::fs::metadata(path).map_err(opening)?.is_file() {
        return Err(IndexError::damaged(path, "not a regular file"));
    }
    let file = File::open(path).map_err(opening)?;
    // SAFETY: the map is private to this crate, read-only and never written through, and its bytes
    // are only ever read as `u8` and `u16`, for which every bit pattern is valid. What remains is
    // another process changing the file meanwhile: no offset is taken from the map without a check
    // at that moment, and a file cut short ends the process with a signal rather than reading
    // elsewhere. The crate docs say so.
    unsafe { Mmap::map(&file) }.map_err(|source| IndexError::io("map", path, source))
}

/// Brings a stretch of the file into memory at once, which is faster than page by page. Only a
/// hint: where the system cannot, reading does it.
#[cfg(target_os = "linux")]
pub(crate) fn prefetch(map: &Mmap, range: &Range<usize>) {
    if is_inside(map, range) {
        let _ = map.advise_range(Advice::PopulateRead, range.start, range.len());
    }
}

/// Gives back the memory of a stretch that has been read, so that a search needs no more memory
/// than its batch, however large the index.
#[cfg(target_os = "linux")]
pub(crate) fn release(map: &Mmap, range: &Range<usize>) {
    if is_inside(map, range) {
        // SAFETY: the stretch is inside the map, which is a read-only view of a file and never
        // written through, so that dropping its pages loses nothing: the next read brings them
        // back from the file.
        let _ = unsafe {
            map.unchecked_advise_range(UncheckedAdvice::DontNeed, range.start, range.len())
        };
    }
}

#[cfg(target_os = "linux")]
fn is_inside(map: &Mmap, range: &Range<usize>) -> bool {
    range.start <= range.end && range.end <= map.len()
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn prefetch(_: &Mmap, _: &Range<usize>) {}

#[cfg(not(target_os = "linux"))]
pub(crate) fn release(_: &Mmap, _: &Range<usize>) {}
