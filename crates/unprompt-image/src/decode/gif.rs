//! GIF, first frame, through the `gif` crate.

use super::{Decoded, Samples, zeroed};
use crate::{Format, ImageError, Limits, Result};
use ::gif::{ColorOutput, DecodeOptions, DecodingError, MemoryLimit};
use std::num::NonZeroU64;

pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Decoded> {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    let most = NonZeroU64::new(limits.max_buffer_bytes).unwrap_or(NonZeroU64::MIN);
    options.set_memory_limit(MemoryLimit::Bytes(most));
    let mut decoder = options.read_info(bytes).map_err(damaged)?;
    let (screen_width, screen_height) = (decoder.width(), decoder.height());
    let global_palette = decoder.global_palette().map(<[u8]>::to_vec);

    let frame = decoder
        .next_frame_info()
        .map_err(damaged)?
        .ok_or_else(|| ImageError::malformed(Format::Gif, "no frame in it"))?;
    let (left, top) = (usize::from(frame.left), usize::from(frame.top));
    let (frame_width, frame_height) = (usize::from(frame.width), usize::from(frame.height));
    // A frame that sticks out makes the picture larger, as in Pillow.
    let width = usize::from(screen_width).max(left + frame_width);
    let height = usize::from(screen_height).max(top + frame_height);
    let palette = frame.palette.clone().or(global_palette).unwrap_or_default();
    let transparent = frame.transparent;

    let channels = if transparent.is_some() { 4 } else { 3 };
    let length = limits.check_pixels(width as u64, height as u64, channels)?;
    if frame_width == 0 || frame_height == 0 {
        return Err(ImageError::malformed(
            Format::Gif,
            "its first frame is empty",
        ));
    }
    let mut indices = zeroed(frame_width * frame_height)?;
    decoder.read_into_buffer(&mut indices).map_err(damaged)?;

    // Around the frame lies the transparent colour, or colour 0.
    let colours = palette_of(&palette, transparent);
    let outside = colours[usize::from(transparent.unwrap_or(0))];
    let mut pixels = Vec::new();
    pixels
        .try_reserve_exact(length)
        .map_err(|_| ImageError::limit("no memory for its pixels"))?;
    for y in 0..height {
        let row = y.checked_sub(top).filter(|&row| row < frame_height);
        for x in 0..width {
            let column = x.checked_sub(left).filter(|&column| column < frame_width);
            let colour = match (row, column) {
                (Some(row), Some(column)) => {
                    colours[usize::from(indices[row * frame_width + column])]
                }
                _ => outside,
            };
            pixels.extend_from_slice(&colour[..channels as usize]);
        }
    }
    let samples = if transparent.is_some() {
        Samples::Rgba(pixels)
    } else {
        Samples::Rgb(pixels)
    };
    Ok(Decoded {
        width: width as u32,
        height: height as u32,
        samples,
        orientation: 1,
    })
}

/// All 256 colours; an index past the palette's end is that level of grey, as in Pillow.
fn palette_of(palette: &[u8], transparent: Option<u8>) -> [[u8; 4]; 256] {
    let mut colours = std::array::from_fn(|index| [index as u8, index as u8, index as u8, 255]);
    for (colour, &[red, green, blue]) in colours.iter_mut().zip(palette.as_chunks::<3>().0) {
        *colour = [red, green, blue, 255];
    }
    if let Some(index) = transparent {
        colours[usize::from(index)][3] = 0;
    }
    colours
}

fn damaged(error: DecodingError) -> ImageError {
    match error {
        DecodingError::MemoryLimit | DecodingError::OutOfMemory => {
            ImageError::limit("its GIF frame needs more memory than allowed")
        }
        other => ImageError::malformed(Format::Gif, other),
    }
}
