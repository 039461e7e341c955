//! Ridge regression over several sources, each with an intercept of its own.
//!
//! What sets one source apart from another (all photographs of one are of history, all captions of
//! another are lists) is not what a picture shows. So features and targets are centred by the means
//! of their own source, and the weights are those of what varies within sources.

use crate::{
    Result, TrainError,
    cholesky::{product, solve},
    rows::{SourceRows, check, mean},
};
use rayon::prelude::*;

/// Added to deviations, so that a feature that hardly varies is not blown up.
const LEAST_DEVIATION: f64 = 1e-3;

/// What is chosen by hand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RidgeOptions {
    /// What is added to the diagonal of the features' weighted mean second moments, which are near
    /// 1 after standardisation.
    pub strength: f64,
}

impl Default for RidgeOptions {
    fn default() -> Self {
        Self { strength: 1.0 }
    }
}

/// A trained head: `output = weight * features + bias`.
///
/// Outputs are what a picture says beyond the mean of all: they are 0 for a picture of the weighted
/// mean features, and of length 1 for the training pictures on average.
#[derive(Clone, Debug)]
pub struct Ridge {
    /// One row an output.
    pub weight: Vec<Vec<f64>>,
    /// One number an output.
    pub bias: Vec<f64>,
    /// The weighted mean of all targets.
    pub target_mean: Vec<f64>,
}

/// Trains a head in closed form.
///
/// With x the features standardised over all samples, centred by the means of their source, y the
/// targets centred likewise and w the weight of a sample: `W = (Σ w x xᵀ / Σ w + strength I)⁻¹
/// Σ w x yᵀ / Σ w`.
///
/// # Errors
/// When there are no rows, or rows of different widths, or numbers that are not finite.
pub fn ridge(sources: &[SourceRows], options: RidgeOptions) -> Result<Ridge> {
    check_strength(options.strength)?;
    let moments = Moments::of(sources)?;
    let mut head = moments.solve(options.strength)?;
    head.scale_to(sources);
    Ok(head)
}

/// An error unless a strength can be added to a diagonal.
pub(crate) fn check_strength(strength: f64) -> Result<()> {
    match strength > 0.0 && strength.is_finite() {
        true => Ok(()),
        false => Err(TrainError::Data(format!(
            "strength {strength}, which must be above 0"
        ))),
    }
}

/// What a head is solved from, whatever its strength.
pub(crate) struct Moments {
    standard: Standard,
    /// The lower triangle of the features' weighted mean second moments.
    features: Vec<Vec<f64>>,
    /// Those of each target with all features.
    targets: Vec<Vec<f64>>,
    /// The weighted mean of the features as they are.
    centre: Vec<f64>,
    target_mean: Vec<f64>,
}

impl Moments {
    /// Of all rows.
    pub(crate) fn of(sources: &[SourceRows]) -> Result<Self> {
        let (inputs, outputs) = check(sources)?;
        let standard = Standard::of(sources, inputs);
        let weights: Vec<f64> = sources.iter().map(SourceRows::sample_weight).collect();
        let total: f64 = sources
            .iter()
            .zip(&weights)
            .map(|(source, weight)| weight * source.features.len() as f64)
            .sum();
        // Columns, each over all samples and times the root of the sample's weight: a second moment is
        // then the product of two of them.
        let roots: Vec<f64> = weights
            .iter()
            .map(|weight| (weight / total).sqrt())
            .collect();
        let features = columns(
            sources,
            &roots,
            inputs,
            |source| &source.features,
            Some(&standard),
        );
        let targets = columns(sources, &roots, outputs, |source| &source.targets, None);
        let moments = (0..inputs).into_par_iter().map(|row| {
            let moment = |column: usize| product(&features[row], &features[column]);
            let mut lower: Vec<f64> = (0..=row).map(moment).collect();
            lower.resize(inputs, 0.0);
            lower
        });
        let crossed = targets.par_iter().map(|target| {
            let moments = features.iter().map(|feature| product(feature, target));
            moments.collect()
        });
        let weighted = |rows: fn(&SourceRows) -> &[Vec<f32>], width| {
            weighted_mean(sources, &weights, total, rows, width)
        };
        Ok(Self {
            features: moments.collect(),
            targets: crossed.collect(),
            centre: weighted(|source| &source.features, inputs),
            target_mean: weighted(|source| &source.targets, outputs),
            standard,
        })
    }

