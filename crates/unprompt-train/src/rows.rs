//! What a head is trained on.

use crate::{Result, TrainError};

/// The samples of one source: what the tower makes of each picture, and where the sentence encoder
/// puts its captions.
#[derive(Clone, Debug)]
pub struct SourceRows {
    /// What the source is called.
    pub name: String,
    /// How much it counts beside the others, positive. A source of n samples counts n^½ times
    /// this: more data is worth more, but the tenth thousand less than the first.
    pub weight: f64,
    /// One row a sample.
    pub features: Vec<Vec<f32>>,
    /// One row a sample.
    pub targets: Vec<Vec<f32>>,
    /// The words of each sample's captions, by their places in the vocabulary; empty where there is
    /// none.
    pub words: Vec<Vec<u32>>,
}

/// The widths of features and targets, if all rows agree and are finite.
pub(crate) fn check(sources: &[SourceRows]) -> Result<(usize, usize)> {
    let mut widths = None;
    for source in sources {
        let name = &source.name;
        let failed = |message: String| Err(TrainError::Data(format!("data `{name}`: {message}")));
        if source.features.len() != source.targets.len() {
            return failed("not as many pictures as captions".into());
        }
        if !source.words.is_empty() && source.words.len() != source.features.len() {
            return failed("not as many pictures as lists of words".into());
        }
        if !(source.weight > 0.0 && source.weight.is_finite()) {
            return failed(format!("weight {}, which must be above 0", source.weight));
        }
        for (features, targets) in source.features.iter().zip(&source.targets) {
            let found = (features.len(), targets.len());
            let expected = *widths.get_or_insert(found);
            if found != expected {
                return failed(format!("a row of {found:?} numbers, expected {expected:?}"));
            }
            if !features
                .iter()
                .chain(targets)
                .all(|value| value.is_finite())
            {
                return failed("a row that is not finite".into());
            }
        }
    }
    let none = || TrainError::Data("there is no sample to train on".into());
    widths
        .filter(|(inputs, outputs)| *inputs > 0 && *outputs > 0)
        .ok_or_else(none)
}

impl SourceRows {
    /// How much one of its samples counts: the source's weight times n^-½.
    pub(crate) fn sample_weight(&self) -> f64 {
        self.weight / (self.features.len().max(1) as f64).sqrt()
    }
}

/// The mean of rows; empty if there are none.
pub(crate) fn mean(rows: &[Vec<f32>]) -> Vec<f64> {
    let mut sum = vec![0.0; rows.first().map_or(0, Vec::len)];
    for row in rows {
        sum.iter_mut()
            .zip(row)
            .for_each(|(sum, value)| *sum += f64::from(*value));
    }
    let count = rows.len().max(1) as f64;
    sum.iter_mut().for_each(|sum| *sum /= count);
    sum
}
