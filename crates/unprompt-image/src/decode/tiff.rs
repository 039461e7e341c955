//! TIFF, first page, through the `tiff` crate.

use std::io::Cursor;

use ::tiff::decoder::{Decoder, DecodingResult, Limits as TiffLimits};
use ::tiff::tags::Tag;
use ::tiff::{ColorType, TiffError};

use super::{Decoded, Samples};
use crate::{Format, ImageError, Limits, Result};

type TiffReader<'a> = Decoder<Cursor<&'a [u8]>>;

pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Decoded> {
    let budget = usize::try_from(limits.max_buffer_bytes).unwrap_or(usize::MAX);
    let mut tiff_limits = TiffLimits::default();
    tiff_limits.decoding_buffer_size = budget;
    tiff_limits.intermediate_buffer_size = budget;
    let mut decoder = Decoder::new(Cursor::new(bytes))
        .map_err(damaged)?
        .with_limits(tiff_limits);

    let (width, height) = decoder.dimensions().map_err(damaged)?;
    let colour = decoder.colortype().map_err(damaged)?;
    let (channels, bits) = match colour {
        ColorType::Gray(bits) | ColorType::Palette(bits) => (1, bits),
        ColorType::GrayA(bits) => (2, bits),
        ColorType::RGB(bits) => (3, bits),
        ColorType::RGBA(bits) | ColorType::CMYK(bits) => (4, bits),
        other => {
            return Err(ImageError::unsupported(
                Format::Tiff,
                format_args!("{other:?}"),
            ));
        }
    };
    let bytes_per_sample = u64::from(bits).div_ceil(8);
    limits.check_pixels(
        width.into(),
        height.into(),
        (channels * bytes_per_sample).max(3),
    )?;

    let mut result = DecodingResult::U8(Vec::new());
    let layout = decoder.read_image_to_buffer(&mut result).map_err(damaged)?;
    if layout.planes > 1 && channels > 1 {
        return Err(ImageError::unsupported(
            Format::Tiff,
            "separate colour planes",
        ));
    }
    let stored = match result {
        DecodingResult::U8(samples) if bits == 8 => samples,
        DecodingResult::U8(samples) if bits < 8 => {
            let spread = !matches!(colour, ColorType::Palette(_));
            unpack_bits(&samples, width as usize * channels as usize, bits, spread)
        }
        // The high byte, as for 16-bit PNG.
        DecodingResult::U16(samples) if bits == 16 => {
            samples.iter().map(|sample| (sample >> 8) as u8).collect()
        }
        _ => {
            return Err(ImageError::unsupported(
                Format::Tiff,
                format_args!("{bits}-bit samples that are not unsigned integers of 1 to 16 bits"),
            ));
        }
    };
    let pixel_count = width as usize * height as usize;
    if stored.len() < pixel_count * channels as usize {
        return Err(ImageError::malformed(
            Format::Tiff,
            "fewer samples than pixels",
        ));
    }
    let samples = match colour {
        ColorType::Gray(_) => Samples::Rgb(super::grey_to_rgb(&stored)),
        ColorType::Palette(_) => Samples::Rgb(expand_palette(&mut decoder, &stored)?),
        ColorType::GrayA(_) => Samples::Rgba(
            stored
                .as_chunks::<2>()
                .0
                .iter()
                .flat_map(|&[v, alpha]| [v, v, v, alpha])
                .collect(),
        ),
        ColorType::RGBA(_) => Samples::Rgba(stored),
        ColorType::CMYK(_) => Samples::Rgb(
            stored
                .as_chunks::<4>()
                .0
                .iter()
                .flat_map(|&[cyan, magenta, yellow, black]| {
                    super::cmyk_to_rgb([cyan, magenta, yellow], black)
                })
                .collect(),
        ),
        _ => Samples::Rgb(stored),
    };
    let orientation = decoder
        .find_tag_unsigned::<u8>(Tag::Orientation)
        .ok()
        .flatten()
        .unwrap_or(1);
    Ok(Decoded {
        width,
        height,
        samples,
        orientation,
    })
}

/// Unpacks rows of 1-, 2- or 4-bit samples, each row starting on a byte; `spread` scales the
/// values to 0..=255.
fn unpack_bits(packed: &[u8], samples_per_row: usize, bits: u8, spread: bool) -> Vec<u8> {
    let row_bytes = (samples_per_row * usize::from(bits)).div_ceil(8);
    let per_byte = usize::from(8 / bits);
    let most = (1u16 << bits) - 1;
    let scale = if spread { 255 / most } else { 1 } as u8;
    let mut samples = Vec::with_capacity(packed.len() * per_byte);
    for row in packed.chunks_exact(row_bytes.max(1)) {
        samples.extend((0..samples_per_row).map(|index| {
            let shift = 8 - bits - (index % per_byte) as u8 * bits;
            ((row[index / per_byte] >> shift) & most as u8) * scale
        }));
    }
    samples
}

fn expand_palette(decoder: &mut TiffReader<'_>, indices: &[u8]) -> Result<Vec<u8>> {
    let map = decoder.get_tag_u16_vec(Tag::ColorMap).map_err(damaged)?;
    let entries = map.len() / 3;
    let colour = |index: u8| {
        let index = usize::from(index);
        let part = |plane: usize| (map[plane * entries + index] >> 8) as u8;
        if index < entries {
            [part(0), part(1), part(2)]
        } else {
            [index as u8; 3]
        }
    };
    let colours: [[u8; 3]; 256] = std::array::from_fn(|index| colour(index as u8));
    Ok(indices
        .iter()
        .flat_map(|&index| colours[usize::from(index)])
        .collect())
}

fn damaged(error: TiffError) -> ImageError {
    match error {
        TiffError::LimitsExceeded => {
            ImageError::limit("its TIFF values need more memory than allowed")
        }
        TiffError::UnsupportedError(error) => ImageError::unsupported(Format::Tiff, error),
        other => ImageError::malformed(Format::Tiff, other),
    }
}
