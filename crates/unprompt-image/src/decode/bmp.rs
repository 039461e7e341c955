//! BMP, through the `image` crate.

use std::io::Cursor;

use image::codecs::bmp::BmpDecoder;
use image::error::ImageError as DecoderError;
use image::{ColorType, ImageDecoder};

use super::{Decoded, Samples, zeroed};
use crate::{Format, ImageError, Limits, Result};

pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Decoded> {
    let decoder = BmpDecoder::new(Cursor::new(bytes)).map_err(damaged)?;
    let (width, height) = decoder.dimensions();
    let colour = decoder.color_type();
    let channels = u64::from(colour.bytes_per_pixel());
    let length = limits.check_pixels(width.into(), height.into(), channels)?;
    let mut buffer = zeroed(length)?;
    decoder.read_image(&mut buffer).map_err(damaged)?;
    let samples = match colour {
        ColorType::Rgb8 => Samples::Rgb(buffer),
        ColorType::Rgba8 => Samples::Rgba(buffer),
        other => {
            return Err(ImageError::unsupported(
                Format::Bmp,
                format_args!("{other:?}"),
            ));
        }
    };
    Ok(Decoded {
        width,
        height,
        samples,
        orientation: 1,
    })
}

fn damaged(error: DecoderError) -> ImageError {
    match error {
        DecoderError::Unsupported(error) => ImageError::unsupported(Format::Bmp, error),
        DecoderError::Limits(error) => ImageError::limit(error),
        other => ImageError::malformed(Format::Bmp, other),
    }
}
