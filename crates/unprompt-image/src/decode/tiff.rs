//! TIFF, first page, through the `tiff` crate.

use super::{Decoded, Samples, orient};
use crate::{Format, ImageError, Limits, Result};
use ::tiff::{
    ColorType, TiffError,
    decoder::{Decoder, DecodingResult, Limits as TiffLimits},
    tags::Tag,
};
use std::{borrow::Cow, io::Cursor};

type TiffReader<'a> = Decoder<Cursor<&'a [u8]>>;

/// What a pixel's samples mean.
#[derive(Clone, Copy, PartialEq)]
enum Model {
    Grey,
    GreyAlpha,
    Palette,
    Rgb,
    Rgba,
    Cmyk,
}

pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Decoded> {
    let (bytes, has_palette) = palette_read_as_grey(bytes);
    let budget = usize::try_from(limits.max_buffer_bytes).unwrap_or(usize::MAX);
    let mut tiff_limits = TiffLimits::default();
    tiff_limits.decoding_buffer_size = budget;
    tiff_limits.intermediate_buffer_size = budget;
    let mut decoder = Decoder::new(Cursor::new(bytes.as_ref()))
        .map_err(damaged)?
        .with_limits(tiff_limits);

    let (width, height) = decoder.dimensions().map_err(damaged)?;
    let colour = decoder.colortype().map_err(damaged)?;
    let (model, channels, bits) = match colour {
        ColorType::Gray(bits @ 1..=8) if has_palette => (Model::Palette, 1, bits),
        ColorType::Gray(bits) => (Model::Grey, 1, bits),
        ColorType::Multiband {
            bit_depth,
            num_samples: 2,
        } => (Model::GreyAlpha, 2, bit_depth),
        ColorType::RGB(bits) => (Model::Rgb, 3, bits),
        ColorType::RGBA(bits) => (Model::Rgba, 4, bits),
        ColorType::CMYK(bits) => (Model::Cmyk, 4, bits),
        other => {
            return Err(ImageError::unsupported(
                Format::Tiff,
                format_args!("{other:?}"),
            ));
        }
    };
    let bytes_per_pixel = channels as u64 * u64::from(bits).div_ceil(8);
    limits.check_pixels(width.into(), height.into(), bytes_per_pixel.max(3))?;

    let mut result = DecodingResult::U8(Vec::new());
    let layout = decoder.read_image_to_buffer(&mut result).map_err(damaged)?;
    let row_samples = width as usize * if layout.planes > 1 { 1 } else { channels };
    let spread = model != Model::Palette;
    let stored = match result {
        DecodingResult::U8(samples) if bits == 8 => samples,
        DecodingResult::U8(samples) if matches!(bits, 1 | 2 | 4) => {
            unpack_bits(&samples, row_samples, bits, spread)
        }
        // The high byte, as for 16-bit PNG.
        DecodingResult::U16(samples) if bits == 16 => {
            samples.iter().map(|sample| (sample >> 8) as u8).collect()
        }
        _ => {
            return Err(ImageError::unsupported(
                Format::Tiff,
                format_args!("samples of {bits} bits that are not plain 1, 2, 4, 8 or 16-bit ones"),
            ));
        }
    };
    let pixel_count = width as usize * height as usize;
    if stored.len() < pixel_count * channels {
        return Err(ImageError::malformed(
            Format::Tiff,
            "fewer samples than pixels",
        ));
    }
    let stored = match layout.planes {
        0 | 1 => stored,
        _ => (0..pixel_count * channels)
            .map(|index| stored[index % channels * pixel_count + index / channels])
            .collect(),
    };

    let samples = match model {
        Model::Grey => Samples::Rgb(super::grey_to_rgb(&stored)),
        Model::GreyAlpha => {
            let pairs = stored.as_chunks::<2>().0.iter();
            Samples::Rgba(pairs.flat_map(|&[v, alpha]| [v, v, v, alpha]).collect())
        }
        Model::Palette => Samples::Rgb(expand_palette(&mut decoder, &stored)?),
        Model::Rgb => Samples::Rgb(stored),
        Model::Rgba => Samples::Rgba(stored),
        Model::Cmyk => {
            let pixels = stored.as_chunks::<4>().0.iter();
            let convert = |&[cyan, magenta, yellow, black]: &[u8; 4]| {
                super::cmyk_to_rgb([cyan, magenta, yellow], black)
            };
            Samples::Rgb(pixels.flat_map(convert).collect())
        }
    };
    let orientation = decoder
        .find_tag_unsigned::<u8>(Tag::Orientation)
        .ok()
        .flatten()
        .unwrap_or(1);
    // Pillow turns TIFF upright while opening it, and only TIFF.
    Ok(orient::apply(Decoded {
        width,
        height,
        samples,
        orientation,
    }))
}

/// The `tiff` crate refuses palettes, but reads their indices when the picture says it is grey; so
/// a picture with a palette is read from a copy that says so. Tells whether that was done.
fn palette_read_as_grey(bytes: &[u8]) -> (Cow<'_, [u8]>, bool) {
    const PHOTOMETRIC: u16 = 262;
    const PALETTE: u16 = 3;
    const BLACK_IS_ZERO: u16 = 1;
    let little_endian = bytes.starts_with(b"II*\0");
    let short = |at: usize| {
        let pair = *bytes.get(at..)?.first_chunk::<2>()?;
        Some(if little_endian {
            u16::from_le_bytes(pair)
        } else {
            u16::from_be_bytes(pair)
        })
    };
    let find = || {
        let first = *bytes.get(4..)?.first_chunk::<4>()?;
        let first = if little_endian {
            u32::from_le_bytes(first)
        } else {
            u32::from_be_bytes(first)
        };
        let directory = first as usize;
        let mut entries =
            (0..usize::from(short(directory)?)).map(|index| directory + 2 + index * 12);
        let entry = entries.find(|&entry| short(entry) == Some(PHOTOMETRIC))?;
        (short(entry + 8)? == PALETTE).then_some(entry + 8)
    };
    if !(little_endian || bytes.starts_with(b"MM\0*")) {
        return (Cow::Borrowed(bytes), false);
    }
    let Some(at) = find() else {
        return (Cow::Borrowed(bytes), false);
    };
    let mut copy = bytes.to_vec();
    let grey = if little_endian {
        BLACK_IS_ZERO.to_le_bytes()
    } else {
        BLACK_IS_ZERO.to_be_bytes()
    };
    copy[at..at + 2].copy_from_slice(&grey);
    (Cow::Owned(copy), true)
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

/// An index past the palette's end is that level of grey, as in Pillow.
fn expand_palette(decoder: &mut TiffReader<'_>, indices: &[u8]) -> Result<Vec<u8>> {
    let map = decoder.get_tag_u16_vec(Tag::ColorMap).map_err(damaged)?;
    let entries = map.len() / 3;
    let colours: [[u8; 3]; 256] = std::array::from_fn(|index| {
        let plane = |plane: usize| (map[plane * entries + index] >> 8) as u8;
        if index < entries {
            [0, 1, 2].map(plane)
        } else {
            [index as u8; 3]
        }
    });
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
