//! Reads the header of a safetensors file.
//!
//! The `safetensors` crate defines the entry and the rules for offsets (in order, no gap, no
//! overlap, as long as shape and type say); its own entry point is not used because it parses
//! headers of 100 MB, lets the last of two equal names win, and adds an unchecked end offset to
//! the header's length.

use crate::{
    dtype::DType,
    error::{Fault, Quoted},
    layout::{Layout, Layouts, MAX_RANK},
};
use safetensors::{
    SafeTensorError,
    tensor::{Metadata, TensorInfo},
};
use serde::{
    Deserializer as _,
    de::{Error as _, MapAccess, Visitor},
};
use std::{
    collections::{HashMap, HashSet},
    fmt,
};

/// The largest header that is parsed. Headers of real models take some 100 bytes per tensor.
pub(crate) const MAX_HEADER_BYTES: usize = 16 << 20;

/// The entry of a header that holds no tensor.
pub(crate) const METADATA_NAME: &str = "__metadata__";

/// The tensors of a safetensors file whose bytes are `file`.
pub(crate) fn read_layouts(file: &[u8]) -> Layouts {
    let Some((length, rest)) = file.split_first_chunk::<8>() else {
        return Err(Fault::malformed(format!(
            "a safetensors file starts with 8 bytes of header length, found {} bytes in all",
            file.len()
        )));
    };
    let length = u64::from_le_bytes(*length);
    let length = usize::try_from(length)
        .ok()
        .filter(|&length| length <= MAX_HEADER_BYTES)
        .ok_or(Fault::too_large(format!(
            "the safetensors header claims {length} bytes, at most {MAX_HEADER_BYTES} are read; \
             the file may be of another kind"
        )))?;
    let Some((header, data)) = rest.split_at_checked(length) else {
        return Err(Fault::malformed(format!(
            "the safetensors header claims {length} bytes, the file has {} after the length; \
             it may be cut short: fetch it again",
            rest.len()
        )));
    };
    let data_start = 8 + length;

    let entries = parse_header(header)?;
    for (name, entry) in &entries {
        let name = Quoted(name);
        if entry.data_offsets.1 > data.len() {
            return Err(Fault::malformed(format!(
                "tensor {name} ends at byte {} of the data, the file has {}; it may be cut \
                 short: fetch it again",
                entry.data_offsets.1,
                data.len()
            )));
        }
        if entry.shape.len() > MAX_RANK {
            let rank = entry.shape.len();
            return Err(Fault::too_large(format!(
                "tensor {name} has {rank} dimensions, at most {MAX_RANK} are read"
            )));
        }
    }
    let layouts = entries
        .iter()
        .map(|(name, entry)| {
            let dtype = DType::from_safetensors(entry.dtype).ok_or_else(|| {
                Fault::unsupported(format!(
                    "tensor {} has elements of type {}, which is not read",
                    Quoted(name),
                    entry.dtype
                ))
            })?;
            let start = data_start + entry.data_offsets.0;
            let shape = entry.shape.clone();
            Ok((
                name.clone(),
                Layout {
                    dtype,
                    shape,
                    start,
                    strides: None,
                },
            ))
        })
        .collect::<Result<Vec<_>, Fault>>()?;

    let covered = Metadata::new(None, entries)
        .map_err(from_safetensors)?
        .data_len();
    if covered != data.len() {
        return Err(Fault::malformed(format!(
            "the tensors cover {covered} bytes, the file has {} of data; nothing may lie outside \
             the tensors",
            data.len()
        )));
    }
    Ok(layouts)
}

/// The header's entries, ordered by their place in the file.
fn parse_header(header: &[u8]) -> Result<Vec<(String, TensorInfo)>, Fault> {
    let broken = |cause: &dyn fmt::Display| {
        Fault::malformed(format!("the safetensors header is not valid: {cause}"))
    };
    let text = std::str::from_utf8(header).map_err(|error| broken(&error))?;
    if !text.starts_with('{') {
        return Err(broken(&"it must start with `{`"));
    }
    let mut json = serde_json::Deserializer::from_str(text);
    let mut entries = json
        .deserialize_map(EntriesVisitor)
        .map_err(|error| broken(&error))?;
    json.end().map_err(|error| broken(&error))?;
    // Names settle the order of empty tensors that share a place.
    entries.sort_by(|(left_name, left), (right_name, right)| {
        (left.data_offsets, left_name).cmp(&(right.data_offsets, right_name))
    });
    Ok(entries)
}

/// Collects entries; a map type would let the last of two equal names win.
struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Vec<(String, TensorInfo)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map from tensor names to their type, shape and place")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        let mut names = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if !names.insert(name.clone()) {
                return Err(A::Error::custom(format!(
                    "{} is there twice",
                    Quoted(&name)
                )));
            }
            if name == METADATA_NAME {
                map.next_value::<Option<HashMap<String, String>>>()?;
            } else {
                entries.push((name, map.next_value()?));
            }
        }
        Ok(entries)
    }
}

fn from_safetensors(error: SafeTensorError) -> Fault {
    match error {
        SafeTensorError::InvalidOffset(name) => Fault::malformed(format!(
            "tensor {} does not start where the one before it ends",
            Quoted(&name)
        )),
        SafeTensorError::TensorInvalidInfo => {
            Fault::malformed("a tensor's place does not have the length its shape and type take")
        }
        error => Fault::malformed(error.to_string()),
    }
}
