//! The few EXIF tags in which generators leave their records (EXIF 2.32, section 4.6; TIFF 6.0).
//!
//! A general EXIF library parses every value of every tag; this reader looks at a dozen tags and
//! reads at most as many bytes of them as the block has, however often a hostile block repeats or
//! overlaps them. It follows one pointer, to the EXIF directory, so it cannot be led in circles.

use crate::MetadataError;
use crate::carried::Carried;
use crate::text::{exif_ascii, exif_utf16, user_comment};

use super::{iptc, xmp_packet};

const BYTE: u16 = 1;
const ASCII: u16 = 2;
const LONG: u16 = 4;
const UNDEFINED: u16 = 7;
/// Of EXIF 3.0.
const UTF_8: u16 = 129;

const IMAGE_DESCRIPTION: u16 = 0x010e;
const SOFTWARE: u16 = 0x0131;
const EXIF_DIRECTORY: u16 = 0x8769;
const MAKER_NOTE: u16 = 0x927c;
const USER_COMMENT: u16 = 0x9286;
const XMP: u16 = 0x02bc;
const IPTC: u16 = 0x83bb;
const PHOTOSHOP: u16 = 0x8649;
const ARTIST: u16 = 0x013b;
const COPYRIGHT: u16 = 0x8298;

/// XPTitle, XPComment, XPAuthor, XPKeywords and XPSubject, which Windows shows: UTF-16.
const XP_TAGS: std::ops::RangeInclusive<u16> = 0x9c9b..=0x9c9f;

/// ComfyUI savers put `prompt:{json}` into Model and `name:{json}` of each further record into the
/// tags below it, counting down from Make.
const COMFYUI_TAGS: std::ops::RangeInclusive<u16> = 0x0100..=0x0110;

/// Key under which the EXIF tag Software is kept, apart from PNG's text of that name.
pub(crate) const SOFTWARE_KEY: &str = "exif:Software";
/// Key under which the EXIF tag MakerNote is kept.
pub(crate) const MAKER_NOTE_KEY: &str = "exif:MakerNote";

/// Whether an EXIF block starts here, with or without the mark before it.
pub(super) fn has_header(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix(b"Exif\0\0").unwrap_or(bytes);
    Block::new(bytes).is_some()
}

/// Gathers the texts of an EXIF block, from the byte order mark on or from the mark that JPEG has before
/// it, which some writers put into other files too.
pub(super) fn read(bytes: &[u8], carried: &mut Carried) {
    let bytes = bytes.strip_prefix(b"Exif\0\0").unwrap_or(bytes);
    let Some(block) = Block::new(bytes) else {
        carried.note(MetadataError::malformed(
            "the EXIF block has no valid header",
        ));
        return;
    };
    let mut room = bytes.len();
    let mut exif_directory = None;
    let main = block.u32(4);
    read_directory(&block, main, &mut room, carried, &mut exif_directory);
    if let Some(offset) = exif_directory {
        read_directory(&block, Some(offset), &mut room, carried, &mut None);
    }
}

struct Block<'a> {
    bytes: &'a [u8],
    little_endian: bool,
}

impl<'a> Block<'a> {
    fn new(bytes: &'a [u8]) -> Option<Self> {
        match bytes {
            [b'I', b'I', b'*', 0, ..] => Some(Self {
                bytes,
                little_endian: true,
            }),
            [b'M', b'M', 0, b'*', ..] => Some(Self {
                bytes,
                little_endian: false,
            }),
            _ => None,
        }
    }

    fn u16(&self, at: usize) -> Option<u16> {
        let bytes = *self.bytes.get(at..)?.first_chunk::<2>()?;
        Some(if self.little_endian {
            u16::from_le_bytes(bytes)
        } else {
            u16::from_be_bytes(bytes)
        })
    }

    fn u32(&self, at: usize) -> Option<usize> {
        let bytes = *self.bytes.get(at..)?.first_chunk::<4>()?;
        let value = if self.little_endian {
            u32::from_le_bytes(bytes)
        } else {
            u32::from_be_bytes(bytes)
        };
        usize::try_from(value).ok()
    }

