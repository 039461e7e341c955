//! Sums of vectors, in f64.

/// The weighted sum of vectors.
pub(crate) fn blend<'a>(rows: impl IntoIterator<Item = (f64, &'a [f64])>) -> Vec<f64> {
    let mut sum: Vec<f64> = Vec::new();
    for (weight, row) in rows {
        sum.resize(row.len(), 0.0);
        sum.iter_mut()
            .zip(row)
            .for_each(|(sum, value)| *sum += weight * value);
    }
    sum
}

/// A vector at unit length; one of zeros stays as it is.
pub(crate) fn unit(values: &[f64]) -> Vec<f64> {
    let norm = product(values, values).sqrt().max(1e-12);
    values.iter().map(|value| value / norm).collect()
}

/// The cosine of two vectors, 0 where one of them is all zeros.
pub(crate) fn cosine(left: &[f64], right: &[f64]) -> f64 {
    product(&unit(left), &unit(right))
}

/// The inner product.
pub(super) fn product(left: &[f64], right: &[f64]) -> f64 {
    left.iter()
        .zip(right)
        .map(|(left, right)| left * right)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_blends_are_weighted_sums() {
        // Worked out by hand: one coordinate a member, and one that all share.
        let rows = [
            [1.0, 0.0, 0.0, 0.5],
            [0.0, 1.0, 0.0, 0.5],
            [0.0, 0.0, 1.0, 0.5],
        ];
        for (weights, shared) in [([0.7488, 0.2112, 0.04], 0.5), ([0.60, 0.15, 0.25], 0.5)] {
            let found = blend(weights.into_iter().zip(rows.iter().map(|row| &row[..])));
            let expected = [weights[0], weights[1], weights[2], shared];
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() < 1e-12, "{found} {expected}");
            }
        }
    }

    #[test]
    fn a_vector_of_zeros_has_no_direction() {
        assert_eq!(unit(&[0.0, 0.0]), [0.0, 0.0]);
        assert_eq!(cosine(&[0.0, 0.0], &[1.0, 0.0]), 0.0);
        assert!((cosine(&[3.0, 4.0], &[4.0, 3.0]) - 0.96).abs() < 1e-12);
    }
}
