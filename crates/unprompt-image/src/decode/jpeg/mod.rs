//! JPEG, to the bit as libjpeg-turbo decodes it for Pillow.
//!
//! Well-kept decoders in Rust exist, but their inverse transform, chroma upsampling and colour
//! conversion round differently: measured against Pillow, 1 to 14 % of the samples of ordinary
//! photographs differed, by up to 4 levels. Pictures are most often JPEG, and the reference
//! features were computed from Pillow's pixels, so this decoder repeats libjpeg's arithmetic
//! (accurate integer transform, triangle-filter upsampling, 16-bit fixed-point colour).
//!
//! Read: 8-bit baseline, extended sequential and progressive Huffman files with 1, 3 or 4
//! components. Not read: arithmetic coding, lossless and hierarchical files, 12 bits.
//!
//! Source: ITU-T T.81 (the format), and the published description of libjpeg's method choices;
//! checked against Pillow by the tests.

mod bits;
mod colour;
mod frame;
mod huffman;
mod scan;
mod transform;
mod upsample;

use super::{Decoded, Samples, orient};
use crate::{Format, ImageError, Limits, Result};
use frame::Frame;
use huffman::HuffmanTable;

/// A real progressive file has about ten scans; each costs a pass over the whole picture.
const MAX_SCANS: usize = 100;

/// Tables and facts that markers set before or between scans.
#[derive(Default)]
struct Tables {
    quantization: [Option<[u16; 64]>; 4],
    dc: [Option<HuffmanTable>; 4],
    ac: [Option<HuffmanTable>; 4],
    restart_interval: usize,
}

pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Decoded> {
    let mut tables = Tables::default();
    let mut markers = colour::Markers::default();
    let mut frame: Option<Frame> = None;
    let mut orientation = 1;
    let mut scans = 0;
    let mut position = 2;
    while let Some((marker, start)) = next_marker(bytes, position) {
        match marker {
            0xd9 => {
                if let Some(frame) = &mut frame {
                    frame.ended = true;
                }
                break;
            }
            // Restart markers between segments, and markers without a body.
            0x01 | 0xd0..=0xd8 => {
                position = start;
                continue;
            }
            _ => {}
        }
        let body = segment(bytes, start)?;
        position = start + 2 + body.len();
        match marker {
            0xc4 => read_huffman(body, &mut tables)?,
            0xdb => read_quantization(body, &mut tables)?,
            0xdd => {
                let [high, low] = *body else {
                    return Err(damaged("bad restart interval"));
                };
                tables.restart_interval = usize::from(u16::from_be_bytes([high, low]));
            }
            0xc0..=0xc2 => {
                if frame.is_some() {
                    return Err(damaged("two frame headers"));
                }
                frame = Some(Frame::parse(body, marker == 0xc2, limits)?);
            }
            0xc3 | 0xc5..=0xc7 | 0xc9..=0xcf => {
                return Err(ImageError::unsupported(
                    Format::Jpeg,
                    "arithmetic, lossless or hierarchical coding",
                ));
            }
            0xda => {
                let frame = frame
                    .as_mut()
                    .ok_or_else(|| damaged("a scan before the frame"))?;
                scans += 1;
                if scans > MAX_SCANS {
                    return Err(ImageError::limit(format_args!(
                        "more than {MAX_SCANS} JPEG scans"
                    )));
                }
                position += scan::decode(frame, &tables, body, &bytes[position..])?;
                if frame.is_complete() {
                    break;
                }
            }
            0xe0 if body.starts_with(b"JFIF\0") => markers.jfif = true,
            0xe1 if body.starts_with(b"Exif\0\0") => orientation = orient::from_exif(body),
            0xee if body.starts_with(b"Adobe") && body.len() >= 12 => {
                markers.adobe_transform = Some(body[11]);
            }
            _ => {}
        }
    }
    let mut frame = frame.ok_or_else(|| damaged("no frame header"))?;
    frame.finish()?;
    let pixels = colour::to_rgb(&frame, &markers)?;
    Ok(Decoded {
        width: frame.width as u32,
        height: frame.height as u32,
        samples: Samples::Rgb(pixels),
        orientation,
    })
}

