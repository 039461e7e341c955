//! From a network's raw output to the vector that is compared.

/// Scales to unit length, as torch's `normalize` does: `x / max(|x|, 1e-12)`. A zero vector stays
/// zero.
pub fn to_unit_length(values: &mut [f32]) {
    let norm = values
        .iter()
        .map(|value| value * value)
        .sum::<f32>()
        .sqrt()
        .max(1e-12);
    values.iter_mut().for_each(|value| *value /= norm);
}

/// What the paper's regressor does with its output before it is blended: `x / (max|x| + 1e-7)`,
/// then to unit length.
///
/// For two views of a picture (as it is and flipped), this is applied to each and the results are
/// averaged, without another normalisation: [`mean_of_views`].
pub fn normalize_regression(values: &mut [f32]) {
    let largest = values
        .iter()
        .fold(0f32, |largest, value| largest.max(value.abs()));
    let scale = largest + 1e-7;
    values.iter_mut().for_each(|value| *value /= scale);
    to_unit_length(values);
}

/// The mean of several views' vectors, each normalised by [`normalize_regression`] first; not of
/// unit length itself. Views beyond the shortest one's width are cut; no views give no values.
pub fn mean_of_views(views: &[Vec<f32>]) -> Vec<f32> {
    let width = views.iter().map(Vec::len).min().unwrap_or(0);
    let count = views.len() as f32;
    (0..width)
        .map(|index| views.iter().map(|view| view[index]).sum::<f32>() / count)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_regression_is_scaled_by_its_largest_value_and_then_to_unit_length() {
        let mut values = [3.0, -4.0];
        normalize_regression(&mut values);
        assert!((values[0] - 0.6).abs() < 1e-6 && (values[1] + 0.8).abs() < 1e-6);

        // Far below the 1e-7 too.
        let mut tiny = [3e-9, -4e-9];
        normalize_regression(&mut tiny);
        assert!((tiny[0] - 0.6).abs() < 1e-6);

        let mut zero = [0.0; 3];
        normalize_regression(&mut zero);
        assert_eq!(zero, [0.0; 3]);
    }

    #[test]
    fn the_mean_of_views_is_not_normalised_again() {
        let mean = mean_of_views(&[vec![1.0, 0.0], vec![0.0, 1.0]]);
        assert_eq!(mean, [0.5, 0.5]);
        assert_eq!(mean_of_views(&[]), Vec::<f32>::new());
    }
}
