//! The geometric steps.

use super::steps::{CropRounding, ResizeTarget, Step};
use crate::{Result, RgbImage, resize};

pub(super) fn apply(step: Step, image: &RgbImage) -> Result<RgbImage> {
    match step {
        Step::Resize { target, filter } => {
            let (width, height) = target_size(target, image.width, image.height);
            resize(image, width, height, filter)
        }
        Step::CenterCrop {
            width,
            height,
            rounding,
            fill,
        } => Ok(center_crop(image, width, height, rounding, fill)),
    }
}

/// Width and height after a resize; zero or absurd results are refused by the resize itself.
fn target_size(target: ResizeTarget, width: u32, height: u32) -> (u32, u32) {
    match target {
        ResizeTarget::Exact { width, height } => (width, height),
        ResizeTarget::ShortestSide(side) => {
            let longer = |long: u32, short: u32| {
                ((u64::from(side) * u64::from(long)) as f64 / f64::from(short)) as u32
            };
            if width <= height {
                (side, longer(height, width))
            } else {
                (longer(width, height), side)
            }
        }
        ResizeTarget::Fit {
            width: box_width,
            height: box_height,
        } => scaled(width, height, box_width, box_height, f64::max),
        ResizeTarget::Cover {
            width: box_width,
            height: box_height,
        } => scaled(width, height, box_width, box_height, f64::min),
    }
}

fn scaled(
    width: u32,
    height: u32,
    box_width: u32,
    box_height: u32,
    choose: fn(f64, f64) -> f64,
) -> (u32, u32) {
    let by_height = f64::from(height) / f64::from(box_height);
    let by_width = f64::from(width) / f64::from(box_width);
    let ratio = choose(by_height, by_width);
    let side = |side: u32| (f64::from(side) / ratio).round_ties_even() as u32;
    (side(width), side(height))
}

/// Offset of the result in the picture; negative where the picture is padded.
fn crop_start(side: u32, crop: u32, rounding: CropRounding) -> i64 {
    let margin = i64::from(side) - i64::from(crop);
    match rounding {
        CropRounding::Floor => margin.div_euclid(2),
        // torchvision pads the smaller half before the picture.
        CropRounding::HalfToEven if margin < 0 => -(-margin / 2),
        CropRounding::HalfToEven => (margin as f64 / 2.0).round_ties_even() as i64,
    }
}

fn center_crop(
    image: &RgbImage,
    width: u32,
    height: u32,
    rounding: CropRounding,
    fill: [u8; 3],
) -> RgbImage {
    let left = crop_start(image.width, width, rounding);
    let top = crop_start(image.height, height, rounding);
    let source = image.pixels.as_chunks::<3>().0;
    let mut pixels = vec![fill; width as usize * height as usize];
    // The columns where picture and result overlap, in the result's coordinates.
    let first = (-left).clamp(0, i64::from(width)) as usize;
    let last = (i64::from(image.width) - left).clamp(0, i64::from(width)) as usize;
    for (y, row) in pixels.chunks_exact_mut(width.max(1) as usize).enumerate() {
        let source_y = top + y as i64;
        if first < last && (0..i64::from(image.height)).contains(&source_y) {
            let start = source_y as usize * image.width as usize + (left + first as i64) as usize;
            row[first..last].copy_from_slice(&source[start..start + (last - first)]);
        }
    }
    RgbImage {
        width,
        height,
        pixels: pixels.into_flattened(),
        format: image.format,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_margins_round_as_each_reference_does() {
        let starts = |rounding| [5, 7, 8, 9].map(|side| crop_start(side, 4, rounding));
        assert_eq!(starts(CropRounding::Floor), [0, 1, 2, 2]);
        assert_eq!(starts(CropRounding::HalfToEven), [0, 2, 2, 2]);
        assert_eq!(crop_start(1, 4, CropRounding::Floor), -2);
        assert_eq!(crop_start(1, 4, CropRounding::HalfToEven), -1);
    }

    #[test]
    fn a_smaller_picture_is_padded() {
        let image = RgbImage::from_pixels(1, 2, vec![1, 2, 3, 4, 5, 6]).unwrap();
        let cropped = center_crop(&image, 3, 1, CropRounding::Floor, [9; 3]);
        assert_eq!(cropped.pixels, [9, 9, 9, 1, 2, 3, 9, 9, 9]);
    }
}
