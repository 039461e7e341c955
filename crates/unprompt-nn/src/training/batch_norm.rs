//! Batch normalisation of features, as the hidden layer of a head has it.

use super::{LayerError, LayerResult, Normalised, begin, expect, rows_of};

const LAYER: &str = "batch norm";

/// What a batch's features are like.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchStatistics {
    /// The mean of each.
    pub mean: Vec<f32>,
    /// The variance of each, without Bessel's correction, which normalises.
    pub variance: Vec<f32>,
}

/// `(x - mean) / sqrt(variance + epsilon) * weight + bias` of each column of (rows, width), and the
/// statistics of the batch.
///
/// # Errors
/// When the lengths do not fit, or there are fewer than two rows, which have no variance.
pub fn batch_norm(x: &[f32], norm: Normalised<'_>) -> LayerResult<(Vec<f32>, BatchStatistics)> {
    let width = norm.weight.len();
    expect(LAYER, "a bias", norm.bias, width)?;
    let rows = rows_of(LAYER, x, width)?;
    if rows < 2 {
        return Err(LayerError::new(LAYER, "a batch of fewer than two rows"));
    }
    let column_mean = |values: &dyn Fn(usize, f32) -> f64| {
        let mut sums = vec![0.0f64; width];
        for row in x.chunks_exact(width) {
            for (index, (sum, value)) in sums.iter_mut().zip(row).enumerate() {
                *sum += values(index, *value);
            }
        }
        sums.iter().map(|sum| sum / rows as f64).collect::<Vec<_>>()
    };
    let mean = column_mean(&|_, value| f64::from(value));
    let variance = column_mean(&|index, value| (f64::from(value) - mean[index]).powi(2));
    let statistics = BatchStatistics {
        mean: mean.iter().map(|value| *value as f32).collect(),
        variance: variance.iter().map(|value| *value as f32).collect(),
    };
    let scales = statistics.scales(norm);
    let mut out = standardised(x, &statistics, &scales);
    for row in out.chunks_exact_mut(width) {
        for ((value, weight), bias) in row.iter_mut().zip(norm.weight).zip(norm.bias) {
            *value = value.mul_add(*weight, *bias);
        }
    }
    Ok((out, statistics))
}

/// The derivative by the input; those by weight and bias are added to `gradients`, in this order.
/// `x` is the input of the layer.
///
/// # Errors
/// When the lengths do not fit.
pub fn batch_norm_backward(
    x: &[f32],
    upstream: &[f32],
    norm: Normalised<'_>,
    statistics: &BatchStatistics,
    gradients: [&mut Vec<f32>; 2],
) -> LayerResult<Vec<f32>> {
    let width = norm.weight.len();
    let rows = rows_of(LAYER, x, width)?;
    expect(LAYER, "a derivative", upstream, x.len())?;
    expect(LAYER, "a mean", &statistics.mean, width)?;
    expect(LAYER, "a variance", &statistics.variance, width)?;
    let scales = statistics.scales(norm);
    let standard = standardised(x, statistics, &scales);
    let (mut sums, mut along) = (vec![0.0f64; width], vec![0.0f64; width]);
    let pairs = upstream
        .chunks_exact(width)
        .zip(standard.chunks_exact(width));
    for (upstream, standard) in pairs {
        let columns = sums.iter_mut().zip(&mut along);
        for ((sum, along), (value, standard)) in columns.zip(upstream.iter().zip(standard)) {
            *sum += f64::from(*value);
            *along += f64::from(*value) * f64::from(*standard);
        }
    }
    let [weight, bias] = gradients;
    begin(LAYER, weight, width)?;
    begin(LAYER, bias, width)?;
    for ((weight, bias), (sum, along)) in weight.iter_mut().zip(bias).zip(sums.iter().zip(&along)) {
        *weight += *along as f32;
        *bias += *sum as f32;
    }
    // dx = weight * scale * (g - mean(g) - x̂ mean(g x̂)), over the rows
    let mut input = vec![0.0; x.len()];
    for (index, value) in input.iter_mut().enumerate() {
        let column = index % width;
        let mean = (sums[column] / rows as f64) as f32;
        let along = (along[column] / rows as f64) as f32;
        let centred = (-along).mul_add(standard[index], upstream[index] - mean);
        *value = norm.weight[column] * scales[column] * centred;
    }
    Ok(input)
}

impl BatchStatistics {
    /// What brings each column to a deviation of 1.
    fn scales(&self, norm: Normalised<'_>) -> Vec<f32> {
        let variance = self.variance.iter();
        variance
            .map(|variance| 1.0 / (variance + norm.epsilon).sqrt())
            .collect()
    }
}

fn standardised(x: &[f32], statistics: &BatchStatistics, scales: &[f32]) -> Vec<f32> {
    let width = scales.len();
    let mut out = x.to_vec();
    for row in out.chunks_exact_mut(width) {
        for ((value, mean), scale) in row.iter_mut().zip(&statistics.mean).zip(scales) {
            *value = (*value - mean) * scale;
        }
    }
    out
}
