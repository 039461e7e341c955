//! The EXIF orientation: finding it, and turning pixels by it.

use crate::RgbImage;

/// Orientation of an EXIF block that starts at its TIFF header (an `Exif\0\0` prefix is skipped);
/// 1 (as stored) when absent or damaged.
pub(super) fn from_exif(exif: &[u8]) -> u8 {
    let exif = exif.strip_prefix(b"Exif\0\0").unwrap_or(exif);
    image::metadata::Orientation::from_exif_chunk(exif).map_or(1, |found| found.to_exif())
}

/// Turns the picture upright; `orientation` is the EXIF value, 1 to 8, anything else is upright.
pub(super) fn apply(image: RgbImage, orientation: u8) -> RgbImage {
    if !(2..=8).contains(&orientation) {
        return image;
    }
    let (width, height) = (image.width as usize, image.height as usize);
    let swaps_sides = orientation >= 5;
    let (out_width, out_height) = if swaps_sides {
        (height, width)
    } else {
        (width, height)
    };
    let source = image.pixels.as_chunks::<3>().0;
    let mut pixels = Vec::with_capacity(image.pixels.len());
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
            pixels.extend_from_slice(&source[stored_y * width + stored_x]);
        }
    }
    RgbImage {
        width: out_width as u32,
        height: out_height as u32,
        pixels,
        format: image.format,
    }
}
