//! AVIF and HEIC: metadata are items of the box `meta` (ISO/IEC 23008-12, ISO/IEC 14496-12, 8.11),
//! which lie anywhere in the file.

use std::collections::HashMap;

use super::isobmff::{Boxes, Fields, find, read_uuid};
use super::{exif, xmp_packet};
use crate::MetadataError;
use crate::carried::Carried;
use crate::limits::MAX_ITEMS;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Exif,
    Xmp,
}

/// Gathers the items of type `Exif` and the XMP packets.
pub(super) fn read(bytes: &[u8], carried: &mut Carried) {
    let mut has_meta = false;
    // Items that together are longer than the file overlap.
    let mut room = bytes.len();
    for found in Boxes(bytes) {
        match &found.kind {
            b"meta" => {
                has_meta = true;
                // Version and flags come first.
                let meta = found.data.get(4..).unwrap_or_default();
                if found.cut_short || read_items(bytes, meta, &mut room, carried).is_none() {
                    carried.note(MetadataError::malformed(
                        "the list of items in the file is cut short",
                    ));
                }
            }
            b"uuid" => read_uuid(found.data, carried),
            _ => {}
        }
    }
    if !has_meta {
        carried.note(MetadataError::malformed("the file is cut short"));
    }
}

/// `None` when a list of items ends too early. Without the lists there are no items.
fn read_items(file: &[u8], meta: &[u8], room: &mut usize, carried: &mut Carried) -> Option<()> {
    let (Some(infos), Some(locations)) = (find(meta, b"iinf"), find(meta, b"iloc")) else {
        return Some(());
    };
    let wanted = wanted_items(infos)?;
    if wanted.is_empty() {
        return Some(());
    }
    let data = find(meta, b"idat").unwrap_or_default();
    read_locations(file, data, locations, &wanted, room, carried)
}

/// Ids of the items that hold metadata.
fn wanted_items(infos: &[u8]) -> Option<HashMap<u64, Kind>> {
    let mut fields = Fields(infos);
    let version = fields.number(4)? >> 24;
    fields.take(if version == 0 { 2 } else { 4 })?;
    let wanted = Boxes(fields.0)
        .filter(|entry| &entry.kind == b"infe")
        .filter_map(|entry| item_kind(entry.data))
        .take(MAX_ITEMS)
        .collect();
    Some(wanted)
}

fn item_kind(entry: &[u8]) -> Option<(u64, Kind)> {
    let mut fields = Fields(entry);
    let id_bytes = match fields.number(4)? >> 24 {
        2 => 2,
        3 => 4,
        _ => return None,
    };
    let id = fields.number(id_bytes)?;
    let _protection = fields.take(2)?;
    match fields.take(4)? {
        b"Exif" => Some((id, Kind::Exif)),
        b"mime" => {
            let _name = fields.c_string();
            let kind = fields.c_string();
            let encoding = fields.c_string();
            let is_xmp = kind.eq_ignore_ascii_case(b"application/rdf+xml");
            (is_xmp && encoding.is_empty()).then_some((id, Kind::Xmp))
        }
        _ => None,
    }
}

fn read_locations(
    file: &[u8],
    item_data: &[u8],
    locations: &[u8],
    wanted: &HashMap<u64, Kind>,
    room: &mut usize,
    carried: &mut Carried,
) -> Option<()> {
    let mut fields = Fields(locations);
    let version = fields.number(4)? >> 24;
    let sizes = fields.number(2)?;
    let nibble = |shift: u32| (sizes >> shift & 15) as usize;
    let (offset_bytes, length_bytes, base_bytes) = (nibble(12), nibble(8), nibble(4));
    let index_bytes = if version == 0 { 0 } else { nibble(0) };
    if [offset_bytes, length_bytes, base_bytes, index_bytes]
        .iter()
        .any(|&bytes| bytes > 8)
    {
        return None;
    }
    let id_bytes = if version < 2 { 2 } else { 4 };
    let count = fields.number(id_bytes)?;
    for _ in 0..count {
        let id = fields.number(id_bytes)?;
        let method = if version == 0 {
            0
        } else {
            fields.number(2)? & 15
        };
        let _file = fields.take(2)?;
        let base = fields.number(base_bytes)?;
        let extents = fields.number(2)?;
        let kind = wanted.get(&id).copied();
        let place = match method {
            0 => file,
            1 => item_data,
            // Parts of another item: nobody keeps metadata so.
            _ => &[],
        };
        let mut item = Item::default();
        for _ in 0..extents {
            fields.take(index_bytes)?;
            let offset = base.checked_add(fields.number(offset_bytes)?);
            let length = fields.number(length_bytes)?;
            if kind.is_some() && method < 2 {
                let part = offset.and_then(|offset| slice(place, offset, length));
                item.add(part, room, carried);
            }
        }
        if let Some(kind) = kind
            && !item.is_refused
            && !item.data.is_empty()
        {
            carried.spend(item.data.len());
            read_item(kind, &item.data, carried);
        }
    }
    Some(())
}

/// An item put together from its parts, or given up.
#[derive(Default)]
struct Item {
    data: Vec<u8>,
    is_refused: bool,
}

impl Item {
    fn add(&mut self, part: Option<&[u8]>, room: &mut usize, carried: &mut Carried) {
        if self.is_refused {
            return;
        }
        let Some(part) = part else {
            carried.note(MetadataError::malformed(
                "a metadata item lies beyond the end of the file",
            ));
            self.is_refused = true;
            return;
        };
        let Some(left) = room.checked_sub(part.len()) else {
            carried.note(MetadataError::malformed("the metadata items overlap"));
            self.is_refused = true;
            return;
        };
        *room = left;
        let length = self.data.len() + part.len();
        if length > carried.allowance() {
            self.is_refused = true;
            carried.admit("a metadata item", length);
            carried.spend(self.data.len());
            return;
        }
        self.data.extend_from_slice(part);
    }
}

/// A length of 0 means: to the end.
fn slice(place: &[u8], offset: u64, length: u64) -> Option<&[u8]> {
    let rest = place.get(usize::try_from(offset).ok()?..)?;
    match usize::try_from(length).ok()? {
        0 => Some(rest),
        length => rest.get(..length),
    }
}

fn read_item(kind: Kind, item: &[u8], carried: &mut Carried) {
    match kind {
        Kind::Xmp => xmp_packet(item, carried),
        Kind::Exif => read_exif_item(item, carried),
    }
}

/// EXIF after a number that says how many bytes come before the block, as JPEG XL has it too.
pub(super) fn read_exif_item(item: &[u8], carried: &mut Carried) {
    let block = item.split_first_chunk::<4>().and_then(|(offset, rest)| {
        let offset = usize::try_from(u32::from_be_bytes(*offset)).ok()?;
        rest.get(offset..)
    });
    // Some writers leave the number out.
    let block = block
        .filter(|block| exif::has_header(block))
        .unwrap_or(item);
    exif::read(block, carried);
}