    /// The head of a strength, of no particular length; standardisation and centre are folded into
    /// weight and bias.
    pub(crate) fn solve(&self, strength: f64) -> Result<Ridge> {
        let mut features = self.features.clone();
        for (index, row) in features.iter_mut().enumerate() {
            row[index] += strength;
        }
        let mut weight = self.targets.clone();
        solve(features, &mut weight).ok_or_else(|| {
            TrainError::Data("the features are not finite enough to solve".into())
        })?;
        let mut bias = Vec::with_capacity(weight.len());
        for row in &mut weight {
            row.iter_mut()
                .zip(&self.standard.deviation)
                .for_each(|(value, deviation)| *value /= deviation);
            bias.push(-product(row, &self.centre));
        }
        Ok(Ridge {
            weight,
            bias,
            target_mean: self.target_mean.clone(),
        })
    }
}

impl Ridge {
    /// The head's output for a picture.
    pub fn output(&self, features: &[f32]) -> Vec<f64> {
        let features: Vec<f64> = features.iter().copied().map(f64::from).collect();
        let rows = self.weight.iter().zip(&self.bias);
        rows.map(|(row, bias)| product(row, &features) + bias)
            .collect()
    }

    /// Brings the outputs for all rows to a mean length of 1.
    fn scale_to(&mut self, sources: &[SourceRows]) {
        let lengths: Vec<f64> = sources
            .iter()
            .flat_map(|source| &source.features)
            .collect::<Vec<_>>()
            .par_iter()
            .map(|features| {
                let output = self.output(features);
                product(&output, &output).sqrt()
            })
            .collect();
        let scale = lengths.len() as f64 / lengths.iter().sum::<f64>().max(1e-12);
        self.weight
            .iter_mut()
            .flatten()
            .chain(&mut self.bias)
            .for_each(|value| *value *= scale);
    }
}

/// What brings features to deviations of about 1.
struct Standard {
    deviation: Vec<f64>,
}

impl Standard {
    /// Over all samples, each counting once.
    fn of(sources: &[SourceRows], width: usize) -> Self {
        let rows = || sources.iter().flat_map(|source| &source.features);
        let count = rows().count() as f64;
        let mut mean = vec![0.0; width];
        for row in rows() {
            mean.iter_mut()
                .zip(row)
                .for_each(|(sum, value)| *sum += f64::from(*value) / count);
        }
        let mut variance = vec![0.0; width];
        for row in rows() {
            for ((sum, value), mean) in variance.iter_mut().zip(row).zip(&mean) {
                *sum += (f64::from(*value) - mean).powi(2) / count;
            }
        }
        let deviation = variance
            .iter()
            .map(|variance| variance.sqrt() + LEAST_DEVIATION);
        Self {
            deviation: deviation.collect(),
        }
    }
}

/// The columns of a matrix whose rows are centred by the means of their source.
fn columns(
    sources: &[SourceRows],
    roots: &[f64],
    width: usize,
    rows: impl Fn(&SourceRows) -> &[Vec<f32>],
    standard: Option<&Standard>,
) -> Vec<Vec<f64>> {
    let count = sources.iter().map(|source| rows(source).len()).sum();
    let mut columns = vec![Vec::with_capacity(count); width];
    for (source, root) in sources.iter().zip(roots) {
        let mean = mean(rows(source));
        for row in rows(source) {
            for (index, (value, mean)) in row.iter().zip(&mean).enumerate() {
                let deviation = standard.map_or(1.0, |standard| standard.deviation[index]);
                columns[index].push((f64::from(*value) - mean) / deviation * root);
            }
        }
    }
    columns
}

pub(crate) fn weighted_mean(
    sources: &[SourceRows],
    weights: &[f64],
    total: f64,
    rows: fn(&SourceRows) -> &[Vec<f32>],
    width: usize,
) -> Vec<f64> {
    let mut sum = vec![0.0; width];
    for (source, weight) in sources.iter().zip(weights) {
        for row in rows(source) {
            sum.iter_mut()
                .zip(row)
                .for_each(|(sum, value)| *sum += weight / total * f64::from(*value));
        }
    }
    sum
}
