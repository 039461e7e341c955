//! Parts of pictures, and pictures that are turned, slanted or moved.

use unprompt_image::RgbImage;

/// What lies outside of a picture, as in timm.
const FILL: u8 = 128;

/// The part of this size whose upper left corner is at `(left, top)`. It lies within the picture.
pub(super) fn cut(
    picture: &RgbImage,
    (left, top): (usize, usize),
    (width, height): (u32, u32),
) -> RgbImage {
    let row = |y: usize| {
        let start = ((top + y) * picture.width as usize + left) * 3;
        &picture.pixels[start..start + width as usize * 3]
    };
    RgbImage {
        width,
        height,
        pixels: (0..height as usize).flat_map(row).copied().collect(),
        format: None,
    }
}

/// Turns a picture about its middle, by degrees.
pub(super) fn rotate(picture: &mut RgbImage, degrees: f64) {
    let (sine, cosine) = degrees.to_radians().sin_cos();
    map(picture, [cosine, sine, 0.0, -sine, cosine, 0.0]);
}

/// Slants a picture: each row is moved by `x` times its distance from the middle, each column by `y`
/// times.
pub(super) fn shear(picture: &mut RgbImage, x: f64, y: f64) {
    map(picture, [1.0, x, 0.0, y, 1.0, 0.0]);
}

/// Moves a picture by so many pixels.
pub(super) fn shift(picture: &mut RgbImage, x: f64, y: f64) {
    map(picture, [1.0, 0.0, x, 0.0, 1.0, y]);
}

/// Fills each place with what is at `a x + b y + c` and `d x + e y + f`, between four pixels, both
/// counted from the middle.
fn map(picture: &mut RgbImage, [a, b, c, d, e, f]: [f64; 6]) {
    let (width, height) = (picture.width as usize, picture.height as usize);
    let before = std::mem::take(&mut picture.pixels);
    let middle = ((width as f64 - 1.0) / 2.0, (height as f64 - 1.0) / 2.0);
    let at = |x: i64, y: i64, channel: usize| {
        let inside = x >= 0 && y >= 0 && x < width as i64 && y < height as i64;
        let value = inside.then(|| before[(y as usize * width + x as usize) * 3 + channel]);
        f64::from(value.unwrap_or(FILL))
    };
    let mut pixels = Vec::with_capacity(before.len());
    for row in 0..height {
        for column in 0..width {
            let (x, y) = (column as f64 - middle.0, row as f64 - middle.1);
            let from = (a * x + b * y + c + middle.0, d * x + e * y + f + middle.1);
            let (left, top) = (from.0.floor(), from.1.floor());
            let (right_share, lower_share) = (from.0 - left, from.1 - top);
            let (left, top) = (left as i64, top as i64);
            for channel in 0..3 {
                let between = |y: i64| {
                    let (first, second) = (at(left, y, channel), at(left + 1, y, channel));
                    first + right_share * (second - first)
                };
                let (upper, lower) = (between(top), between(top + 1));
                pixels.push((upper + lower_share * (lower - upper) + 0.5) as u8);
            }
        }
    }
    picture.pixels = pixels;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_moves_by_nothing_and_a_shift_moves_all() {
        let pixels: Vec<u8> = (0..36).map(|index| index * 7).collect();
        let picture = RgbImage::from_pixels(4, 3, pixels).unwrap();
        let mut same = picture.clone();
        rotate(&mut same, 0.0);
        shear(&mut same, 0.0, 0.0);
        shift(&mut same, 0.0, 0.0);
        assert_eq!(same, picture);
        let mut moved = picture.clone();
        shift(&mut moved, 1.0, 0.0);
        assert_eq!(moved.pixels[..9], picture.pixels[3..12]);
        assert_eq!(moved.pixels[9..12], [FILL; 3]);
        let mut turned = picture.clone();
        rotate(&mut turned, 180.0);
        assert_eq!(turned.pixels[..3], picture.pixels[33..]);
        let part = cut(&picture, (1, 1), (2, 2));
        assert_eq!(part.pixels[..6], picture.pixels[15..21]);
    }
}
