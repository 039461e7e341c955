//! A head by gradient: epochs of batches over features that were computed before.

use crate::{
    AdamW, AdamWOptions, HeadBatch, HeadNetwork, HeadShape, HeadWeights, Result, Schedule,
    SourceRows, TrainError, random::Random, ridge::weighted_mean, rows::check,
};
use serde::Serialize;

/// Added to the size of a feature, so that one that is hardly ever there is not blown up.
const LEAST_SIZE: f64 = 1e-3;

/// What is chosen by hand.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct GradientOptions {
    /// Width of the hidden layer; without one the head is linear and has no bias.
    pub hidden: Option<usize>,
    /// Words that the hidden layer has to tell besides; 0 for none.
    pub words: usize,
    /// How often each sample is seen.
    pub epochs: u32,
    /// Samples that are seen together.
    pub batch: usize,
    /// The highest rate of learning.
    pub rate: f64,
    /// The weight decay of matrices.
    pub decay: f64,
    /// From which the start and every order follow.
    pub seed: u64,
}

impl Default for GradientOptions {
    fn default() -> Self {
        Self {
            hidden: None,
            words: 0,
            epochs: 20,
            batch: 256,
            rate: 1e-3,
            decay: 0.01,
            seed: 0,
        }
    }
}

/// What an epoch came to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct HeadEpoch {
    /// Counted from 1.
    pub epoch: u32,
    /// The mean loss over its batches.
    pub loss: f64,
    /// The rate of its last step.
    pub rate: f64,
}

/// Trains a head by AdamW, and tells of each epoch.
///
/// The loss is one less the cosine of output and target: the output is the embedding itself. A sample
/// counts as in [`ridge`](crate::ridge()). The rate rises during the first twentieth of the steps and falls
/// along half a cosine. Features are divided by their size, the root of their mean square, and the
/// head's weights as it is kept take that in. The same seed gives the same bits with any number of threads.
///
/// # Errors
/// When there are no rows, or rows of different widths, an option is out of its range, or the loss
/// is no number.
pub fn head_by_gradient(
    sources: &[SourceRows],
    options: &GradientOptions,
    mut tell: impl FnMut(HeadEpoch),
) -> Result<HeadWeights> {
    let (inputs, outputs) = check(sources)?;
    options.check()?;
    let samples = Samples::of(sources, inputs);
    let shape = HeadShape {
        inputs,
        hidden: options.hidden,
        outputs,
        words: options.words,
    };
    let mut network = HeadNetwork::new(shape, options.seed)?;
    let mut optimiser = AdamW::new(network.parameters(), AdamWOptions::default());
    let treatments = network.treatments(options.decay);
    let batches = samples.batches(options.batch);
    if options.hidden.is_some() && samples.rows.len() < 2 {
        return Err(TrainError::Data(
            "a hidden layer needs two samples at least".into(),
        ));
    }
    let steps = u64::from(options.epochs) * batches as u64;
    let schedule = Schedule {
        warm_up: steps / 20,
        first: options.rate / 100.0,
        peak: options.rate,
        last: 0.0,
        steps,
    };
    let mut step = 0;
    for epoch in 1..=options.epochs {
        let order = Random::of(&[options.seed, u64::from(epoch)]).order(samples.rows.len());
        let mut sum = 0.0;
        for batch in 0..batches {
            let places = &order[batch * order.len() / batches..(batch + 1) * order.len() / batches];
            let owned = samples.batch(places, inputs, outputs);
            let words: Vec<&[u32]> = places
                .iter()
                .map(|place| samples.rows[*place].words)
                .collect();
            let (loss, gradients) = network.learn(&HeadBatch {
                features: &owned.features,
                targets: &owned.targets,
                words: &words,
                counts: &owned.counts,
            })?;
            if !loss.is_finite() {
                return Err(TrainError::Data(format!(
                    "the loss of step {step} is {loss}; a lower rate than {} may help",
                    options.rate
                )));
            }
            sum += loss;
            let rate = schedule.rate(step);
            optimiser.step(network.parameters_mut(), &gradients, &treatments, rate);
            step += 1;
        }
        tell(HeadEpoch {
            epoch,
            loss: sum / batches as f64,
            rate: schedule.rate(step.saturating_sub(1)),
        });
    }
    let weights: Vec<f64> = sources.iter().map(SourceRows::sample_weight).collect();
    let counts = sources.iter().zip(&weights);
    let total = counts
        .map(|(source, weight)| weight * source.features.len() as f64)
        .sum();
    let mean = weighted_mean(sources, &weights, total, |source| &source.targets, outputs);
    Ok(network.weights(mean).divided(&samples.sizes))
}

impl GradientOptions {
    fn check(&self) -> Result<()> {
        let refuse = |message: String| Err(TrainError::Data(message));
        if self.epochs == 0 || self.batch < 2 {
            return refuse(format!(
                "{} epochs of batches of {}: at least one of two is needed",
                self.epochs, self.batch
            ));
        }
        if !(self.rate > 0.0 && self.rate.is_finite()) {
            return refuse(format!("rate {}, which must be above 0", self.rate));
        }
        if !(self.decay >= 0.0 && self.decay.is_finite()) {
            return refuse(format!("weight decay {}, which is below 0", self.decay));
        }
        Ok(())
    }
}

/// All samples of all sources.
struct Samples<'a> {
    rows: Vec<Row<'a>>,
    /// The root of the mean square of each feature.
    sizes: Vec<f64>,
}

struct Row<'a> {
    features: &'a [f32],
    target: &'a [f32],
    words: &'a [u32],
    count: f64,
}

/// A batch as rows.
struct Owned {
    features: Vec<f32>,
    targets: Vec<f32>,
    counts: Vec<f64>,
}

impl<'a> Samples<'a> {
    fn of(sources: &'a [SourceRows], inputs: usize) -> Self {
        let mut rows = Vec::new();
        for source in sources {
            let count = source.sample_weight();
            let pairs = source.features.iter().zip(&source.targets).enumerate();
            rows.extend(pairs.map(|(index, (features, target))| Row {
                features,
                target,
                words: source.words.get(index).map_or(&[], Vec::as_slice),
                count,
            }));
        }
        // A sample counts 1 on average.
        let mean = rows.iter().map(|row| row.count).sum::<f64>() / rows.len().max(1) as f64;
        rows.iter_mut().for_each(|row| row.count /= mean);
        let mut sizes = vec![0.0; inputs];
        for row in &rows {
            for (size, value) in sizes.iter_mut().zip(row.features) {
                *size += f64::from(*value).powi(2);
            }
        }
        for size in &mut sizes {
            *size = (*size / rows.len().max(1) as f64).sqrt() + LEAST_SIZE;
        }
        Self { rows, sizes }
    }

    /// Batches of an epoch, as even as they can be: none of a single sample where there are more.
    fn batches(&self, batch: usize) -> usize {
        let count = self.rows.len();
        count.div_ceil(batch).min(count / 2).max(1)
    }

    fn batch(&self, places: &[usize], inputs: usize, outputs: usize) -> Owned {
        let mut owned = Owned {
            features: Vec::with_capacity(places.len() * inputs),
            targets: Vec::with_capacity(places.len() * outputs),
            counts: Vec::with_capacity(places.len()),
        };
        for place in places {
            let row = &self.rows[*place];
            let features = row.features.iter().zip(&self.sizes);
            owned
                .features
                .extend(features.map(|(value, size)| (f64::from(*value) / size) as f32));
            owned.targets.extend_from_slice(row.target);
            owned.counts.push(row.count);
        }
        owned
    }
}
