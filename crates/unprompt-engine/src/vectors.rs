//! Sums, lengths and weights of vectors, in f64.

/// The weighted sum of vectors, at unit length; `normalize` brings each to unit length before.
pub(crate) fn blend<'a>(
    rows: impl IntoIterator<Item = (f64, &'a [f64])>,
    normalize: bool,
) -> Vec<f64> {
    unit(&sum(rows, normalize))
}

/// The same as long as it is.
pub(crate) fn sum<'a>(
    rows: impl IntoIterator<Item = (f64, &'a [f64])>,
    normalize: bool,
) -> Vec<f64> {
    let mut sum: Vec<f64> = Vec::new();
    for (weight, row) in rows {
        let scale = if normalize {
            weight / length(row)
        } else {
            weight
        };
        sum.resize(row.len(), 0.0);
        sum.iter_mut()
            .zip(row)
            .for_each(|(sum, value)| *sum += scale * value);
    }
    sum
}

/// A vector at unit length; one of zeros stays as it is.
pub(crate) fn unit(values: &[f64]) -> Vec<f64> {
    let length = length(values);
    values.iter().map(|value| value / length).collect()
}

/// The length of a vector. Never 0, so that a vector of zeros can be divided by it.
pub(crate) fn length(values: &[f64]) -> f64 {
    product(values, values).sqrt().max(1e-12)
}

/// The cosine of two vectors, 0 where one of them is all zeros.
pub(crate) fn cosine(left: &[f64], right: &[f64]) -> f64 {
    product(&unit(left), &unit(right))
}

/// The inner product.
pub(crate) fn product(left: &[f64], right: &[f64]) -> f64 {
    left.iter()
        .zip(right)
        .map(|(left, right)| left * right)
        .sum()
}

/// Soft-max of scores at a temperature.
pub(crate) fn soft_max(scores: impl Iterator<Item = f64> + Clone, temperature: f64) -> Vec<f64> {
    let largest = scores.clone().fold(f64::NEG_INFINITY, f64::max);
    let exponentials: Vec<f64> = scores
        .map(|score| ((score - largest) / temperature).exp())
        .collect();
    let total: f64 = exponentials.iter().sum();
    exponentials
        .into_iter()
        .map(|value| value / total)
        .collect()
}

pub(crate) fn widened(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

pub(crate) fn narrowed(values: &[f64]) -> Vec<f32> {
    values.iter().map(|value| *value as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Blends {
        members: Vec<Vec<f64>>,
        cases: Vec<Case>,
    }

    #[derive(serde::Deserialize)]
    struct Case {
        name: String,
        weights: Vec<f64>,
        normalize_members: bool,
        expected: Vec<f64>,
    }

    #[test]
    fn the_published_blends_equal_numpy() {
        let blends = include_str!("../tests/fixtures/blends.json");
        let blends: Blends = serde_json::from_str(blends).unwrap();
        assert_eq!(blends.cases.len(), 4);
        for case in &blends.cases {
            let rows = blends.members.iter().map(Vec::as_slice);
            let rows = case.weights.iter().copied().zip(rows);
            let found = blend(rows, case.normalize_members);
            assert_eq!(found.len(), 384);
            for (found, expected) in found.iter().zip(&case.expected) {
                let difference = (found - expected).abs();
                assert!(difference < 1e-6, "{}: {found} {expected}", case.name);
            }
        }
        // The two ways differ here, so that neither passes for the other.
        assert!((blends.cases[0].expected[0] - blends.cases[1].expected[0]).abs() > 1e-4);
    }

    #[test]
    fn a_vector_of_zeros_has_no_direction() {
        assert_eq!(unit(&[0.0, 0.0]), [0.0, 0.0]);
        assert_eq!(cosine(&[0.0, 0.0], &[1.0, 0.0]), 0.0);
        assert!((cosine(&[3.0, 4.0], &[4.0, 3.0]) - 0.96).abs() < 1e-12);
    }
}
