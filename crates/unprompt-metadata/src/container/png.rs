//! PNG text chunks: `tEXt`, `zTXt`, `iTXt` and `eXIf` (PNG specification, third edition, 11.3.3
//! and 11.3.4.5).

use flate2::Crc;

use super::inflate::{expand, inflate};
use super::{exif, raw_profile};
use crate::MetadataError;
use crate::carried::Carried;
use crate::limits::MAX_TEXTS;
use crate::text::utf8_or_latin1;

const SIGNATURE_LENGTH: usize = 8;
const XMP_KEYWORD: &str = "XML:com.adobe.xmp";

/// Gathers the text chunks before and after the pixels.
///
/// A chunk whose checksum is wrong counts only as far as its texts prove themselves whole: a flipped
/// bit would make a prompt that nobody wrote and that would still be presented as exact. JSON that
/// parses to its end is such a proof (there are programs that compute the checksum of a text wrongly),
/// and so is a compressed stream with its own checksum.
pub(super) fn read(bytes: &[u8], carried: &mut Carried) {
    let mut rest = bytes.get(SIGNATURE_LENGTH..).unwrap_or_default();
    loop {
        let Some(Chunk {
            kind,
            data,
            crc,
            after,
        }) = next_chunk(rest)
        else {
            carried.note(MetadataError::malformed(
                "the PNG file is cut short before its last chunk",
            ));
            return;
        };
        let is_text = matches!(&kind, b"tEXt" | b"zTXt" | b"iTXt" | b"eXIf");
        if is_text && carried.is_full() {
            carried.note(MetadataError::too_large(format_args!(
                "more than {MAX_TEXTS} texts in one file"
            )));
        } else if is_text {
            let mut actual = Crc::new();
            actual.update(&kind);
            actual.update(data);
            if actual.sum() == crc {
                read_chunk(&kind, data, carried);
            } else if !read_unproven(&kind, data, carried) {
                carried.note(MetadataError::malformed(format_args!(
                    "a PNG {} chunk has a wrong checksum, the text in it cannot be trusted",
                    String::from_utf8_lossy(&kind)
                )));
            }
        } else if &kind == b"IEND" {
            return;
        }
        rest = after;
    }
}

/// Whether the samples are 8 bits deep and not palette indices: bits hidden in the lowest bits of
/// colour or alpha exist only there.
pub(super) fn keeps_low_bits(bytes: &[u8]) -> bool {
    const TRUECOLOUR: u8 = 2;
    const TRUECOLOUR_ALPHA: u8 = 6;
    match next_chunk(bytes.get(SIGNATURE_LENGTH..).unwrap_or_default()) {
        Some(Chunk {
            kind,
            data: [_, _, _, _, _, _, _, _, 8, colour, ..],
            ..
        }) => &kind == b"IHDR" && matches!(*colour, TRUECOLOUR | TRUECOLOUR_ALPHA),
        _ => false,
    }
}

pub(crate) struct Chunk<'a> {
    pub kind: [u8; 4],
    pub data: &'a [u8],
    pub crc: u32,
    /// What follows the chunk.
    pub after: &'a [u8],
}

pub(crate) fn next_chunk(bytes: &[u8]) -> Option<Chunk<'_>> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (kind, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (data, rest) = rest.split_at_checked(length)?;
    let (crc, after) = rest.split_first_chunk::<4>()?;
    Some(Chunk {
        kind: *kind,
        data,
        crc: u32::from_be_bytes(*crc),
        after,
    })
}

pub(crate) fn read_chunk(kind: &[u8; 4], data: &[u8], carried: &mut Carried) {
    if kind == b"eXIf" {
        exif::read(data, carried);
        return;
    }
    let Some((keyword, body)) = split_at_nul(data) else {
        carried.note(MetadataError::malformed("a PNG text chunk has no keyword"));
        return;
    };
    let keyword = utf8_or_latin1(&keyword[..keyword.len().min(79)]);
    let text = match kind {
        b"tEXt" => carried
            .admit("a PNG text chunk", body.len())
            .then(|| utf8_or_latin1(body)),
        b"zTXt" => body
            .split_first()
            .and_then(|(_method, stream)| inflated(&keyword, stream, carried))
            .map(|text| {
                carried.prove();
                utf8_or_latin1(&text)
            }),
        _ => international(&keyword, body, carried),
    };
    match text {
        Some(text) if keyword == XMP_KEYWORD => carried.push_xmp(text),
        Some(text) if raw_profile::read(&keyword, &text, carried) => {}
        Some(text) => carried.push_keyed(keyword, text),
        None => {} // refused or damaged, and noted
    }
}

/// Reads a chunk with a wrong checksum; false when nothing in it proved itself whole.
fn read_unproven(kind: &[u8; 4], data: &[u8], carried: &mut Carried) -> bool {
    carried.only_proven(|carried| read_chunk(kind, data, carried))
}

/// `iTXt`: compression flag and method, language, translated keyword, then UTF-8.
fn international(keyword: &str, body: &[u8], carried: &mut Carried) -> Option<String> {
    let parts = body.split_at_checked(2).and_then(|(flags, rest)| {
        let (_language, rest) = split_at_nul(rest)?;
        let (_translated, text) = split_at_nul(rest)?;
        Some((flags[0], text))
    });
    let Some((compressed, text)) = parts else {
        carried.note(MetadataError::malformed(format_args!(
            "PNG text `{keyword}` is cut short"
        )));
        return None;
    };
    let text = if compressed == 0 {
        carried
            .admit("a PNG text chunk", text.len())
            .then(|| text.to_vec())?
    } else {
        inflated(keyword, text, carried)?
    };
    if compressed != 0 {
        carried.prove();
    }
    // UTF-8 by the specification; some writers put Latin-1 here.
    Some(utf8_or_latin1(&text))
}

fn inflated(keyword: &str, stream: &[u8], carried: &mut Carried) -> Option<Vec<u8>> {
    let what = format_args!("PNG text `{keyword}`");
    let text = expand(what, carried, |limit| inflate(stream, limit))?;
    carried
        .admit("a compressed PNG text", text.len())
        .then_some(text)
}

fn split_at_nul(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|&byte| byte == 0)?;
    Some((&bytes[..at], &bytes[at + 1..]))
}
