//! The EXIF orientation: finding it, and turning pixels by it.

use super::{Decoded, Samples};

/// Orientation of an EXIF block that starts at its TIFF header (an `Exif\0\0` prefix is skipped);
/// 1 (as stored) when absent or damaged.
pub(super) fn from_exif(exif: &[u8]) -> u8 {
    let exif = exif.strip_prefix(b"Exif\0\0").unwrap_or(exif);
    image::metadata::Orientation::from_exif_chunk(exif).map_or(1, |found| found.to_exif())
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
