//! JPEG.

use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use super::{Decoded, Samples, grey_to_rgb, orient, zeroed};
use crate::{Format, ImageError, Limits, Result};

pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Decoded> {
    let max_side = limits.max_side as usize;
    let options = DecoderOptions::default()
        .set_strict_mode(false)
        .set_max_width(max_side)
        .set_max_height(max_side);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(damaged)?;
    let (Some(info), Some(stored)) = (decoder.info(), decoder.input_colorspace()) else {
        return Err(ImageError::malformed(Format::Jpeg, "no frame header"));
    };
    let (width, height) = (u32::from(info.width), u32::from(info.height));
    let target = match stored {
        ColorSpace::Luma => ColorSpace::Luma,
        ColorSpace::CMYK => ColorSpace::CMYK,
        ColorSpace::YCCK => ColorSpace::YCCK,
        _ => ColorSpace::RGB,
    };
    let channels = target.num_components() as u64;
    let length = limits.check_pixels(width.into(), height.into(), channels.max(3))?;
    decoder.set_options(options.jpeg_set_out_colorspace(target));
    let length = length.max(decoder.output_buffer_size().unwrap_or(0));
    let mut buffer = zeroed(length)?;
    decoder.decode_into(&mut buffer).map_err(damaged)?;
    buffer.truncate(width as usize * height as usize * channels as usize);
    let pixels = match target {
        ColorSpace::Luma => grey_to_rgb(&buffer),
        ColorSpace::CMYK => inverted_cmyk_to_rgb(buffer),
        ColorSpace::YCCK => inverted_cmyk_to_rgb(ycck_to_cmyk(buffer)),
        _ => buffer,
    };
    let orientation = decoder.exif().map_or(1, |exif| orient::from_exif(exif));
    Ok(Decoded {
        width,
        height,
        samples: Samples::Rgb(pixels),
        orientation,
    })
}

/// Adobe's YCCK: YCbCr of the inverted inks, and K.
fn ycck_to_cmyk(mut pixels: Vec<u8>) -> Vec<u8> {
    for pixel in pixels.as_chunks_mut::<4>().0 {
        let (y, cb, cr) = (
            pixel[0] as i32,
            pixel[1] as i32 - 128,
            pixel[2] as i32 - 128,
        );
        let half = 1 << 15;
        let red = y + ((91_881 * cr + half) >> 16);
        let green = y + ((-22_554 * cb - 46_802 * cr + half) >> 16);
        let blue = y + ((116_130 * cb + half) >> 16);
        for (sample, value) in pixel.iter_mut().zip([red, green, blue]) {
            *sample = 255 - value.clamp(0, 255) as u8;
        }
    }
    pixels
}

/// Adobe stores CMYK inverted; Pillow assumes so for every CMYK JPEG. Then Pillow's CMYK to RGB.
fn inverted_cmyk_to_rgb(mut pixels: Vec<u8>) -> Vec<u8> {
    let count = pixels.len() / 4;
    for index in 0..count {
        let not_black = u32::from(pixels[index * 4 + 3]);
        for channel in 0..3 {
            let ink = 255 - u32::from(pixels[index * 4 + channel]);
            let product = ink * not_black + 128;
            let scaled = ((product >> 8) + product) >> 8;
            pixels[index * 3 + channel] = (not_black - scaled) as u8;
        }
    }
    pixels.truncate(count * 3);
    pixels
}

fn damaged(error: impl std::fmt::Debug) -> ImageError {
    ImageError::malformed(Format::Jpeg, format_args!("{error:?}"))
}
