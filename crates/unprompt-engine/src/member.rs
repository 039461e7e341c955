//! What each kind of member makes of a picture: one file a kind, and the blend of them all.

mod blend;
mod knn;
mod label_mean;
mod retrieval;

pub(crate) use blend::{blend, cosine, unit};
pub(crate) use knn::Knn;
pub(crate) use label_mean::label_mean;
pub(crate) use retrieval::Retrieval;

use crate::Label;

/// The labels' text: joined by ", ", each as its synset spells it.
pub(crate) fn label_text(labels: &[Label], top: usize) -> String {
    let names: Vec<&str> = labels
        .iter()
        .take(top)
        .map(|label| label.label.as_str())
        .collect();
    names.join(", ")
}

/// Soft-max of scores at a temperature.
fn soft_max(scores: impl Iterator<Item = f64> + Clone, temperature: f64) -> Vec<f64> {
    let largest = scores.clone().fold(f64::NEG_INFINITY, f64::max);
    let exponentials: Vec<f64> = scores
        .map(|score| ((score - largest) / temperature).exp())
        .collect();
    let total: f64 = exponentials.iter().sum();
    exponentials
        .into_iter()
        .map(|value| value / total)
        .collect()
}
