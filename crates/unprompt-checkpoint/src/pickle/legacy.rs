//! torch's format before 1.6: pickles one after the other, then the storages' bytes.
//!
//! In order: a magic number, the format's version, a dict about the machine that wrote it, the
//! object itself, the list of storage keys, and for each key its element count in 8 bytes
//! followed by the elements. Source: `_legacy_save` in `torch/serialization.py`.

use super::{
    machine::parse,
    state_dict,
    tensor::{Storage, storage},
    value::{Node, Parsed, Value},
};
use crate::{
    error::{Fault, Quoted},
    layout::Layouts,
};
use std::{collections::HashMap, ops::Range};

/// 0x1950a86a20f9469cfc6c, little-endian.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
const VERSION: i64 = 1001;

pub(crate) fn read_layouts(file: &[u8]) -> Layouts {
    let mut position = 0;
    let mut next = || -> Result<Parsed<'_>, Fault> {
        let parsed = parse(file.get(position..).unwrap_or_default())?;
        position += parsed.consumed;
        Ok(parsed)
    };
    if next()?.root != Value::BigInt(&MAGIC) {
        return Err(Fault::unsupported("a pickle, but not one of torch.save"));
    }
    if next()?.root != Value::Int(VERSION) {
        return Err(Fault::unsupported(
            "a version of torch's format other than 1001",
        ));
    }
    check_machine(&next()?)?;
    let object = next()?;
    let keys = next()?;

    let places = place_storages(file, position, &object, &keys)?;
    let locate = |storage: &Storage<'_>| {
        let whole = places
            .get(storage.key)
            .ok_or_else(|| Fault::malformed(format!("no storage {}", Quoted(storage.key))))?;
        let Some(view) = &storage.view else {
            return Ok(whole.clone());
        };
        let width = storage.dtype.size();
        if view.end > whole.len() / width {
            let key = Quoted(storage.key);
            return Err(Fault::malformed(format!(
                "a view reaches past storage {key}"
            )));
        }
        Ok(whole.start + view.start * width..whole.start + view.end * width)
    };
    state_dict::read(&object, &locate, file.len())
}

fn check_machine(about: &Parsed<'_>) -> Result<(), Fault> {
    let entries = about
        .mapping(about.root)
        .ok_or_else(|| Fault::malformed("the machine's description is no dict"))?;
    match entries
        .iter()
        .find(|(key, _)| *key == Value::Text("little_endian"))
    {
        Some((_, Value::Bool(true))) => Ok(()),
        _ => Err(Fault::unsupported("written on a big-endian machine")),
    }
}

/// Where each storage's elements are in the file, which must end with the last.
fn place_storages<'p>(
    file: &[u8],
    mut position: usize,
    object: &Parsed<'p>,
    keys: &Parsed<'p>,
) -> Result<HashMap<&'p str, Range<usize>>, Fault> {
    let mut storages = HashMap::<&str, Storage<'_>>::new();
    for node in &object.nodes {
        let Node::Persistent(identifier) = *node else {
            continue;
        };
        let storage = storage(object, identifier)?;
        let before = storages
            .entry(storage.key)
            .or_insert_with(|| storage.clone());
        if (before.dtype, before.count) != (storage.dtype, storage.count) {
            let key = Quoted(storage.key);
            return Err(Fault::malformed(format!(
                "storage {key} is described in two ways"
            )));
        }
    }
    let Some(Node::List(keys)) = keys.node(keys.root) else {
        return Err(Fault::malformed("the storages' keys are no list"));
    };
    let mut places = HashMap::new();
    for &key in keys {
        let Value::Text(key) = key else {
            return Err(Fault::malformed("a storage's key is no text"));
        };
        let storage = storages.get(key).ok_or_else(|| {
            Fault::malformed(format!("storage {} is used by no tensor", Quoted(key)))
        })?;
        let cut_short = || {
            Fault::malformed(format!(
                "storage {} does not fit into the file, which may be cut short",
                Quoted(key)
            ))
        };
        let rest = file.get(position..).unwrap_or_default();
        let (count, rest) = rest.split_first_chunk::<8>().ok_or_else(cut_short)?;
        let count = u64::from_le_bytes(*count);
        if count != storage.count as u64 {
            return Err(Fault::malformed(format!(
                "storage {} has {count} elements, the pickle says {}",
                Quoted(key),
                storage.count
            )));
        }
        let length = storage.byte_count()?;
        if length > rest.len() {
            return Err(cut_short());
        }
        let start = position + 8;
        position = start + length;
        if places.insert(key, start..position).is_some() {
            return Err(Fault::malformed(format!(
                "storage {} is there twice",
                Quoted(key)
            )));
        }
    }
    if position != file.len() {
        let extra = file.len() - position;
        return Err(Fault::malformed(format!(
            "{extra} bytes after the last storage"
        )));
    }
    Ok(places)
}
