//! Boxes of ISO base media files (ISO/IEC 14496-12), which AVIF, HEIC, JPEG XL, MP4 and QuickTime
//! are made of.

use super::xmp_packet;
use crate::carried::Carried;

/// The extended type of a `uuid` box that holds an XMP packet (XMP specification, part 3).
const XMP_UUID: [u8; 16] = [
    0xbe, 0x7a, 0xcf, 0xcb, 0x97, 0xa9, 0x42, 0xe8, 0x9c, 0x71, 0x99, 0x94, 0x91, 0xe3, 0xaf, 0xac,
];

/// One box: its type and what is in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Box<'a> {
    pub(super) kind: [u8; 4],
    pub(super) data: &'a [u8],
    /// The file ends before the box does; `data` is what there is.
    pub(super) cut_short: bool,
}

/// Walks boxes that lie one after the other. What is no box ends the walk.
pub(super) struct Boxes<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Boxes<'a> {
    type Item = Box<'a>;

    fn next(&mut self) -> Option<Box<'a>> {
        let (header, length, kind) = box_header(self.0)?;
        let length = if length == 0 {
            self.0.len()
        } else {
            usize::try_from(length).unwrap_or(usize::MAX)
        };
        let cut_short = length > self.0.len();
        let (whole, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        Some(Box {
            kind,
            data: whole.get(header..).unwrap_or_default(),
            cut_short,
        })
    }
}

/// The length of a box's header, of the whole box (0: to the end of the file) and its type.
pub(crate) fn box_header(bytes: &[u8]) -> Option<(usize, u64, [u8; 4])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (kind, rest) = rest.split_first_chunk::<4>()?;
    match u32::from_be_bytes(*length) {
        0 => Some((8, 0, *kind)),
        1 => {
            let length = u64::from_be_bytes(*rest.first_chunk::<8>()?);
            (length >= 16).then_some((16, length, *kind))
        }
        length => (length >= 8).then_some((8, length.into(), *kind)),
    }
}

/// The first box of a type.
pub(super) fn find<'a>(bytes: &'a [u8], kind: &[u8; 4]) -> Option<&'a [u8]> {
    Boxes(bytes).find(|b| &b.kind == kind).map(|b| b.data)
}

/// Keeps the XMP packet of a `uuid` box, if it is one of those.
pub(super) fn read_uuid(data: &[u8], carried: &mut Carried) {
    if let Some(packet) = data.strip_prefix(&XMP_UUID) {
        xmp_packet(packet, carried);
    }
}

/// A reader of big-endian fields, `None` beyond the end.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// An unsigned number of 0 to 8 bytes.
    pub(super) fn number(&mut self, bytes: usize) -> Option<u64> {
        let taken = self.take(bytes)?;
        Some(
            taken
                .iter()
                .fold(0, |sum, &byte| sum << 8 | u64::from(byte)),
        )
    }

    /// A text that ends with a NUL, or with the box.
    pub(super) fn c_string(&mut self) -> &'a [u8] {
        let end = self.0.iter().position(|&byte| byte == 0);
        let text = &self.0[..end.unwrap_or(self.0.len())];
        self.0 = &self.0[end.map_or(self.0.len(), |end| end + 1)..];
        text
    }
}
