//! The few EXIF tags in which generators leave their records (EXIF 2.32, section 4.6; TIFF 6.0).
//!
//! A general EXIF library parses every value of every tag; this reader looks at a dozen tags and
//! copies at most the limits' worth of text, however often a hostile block repeats or overlaps
//! them. It follows one pointer, to the EXIF directory, so it cannot be led in circles.

use crate::MetadataError;
use crate::carried::Carried;
use crate::text::{exif_ascii, user_comment};

const ASCII: u16 = 2;
const BYTE: u16 = 1;
const UNDEFINED: u16 = 7;

const IMAGE_DESCRIPTION: u16 = 0x010e;
const SOFTWARE: u16 = 0x0131;
const EXIF_DIRECTORY: u16 = 0x8769;
const MAKER_NOTE: u16 = 0x927c;
const USER_COMMENT: u16 = 0x9286;

/// ComfyUI savers put `prompt:{json}` into Model and `name:{json}` of each further record into the
/// tags below it, counting down from Make.
const COMFYUI_TAGS: std::ops::RangeInclusive<u16> = 0x0100..=0x0110;

/// Key under which the EXIF tag Software is kept, apart from PNG's text of that name.
pub(crate) const SOFTWARE_KEY: &str = "exif:Software";
/// Key under which the EXIF tag MakerNote is kept.
pub(crate) const MAKER_NOTE_KEY: &str = "exif:MakerNote";

/// Gathers the texts of an EXIF block, from the byte order mark on.
pub(super) fn read(bytes: &[u8], carried: &mut Carried) {
    let Some(block) = Block::new(bytes) else {
        carried.note(MetadataError::malformed(
            "the EXIF block has no valid header",
        ));
        return;
    };
    let mut exif_directory = None;
    let main = block.u32(4);
    read_directory(&block, main, carried, &mut exif_directory);
    if let Some(offset) = exif_directory {
        read_directory(&block, Some(offset), carried, &mut None);
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

/// Reads one directory; the offset of an EXIF directory that it points to goes to `pointer`.
fn read_directory(
    block: &Block,
    offset: Option<usize>,
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
        let wanted =
            matches!(tag, SOFTWARE | MAKER_NOTE | USER_COMMENT) || COMFYUI_TAGS.contains(&tag);
        if !wanted || !matches!(kind, ASCII | BYTE | UNDEFINED) {
            continue;
        }
        match block.value(entry, length) {
            Some(value) if carried.admit("an EXIF value", value.len()) => {
                keep(tag, kind, value, carried);
            }
            Some(_) => {}
            None => carried.note(cut_short()),
        }
    }
}

fn keep(tag: u16, kind: u16, value: &[u8], carried: &mut Carried) {
    match tag {
        SOFTWARE => carried.push_keyed(SOFTWARE_KEY, exif_ascii(value)),
        MAKER_NOTE => carried.push_keyed(MAKER_NOTE_KEY, exif_ascii(value)),
        // Pillow writes a plain text value where a caller sets this tag to a string.
        USER_COMMENT if kind == ASCII => carried.push_comment(exif_ascii(value)),
        USER_COMMENT => match user_comment(value) {
            Some(text) => carried.push_comment(text),
            None => carried.note(MetadataError::malformed(
                "the EXIF UserComment is not in the character set that it names",
            )),
        },
        _ => {
            let text = exif_ascii(value);
            match text.split_once(':') {
                Some((name, json)) if json.trim_start().starts_with('{') => {
                    carried.push_keyed(name.to_lowercase(), json);
                }
                _ if tag == IMAGE_DESCRIPTION => carried.push_comment(text),
                _ => {}
            }
        }
    }
}
