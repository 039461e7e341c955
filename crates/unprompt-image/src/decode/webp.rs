//! WebP, through the `image-webp` crate.

use super::{Decoded, Samples, orient, zeroed};
use crate::{Format, ImageError, Limits, Result};
use image_webp::WebPDecoder;
use std::io::Cursor;

pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Decoded> {
    let mut decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(damaged)?;
    let budget = usize::try_from(limits.max_buffer_bytes).unwrap_or(usize::MAX);
    decoder.set_memory_limit(budget);
    let (width, height) = decoder.dimensions();
    let has_alpha = decoder.has_alpha();
    // Lossless and animated pictures pass through four channels inside the decoder.
    limits.check_pixels(width.into(), height.into(), 4)?;
    let length = limits.check_pixels(width.into(), height.into(), if has_alpha { 4 } else { 3 })?;
    if decoder.is_animated() {
        // libwebp's animation decoder starts from a transparent canvas, not the hinted colour.
        decoder.set_background_color([0; 4]).map_err(damaged)?;
    }
    let mut buffer = zeroed(length)?;
    decoder.read_image(&mut buffer).map_err(damaged)?;
    let exif = decoder.exif_metadata().ok().flatten();
    let orientation = exif.map_or(1, |exif| orient::from_exif(&exif));
    let samples = if has_alpha {
        Samples::Rgba(buffer)
    } else {
        Samples::Rgb(buffer)
    };
    Ok(Decoded {
        width,
        height,
        samples,
        orientation,
    })
}

fn damaged(error: image_webp::DecodingError) -> ImageError {
    match error {
        image_webp::DecodingError::MemoryLimitExceeded => {
            ImageError::limit("its WebP chunks need more memory than allowed")
        }
        other => ImageError::malformed(Format::WebP, other),
    }
}
