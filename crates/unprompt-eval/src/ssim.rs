//! How alike two pictures are to the eye: SSIM.
//!
//! Paper: Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity"
//! (2004). Reference: `structural_similarity` of scikit-image with `gaussian_weights=True`, `sigma=1.5`,
//! `use_sample_covariance=False` and `data_range=255`, over luma.

/// Pixels from the middle of the window to its edge: 11 pixels across.
const RADIUS: usize = 5;
const SIGMA: f64 = 1.5;
/// What keeps the quotients finite: (0.01 * 255)² and (0.03 * 255)².
const C1: f64 = 6.5025;
const C2: f64 = 58.5225;

/// The structural similarity of two pictures of one size, 8-bit RGB: 1 for equal ones, about 0 for
/// unrelated ones. It is the mean over all windows that lie within the picture, of the luma as ITU-R
/// BT.601 weighs it.
///
/// `None` where the lengths do not fit the size, or a side is below the 11 pixels of a window.
pub fn ssim(one: &[u8], other: &[u8], width: usize, height: usize) -> Option<f64> {
    let length = width.checked_mul(height)?.checked_mul(3)?;
    let window = 2 * RADIUS + 1;
    if one.len() != length || other.len() != length || width < window || height < window {
        return None;
    }
    let (x, y) = (luma(one), luma(other));
    let product =
        |a: &[f64], b: &[f64]| -> Vec<f64> { a.iter().zip(b).map(|(a, b)| a * b).collect() };
    let blurred = |values: &[f64]| blur(values, width, height);
    let (mean_x, mean_y) = (blurred(&x), blurred(&y));
    let (square_x, square_y) = (blurred(&product(&x, &x)), blurred(&product(&y, &y)));
    let mixed = blurred(&product(&x, &y));
    let mut sum = 0.0;
    for index in 0..mixed.len() {
        let (mx, my) = (mean_x[index], mean_y[index]);
        let (vx, vy) = (square_x[index] - mx * mx, square_y[index] - my * my);
        let covariance = mixed[index] - mx * my;
        let above = (2.0 * mx * my + C1) * (2.0 * covariance + C2);
        sum += above / ((mx * mx + my * my + C1) * (vx + vy + C2));
    }
    Some(sum / mixed.len() as f64)
}

fn luma(pixels: &[u8]) -> Vec<f64> {
    let one =
        |[r, g, b]: &[u8; 3]| 0.299 * f64::from(*r) + 0.587 * f64::from(*g) + 0.114 * f64::from(*b);
    pixels.as_chunks().0.iter().map(one).collect()
}

/// The Gaussian means over every window within the picture, (height - 10, width - 10).
fn blur(values: &[f64], width: usize, height: usize) -> Vec<f64> {
    let weight = |offset: usize| {
        let distance = offset as f64 - RADIUS as f64;
        (-0.5 * (distance / SIGMA).powi(2)).exp()
    };
    let weights: Vec<f64> = (0..=2 * RADIUS).map(weight).collect();
    let total: f64 = weights.iter().sum();
    let weights: Vec<f64> = weights.into_iter().map(|weight| weight / total).collect();
    let (columns, rows) = (width - 2 * RADIUS, height - 2 * RADIUS);
    let mut across = Vec::with_capacity(columns * height);
    for row in values.chunks_exact(width) {
        for window in row.windows(weights.len()) {
            let terms = window.iter().zip(&weights);
            across.push(terms.map(|(value, weight)| value * weight).sum::<f64>());
        }
    }
    let mut out = Vec::with_capacity(columns * rows);
    for row in 0..rows {
        for column in 0..columns {
            let terms = weights.iter().enumerate();
            let term = |(offset, weight): (usize, &f64)| {
                weight * across[(row + offset) * columns + column]
            };
            out.push(terms.map(term).sum::<f64>());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: usize, height: usize, seed: u32) -> Vec<u8> {
        let value = |index: usize| {
            let mixed = (index as u32)
                .wrapping_mul(2_654_435_761)
                .wrapping_add(seed);
            ((mixed >> 13) ^ mixed) as u8
        };
        (0..width * height * 3).map(value).collect()
    }

    #[test]
    fn equal_pictures_have_one_and_others_less() {
        let (width, height) = (17, 23);
        let one = picture(width, height, 0);
        let found = ssim(&one, &one, width, height).unwrap();
        assert!((found - 1.0).abs() < 1e-12, "{found}");
        let other = picture(width, height, 77_777_777);
        let apart = ssim(&one, &other, width, height).unwrap();
        // By scikit-image 0.26.0, and so below.
        assert!((apart + 0.242_088_422_958_974).abs() < 1e-9, "{apart}");
        let swapped = ssim(&other, &one, width, height).unwrap();
        assert!((apart - swapped).abs() < 1e-12);
        let near: Vec<u8> = one.iter().map(|value| value.saturating_add(2)).collect();
        let found = ssim(&one, &near, width, height).unwrap();
        assert!((found - 0.999_865_996_139_370).abs() < 1e-9, "{found}");
    }

    #[test]
    fn flat_pictures_differ_by_their_brightness_alone() {
        let flat = |value: u8| vec![value; 11 * 11 * 3];
        let found = ssim(&flat(100), &flat(200), 11, 11).unwrap();
        let expected = (2.0 * 100.0 * 200.0 + C1) / (100.0f64.powi(2) + 200.0f64.powi(2) + C1);
        assert!((found - expected).abs() < 1e-9, "{found}");
    }

    #[test]
    fn what_cannot_be_compared_has_none() {
        assert_eq!(ssim(&[0; 300], &[0; 300], 10, 10), None);
        assert_eq!(ssim(&[0; 363], &[0; 300], 11, 11), None);
        assert_eq!(ssim(&[], &[], usize::MAX, 2), None);
    }
}
