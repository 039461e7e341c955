//! Changes of colour, as Pillow's `ImageEnhance` and `ImageOps` make them: each value is moved away from, or
//! towards, that of a plainer picture.

use unprompt_image::RgbImage;

/// Towards black below 1.
pub(super) fn brightness(picture: &mut RgbImage, factor: f32) {
    for value in &mut picture.pixels {
        *value = blended(0.0, *value, factor);
    }
}

/// Towards the mean grey below 1.
pub(super) fn contrast(picture: &mut RgbImage, factor: f32) {
    let pixels = picture.pixels.as_chunks::<3>().0;
    let sum: u64 = pixels.iter().map(|pixel| u64::from(grey(*pixel))).sum();
    let mean = (sum as f64 / pixels.len().max(1) as f64).round() as f32;
    for value in &mut picture.pixels {
        *value = blended(mean, *value, factor);
    }
}

/// Towards each pixel's grey below 1.
pub(super) fn saturation(picture: &mut RgbImage, factor: f32) {
    for pixel in picture.pixels.as_chunks_mut::<3>().0 {
        let grey = f32::from(grey(*pixel));
        for value in pixel {
            *value = blended(grey, *value, factor);
        }
    }
}

/// Towards the blurred picture below 1. The border stays, as in Pillow.
pub(super) fn sharpness(picture: &mut RgbImage, factor: f32) {
    let (width, height) = (picture.width as usize, picture.height as usize);
    let before = picture.pixels.clone();
    for y in 1..height.saturating_sub(1) {
        for x in 1..width.saturating_sub(1) {
            for channel in 0..3 {
                let at = |x: usize, y: usize| u32::from(before[(y * width + x) * 3 + channel]);
                let around: u32 = (y - 1..=y + 1)
                    .flat_map(|y| (x - 1..=x + 1).map(move |x| (x, y)))
                    .map(|(x, y)| at(x, y))
                    .sum();
                let blurred = (around + 4 * at(x, y)) as f32 / 13.0;
                let value = &mut picture.pixels[(y * width + x) * 3 + channel];
                *value = blended(blurred, *value, factor);
            }
        }
    }
}

/// Each channel over the whole range.
pub(super) fn spread(picture: &mut RgbImage) {
    let pixels = picture.pixels.as_chunks_mut::<3>().0;
    for channel in 0..3 {
        let values = pixels.iter().map(|pixel| pixel[channel]);
        let (Some(low), Some(high)) = (values.clone().min(), values.max()) else {
            return;
        };
        if low == high {
            continue;
        }
        let scale = 255.0 / f32::from(high - low);
        for pixel in pixels.iter_mut() {
            pixel[channel] = rounded(f32::from(pixel[channel] - low) * scale);
        }
    }
}

/// ITU-R 601-2, in Pillow's whole numbers.
fn grey([red, green, blue]: [u8; 3]) -> u8 {
    let sum = u32::from(red) * 19_595 + u32::from(green) * 38_470 + u32::from(blue) * 7_471;
    ((sum + 0x8000) >> 16) as u8
}

fn blended(plain: f32, value: u8, factor: f32) -> u8 {
    rounded(plain + factor * (f32::from(value) - plain))
}

fn rounded(value: f32) -> u8 {
    // Beyond the range a cast takes the nearest end.
    (value + 0.5) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_factor_of_1_changes_nothing() {
        let pixels: Vec<u8> = (0..75).map(|index| index * 3).collect();
        let picture = RgbImage::from_pixels(5, 5, pixels).unwrap();
        for change in [brightness, contrast, saturation, sharpness] {
            let mut changed = picture.clone();
            change(&mut changed, 1.0);
            assert_eq!(changed, picture);
        }
        let mut dark = picture.clone();
        brightness(&mut dark, 0.0);
        assert!(dark.pixels.iter().all(|value| *value == 0));
        let mut plain = picture.clone();
        saturation(&mut plain, 0.0);
        assert!(
            plain
                .pixels
                .as_chunks::<3>()
                .0
                .iter()
                .all(|[r, g, b]| r == g && g == b)
        );
        let mut wide = RgbImage::from_pixels(2, 1, vec![10, 5, 0, 20, 5, 255]).unwrap();
        spread(&mut wide);
        assert_eq!(wide.pixels, [0, 5, 0, 255, 5, 255]);
    }
}