    /// The bytes of a text-like value of `length` bytes whose entry starts at `entry`.
    fn value(&self, entry: usize, length: usize) -> Option<&'a [u8]> {
        let start = if length <= 4 {
            entry + 8
        } else {
            self.u32(entry + 8)?
        };
        self.bytes.get(start..start.checked_add(length)?)
    }
}

/// Reads one directory; the offset of an EXIF directory that it points to goes to `pointer`. Values
/// beyond `room` are left out: they would overlap others.
fn read_directory(
    block: &Block,
    offset: Option<usize>,
    room: &mut usize,
    carried: &mut Carried,
    pointer: &mut Option<usize>,
) {
    let cut_short = || MetadataError::malformed("the EXIF block is cut short");
    let Some((offset, count)) = offset.and_then(|at| Some((at, block.u16(at)?))) else {
        carried.note(cut_short());
        return;
    };
    for index in 0..usize::from(count) {
        let entry = offset + 2 + index * 12;
        let header = (block.u16(entry), block.u16(entry + 2), block.u32(entry + 4));
        let (Some(tag), Some(kind), Some(length)) = header else {
            carried.note(cut_short());
            return;
        };
        if tag == EXIF_DIRECTORY {
            *pointer = block.u32(entry + 8);
        }
        let wanted = match tag {
            IPTC => matches!(kind, BYTE | UNDEFINED | LONG),
            SOFTWARE | MAKER_NOTE | USER_COMMENT | XMP | PHOTOSHOP | ARTIST | COPYRIGHT => {
                matches!(kind, ASCII | BYTE | UNDEFINED | UTF_8)
            }
            _ if XP_TAGS.contains(&tag) || COMFYUI_TAGS.contains(&tag) => {
                matches!(kind, ASCII | BYTE | UNDEFINED | UTF_8)
            }
            _ => false,
        };
        if !wanted {
            continue;
        }
        let length = if kind == LONG {
            length.saturating_mul(4)
        } else {
            length
        };
        let value = block.value(entry, length);
        if let Some(value) = value {
            let Some(left) = room.checked_sub(value.len()) else {
                carried.note(MetadataError::malformed(
                    "the values of the EXIF block overlap",
                ));
                continue;
            };
            *room = left;
        }
        match value {
            Some(value) if tag == XMP => xmp_packet(value, carried),
            Some(value) if matches!(tag, IPTC | PHOTOSHOP) => {
                if !carried.may_search(value.len()) {
                    continue;
                }
                match tag {
                    IPTC => iptc::read(value, carried),
                    _ => iptc::read_resources(value, carried),
                }
            }
            Some(value) if carried.admit("an EXIF value", value.len()) => {
                keep(tag, kind, value, carried);
            }
            Some(_) => {}
            None => carried.note(cut_short()),
        }
    }
}

fn keep(tag: u16, kind: u16, value: &[u8], carried: &mut Carried) {
    let text = match tag {
        // Pillow writes a plain text value where a caller sets this tag to a string.
        USER_COMMENT if kind != ASCII => user_comment(value),
        _ if XP_TAGS.contains(&tag) => exif_utf16(value),
        _ => exif_ascii(value),
    };
    match tag {
        SOFTWARE => carried.push_keyed(SOFTWARE_KEY, text),
        MAKER_NOTE => carried.push_keyed(MAKER_NOTE_KEY, text),
        _ => match named_json(&text) {
            Some((name, json)) => carried.push_keyed(name.to_lowercase(), json),
            None if tag == IMAGE_DESCRIPTION || tag == USER_COMMENT || XP_TAGS.contains(&tag) => {
                carried.push_comment(text);
            }
            None => carried.push_keyed(format!("exif:{tag:#06x}"), text),
        },
    }
}

/// Takes `name:{json}` apart.
fn named_json(text: &str) -> Option<(&str, &str)> {
    let (name, json) = text.split_once(':')?;
    let is_name = !name.is_empty()
        && name.len() <= 32
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_- ".contains(&byte));
    (is_name && json.trim_start().starts_with('{')).then(|| (name.trim(), json))
}
