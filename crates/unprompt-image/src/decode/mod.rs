//! From untrusted bytes to pixels, under limits.

mod bmp;
mod contain;
mod dimensions;
mod gif;
mod jpeg;
mod needs;
mod orient;
mod png;
mod tiff;
mod webp;

pub use dimensions::dimensions;
pub use needs::decoding_bytes;

use crate::{
    Admission, Format, ImageError, ImageErrorKind, Limits, Result, RgbImage, RgbaImage, sniff,
    sniff_other,
};
use serde::{Deserialize, Serialize};
use std::{fs::File, io::Read, path::Path};

/// How a picture is decoded to RGB.
///
/// The default does what the reference pipelines do (`Image.open(path).convert("RGB")`): alpha is
/// dropped and the EXIF orientation is ignored. The models' published scores were measured on
/// pictures opened that way, so following it makes our numbers comparable with theirs; a caller
/// who wants to see the picture as a viewer shows it asks for [`Orientation::Applied`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DecodeOptions {
    /// What the picture may cost.
    pub limits: Limits,
    /// What becomes of transparency.
    pub alpha: Alpha,
    /// What becomes of the EXIF orientation.
    pub orientation: Orientation,
}

/// What becomes of transparency on the way to RGB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Alpha {
    /// The colour stored under the transparency is kept (Pillow's `convert("RGB")`; transformers
    /// 4, open_clip).
    #[default]
    Drop,
    /// The picture is composited over white, in Pillow's `alpha_composite` arithmetic
    /// (transformers 5).
    OverWhite,
}

/// What becomes of the EXIF orientation tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Orientation {
    /// Pixels stay as stored, as in every reference pipeline. (Except for TIFF, which Pillow itself
    /// turns upright on opening, and so does this crate.)
    #[default]
    AsStored,
    /// Pixels are turned and mirrored as the tag says, as viewers do (Pillow's
    /// `ImageOps.exif_transpose`).
    Applied,
}

/// What a format's decoder hands back: 8-bit samples, and what the file says about its upright.
struct Decoded {
    width: u32,
    height: u32,
    samples: Samples,
    /// EXIF orientation, 1 (upright) to 8.
    orientation: u8,
}

/// Interleaved 8-bit samples, row after row.
enum Samples {
    Rgb(Vec<u8>),
    Rgba(Vec<u8>),
}

/// Decodes an encoded picture to 8-bit RGB; the format is told from the content.
///
/// Pixels are to the bit what Pillow 13's `Image.open(..).convert("RGB")` gives, lossy formats
/// included, with one deliberate exception: 16-bit grey keeps its high byte, as 16-bit RGB does,
/// where Pillow clips every level above 255 to white and so hands a model an almost white picture.
///
/// # Errors
/// See [`ImageErrorKind`]: unknown format, a limit exceeded, a damaged or unsupported file.
pub fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<RgbImage> {
    let (format, mut decoded) = decode_samples(bytes, &options.limits)?;
    if options.orientation == Orientation::Applied {
        decoded = orient::apply(decoded);
    }
    let pixels = match (decoded.samples, options.alpha) {
        (Samples::Rgb(pixels), _) => pixels,
        (Samples::Rgba(pixels), Alpha::Drop) => drop_alpha(pixels),
        (Samples::Rgba(pixels), Alpha::OverWhite) => over_white(pixels),
    };
    let format = Some(format);
    Ok(RgbImage {
        width: decoded.width,
        height: decoded.height,
        pixels,
        format,
    })
}

/// Reads and decodes a file; reads at most one byte more than the limit, whatever its length.
///
/// # Errors
/// As [`decode`], and [`ImageErrorKind::Io`]; every message names the file.
pub fn decode_file(path: impl AsRef<Path>, options: &DecodeOptions) -> Result<RgbImage> {
    let path = path.as_ref();
    let file = File::open(path).map_err(|error| ImageError::io(path, error))?;
    let most = options.limits.max_encoded_bytes as u64;
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| ImageError::io(path, error))?;
    decode(&bytes, options).map_err(|error| error.at(path))
}

