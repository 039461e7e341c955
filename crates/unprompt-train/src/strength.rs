//! The strength of a ridge, chosen by what heads say about pictures that they were not trained on.

use crate::{
    Result, SourceRows, TrainError,
    cholesky::product,
    ridge::{Moments, check_strength},
};
use rayon::prelude::*;
use serde::Serialize;

/// The strengths that are tried where nothing else is said: two for each power of ten.
pub const STRENGTHS: [f64; 9] = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0];

/// Which strength is the best, and how all did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StrengthChoice {
    /// The strength with the best mean; of equal ones the first.
    pub strength: f64,
    /// All that were tried, in their order.
    pub tried: Vec<StrengthScore>,
}

/// How a strength did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StrengthScore {
    /// The strength.
    pub strength: f64,
    /// Over the pictures of all folds, each counting as it counts in training: the mean cosine between
    /// what the head of the other folds gives and what the caption says beyond the mean of theirs.
    pub mean_cosine: f64,
    /// The same of each fold by itself.
    pub folds: Vec<f64>,
}

/// Tries strengths by cross-validation. `fold_of` has for each source the fold of each of its samples,
/// counted from 0; pictures whose captions are alike belong into one fold.
///
/// The moments of what a fold leaves are summed once for all strengths.
///
/// # Errors
/// Those of [`crate::ridge`]; when there are fewer than two folds, one without a picture, or not as
/// many places as samples.
pub fn choose_strength(
    sources: &[SourceRows],
    fold_of: &[Vec<usize>],
    strengths: &[f64],
) -> Result<StrengthChoice> {
    strengths.iter().copied().try_for_each(check_strength)?;
    let folds = check_folds(sources, fold_of)?;
    // For each strength and fold the weighted sum of the cosines; for each fold that of the weights.
    let mut sums = vec![vec![0.0; folds]; strengths.len()];
    let mut weights = vec![0.0; folds];
    for fold in 0..folds {
        let trained = parts(sources, fold_of, |found| found != fold);
        let held_out = parts(sources, fold_of, |found| found == fold);
        let moments = Moments::of(&trained)?;
        drop(trained);
        for (index, strength) in strengths.iter().enumerate() {
            let head = moments.solve(*strength)?;
            for (held_out, source) in held_out.iter().zip(sources) {
                let pairs = held_out.features.par_iter().zip(&held_out.targets);
                let cosines = pairs.map(|(features, target)| {
                    let beyond = target.iter().zip(&head.target_mean);
                    let beyond: Vec<f64> = beyond.map(|(x, mean)| f64::from(*x) - mean).collect();
                    cosine(&head.output(features), &beyond)
                });
                let cosines: Vec<f64> = cosines.collect();
                sums[index][fold] += source.sample_weight() * cosines.iter().sum::<f64>();
            }
        }
        let counts = held_out.iter().zip(sources);
        let weighed = counts
            .map(|(held_out, source)| source.sample_weight() * held_out.features.len() as f64);
        weights[fold] = weighed.sum();
    }
    let total: f64 = weights.iter().sum();
    let tried: Vec<StrengthScore> = strengths
        .iter()
        .zip(sums)
        .map(|(strength, sums)| StrengthScore {
            strength: *strength,
            mean_cosine: sums.iter().sum::<f64>() / total,
            folds: sums
                .iter()
                .zip(&weights)
                .map(|(sum, of)| sum / of)
                .collect(),
        })
        .collect();
    let best = tried
        .iter()
        .reduce(|best, next| match next.mean_cosine > best.mean_cosine {
            true => next,
            false => best,
        });
    let best = best.ok_or_else(|| TrainError::Data("there is no strength to try".into()))?;
    Ok(StrengthChoice {
        strength: best.strength,
        tried,
    })
}

/// The number of folds, each of which has a picture.
fn check_folds(sources: &[SourceRows], fold_of: &[Vec<usize>]) -> Result<usize> {
    let fits = sources.len() == fold_of.len()
        && sources
            .iter()
            .zip(fold_of)
            .all(|(source, folds)| source.features.len() == folds.len());
    if !fits {
        let message = "not as many places in folds as pictures";
        return Err(TrainError::Data(message.into()));
    }
    let places = || fold_of.iter().flatten();
    let folds = places().max().map_or(0, |last| last.saturating_add(1));
    let mut seen = vec![false; folds.min(places().count() + 1)];
    places().for_each(|fold| {
        if let Some(seen) = seen.get_mut(*fold) {
            *seen = true;
        }
    });
    match folds >= 2 && seen.iter().all(|seen| *seen) {
        true => Ok(folds),
        false => Err(TrainError::Data(
            "there are not enough different captions for so many folds".into(),
        )),
    }
}

/// The samples of some folds.
fn parts(
    sources: &[SourceRows],
    fold_of: &[Vec<usize>],
    takes: impl Fn(usize) -> bool,
) -> Vec<SourceRows> {
    let part = |(source, folds): (&SourceRows, &Vec<usize>)| {
        let taken = |rows: &[Vec<f32>]| {
            let rows = rows.iter().zip(folds);
            let rows = rows.filter(|(_, fold)| takes(**fold));
            rows.map(|(row, _)| row.clone()).collect()
        };
        SourceRows {
            name: source.name.clone(),
            weight: source.weight,
            features: taken(&source.features),
            targets: taken(&source.targets),
            words: Vec::new(),
        }
    };
    sources.iter().zip(fold_of).map(part).collect()
}

/// 0 for a vector without a direction.
fn cosine(left: &[f64], right: &[f64]) -> f64 {
    let lengths = (product(left, left) * product(right, right)).sqrt();
    match lengths > 0.0 {
        true => product(left, right) / lengths,
        false => 0.0,
    }
}
