//! Tells the kinds of weight files apart.

use crate::{
    error::{Fault, Result},
    layout::{Layout, Layouts},
    pickle::{self, Pickle, pickle_denied},
    safetensors,
};
use std::path::Path;

/// The tensors in `file`, the bytes of the file at `path`.
///
/// A file called `*.safetensors` is read as such whatever is in it: a name that promises safety
/// must not lead to a pickle. Any other name says nothing, as caches call files by their hash.
pub(crate) fn read_layouts(
    path: &Path,
    file: &[u8],
    allowed: Pickle,
) -> Result<Vec<(String, Layout)>> {
    let is_safetensors = path
        .extension()
        .is_some_and(|extension| extension == "safetensors");
    let layouts = if is_safetensors || looks_like_safetensors(file) {
        safetensors::read_layouts(file)
    } else if let Some(read) = pickle_reader(file) {
        match allowed {
            Pickle::Allow => read(file),
            Pickle::Deny => return Err(pickle_denied(path)),
        }
    } else if file.get(257..262) == Some(b"ustar") {
        Err(Fault::unsupported(
            "a tar archive; if it is of torch before 0.2, load and save it with a later torch, \
             else unpack it first",
        ))
    } else if file.starts_with(&[0x1f, 0x8b]) {
        Err(Fault::unsupported("compressed with gzip; unpack it first"))
    } else {
        Err(Fault::unsupported(
            "neither safetensors nor a file of torch.save",
        ))
    };
    layouts.map_err(|fault| fault.at(path))
}

fn looks_like_safetensors(file: &[u8]) -> bool {
    let length = file.first_chunk().map(|length| u64::from_le_bytes(*length));
    length.is_some_and(|length| length <= safetensors::MAX_HEADER_BYTES as u64)
        && file.get(8) == Some(&b'{')
}

type Reader = fn(&[u8]) -> Layouts;

fn pickle_reader(file: &[u8]) -> Option<Reader> {
    if file.starts_with(b"PK\x03\x04") {
        Some(pickle::read_archive)
    } else if matches!(file, [0x80, 2..=5, ..]) {
        Some(pickle::read_legacy)
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