/// Decodes to 8-bit RGBA with the alpha as stored: straight, never premultiplied, the colour under
/// full transparency untouched. Orientation is not applied.
///
/// A picture without transparency is opaque, and [`RgbaImage::has_alpha`] is false.
///
/// # Errors
/// As [`decode`].
pub fn decode_rgba(bytes: &[u8], limits: &Limits) -> Result<RgbaImage> {
    let (format, decoded) = decode_samples(bytes, limits)?;
    let (pixels, has_alpha) = match decoded.samples {
        Samples::Rgba(pixels) => (pixels, true),
        Samples::Rgb(pixels) => {
            limits.check_pixels(decoded.width.into(), decoded.height.into(), 4)?;
            (
                pixels
                    .as_chunks::<3>()
                    .0
                    .iter()
                    .flat_map(|&[r, g, b]| [r, g, b, 255])
                    .collect(),
                false,
            )
        }
    };
    Ok(RgbaImage {
        width: decoded.width,
        height: decoded.height,
        pixels,
        format,
        has_alpha,
    })
}

fn decode_samples(bytes: &[u8], limits: &Limits) -> Result<(Format, Decoded)> {
    limits.check_encoded(bytes.len())?;
    let _admission = Admission::wait(bytes, limits)?;
    let format = sniff(bytes).ok_or_else(|| unknown_format(bytes))?;
    let decoder = match format {
        Format::Png => png::decode,
        Format::Jpeg => jpeg::decode,
        Format::WebP => webp::decode,
        Format::Gif => gif::decode,
        Format::Bmp => bmp::decode,
        Format::Tiff => tiff::decode,
    };
    let decoded = contain::contain_panics(format, || decoder(bytes, limits))?;
    Ok((format, decoded))
}

/// Says what a file is that is of no format read here.
fn unknown_format(bytes: &[u8]) -> ImageError {
    let what = match sniff_other(bytes) {
        Some(format) => format!("{format}, which is not read; {}", format.next_step()),
        None if bytes.is_empty() => "an empty file".to_owned(),
        None => "not a picture".to_owned(),
    };
    ImageError::new(
        ImageErrorKind::UnknownFormat,
        format!("{what}; PNG, JPEG, WebP, GIF, BMP and TIFF are read"),
    )
}

/// RGBA to RGB in place, so that the peak is one buffer.
fn drop_alpha(mut pixels: Vec<u8>) -> Vec<u8> {
    let count = pixels.len() / 4;
    for index in 0..count {
        pixels.copy_within(index * 4..index * 4 + 3, index * 3);
    }
    pixels.truncate(count * 3);
    pixels
}

/// Composites over white as Pillow's `alpha_composite` does on an opaque background: 7 extra bits
/// of precision, rounded division by 255.
fn over_white(mut pixels: Vec<u8>) -> Vec<u8> {
    const PRECISION_BITS: u32 = 7;
    for pixel in pixels.as_chunks_mut::<4>().0 {
        let source_weight = u32::from(pixel[3]) << PRECISION_BITS;
        let white_weight = (255 << PRECISION_BITS) - source_weight;
        for channel in &mut pixel[..3] {
            let sum = u32::from(*channel) * source_weight + 255 * white_weight;
            let rounded = sum + (0x80 << PRECISION_BITS);
            *channel = ((((rounded >> 8) + rounded) >> 8) >> PRECISION_BITS) as u8;
        }
    }
    drop_alpha(pixels)
}

/// A zeroed buffer whose length passed the limits; a failed allocation is an error, not an abort.
///
/// The reservation before it is only to learn whether there is room. An allocator that takes the same
/// memory again has to clear it, so each byte costs what it would if it were written.
fn zeroed<T: Default + Clone>(length: usize) -> Result<Vec<T>> {
    Vec::<T>::new().try_reserve_exact(length).map_err(|_| {
        ImageError::limit(format_args!("no memory for a buffer of {length} samples"))
    })?;
    Ok(vec![T::default(); length])
}

/// Spreads single-channel samples to RGB.
fn grey_to_rgb(grey: &[u8]) -> Vec<u8> {
    grey.iter().flat_map(|&value| [value; 3]).collect()
}

/// Pillow's CMYK to RGB: `(1 - black) * (1 - ink)`, rounded.
fn cmyk_to_rgb(inks: [u8; 3], black: u8) -> [u8; 3] {
    let not_black = 255 - u32::from(black);
    inks.map(|ink| {
        let product = u32::from(ink) * not_black + 128;
        (not_black - (((product >> 8) + product) >> 8)) as u8
    })
}
