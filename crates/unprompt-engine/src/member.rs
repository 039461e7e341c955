//! What each kind of member makes of a picture's labels.

use crate::{Label, MemberKind, MemberSpec};
use std::collections::HashMap;

/// The labels' text: joined by ", ", each as its synset spells it.
pub(crate) fn label_text(labels: &[Label], top: usize) -> String {
    let names: Vec<&str> = labels
        .iter()
        .take(top)
        .map(|label| label.label.as_str())
        .collect();
    names.join(", ")
}

/// The texts whose embeddings a member needs.
pub(crate) fn texts(spec: &MemberSpec, labels: &[Label]) -> Vec<String> {
    match spec.kind {
        MemberKind::LabelText => vec![label_text(labels, spec.top)],
        MemberKind::LabelMean => labels
            .iter()
            .take(spec.top)
            .map(|label| label.label.clone())
            .collect(),
    }
}

/// A member's embedding, of unit length, from the embeddings of its texts.
pub(crate) fn embedding(
    spec: &MemberSpec,
    labels: &[Label],
    embeddings: &HashMap<String, Vec<f32>>,
) -> Vec<f32> {
    let weights: Vec<f64> = match spec.kind {
        MemberKind::LabelText => vec![1.0],
        MemberKind::LabelMean => labels
            .iter()
            .take(spec.top)
            .map(|label| f64::from(label.probability))
            .collect(),
    };
    let rows = texts(spec, labels);
    let rows = rows
        .iter()
        .zip(weights)
        .filter_map(|(text, w)| Some((w, embeddings.get(text)?)));
    blend(rows)
}

/// The weighted sum of vectors, at unit length.
pub(crate) fn blend<'a>(rows: impl IntoIterator<Item = (f64, &'a Vec<f32>)>) -> Vec<f32> {
    let mut sum: Vec<f64> = Vec::new();
    for (weight, row) in rows {
        sum.resize(row.len(), 0.0);
        sum.iter_mut()
            .zip(row)
            .for_each(|(sum, value)| *sum += weight * f64::from(*value));
    }
    let norm = sum
        .iter()
        .map(|value| value * value)
        .sum::<f64>()
        .sqrt()
        .max(1e-12);
    sum.into_iter().map(|value| (value / norm) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_label_mean_is_weighted_by_probability_and_has_unit_length() {
        let label = |name: &str, probability| Label {
            index: 0,
            label: name.into(),
            probability,
            logit: 0.0,
        };
        let labels = [label("a", 0.6), label("b", 0.2), label("c", 0.1)];
        let spec = MemberSpec {
            name: "mean".into(),
            kind: MemberKind::LabelMean,
            model: "m".into(),
            top: 2,
            weight: 1.0,
        };
        let embeddings = HashMap::from([
            ("a".to_owned(), vec![1.0, 0.0]),
            ("b".to_owned(), vec![0.0, 1.0]),
            ("c".to_owned(), vec![100.0, 100.0]),
        ]);
        let found = embedding(&spec, &labels, &embeddings);
        // (0.6, 0.2) at unit length
        let expected = [0.6 / 0.4f64.sqrt(), 0.2 / 0.4f64.sqrt()];
        for (found, expected) in found.iter().zip(expected) {
            assert!(
                (f64::from(*found) - expected).abs() < 1e-6,
                "{found} {expected}"
            );
        }
        assert_eq!(label_text(&labels, 2), "a, b");
    }
}
