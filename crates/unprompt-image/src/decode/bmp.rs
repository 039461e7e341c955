//! BMP, through the `image` crate.

use super::{Decoded, Samples, zeroed};
use crate::{Format, ImageError, Limits, Result};
use image::{ColorType, ImageDecoder, codecs::bmp::BmpDecoder, error::ImageError as DecoderError};
use std::io::Cursor;

pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Decoded> {
    // The decoder has a limit of its own, which it reports as damage; ours comes first.
    if let Some((width, height)) = claimed_size(bytes) {
        limits.check_pixels(width, height, 3)?;
    }
    let decoder = BmpDecoder::new(Cursor::new(bytes)).map_err(damaged)?;
    let (width, height) = decoder.dimensions();
    let colour = decoder.color_type();
    let channels = u64::from(colour.bytes_per_pixel());
    let length = limits.check_pixels(width.into(), height.into(), channels)?;
    let mut buffer = zeroed(length)?;
    decoder.read_image(&mut buffer).map_err(damaged)?;
    if let Some(bits) = packed_bits(bytes) {
        truncate_levels(&mut buffer, channels as usize, bits);
    }
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

/// Width and height in the header; negative ones only turn the picture upside down.
fn claimed_size(bytes: &[u8]) -> Option<(u64, u64)> {
    const CORE_HEADER: u32 = 12;
    let word = |at: usize| {
        bytes
            .get(at..)?
            .first_chunk()
            .copied()
            .map(u32::from_le_bytes)
    };
    let (width, height) = match word(14)? {
        CORE_HEADER => (word(18)? & 0xffff, word(18)? >> 16),
        _ => (
            word(18)?.cast_signed().unsigned_abs(),
            word(22)?.cast_signed().unsigned_abs(),
        ),
    };
    Some((width.into(), height.into()))
}

/// Bits per channel of a 16-bit picture in one of the two layouts that Pillow reads.
fn packed_bits(bytes: &[u8]) -> Option<[u32; 3]> {
    const BIT_FIELDS: u32 = 3;
    let word = |at: usize| {
        bytes
            .get(at..)?
            .first_chunk()
            .copied()
            .map(u32::from_le_bytes)
    };
    if *bytes.get(28..)?.first_chunk()? != 16u16.to_le_bytes() || word(14)? < 40 {
        return None;
    }
    match (word(30)?, word(54), word(58), word(62)) {
        (BIT_FIELDS, Some(0xf800), Some(0x07e0), Some(0x1f)) => Some([5, 6, 5]),
        (BIT_FIELDS, Some(0x7c00), Some(0x03e0), Some(0x1f)) | (0, ..) => Some([5, 5, 5]),
        _ => None,
    }
}

/// The decoder rounds when it widens 5 or 6 bits to 8; Pillow truncates.
fn truncate_levels(pixels: &mut [u8], channels: usize, bits: [u32; 3]) {
    let tables = bits.map(|bits| {
        let most = (1u32 << bits) - 1;
        std::array::from_fn::<u8, 256, _>(|rounded| {
            let level = (rounded as u32 * most + 127) / 255;
            (level * 255 / most) as u8
        })
    });
    for pixel in pixels.chunks_exact_mut(channels) {
        for (sample, table) in pixel.iter_mut().zip(&tables) {
            *sample = table[usize::from(*sample)];
        }
    }
}

fn damaged(error: DecoderError) -> ImageError {
    match error {
        DecoderError::Unsupported(error) => ImageError::unsupported(Format::Bmp, error),
        DecoderError::Limits(error) => ImageError::limit(error),
        other => ImageError::malformed(Format::Bmp, other),
    }
}
