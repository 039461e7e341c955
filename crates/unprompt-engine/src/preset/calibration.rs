//! What score to expect of a prediction: a monotone map from how sure a preset looks of a picture.

use crate::vectors::{cosine, unit};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The largest number of points that a preset may have.
const MOST_POINTS: usize = 1000;

/// A piecewise linear map from a feature of a prediction to the cosine that it is expected to have
/// with the true prompt; fitted on pairs that had no part in the prediction.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// What the map takes.
    pub feature: ConfidenceFeature,
    /// Its corners, `[feature, expected score]`: features strictly ascending, scores from -1 to 1
    /// and never descending.
    pub points: Vec<[f64; 2]>,
}

/// How sure a preset looks of a picture.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum ConfidenceFeature {
    /// The mean cosine over all pairs of members whose weight is above 0.
    Agreement,
    /// The cosine of the prediction's embedding with that of its text.
    Text,
    /// How long the weighted sum of the members is, over the sum of the weights: members that say
    /// little are short, and those that disagree cancel out.
    Length,
}

impl ConfidenceFeature {
    /// Its name in a preset.
    pub fn name(self) -> &'static str {
        match self {
            Self::Agreement => "agreement",
            Self::Text => "text",
            Self::Length => "length",
        }
    }
}

impl Calibration {
    /// The expected score: linear between the corners, that of the nearest corner outside them.
    pub fn expected_score(&self, feature: f64) -> f64 {
        let after = self.points.partition_point(|point| point[0] < feature);
        match (
            after.checked_sub(1).map(|i| self.points[i]),
            self.points.get(after).copied(),
        ) {
            (Some([left, low]), Some([right, high])) => {
                low + (high - low) * (feature - left) / (right - left)
            }
            (Some([_, score]), None) | (None, Some([_, score])) => score,
            (None, None) => f64::NAN,
        }
    }

    /// What is wrong with it, where `weighted` members have a weight above 0.
    pub(crate) fn check(&self, weighted: usize) -> Result<(), String> {
        if self.points.is_empty() || self.points.len() > MOST_POINTS {
            return Err(format!(
                "{} points, where 1 to {MOST_POINTS} are needed",
                self.points.len()
            ));
        }
        for [feature, score] in &self.points {
            if !feature.is_finite() || !(-1.0..=1.0).contains(score) {
                return Err(format!(
                    "point [{feature}, {score}], where a number and a score from -1 to 1 are needed"
                ));
            }
        }
        for pair in self.points.windows(2) {
            if pair[0][0] >= pair[1][0] || pair[0][1] > pair[1][1] {
                return Err(format!(
                    "point {:?} after {:?}, where features ascend and scores do not descend",
                    pair[1], pair[0]
                ));
            }
        }
        if self.feature != ConfidenceFeature::Text && weighted < 2 {
            return Err(format!(
                "`{}` needs two members of a weight above 0; `text` needs none",
                self.feature.name()
            ));
        }
        Ok(())
    }
}

/// The mean cosine over all pairs of rows; 1 where there is no pair.
pub(crate) fn agreement<'a>(rows: impl IntoIterator<Item = &'a [f64]>) -> f64 {
    let rows: Vec<Vec<f64>> = rows.into_iter().map(unit).collect();
    let (mut sum, mut pairs) = (0.0, 0usize);
    for (index, left) in rows.iter().enumerate() {
        for right in &rows[index + 1..] {
            sum += cosine(left, right);
            pairs += 1;
        }
    }
    if pairs == 0 { 1.0 } else { sum / pairs as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(points: &[[f64; 2]]) -> Calibration {
        Calibration {
            feature: ConfidenceFeature::Text,
            points: points.to_vec(),
        }
    }

    #[test]
    fn the_map_is_linear_between_its_corners_and_flat_outside() {
        let map = map(&[[0.2, 0.1], [0.4, 0.3], [0.8, 0.3], [1.0, 0.9]]);
        for (feature, expected) in [
            (-1.0, 0.1),
            (0.2, 0.1),
            (0.25, 0.15),
            (0.4, 0.3),
            (0.6, 0.3),
            (0.9, 0.6),
            (1.0, 0.9),
            (7.0, 0.9),
        ] {
            let found = map.expected_score(feature);
            assert!((found - expected).abs() < 1e-12, "{feature}: {found}");
        }
    }

    #[test]
    fn a_map_of_one_corner_is_constant() {
        let map = map(&[[0.5, 0.4]]);
        assert_eq!(map.check(1), Ok(()));
        assert_eq!([0.0, 0.5, 1.0].map(|x| map.expected_score(x)), [0.4; 3]);
    }

    #[test]
    fn agreement_is_the_mean_over_pairs() {
        let rows = [[2.0, 0.0], [0.0, 1.0], [-3.0, 0.0]];
        let found = agreement(rows.iter().map(|row| &row[..]));
        assert!((found - (-1.0 / 3.0)).abs() < 1e-12, "{found}");
        assert_eq!(agreement(rows[..1].iter().map(|row| &row[..])), 1.0);
    }

    #[test]
    fn a_map_that_is_none_is_refused_with_the_reason() {
        for (points, expected) in [
            (&[][..], "0 points"),
            (&[[0.0, 0.0], [0.0, 0.5]], "ascend"),
            (&[[0.0, 0.5], [1.0, 0.4]], "descend"),
            (&[[f64::NAN, 0.5]], "NaN"),
            (&[[0.0, 1.5]], "1.5"),
            (&[[0.0, f64::NAN]], "NaN"),
        ] {
            let message = map(points).check(2).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
        let mut agreement = map(&[[0.0, 0.0]]);
        agreement.feature = ConfidenceFeature::Agreement;
        assert!(agreement.check(1).unwrap_err().contains("two members"));
        assert_eq!(agreement.check(2), Ok(()));
    }
}
