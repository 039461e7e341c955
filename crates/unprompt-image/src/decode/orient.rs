//! The EXIF orientation: finding it, and turning pixels by it.

use super::{Decoded, Samples};

/// Orientation of an EXIF block that starts at its TIFF header (an `Exif\0\0` prefix is skipped);
/// 1 (as stored) when absent or damaged.
pub(super) fn from_exif(exif: &[u8]) -> u8 {
    let exif = exif.strip_prefix(b"Exif\0\0").unwrap_or(exif);
    match stored(exif) {
        Some(orientation @ 1..=8) => orientation as u8,
        _ => 1,
    }
}

/// The entry of the first directory: one value of 16 bits.
fn stored(tiff: &[u8]) -> Option<u16> {
    const ORIENTATION: u16 = 0x112;
    const SHORT: u16 = 3;
    let is_little = match tiff.first_chunk()? {
        b"II*\0" => true,
        b"MM\0*" => false,
        _ => return None,
    };
    let half = |at: usize| {
        let bytes = *tiff.get(at..)?.first_chunk()?;
        Some(match is_little {
            true => u16::from_le_bytes(bytes),
            false => u16::from_be_bytes(bytes),
        })
    };
    let word = |at: usize| {
        let halves = [half(at)?, half(at + 2)?].map(u32::from);
        Some(match is_little {
            true => halves[0] | halves[1] << 16,
            false => halves[1] | halves[0] << 16,
        })
    };
    let directory = word(4)? as usize;
    for index in 0..usize::from(half(directory)?) {
        let entry = directory + 2 + 12 * index;
        let kind = (half(entry)?, half(entry + 2)?, word(entry + 4)?);
        if kind == (ORIENTATION, SHORT, 1) {
            return half(entry + 8);
        }
    }
    None
}

/// Turns the picture upright; `orientation` is the EXIF value, 1 to 8, anything else is upright.
pub(super) fn apply(decoded: Decoded) -> Decoded {
    let Decoded {
        width,
        height,
        samples,
        orientation,
    } = decoded;
    if !(2..=8).contains(&orientation) {
        return Decoded {
            width,
            height,
            samples,
            orientation: 1,
        };
    }
    let size = (width as usize, height as usize);
    let samples = match samples {
        Samples::Rgb(pixels) => Samples::Rgb(turn::<3>(&pixels, size, orientation)),
        Samples::Rgba(pixels) => Samples::Rgba(turn::<4>(&pixels, size, orientation)),
    };
    let (width, height) = if orientation >= 5 {
        (height, width)
    } else {
        (width, height)
    };
    Decoded {
        width,
        height,
        samples,
        orientation: 1,
    }
}

fn turn<const CHANNELS: usize>(
    pixels: &[u8],
    (width, height): (usize, usize),
    orientation: u8,
) -> Vec<u8> {
    let (out_width, out_height) = if orientation >= 5 {
        (height, width)
    } else {
        (width, height)
    };
    let source = pixels.as_chunks::<CHANNELS>().0;
    let mut turned = Vec::with_capacity(pixels.len());
    for y in 0..out_height {
        for x in 0..out_width {
            // The stored pixel that is shown at (x, y).
            let (stored_x, stored_y) = match orientation {
                2 => (width - 1 - x, y),
                3 => (width - 1 - x, height - 1 - y),
                4 => (x, height - 1 - y),
                5 => (y, x),
                6 => (y, height - 1 - x),
                7 => (width - 1 - y, height - 1 - x),
                _ => (width - 1 - y, x),
            };
            turned.extend_from_slice(&source[stored_y * width + stored_x]);
        }
    }
    turned
}
