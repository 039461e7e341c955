//! AdamW, and the average of the weights over time.

use crate::{Gradients, Parameter, Treatment};
use rayon::prelude::*;

/// Values that one thread takes at a time.
const SHARE: usize = 1 << 14;

/// What AdamW (Loshchilov and Hutter, "Decoupled weight decay regularization", 2019) has in common
/// for all parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWOptions {
    /// How slowly the mean of the gradients changes.
    pub first: f64,
    /// How slowly the mean of their squares changes.
    pub second: f64,
    /// Added to the root of the latter.
    pub epsilon: f64,
}

impl Default for AdamWOptions {
    fn default() -> Self {
        Self {
            first: 0.9,
            second: 0.999,
            epsilon: 1e-8,
        }
    }
}

/// AdamW with its memory; each value is changed as PyTorch's `AdamW` changes it.
#[derive(Clone, Debug, PartialEq)]
pub struct AdamW {
    pub(crate) options: AdamWOptions,
    /// Steps that were made.
    pub(crate) steps: u64,
    /// The means of the gradients, one a parameter.
    pub(crate) means: Vec<Vec<f32>>,
    /// The means of their squares.
    pub(crate) squares: Vec<Vec<f32>>,
}

impl AdamW {
    /// For these parameters, without a memory of gradients.
    pub fn new(parameters: &[Parameter], options: AdamWOptions) -> Self {
        let zeros = || {
            let lengths = parameters.iter().map(|parameter| parameter.values.len());
            lengths.map(|length| vec![0.0; length]).collect()
        };
        Self {
            options,
            steps: 0,
            means: zeros(),
            squares: zeros(),
        }
    }

    /// One step. Of parameters whose rate is 0, and of those without a gradient, nothing changes.
    pub fn step(
        &mut self,
        parameters: &mut [Parameter],
        gradients: &Gradients,
        treatments: &[Treatment],
        rate: f64,
    ) {
        self.steps += 1;
        let AdamWOptions {
            first,
            second,
            epsilon,
        } = self.options;
        let steps = self.steps.min(i32::MAX as u64) as i32;
        let first_correction = 1.0 - first.powi(steps);
        let second_correction = (1.0 - second.powi(steps)).sqrt();
        let memory = self.means.iter_mut().zip(&mut self.squares);
        let all = parameters.iter_mut().zip(gradients).zip(treatments);
        for (((parameter, gradient), treatment), (means, squares)) in all.zip(memory) {
            if treatment.rate == 0.0 || gradient.is_empty() {
                continue;
            }
            let rate = rate * treatment.rate;
            let keep = (1.0 - rate * treatment.decay) as f32;
            let step = (rate / first_correction) as f32;
            let (first, second) = ((1.0 - first) as f32, second as f32);
            let (rest, epsilon) = ((1.0 - self.options.second) as f32, epsilon as f32);
            let correction = second_correction as f32;
            let values = parameter.values.par_chunks_mut(SHARE);
            let memory = means
                .par_chunks_mut(SHARE)
                .zip(squares.par_chunks_mut(SHARE));
            let pieces = values.zip(gradient.par_chunks(SHARE)).zip(memory);
            pieces.for_each(|((values, gradients), (means, squares))| {
                let memory = means.iter_mut().zip(squares);
                for ((value, gradient), (mean, square)) in
                    values.iter_mut().zip(gradients).zip(memory)
                {
                    *mean += first * (gradient - *mean);
                    *square = second * *square + rest * gradient * gradient;
                    *value = *value * keep - step * *mean / (square.sqrt() / correction + epsilon);
                }
            });
        }
    }
}

/// Moves each average towards its parameter: `average += (1 - decay) (value - average)`.
pub fn average_weights(average: &mut [Vec<f32>], parameters: &[Parameter], decay: f64) {
    let rate = (1.0 - decay) as f32;
    for (average, parameter) in average.iter_mut().zip(parameters) {
        let pieces = average.par_chunks_mut(SHARE);
        pieces
            .zip(parameter.values.par_chunks(SHARE))
            .for_each(|(average, values)| {
                for (average, value) in average.iter_mut().zip(values) {
                    *average += rate * (value - *average);
                }
            });
    }
}
