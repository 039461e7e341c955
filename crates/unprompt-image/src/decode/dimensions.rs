//! How large a picture says it is, without a look at its pixels.

use super::{contain, jpeg, webp};
use crate::{Format, sniff};
use ::tiff::decoder::Decoder as TiffDecoder;
use image_webp::WebPDecoder;
use std::io::Cursor;

/// Width and height in pixels as the header has them, or `None` where it cannot be read or the format
/// is not known. Nothing is promised of the rest of the file: decoding may fail, and the first frame
/// of a GIF may stick out.
pub fn dimensions(bytes: &[u8]) -> Option<(u32, u32)> {
    let format = sniff(bytes)?;
    let read = || {
        Ok(match format {
            Format::Png => pair(u32_at(bytes, 16).map(u32::from_be_bytes), || {
                u32_at(bytes, 20).map(u32::from_be_bytes)
            }),
            Format::Gif => pair(u16_at(bytes, 6), || u16_at(bytes, 8)),
            Format::Bmp => bmp(bytes),
            Format::Jpeg => jpeg::dimensions(bytes),
            Format::WebP => {
                let bytes = webp::without_broken_promises(bytes);
                let decoder = WebPDecoder::new(Cursor::new(bytes.as_ref())).ok();
                decoder.map(|decoder| decoder.dimensions())
            }
            Format::Tiff => TiffDecoder::new(Cursor::new(bytes))
                .ok()
                .and_then(|mut decoder| decoder.dimensions().ok()),
        })
    };
    contain::contain_panics(format, read).ok().flatten()
}

/// The header of OS/2 has 16-bit sides; in all others they are signed, a height below zero for rows
/// from the top.
fn bmp(bytes: &[u8]) -> Option<(u32, u32)> {
    const OF_OS2: u32 = 12;
    if u32::from_le_bytes(u32_at(bytes, 14)?) == OF_OS2 {
        return pair(u16_at(bytes, 18), || u16_at(bytes, 20));
    }
    let side = |at| Some(i32::from_le_bytes(u32_at(bytes, at)?).unsigned_abs());
    pair(side(18), || side(22))
}

fn pair(width: Option<u32>, height: impl Fn() -> Option<u32>) -> Option<(u32, u32)> {
    Some((width?, height()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<[u8; 4]> {
    bytes.get(at..at + 4)?.try_into().ok()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u32> {
    let pair = bytes.get(at..at + 2)?.try_into().ok()?;
    Some(u16::from_le_bytes(pair).into())
}