/// Width and height out of the frame header, whatever kind of frame it is.
pub(super) fn dimensions(bytes: &[u8]) -> Option<(u32, u32)> {
    let (_, body) = frame_header(bytes)?;
    let [_, high, low, wide_high, wide_low, ..] = *body else {
        return None;
    };
    let side = |high, low| u32::from(u16::from_be_bytes([high, low]));
    Some((side(wide_high, wide_low), side(high, low)))
}

/// Whether the frame is progressive, and its header.
fn frame_header(bytes: &[u8]) -> Option<(bool, &[u8])> {
    let mut position = 2;
    while let Some((marker, start)) = next_marker(bytes, position) {
        position = match marker {
            0x01 | 0xd0..=0xd8 => start,
            0xd9 | 0xda => return None,
            _ => {
                let body = segment(bytes, start).ok()?;
                let is_frame =
                    matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc);
                if is_frame {
                    return Some((marker == 0xc2, body));
                }
                start + 2 + body.len()
            }
        };
    }
    None
}

/// Bytes that decoding holds for a pixel, the result included: samples of all components, and the
/// coefficients of a progressive file. `None` where there is no frame header.
pub(super) fn bytes_a_pixel(bytes: &[u8]) -> Option<u64> {
    let (progressive, body) = frame_header(bytes)?;
    let components = u64::from(*body.get(5)?);
    let each = if progressive { 3 } else { 1 };
    Some(components * each + 3)
}

/// The next marker code at or after `position`, and where its segment starts.
fn next_marker(bytes: &[u8], mut position: usize) -> Option<(u8, usize)> {
    loop {
        position += bytes
            .get(position..)?
            .iter()
            .position(|&byte| byte == 0xff)?;
        match *bytes.get(position + 1)? {
            0x00 => position += 2,
            0xff => position += 1,
            marker => return Some((marker, position + 2)),
        }
    }
}

/// The body of the segment whose length field is at `start`.
fn segment(bytes: &[u8], start: usize) -> Result<&[u8]> {
    let rest = bytes.get(start..).unwrap_or_default();
    let body = match rest {
        &[high, low, ..] => rest.get(2..usize::from(u16::from_be_bytes([high, low]))),
        _ => None,
    };
    body.ok_or_else(|| damaged("a segment is cut short"))
}

fn read_quantization(mut body: &[u8], tables: &mut Tables) -> Result<()> {
    while let Some((&head, rest)) = body.split_first() {
        let entry_bytes = if head >> 4 == 0 { 1 } else { 2 };
        let (table, rest) = rest
            .split_at_checked(64 * entry_bytes)
            .ok_or_else(|| damaged("a quantization table is cut short"))?;
        let slot = tables
            .quantization
            .get_mut(usize::from(head & 15))
            .ok_or_else(|| damaged("bad quantization table number"))?;
        let mut natural = [0; 64];
        for (index, &place) in transform::ZIGZAG.iter().enumerate() {
            natural[usize::from(place)] = match entry_bytes {
                1 => u16::from(table[index]),
                _ => u16::from_be_bytes([table[index * 2], table[index * 2 + 1]]),
            };
        }
        *slot = Some(natural);
        body = rest;
    }
    Ok(())
}

fn read_huffman(mut body: &[u8], tables: &mut Tables) -> Result<()> {
    while let Some((&head, rest)) = body.split_first() {
        let (counts, rest) = rest
            .split_first_chunk::<16>()
            .ok_or_else(|| damaged("a Huffman table is cut short"))?;
        let total = counts.iter().map(|&count| usize::from(count)).sum();
        let (values, rest) = rest
            .split_at_checked(total)
            .ok_or_else(|| damaged("a Huffman table is cut short"))?;
        let bank = if head >> 4 == 0 {
            &mut tables.dc
        } else {
            &mut tables.ac
        };
        let slot = bank
            .get_mut(usize::from(head & 15))
            .ok_or_else(|| damaged("bad Huffman table number"))?;
        *slot = Some(HuffmanTable::new(counts, values)?);
        body = rest;
    }
    Ok(())
}

fn damaged(detail: impl std::fmt::Display) -> ImageError {
    ImageError::malformed(Format::Jpeg, detail)
}
