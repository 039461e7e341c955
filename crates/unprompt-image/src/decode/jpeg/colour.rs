//! From components to RGB.

use super::{damaged, frame::Frame, upsample::Upsampler};
use crate::{Result, decode::zeroed};

/// What the application markers say about colour.
#[derive(Default)]
pub(super) struct Markers {
    pub(super) jfif: bool,
    pub(super) adobe_transform: Option<u8>,
}

#[derive(Clone, Copy)]
enum Model {
    Grey,
    Rgb,
    YCbCr,
    Cmyk,
    Ycck,
}

/// libjpeg's guess of the colour model.
fn model(frame: &Frame, markers: &Markers) -> Result<Model> {
    let ids: Vec<u8> = frame
        .components
        .iter()
        .map(|component| component.id)
        .collect();
    Ok(match (ids.as_slice(), markers.adobe_transform) {
        ([_], _) => Model::Grey,
        ([_, _, _], _) if markers.jfif => Model::YCbCr,
        ([_, _, _], Some(0)) | ([b'R', b'G', b'B'], None) => Model::Rgb,
        ([_, _, _], _) => Model::YCbCr,
        ([_, _, _, _], Some(0) | None) => Model::Cmyk,
        ([_, _, _, _], Some(_)) => Model::Ycck,
        _ => return Err(damaged("an impossible number of components")),
    })
}

/// The finished picture, 3 bytes a pixel.
pub(super) fn to_rgb(frame: &Frame, markers: &Markers) -> Result<Vec<u8>> {
    let model = model(frame, markers)?;
    let mut upsamplers: Vec<_> = frame
        .components
        .iter()
        .map(|component| (Upsampler::new(frame, component), Vec::new()))
        .collect();
    let mut pixels = zeroed(frame.width * frame.height * 3)?;
    for (y, row) in pixels.chunks_exact_mut(frame.width * 3).enumerate() {
        for (upsampler, line) in &mut upsamplers {
            upsampler.fill(y, line);
        }
        let line = |index: usize| upsamplers[index].1.iter().copied();
        let row = row.as_chunks_mut::<3>().0.iter_mut();
        match model {
            Model::Grey => row
                .zip(line(0))
                .for_each(|(pixel, grey)| *pixel = [grey; 3]),
            Model::Rgb | Model::YCbCr => {
                let samples = line(0).zip(line(1)).zip(line(2));
                for (pixel, ((first, second), third)) in row.zip(samples) {
                    *pixel = match model {
                        Model::Rgb => [first, second, third],
                        _ => ycbcr_to_rgb(first, second, third),
                    };
                }
            }
            Model::Cmyk | Model::Ycck => {
                let samples = line(0).zip(line(1)).zip(line(2).zip(line(3)));
                for (pixel, ((first, second), (third, black))) in row.zip(samples) {
                    let inks = match model {
                        Model::Cmyk => [first, second, third],
                        // YCbCr of the inverted inks.
                        _ => ycbcr_to_rgb(first, second, third).map(|value| 255 - value),
                    };
                    *pixel = inverted_cmyk_to_rgb(inks, black);
                }
            }
        }
    }
    Ok(pixels)
}

/// JFIF's conversion with 16 fraction bits.
#[inline]
fn ycbcr_to_rgb(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    const HALF: i32 = 1 << 15;
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    let red = y + ((91_881 * cr + HALF) >> 16);
    let green = y + ((-22_554 * cb - 46_802 * cr + HALF) >> 16);
    let blue = y + ((116_130 * cb + HALF) >> 16);
    [red, green, blue].map(|value| value.clamp(0, 255) as u8)
}

/// Adobe stores inks inverted, and Pillow takes every CMYK JPEG to be Adobe's; then Pillow's CMYK
/// to RGB.
fn inverted_cmyk_to_rgb(inverted_inks: [u8; 3], inverted_black: u8) -> [u8; 3] {
    super::super::cmyk_to_rgb(inverted_inks.map(|ink| 255 - ink), 255 - inverted_black)
}
