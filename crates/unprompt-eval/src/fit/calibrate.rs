//! What score to expect of a prediction: an isotonic map from how sure it looks.

use crate::error::{Error, Problem};
use serde::Serialize;

/// Corners of a map at most: enough to bend, few enough that noise does not shape it.
const MOST_CORNERS: usize = 12;
/// Pairs that a corner stands for at least.
const FEWEST_PAIRS: usize = 8;
/// What a corner is rounded to: finer than any map is known.
const ROUNDING: f64 = 1e4;

/// A map from a feature to the score that is expected of it, and what it is worth.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CalibrationFit {
    /// Corners `[feature, expected score]` of a piecewise linear map that is flat outside them:
    /// features strictly ascending, scores never descending.
    pub points: Vec<[f64; 2]>,
    /// Mean absolute difference of expected and true score, on folds that the map was not fitted to.
    pub error: f64,
    /// The same for the mean score of the other folds as the answer to everything.
    pub error_of_mean: f64,
}

/// Fits a map from `features` to `scores`, none of which may be known to what made the features.
///
/// Pairs are sorted by feature and dealt into up to 12 bins of equally many, at least 8 each where
/// there are that many; bins whose means descend are pooled (pool adjacent violators), and the bins' means are the
/// corners, rounded to four digits.
///
/// # Errors
/// When there is no pair, fewer than two folds, or a number that is not finite.
pub fn calibrate(
    name: &str,
    features: &[f64],
    scores: &[f64],
    fold_of: &[usize],
) -> Result<CalibrationFit, Error> {
    let pairs: Vec<[f64; 2]> = features
        .iter()
        .zip(scores)
        .map(|(feature, score)| [*feature, *score])
        .collect();
    let folds = fold_of.iter().max().map_or(0, |last| last + 1);
    let finite = pairs.iter().flatten().all(|number| number.is_finite());
    if pairs.is_empty() || fold_of.len() != pairs.len() || !finite || folds < 2 {
        let pairs = pairs.len();
        return Err(Error::new(name, None, Problem::Calibration { pairs }));
    }
    let (mut error, mut error_of_mean) = (0.0, 0.0);
    for fold in 0..folds {
        let part = |inside: bool| -> Vec<[f64; 2]> {
            let pairs = pairs.iter().zip(fold_of);
            let part = pairs.filter(|(_, of)| (**of == fold) == inside);
            part.map(|(pair, _)| *pair).collect()
        };
        let (seen, unseen) = (part(false), part(true));
        let corners = isotonic(&seen);
        let mean = seen.iter().map(|pair| pair[1]).sum::<f64>() / seen.len().max(1) as f64;
        for [feature, score] in unseen {
            error += (expected(&corners, feature) - score).abs();
            error_of_mean += (mean - score).abs();
        }
    }
    Ok(CalibrationFit {
        points: isotonic(&pairs),
        error: error / pairs.len() as f64,
        error_of_mean: error_of_mean / pairs.len() as f64,
    })
}

/// The map's value: linear between its corners, flat outside.
fn expected(corners: &[[f64; 2]], feature: f64) -> f64 {
    let after = corners.partition_point(|corner| corner[0] < feature);
    let before = after.checked_sub(1).map(|index| corners[index]);
    match (before, corners.get(after).copied()) {
        (Some([left, low]), Some([right, high])) => {
            low + (high - low) * (feature - left) / (right - left)
        }
        (Some([_, score]), None) | (None, Some([_, score])) => score,
        (None, None) => 0.0,
    }
}

/// Sums over the pairs of one corner.
#[derive(Clone, Copy)]
struct Bin {
    feature: f64,
    score: f64,
    count: f64,
}

impl Bin {
    fn mean_score(&self) -> f64 {
        self.score / self.count
    }
}

