//! PNG, through the `png` crate.

use super::{Decoded, Samples, grey_to_rgb, orient, zeroed};
use crate::{Format, ImageError, Limits, Result};
use ::png::{BitDepth, ColorType, Decoder, DecodingError, Transformations};
use std::io::Cursor;

pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Decoded> {
    let budget = usize::try_from(limits.max_buffer_bytes).unwrap_or(usize::MAX);
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), ::png::Limits { bytes: budget });
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    // Palettes to RGB, grey below 8 bits to 8, transparent colours to alpha; 16 bits to the high
    // byte.
    decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);

    let header = decoder.read_header_info().map_err(damaged)?;
    let (width, height) = (header.width, header.height);
    // Until the palette and its transparency are read, assume the four channels they may expand to.
    let samples = match header.color_type {
        ColorType::Indexed => 4,
        other => other.samples() as u64 + 1,
    };
    let stored_bits = header.color_type.samples() as u64 * header.bit_depth as u64;
    limits.check_pixels(
        width.into(),
        height.into(),
        samples.min(4).max(stored_bits / 8),
    )?;

    let mut reader = decoder.read_info().map_err(damaged)?;
    let length = reader
        .output_buffer_size()
        .ok_or_else(|| ImageError::limit(format_args!("{width} x {height} pixels overflow")))?;
    if length as u64 > limits.max_buffer_bytes {
        return Err(ImageError::limit(format_args!(
            "{width} x {height} pixels need {length} bytes"
        )));
    }
    let mut buffer = zeroed(length)?;
    let output = reader.next_frame(&mut buffer).map_err(damaged)?;
    if (output.width, output.height, output.bit_depth) != (width, height, BitDepth::Eight) {
        return Err(ImageError::malformed(
            Format::Png,
            "its frame does not fill the picture",
        ));
    }
    buffer.truncate(output.buffer_size());

    let samples = match output.color_type {
        ColorType::Rgb => Samples::Rgb(buffer),
        ColorType::Rgba => Samples::Rgba(buffer),
        ColorType::Grayscale => {
            limits.check_pixels(width.into(), height.into(), 3)?;
            Samples::Rgb(grey_to_rgb(&buffer))
        }
        ColorType::GrayscaleAlpha => {
            limits.check_pixels(width.into(), height.into(), 4)?;
            let pairs = buffer.as_chunks::<2>().0;
            Samples::Rgba(
                pairs
                    .iter()
                    .flat_map(|&[v, alpha]| [v, v, v, alpha])
                    .collect(),
            )
        }
        ColorType::Indexed => {
            return Err(ImageError::malformed(
                Format::Png,
                "it has a palette but none to expand",
            ));
        }
    };
    let orientation = reader
        .info()
        .exif_metadata
        .as_ref()
        .map_or(1, |exif| orient::from_exif(exif));
    Ok(Decoded {
        width,
        height,
        samples,
        orientation,
    })
}

fn damaged(error: DecodingError) -> ImageError {
    match error {
        DecodingError::LimitsExceeded => {
            ImageError::limit("its PNG chunks need more memory than allowed")
        }
        other => ImageError::malformed(Format::Png, other),
    }
}
