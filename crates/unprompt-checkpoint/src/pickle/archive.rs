//! torch's format since 1.6: a zip archive of `data.pkl` and one stored member a storage.
//!
//! Source: `torch/serialization.py` (`_save`, `_load`).

use super::{
    machine::{MAX_PICKLE_BYTES, parse},
    state_dict,
    tensor::Storage,
    zip::Directory,
};
use crate::{
    error::{Fault, Quoted},
    layout::Layouts,
};

const PICKLE_NAME: &str = "data.pkl";
/// Longer than any number.
const MAX_KEY_BYTES: usize = 64;

pub(crate) fn read_layouts(file: &[u8]) -> Layouts {
    let directory = Directory::read(file)?;
    let prefix = find_prefix(&directory)?;
    let member = |name: &str| directory.member(&format!("{prefix}{name}"));
    if member("constants.pkl").is_some() {
        return Err(Fault::unsupported(
            "a TorchScript program rather than weights; save model.state_dict() instead",
        ));
    }
    if let Some(place) = member("byteorder")
        && file.get(place.clone()) != Some(b"little".as_slice())
    {
        return Err(Fault::unsupported(
            "written on a machine that is not little-endian",
        ));
    }
    let pickle = member(PICKLE_NAME)
        .and_then(|place| file.get(place.clone()))
        .ok_or_else(|| Fault::malformed("no data.pkl in the archive"))?;
    if pickle.len() > MAX_PICKLE_BYTES {
        return Err(Fault::too_large(format!(
            "a data.pkl above {MAX_PICKLE_BYTES} bytes"
        )));
    }
    let parsed = parse(pickle)?;
    if parsed.consumed != pickle.len() {
        return Err(Fault::malformed("data.pkl goes on after its pickle"));
    }
    let locate = |storage: &Storage<'_>| {
        let key = Quoted(storage.key);
        // The archive is never unpacked, so that a key cannot lead anywhere; but an honest one is
        // a number.
        let mut letters = storage.key.bytes();
        let is_plain = letters.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !is_plain || storage.key.len() > MAX_KEY_BYTES {
            return Err(Fault::malformed(format!("{key} is no name for a storage")));
        }
        if storage.view.is_some() {
            return Err(Fault::malformed(format!(
                "storage {key} is a view, as in older files"
            )));
        }
        let place = member(&format!("data/{}", storage.key))
            .ok_or_else(|| Fault::malformed(format!("no member for storage {key}")))?;
        let length = storage.byte_count()?;
        if length > place.len() {
            return Err(Fault::malformed(format!(
                "storage {key} takes {length} bytes, its member has {}",
                place.len()
            )));
        }
        Ok(place.start..place.start + length)
    };
    state_dict::read(&parsed, &locate, file.len())
}

/// The folder of the archive's only `data.pkl`, with its slash.
fn find_prefix<'f>(directory: &Directory<'f>) -> Result<&'f str, Fault> {
    let mut prefixes = directory.names().filter_map(|name| {
        let prefix = name.strip_suffix(PICKLE_NAME)?;
        (prefix.is_empty() || prefix.ends_with('/')).then_some(prefix)
    });
    match (prefixes.next(), prefixes.next()) {
        (Some(prefix), None) => Ok(prefix),
        (None, _) => Err(Fault::unsupported(
            "a zip archive without data.pkl: not a file of torch.save",
        )),
        (Some(_), Some(_)) => Err(Fault::malformed("more than one data.pkl in the archive")),
    }
}
