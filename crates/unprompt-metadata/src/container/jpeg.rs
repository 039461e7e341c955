//! JPEG segments before the first scan: EXIF and XMP in APP1, IPTC in APP13, and comments.

use super::{exif, iptc, xmp_packet};
use crate::MetadataError;
use crate::carried::Carried;
use crate::text;

pub(crate) const APP1: u8 = 0xe1;
const APP13: u8 = 0xed;
pub(crate) const COMMENT: u8 = 0xfe;
pub(crate) const START_OF_SCAN: u8 = 0xda;
pub(crate) const END_OF_IMAGE: u8 = 0xd9;
pub(crate) const EXIF_HEADER: &[u8] = b"Exif\0\0";
pub(crate) const XMP_HEADER: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";
const EXTENDED_XMP_HEADER: &[u8] = b"http://ns.adobe.com/xmp/extension/\0";
/// A digest of the whole, its length, and where this part belongs.
const EXTENDED_XMP_FIELDS: usize = 32 + 4 + 4;
const PHOTOSHOP_HEADER: &[u8] = b"Photoshop 3.0\0";

/// Gathers the segments. A block of EXIF longer than a segment's 64 KiB goes on in the next one, as
/// Pillow writes and reads it.
pub(super) fn read(bytes: &[u8], carried: &mut Carried) {
    let mut exif = Vec::new();
    let mut extended_xmp = Vec::new();
    let mut rest = bytes.get(2..).unwrap_or_default();
    loop {
        match next_segment(rest) {
            Some((START_OF_SCAN | END_OF_IMAGE, ..)) => break,
            Some((marker, data, after)) => {
                match (marker, data) {
                    (APP1, data) if data.starts_with(EXIF_HEADER) => {
                        let block = &data[EXIF_HEADER.len()..];
                        if exif.len() + block.len() <= carried.allowance() {
                            exif.extend_from_slice(block);
                        }
                    }
                    (APP1, data) if data.starts_with(XMP_HEADER) => {
                        xmp_packet(&data[XMP_HEADER.len()..], carried);
                    }
                    // The parts of a packet beyond 64 KiB; everybody writes them in order.
                    (APP1, data) if data.starts_with(EXTENDED_XMP_HEADER) => {
                        let part = data.get(EXTENDED_XMP_HEADER.len() + EXTENDED_XMP_FIELDS..);
                        let part = part.unwrap_or_default();
                        if extended_xmp.len() + part.len() <= carried.allowance() {
                            extended_xmp.extend_from_slice(part);
                        }
                    }
                    (APP13, data) if data.starts_with(PHOTOSHOP_HEADER) => {
                        iptc::read_resources(&data[PHOTOSHOP_HEADER.len()..], carried);
                    }
                    (COMMENT, data) if carried.admit("a JPEG comment", data.len()) => {
                        carried.push_comment(text::unstated(data));
                    }
                    _ => {}
                }
                rest = after;
            }
            None => {
                carried.note(MetadataError::malformed(
                    "the JPEG file ends before its first scan",
                ));
                break;
            }
        }
    }
    if !extended_xmp.is_empty() {
        xmp_packet(&extended_xmp, carried);
    }
    if !exif.is_empty() {
        exif::read(&exif, carried);
    }
}

/// Splits off the next marker segment: its marker, data and what follows. A scan or the end of the
/// image comes with empty data.
pub(crate) fn next_segment(mut bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    loop {
        let start = bytes.iter().position(|&byte| byte == 0xff)?;
        bytes = &bytes[start + 1..];
        let (&marker, rest) = bytes.split_first()?;
        match marker {
            // Fill bytes, stuffed bytes and markers without data.
            0xff => {}
            0x00 | 0x01 | 0xd0..=0xd8 => bytes = rest,
            START_OF_SCAN | END_OF_IMAGE => return Some((marker, &[], rest)),
            _ => {
                let (length, rest) = rest.split_first_chunk::<2>()?;
                let length = usize::from(u16::from_be_bytes(*length)).checked_sub(2)?;
                let (data, rest) = rest.split_at_checked(length)?;
                return Some((marker, data, rest));
            }
        }
    }
}
