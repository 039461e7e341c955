//! WebP chunks: `EXIF` and `XMP ` of the extended file format.

use super::{exif, xmp_packet};
use crate::MetadataError;
use crate::carried::Carried;

pub(crate) const RIFF_HEADER_LENGTH: usize = 12;

/// Gathers the metadata chunks, also those that a careless writer appended without correcting the
/// length in the RIFF header. What follows that length and is no chunk is no damage.
pub(super) fn read(bytes: &[u8], carried: &mut Carried) {
    let riff_length = bytes.get(4..).and_then(|rest| rest.first_chunk::<4>());
    let riff_end = riff_length.map_or(0, |length| u64::from(u32::from_le_bytes(*length)) + 8);
    let mut rest = bytes.get(RIFF_HEADER_LENGTH..).unwrap_or_default();
    while !rest.is_empty() {
        let Some((kind, data, after)) = next_chunk(rest) else {
            if ((bytes.len() - rest.len()) as u64) < riff_end {
                carried.note(MetadataError::malformed("the WebP file is cut short"));
            }
            return;
        };
        match &kind {
            b"EXIF" => exif::read(data, carried),
            b"XMP " => xmp_packet(data, carried),
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
pub(crate) fn next_chunk(bytes: &[u8]) -> Option<([u8; 4], &[u8], &[u8])> {
    let (kind, rest) = bytes.split_first_chunk::<4>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (data, rest) = rest.split_at_checked(length)?;
    let after = rest.get(length % 2..).unwrap_or_default();
    Some((*kind, data, after))
}