fn isotonic(pairs: &[[f64; 2]]) -> Vec<[f64; 2]> {
    let mut sorted = pairs.to_vec();
    sorted.sort_by(|left, right| {
        left[0]
            .total_cmp(&right[0])
            .then(left[1].total_cmp(&right[1]))
    });
    let count = (sorted.len() / FEWEST_PAIRS).clamp(1, MOST_CORNERS);
    let mut pooled: Vec<Bin> = Vec::new();
    for bin in 0..count {
        let range = bin * sorted.len() / count..(bin + 1) * sorted.len() / count;
        let pairs = &sorted[range];
        let mut bin = Bin {
            feature: pairs.iter().map(|pair| pair[0]).sum(),
            score: pairs.iter().map(|pair| pair[1]).sum(),
            count: pairs.len() as f64,
        };
        while let Some(before) = pooled.last().copied() {
            let apart = corner(&bin)[0] > corner(&before)[0];
            if apart && bin.mean_score() >= before.mean_score() {
                break;
            }
            pooled.pop();
            bin.feature += before.feature;
            bin.score += before.score;
            bin.count += before.count;
        }
        pooled.push(bin);
    }
    pooled.iter().map(corner).collect()
}

fn corner(bin: &Bin) -> [f64; 2] {
    let mean = [bin.feature / bin.count, bin.mean_score().clamp(-1.0, 1.0)];
    mean.map(|number| (number * ROUNDING).round() / ROUNDING)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folds(count: usize) -> Vec<usize> {
        (0..count).map(|index| index % 4).collect()
    }

    #[test]
    fn a_score_that_follows_its_feature_is_expected_as_it_is() {
        let features: Vec<f64> = (0..400).map(|index| f64::from(index) / 400.0).collect();
        let scores: Vec<f64> = features.iter().map(|feature| feature / 2.0 + 0.1).collect();
        let found = calibrate("m", &features, &scores, &folds(400)).unwrap();
        assert_eq!(found.points.len(), MOST_CORNERS);
        for [feature, score] in &found.points {
            assert!((score - feature / 2.0 - 0.1).abs() < 2e-4);
        }
        assert!(found.error < 0.01 && found.error_of_mean > 0.1, "{found:?}");
    }

    #[test]
    fn corners_ascend_and_scores_do_not_descend_whatever_the_pairs() {
        let noise = |index: usize| (index * 7919 % 101) as f64 / 101.0;
        let features: Vec<f64> = (0..300).map(noise).collect();
        for scores in [
            (0..300)
                .map(|index| noise(index + 17))
                .collect::<Vec<f64>>(),
            features.iter().map(|feature| 1.0 - feature).collect(),
            vec![0.25; 300],
        ] {
            let found = calibrate("m", &features, &scores, &folds(300)).unwrap();
            for pair in found.points.windows(2) {
                assert!(
                    pair[0][0] < pair[1][0] && pair[0][1] <= pair[1][1],
                    "{found:?}"
                );
            }
            let mean = scores.iter().sum::<f64>() / 300.0;
            let (low, high) = (found.points[0][1], found.points[found.points.len() - 1][1]);
            assert!(low <= mean + 1e-4 && mean <= high + 1e-4);
        }
    }

    #[test]
    fn a_feature_that_says_nothing_gives_one_corner() {
        let scores: Vec<f64> = (0..40).map(|index| f64::from(index) / 40.0).collect();
        let found = calibrate("m", &[0.5; 40], &scores, &folds(40)).unwrap();
        assert_eq!(found.points, [[0.5, 0.4875]]);
    }

    #[test]
    fn pairs_that_cannot_be_fitted_are_refused() {
        for (features, scores, folds) in [
            (vec![], vec![], vec![]),
            (vec![0.1, f64::NAN], vec![0.1, 0.2], vec![0, 1]),
            (vec![0.1, 0.2], vec![0.1, 0.2], vec![0, 0]),
        ] {
            assert!(calibrate("m", &features, &scores, &folds).is_err());
        }
    }
}
