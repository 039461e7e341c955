//! k-nearest-neighbour regression: the sentence embedding of a picture as the weighted mean of those
//! of the prompts nearest to it.

use crate::{Match, NearestPrompts, Result, Space};

/// What a distance below zero counts as. No cosine exceeds 1, but one that is computed from rounded
/// numbers can.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NegativeDistance {
    /// As zero: the nearest there is, the largest weight.
    #[default]
    Zero,
    /// As the published notebook has it: its weight is 1e-4, the smallest instead of the largest.
    AsPublished,
}

/// The regression of the public notebook: with `d` = 1 - cosine, the weight of each of the nearest
/// prompts is 1 / (d^6 + 1e-4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Regression {
    /// Prompts that are averaged.
    pub neighbours: usize,
    /// What rounding below zero does.
    pub negative: NegativeDistance,
}

impl Default for Regression {
    fn default() -> Self {
        Self {
            neighbours: 100,
            negative: NegativeDistance::default(),
        }
    }
}

/// What the regression gives for one query.
#[derive(Clone, Debug, PartialEq)]
pub struct Regressed {
    /// The predicted sentence embedding, of unit length.
    pub embedding: Vec<f32>,
    /// The prompts it is made of, the nearest first.
    pub matches: Vec<Match>,
}

const SOFTENING: f64 = 1e-4;
const EPSILON: f64 = 1e-7;

impl Regression {
    /// Predicts the sentence embedding of each query, which lies in `space`.
    ///
    /// # Errors
    /// As [`NearestPrompts::nearest`].
    pub fn predict(
        &self,
        prompts: &dyn NearestPrompts,
        space: Space,
        queries: &[Vec<f32>],
    ) -> Result<Vec<Regressed>> {
        let found = prompts.nearest(space, queries, self.neighbours)?;
        let regressed = found.into_iter().map(|matches| Regressed {
            embedding: self.combine(&matches),
            matches,
        });
        Ok(regressed.collect())
    }

    /// The mean of the sentence embeddings of some matches by the weights of their similarities,
    /// divided by its largest magnitude plus 1e-7 and brought to unit length. Sums run in f64, in the
    /// order of the matches. Of no match it is empty; a mean of zeros stays one.
    pub fn combine(&self, matches: &[Match]) -> Vec<f32> {
        let width = matches.first().map_or(0, |first| first.embedding.len());
        let mut sum = vec![0.0; width];
        for found in matches {
            let weight = self.weight(found.similarity);
            for (sum, value) in sum.iter_mut().zip(&found.embedding) {
                *sum += weight * f64::from(*value);
            }
        }
        let largest = sum
            .iter()
            .fold(0.0, |largest: f64, value| largest.max(value.abs()));
        sum.iter_mut().for_each(|value| *value /= largest + EPSILON);
        let norm = sum.iter().map(|value| value * value).sum::<f64>().sqrt();
        let norm = if norm > 0.0 { norm } else { 1.0 };
        sum.iter().map(|value| (value / norm) as f32).collect()
    }

    fn weight(&self, similarity: f32) -> f64 {
        let distance = 1.0 - f64::from(similarity);
        if distance < 0.0 && self.negative == NegativeDistance::AsPublished {
            return SOFTENING;
        }
        1.0 / (distance.max(0.0).powi(6) + SOFTENING)
    }
}
