//! ConSE (Norouzi et al., 2013): the mean of the labels' embeddings, weighted by probability.

use crate::{
    encoders::{classifier::Label, networks::LabelsOf},
    error::{InputError, Result},
    lists::phrase_table::PhraseTable,
    members::{
        check_temperature,
        kind::{Before, Member, MemberKind, MemberResult, Seen},
        loader::Loader,
    },
    vectors::soft_max,
};
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;

/// The fields.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LabelMean {
    /// The classifier.
    model: String,
    /// How many labels, the most probable ones; without it all of them.
    #[serde(default)]
    top: Option<usize>,
    /// What the logits are divided by before the soft-max over these labels.
    #[serde(default = "one")]
    temperature: f64,
    /// Whether the mean embedding of all labels is subtracted.
    #[serde(default)]
    centred: bool,
}

fn one() -> f64 {
    1.0
}

impl MemberKind for LabelMean {
    fn check(&self, _: &Before<'_>) -> std::result::Result<(), String> {
        match self.top {
            Some(0) => Err("top must be at least 1".into()),
            _ => check_temperature(self.temperature),
        }
    }

    fn models(&self) -> Vec<&str> {
        vec![&self.model]
    }

    fn is_query(&self) -> bool {
        true
    }

    fn load(&self, loader: &mut Loader<'_>) -> Result<Box<dyn Member>> {
        let top = self.top.unwrap_or(usize::MAX);
        Ok(Box::new(Loaded {
            labels: loader.labels(&self.model, top)?,
            table: loader.label_table(&self.model)?,
            top,
            temperature: self.temperature,
            centred: self.centred,
        }))
    }
}

#[derive(Debug)]
struct Loaded {
    labels: LabelsOf,
    table: Arc<PhraseTable>,
    top: usize,
    temperature: f64,
    centred: bool,
}

impl Member for Loaded {
    fn results(&self, pictures: &[Seen<'_>]) -> Vec<std::result::Result<MemberResult, InputError>> {
        let result = |seen: &Seen<'_>| {
            let labels = seen.encoded.labels(self.labels);
            let labels = &labels[..self.top.min(labels.len())];
            let mean = label_mean(labels, self.temperature, self.centred, &self.table);
            Ok(MemberResult::of_embedding(mean))
        };
        pictures.iter().map(result).collect()
    }
}

/// The mean of the embeddings of `labels`, weighted by the soft-max of their logits at a temperature.
///
/// `table` holds all of the classifier's labels, by class. With `centred` the mean over all of them
/// is subtracted. Not normalised: the length tells how sure the classifier is.
fn label_mean(labels: &[Label], temperature: f64, centred: bool, table: &PhraseTable) -> Vec<f64> {
    let logits = labels.iter().map(|label| f64::from(label.logit));
    let mut sum = vec![0.0; table.mean.len()];
    for (label, weight) in labels.iter().zip(soft_max(logits, temperature)) {
        for (sum, value) in sum.iter_mut().zip(&table.rows[label.index]) {
            *sum += weight * f64::from(*value);
        }
    }
    if centred {
        sum.iter_mut()
            .zip(&table.mean)
            .for_each(|(sum, mean)| *sum -= mean);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_weigh_by_the_soft_max_of_their_logits() {
        let texts = vec!["a".into(), "b".into(), "c".into()];
        let rows = vec![vec![1.0, 0.0], vec![0.0, 1.0], vec![2.0, 2.0]];
        let table = PhraseTable::from_rows(texts, rows);
        let label = |index, probability: f32| Label {
            index,
            label: String::new(),
            probability,
            logit: probability.ln(),
        };
        let labels = [label(1, 0.6), label(0, 0.2)];
        let cases = [
            (1.0, false, [0.25, 0.75]),
            // At temperature 2 the odds of 3 become its root.
            (
                2.0,
                false,
                [1.0 / (1.0 + 3f64.sqrt()), 1.0 - 1.0 / (1.0 + 3f64.sqrt())],
            ),
            (1.0, true, [0.25 - 1.0, 0.75 - 1.0]),
        ];
        for (temperature, centred, expected) in cases {
            let found = label_mean(&labels, temperature, centred, &table);
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() < 1e-6, "{found} {expected}");
            }
        }
    }
}
