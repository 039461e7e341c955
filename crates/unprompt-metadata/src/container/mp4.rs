//! MP4 and QuickTime: tags in the box `moov`.
//!
//! There are three ways to write one, and ffmpeg knows them all: `ilst` items named by four letters
//! (MP4 as it comes), `ilst` items numbered after a list of `keys` (with `use_metadata_tags`, as
//! ComfyUI saves `prompt` and `workflow`), and texts straight in `udta` (QuickTime).

use super::isobmff::{Box, Boxes, Fields, find, read_uuid};
use super::{push_tag, xmp_packet};
use crate::MetadataError;
use crate::carried::Carried;
use crate::limits::MAX_ITEMS;
use crate::text;

/// Gathers the tags of the whole file. Frames are stepped over.
pub(super) fn read(bytes: &[u8], carried: &mut Carried) {
    let mut has_moov = false;
    for found in Boxes(bytes) {
        match &found.kind {
            b"moov" => {
                has_moov = true;
                if found.cut_short {
                    carried.note(MetadataError::malformed("the video file is cut short"));
                }
                read_boxes(found.data, carried);
            }
            b"uuid" | b"udta" | b"meta" => read_box(found, carried),
            _ => {}
        }
    }
    if !has_moov {
        carried.note(MetadataError::malformed(
            "the video file is cut short before its index",
        ));
    }
}

fn read_boxes(bytes: &[u8], carried: &mut Carried) {
    for found in Boxes(bytes) {
        read_box(found, carried);
    }
}

fn read_box(found: Box, carried: &mut Carried) {
    match &found.kind {
        b"udta" => {
            for entry in Boxes(found.data) {
                match &entry.kind {
                    b"meta" => read_meta(entry.data, carried),
                    b"XMP_" => xmp_packet(entry.data, carried),
                    kind => read_user_text(*kind, entry.data, carried),
                }
            }
        }
        b"meta" => read_meta(found.data, carried),
        b"uuid" => read_uuid(found.data, carried),
        _ => {}
    }
}

/// The name of an item of four letters, if it is one that may hold a prompt.
fn name_of(kind: [u8; 4]) -> Option<&'static str> {
    Some(match &kind {
        b"\xa9cmt" => "comment",
        b"desc" | b"\xa9des" => "description",
        b"ldes" => "synopsis",
        b"\xa9nam" => "title",
        b"\xa9inf" => "information",
        b"\xa9too" | b"\xa9swr" => "encoder",
        _ => return None,
    })
}

/// A text of QuickTime: its length, a language, then the bytes.
fn read_user_text(kind: [u8; 4], data: &[u8], carried: &mut Carried) {
    let Some(name) = name_of(kind) else {
        return;
    };
    let mut fields = Fields(data);
    let Some((length, _language)) = fields.number(2).zip(fields.take(2)) else {
        return;
    };
    // A text beyond 65,535 bytes has a length that is cut to 16 bits: the box says where it ends.
    let text = match usize::try_from(length) {
        Ok(length) if fields.0.len() <= 0xffff => fields.0.get(..length).unwrap_or(fields.0),
        _ => fields.0,
    };
    if carried.admit("a text of the video", text.len()) {
        push_tag(name, text::unstated(text), carried);
    }
}

fn read_meta(data: &[u8], carried: &mut Carried) {
    // In MP4 version and flags come first, in QuickTime they do not.
    let data = match data.get(4..8) {
        Some(b"hdlr" | b"keys" | b"ilst") => data,
        _ => data.get(4..).unwrap_or_default(),
    };
    let keys = find(data, b"keys").and_then(key_names).unwrap_or_default();
    let Some(items) = find(data, b"ilst") else {
        return;
    };
    for item in Boxes(items).take(MAX_ITEMS) {
        let numbered = usize::try_from(u32::from_be_bytes(item.kind))
            .ok()
            .and_then(|number| keys.get(number.checked_sub(1)?))
            .map(|name| text::unstated(name));
        let name = match &item.kind {
            b"----" => free_name(item.data),
            kind => numbered.or_else(|| name_of(*kind).map(str::to_owned)),
        };
        let value = find(item.data, b"data").and_then(|data| data.get(8..));
        if let (Some(name), Some(value)) = (name, value)
            && carried.admit("a text of the video", value.len())
        {
            push_tag(&name, text::unstated(value), carried);
        }
    }
}

/// The name of an item that carries its own.
fn free_name(item: &[u8]) -> Option<String> {
    Some(text::unstated(find(item, b"name")?.get(4..)?))
}

fn key_names(keys: &[u8]) -> Option<Vec<&[u8]>> {
    let mut fields = Fields(keys);
    let _version = fields.take(4)?;
    let count = fields.number(4)?;
    let mut names = Vec::new();
    for _ in 0..count.min(MAX_ITEMS as u64) {
        let length = usize::try_from(fields.number(4)?).ok()?;
        let _namespace = fields.take(4)?;
        names.push(fields.take(length.checked_sub(8)?)?);
    }
    Some(names)
}
