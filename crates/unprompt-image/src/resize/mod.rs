//! Resizing that equals Pillow's `Image.resize` on 8-bit RGB, bit for bit.

mod convolve;
mod filter;
mod nearest;

pub use filter::Filter;

use crate::{ImageError, ImageErrorKind, Result, RgbImage};

/// Largest picture a resize may produce, in pixels (as the default decoding limit).
const MAX_OUTPUT_PIXELS: u64 = 64 << 20;

/// Resizes to exactly `width x height` pixels, as Pillow 13's `Image.resize((width, height),
/// filter)` does: antialiased (the filter is stretched when shrinking), one pass along the rows and
/// one along the columns, each in 32-bit fixed point and rounded to 8 bits.
///
/// # Errors
/// [`ImageErrorKind::InvalidArgument`] for a zero or absurd target size, or a picture whose fields
/// disagree.
pub fn resize(image: &RgbImage, width: u32, height: u32, filter: Filter) -> Result<RgbImage> {
    image.check()?;
    let pixels = u64::from(width) * u64::from(height);
    if pixels == 0 || pixels > MAX_OUTPUT_PIXELS {
        return Err(ImageError::new(
            ImageErrorKind::InvalidArgument,
            format!(
                "cannot resize to {width} x {height} pixels: each side must be at least 1, \
                 the picture at most {MAX_OUTPUT_PIXELS} pixels"
            ),
        ));
    }
    if (width, height) == (image.width, image.height) {
        return Ok(image.clone());
    }
    let from = (image.width as usize, image.height as usize);
    let to = (width as usize, height as usize);
    let pixels = match filter {
        Filter::Nearest => nearest::resize(&image.pixels, from, to),
        _ => convolve::resize(&image.pixels, from, to, filter),
    };
    Ok(RgbImage {
        width,
        height,
        pixels,
        format: image.format,
    })
}
