//! WebP chunks: `EXIF` and `XMP ` of the extended file format.

use super::exif;
use crate::MetadataError;
use crate::carried::Carried;
use crate::text::utf8_or_latin1;

const RIFF_HEADER_LENGTH: usize = 12;

/// Gathers the metadata chunks. The length in the RIFF header is not used: writers get it wrong.
pub(super) fn read(bytes: &[u8], carried: &mut Carried) {
    let mut rest = bytes.get(RIFF_HEADER_LENGTH..).unwrap_or_default();
    while !rest.is_empty() {
        let Some((kind, data, after)) = next_chunk(rest) else {
            carried.note(MetadataError::malformed("the WebP file is cut short"));
            return;
        };
        match &kind {
            b"EXIF" => exif::read(data.strip_prefix(b"Exif\0\0").unwrap_or(data), carried),
            b"XMP " if carried.admit("an XMP packet", data.len()) => {
                carried.push_xmp(utf8_or_latin1(data));
            }
            _ => {}
        }
        rest = after;
    }
}

/// Whether the picture, or at least its alpha plane, is stored without loss.
pub(super) fn keeps_low_bits(bytes: &[u8]) -> bool {
    let mut rest = bytes.get(RIFF_HEADER_LENGTH..).unwrap_or_default();
    while let Some((kind, _, after)) = next_chunk(rest) {
        if matches!(&kind, b"VP8L" | b"ALPH") {
            return true;
        }
        rest = after;
    }
    false
}

/// Splits off one chunk: its type and data, and what follows the padding to an even length.
fn next_chunk(bytes: &[u8]) -> Option<([u8; 4], &[u8], &[u8])> {
    let (kind, rest) = bytes.split_first_chunk::<4>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (data, rest) = rest.split_at_checked(length)?;
    let after = rest.get(length % 2..).unwrap_or_default();
    Some((*kind, data, after))
}
