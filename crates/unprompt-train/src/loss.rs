//! What training makes small, with its derivatives.
//!
//! A loss is a sum over rows, each times its share: for the mean over a batch one over the rows of the
//! whole batch, also where the batch comes in several parts.

/// Below this a length counts as this, as in PyTorch's `cosine_similarity`.
const LEAST_LENGTH: f64 = 1e-8;

/// A loss and its derivative by the outputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Loss {
    /// The sum over the rows.
    pub value: f64,
    /// As long as the outputs.
    pub gradient: Vec<f32>,
    /// Each row's cosine or entropy, without its share.
    pub rows: Vec<f64>,
}

/// One less the cosine of outputs and targets, both rows of `width`; `shares` has one number a row.
pub fn cosine_loss(outputs: &[f32], targets: &[f32], width: usize, shares: &[f64]) -> Loss {
    let mut loss = Loss::with_capacity(outputs.len());
    let rows = outputs.chunks_exact(width).zip(targets.chunks_exact(width));
    for ((output, target), share) in rows.zip(shares) {
        let (mut along, mut length, mut other) = (0.0f64, 0.0f64, 0.0f64);
        for (a, b) in output.iter().zip(target) {
            let (a, b) = (f64::from(*a), f64::from(*b));
            along += a * b;
            length += a * a;
            other += b * b;
        }
        let length = length.sqrt().max(LEAST_LENGTH);
        let other = other.sqrt().max(LEAST_LENGTH);
        let cosine = along / (length * other);
        loss.value += share * (1.0 - cosine);
        loss.rows.push(cosine);
        // d cos / dx = (y / |y| - cos x / |x|) / |x|
        loss.gradient
            .extend(output.iter().zip(target).map(|(a, b)| {
                let towards = f64::from(*b) / other - cosine * f64::from(*a) / length;
                (-share * towards / length) as f32
            }));
    }
    loss
}

/// The mean binary entropy of logits, rows of `width`, where `words` has the places of the ones of
/// each row.
pub fn entropy_loss(logits: &[f32], words: &[&[u32]], width: usize, shares: &[f64]) -> Loss {
    let mut loss = Loss::with_capacity(logits.len());
    let rows = logits.chunks_exact(width).zip(words);
    for ((logits, words), share) in rows.zip(shares) {
        let start = loss.gradient.len();
        let mut sum = 0.0;
        for logit in logits {
            let logit = f64::from(*logit);
            // ln(1 + e^x), without e^x of large x
            let small = (-logit.abs()).exp();
            sum += logit.max(0.0) + small.ln_1p();
            let probability = if logit < 0.0 {
                small / (1.0 + small)
            } else {
                1.0 / (1.0 + small)
            };
            let slope = share * probability / width as f64;
            loss.gradient.push(slope as f32);
        }
        for word in *words {
            let word = *word as usize;
            if let (Some(logit), Some(slope)) =
                (logits.get(word), loss.gradient.get_mut(start + word))
            {
                sum -= f64::from(*logit);
                *slope -= (share / width as f64) as f32;
            }
        }
        loss.value += share * sum / width as f64;
        loss.rows.push(sum / width as f64);
    }
    loss
}

impl Loss {
    fn with_capacity(length: usize) -> Self {
        Self {
            value: 0.0,
            gradient: Vec::with_capacity(length),
            rows: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares the gradient with the differences of the loss.
    fn check(at: &[f32], loss: impl Fn(&[f32]) -> Loss) {
        const STEP: f32 = 1e-2;
        let gradient = loss(at).gradient;
        assert_eq!(gradient.len(), at.len());
        for (index, found) in gradient.iter().enumerate() {
            let beside = |step: f32| {
                let mut moved = at.to_vec();
                moved[index] += step;
                loss(&moved).value
            };
            let expected = (beside(STEP) - beside(-STEP)) / (2.0 * f64::from(STEP));
            assert!(
                (f64::from(*found) - expected).abs() < 1e-4,
                "{index}: {found} {expected}"
            );
        }
    }

    #[test]
    fn gradients_are_those_of_differences() {
        let outputs = [0.5, -1.0, 2.0, 1.0, 1.5, -0.3];
        let targets = [0.1, -0.7, 0.2, -0.4, 0.6, 0.9];
        check(&outputs, |x| cosine_loss(x, &targets, 3, &[0.5, 0.25]));
        let words: [&[u32]; 2] = [&[0, 2], &[]];
        check(&outputs, |x| entropy_loss(x, &words, 3, &[0.5, 0.25]));
        let loss = cosine_loss(&outputs, &outputs, 3, &[0.5, 0.5]);
        assert!(loss.value.abs() < 1e-12 && loss.rows.iter().all(|cosine| *cosine > 1.0 - 1e-12));
    }

    #[test]
    fn what_has_no_length_and_large_logits_stay_finite() {
        let loss = cosine_loss(&[0.0, 0.0], &[0.0, 0.0], 2, &[1.0]);
        assert!(loss.value.is_finite() && loss.gradient.iter().all(|value| value.is_finite()));
        let loss = entropy_loss(&[1e4, -1e4], &[&[1]], 2, &[1.0]);
        assert!((loss.value - 1e4).abs() < 1e-6, "{}", loss.value);
    }
}
