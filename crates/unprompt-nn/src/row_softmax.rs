//! Soft-max of single rows, in sixteen fixed chains: the same bits on every
//! machine. To be inlined into a caller that has the vector instructions.

use crate::{
    activation::exp,
    reduction::{CHAINS, join, join_largest, larger},
};

/// Soft-max of `scale * scores + bias`, in place.
#[inline(always)]
pub(crate) fn softmax(scores: &mut [f32], scale: f32, bias: Option<&[f32]>) {
    match bias {
        Some(bias) => {
            for (score, bias) in scores.iter_mut().zip(bias) {
                *score = score.mul_add(scale, *bias);
            }
        }
        None => {
            for score in scores.iter_mut() {
                *score *= scale;
            }
        }
    }
    let largest = largest(scores);
    for score in scores.iter_mut() {
        *score = exp(*score - largest);
    }
    let factor = 1.0 / sum(scores);
    for score in scores.iter_mut() {
        *score *= factor;
    }
}

/// The logarithm of the sum of the exponentials, less the largest: `(largest, rest)`, so that the
/// log-probability of a value is `value - largest - rest`.
#[inline(always)]
pub(crate) fn log_sum_exp(values: &[f32]) -> (f32, f32) {
    let largest = largest(values);
    let (chunks, rest) = values.as_chunks::<CHAINS>();
    let mut chains = [0.0f32; CHAINS];
    for chunk in chunks {
        for (chain, value) in chains.iter_mut().zip(chunk) {
            *chain += exp(*value - largest);
        }
    }
    for (chain, value) in chains.iter_mut().zip(rest) {
        *chain += exp(*value - largest);
    }
    (largest, join(chains).ln())
}

/// The largest value; one that is no number is passed over.
#[inline(always)]
fn largest(values: &[f32]) -> f32 {
    let (chunks, rest) = values.as_chunks::<CHAINS>();
    let mut chains = [f32::NEG_INFINITY; CHAINS];
    for chunk in chunks {
        for (chain, value) in chains.iter_mut().zip(chunk) {
            *chain = larger(*chain, *value);
        }
    }
    for (chain, value) in chains.iter_mut().zip(rest) {
        *chain = larger(*chain, *value);
    }
    join_largest(chains)
}

#[inline(always)]
fn sum(values: &[f32]) -> f32 {
    let (chunks, rest) = values.as_chunks::<CHAINS>();
    let mut chains = [0.0f32; CHAINS];
    for chunk in chunks {
        for (chain, value) in chains.iter_mut().zip(chunk) {
            *chain += value;
        }
    }
    for (chain, value) in chains.iter_mut().zip(rest) {
        *chain += value;
    }
    join(chains)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_double_precision_at_every_length() {
        for length in [1usize, 15, 16, 17, 40, 1000] {
            let values: Vec<f32> = (0..length)
                .map(|i| ((i * 37) % 19) as f32 * 0.7 - 5.0)
                .collect();
            let bias: Vec<f32> = (0..length).map(|i| ((i * 11) % 7) as f32 * 0.3).collect();
            let exact = |scale: f64| -> Vec<f64> {
                let scores = values.iter().zip(&bias);
                let scores: Vec<f64> = scores
                    .map(|(v, b)| (f64::from(*v) * scale + f64::from(*b)).exp())
                    .collect();
                let total: f64 = scores.iter().sum();
                scores.iter().map(|score| score / total).collect()
            };
            let mut found = values.clone();
            softmax(&mut found, 0.5, Some(&bias));
            for (found, expected) in found.iter().zip(exact(0.5)) {
                assert!((f64::from(*found) - expected).abs() < 1e-6 * expected + 1e-12);
            }
            let (largest, rest) = log_sum_exp(&values);
            let expected = values.iter().map(|v| f64::from(*v).exp()).sum::<f64>().ln();
            assert!((f64::from(largest + rest) - expected).abs() < 1e-5);
        }
    }
}
