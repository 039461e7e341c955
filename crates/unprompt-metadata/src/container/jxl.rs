//! JPEG XL (ISO/IEC 18181-2): boxes `Exif` and `xml `, or `brob`, which is one of them compressed.
//! A bare codestream has no place for text.

use super::heif::read_exif_item;
use super::inflate::{expand, unbrotli};
use super::isobmff::{Boxes, read_uuid};
use super::xmp_packet;
use crate::MetadataError;
use crate::carried::Carried;

const BARE_CODESTREAM: &[u8] = b"\xff\x0a";

/// Gathers the boxes before and after the codestream.
pub(super) fn read(bytes: &[u8], carried: &mut Carried) {
    if bytes.starts_with(BARE_CODESTREAM) {
        return;
    }
    for found in Boxes(bytes) {
        let is_metadata = matches!(&found.kind, b"Exif" | b"xml " | b"brob");
        if found.cut_short && is_metadata {
            carried.note(MetadataError::malformed("the JPEG XL file is cut short"));
            return;
        }
        match &found.kind {
            b"brob" => {
                if let Some((kind, stream)) = found.data.split_first_chunk::<4>()
                    && matches!(kind, b"Exif" | b"xml ")
                    && let Some(data) = expanded(stream, carried)
                {
                    read_box(*kind, &data, carried);
                }
            }
            kind => read_box(*kind, found.data, carried),
        }
    }
}

fn read_box(kind: [u8; 4], data: &[u8], carried: &mut Carried) {
    match &kind {
        b"Exif" => read_exif_item(data, carried),
        b"xml " => xmp_packet(data, carried),
        b"uuid" => read_uuid(data, carried),
        _ => {}
    }
}

fn expanded(stream: &[u8], carried: &mut Carried) -> Option<Vec<u8>> {
    let what = "a compressed box of the JPEG XL file";
    expand(what, carried, |limit| unbrotli(stream, limit))
}
