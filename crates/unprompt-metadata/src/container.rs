//! Finds the texts in each container.
//!
//! The walkers read chunk and segment headers only, never a pixel, so that the limits on text hold
//! whatever the picture is. Each ends in bounded time: every step moves forward in the file.

pub(crate) mod exif;
mod gif;
mod inflate;
pub(crate) mod jpeg;
pub(crate) mod png;
pub(crate) mod webp;

pub(crate) use inflate::{Inflated, gunzip};
use unprompt_image::Format;

use crate::carried::Carried;

/// Gathers the texts of a file whose format is known.
pub(crate) fn read(format: Format, bytes: &[u8]) -> Carried {
    let mut carried = Carried::default();
    match format {
        Format::Png => png::read(bytes, &mut carried),
        Format::Jpeg => jpeg::read(bytes, &mut carried),
        Format::WebP => webp::read(bytes, &mut carried),
        Format::Gif => gif::read(bytes, &mut carried),
        // A TIFF file is what an EXIF block is made of.
        Format::Tiff => exif::read(bytes, &mut carried),
        Format::Bmp => {}
    }
    carried
}

/// Whether hidden bits can have survived in the pixels: only where they are stored without loss.
pub(crate) fn keeps_low_bits(format: Format, bytes: &[u8]) -> bool {
    match format {
        Format::Png => png::keeps_low_bits(bytes),
        Format::WebP => webp::keeps_low_bits(bytes),
        _ => false,
    }
}
