//! The metric: mean cosine similarity between predicted and true embeddings.

use crate::{
    DIMENSIONS,
    answers::{Answer, Answers, Entry},
    error::{Error, Problem},
};
use serde::Serialize;
use std::borrow::Cow;

/// What a function that embeds texts may fail with.
pub type EmbedError = Box<dyn std::error::Error + Send + Sync>;

/// Turns texts into embeddings: as many as texts, in the same order, [`DIMENSIONS`] numbers each.
pub type EmbedTexts<'a> = dyn FnMut(&[String]) -> Result<Vec<Vec<f32>>, EmbedError> + 'a;

/// Texts handed to [`EmbedTexts`] at once: enough to fill batches, few enough to keep them small.
pub(crate) const TEXTS_AT_ONCE: usize = 256;

/// How well predictions match the truth.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Score {
    /// Mean of the cosines, from -1 to 1.
    pub mean_cosine: f64,
    /// How many images.
    pub n: usize,
    /// Each image, in the order of the truth.
    pub per_image: Vec<ImageScore>,
}

/// How well the prediction of one image matches.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ImageScore {
    /// The image's id.
    pub id: String,
    /// Cosine of predicted and true embedding, from -1 to 1.
    pub cosine: f64,
}

/// Scores predictions; both sides must have exactly the same images, in any order.
///
/// Prompts on either side go through `embed` first; where both sides have embeddings it is not
/// called. Computed in f64.
///
/// # Errors
/// An image that only one side has, an embedding of zeros, a failure of `embed`.
pub fn score(
    prediction: &Answers,
    truth: &Answers,
    embed: &mut EmbedTexts<'_>,
) -> Result<Score, Error> {
    check_same_images(prediction, truth)?;
    let mut per_image = Vec::with_capacity(truth.entries().len());
    for true_entries in truth.entries().chunks(TEXTS_AT_ONCE) {
        let predicted_entries: Vec<&Entry> = true_entries
            .iter()
            .filter_map(|entry| prediction.get(&entry.id))
            .collect();
        let true_entries: Vec<&Entry> = true_entries.iter().collect();
        let expected = embeddings(truth, &true_entries, embed)?;
        let predicted = embeddings(prediction, &predicted_entries, embed)?;
        let rows = expected
            .iter()
            .zip(&predicted)
            .zip(true_entries.iter().zip(predicted_entries));
        for ((expected, predicted), (true_entry, predicted_entry)) in rows {
            let zero = |answers: &Answers, entry: &Entry| {
                answers.error(
                    entry.line,
                    Problem::ZeroVector {
                        id: entry.id.clone(),
                    },
                )
            };
            let cosine = match cosine(predicted, expected) {
                Some(cosine) => cosine,
                None if is_zero(predicted) => return Err(zero(prediction, predicted_entry)),
                None => return Err(zero(truth, true_entry)),
            };
            per_image.push(ImageScore {
                id: true_entry.id.clone(),
                cosine,
            });
        }
    }
    let n = per_image.len();
    let mean_cosine = per_image.iter().map(|image| image.cosine).sum::<f64>() / n as f64;
    Ok(Score {
        mean_cosine,
        n,
        per_image,
    })
}

/// Cosine of the angle between two vectors of finite numbers and the same length.
///
/// `None` where one of them is all zeros, so that there is no angle.
pub fn cosine(left: &[f64], right: &[f64]) -> Option<f64> {
    let product = |left: &[f64], right: &[f64]| -> f64 {
        left.iter()
            .zip(right)
            .map(|(left, right)| left * right)
            .sum()
    };
    let squares = (product(left, left), product(right, right));
    if squares.0.is_normal() && squares.1.is_normal() {
        return Some(product(left, right) / (squares.0.sqrt() * squares.1.sqrt()));
    }
    // Numbers so large or small that their squares leave f64: only the direction counts.
    let (left, right) = (scaled(left)?, scaled(right)?);
    let lengths = product(&left, &left).sqrt() * product(&right, &right).sqrt();
    Some(product(&left, &right) / lengths)
}

fn is_zero(vector: &[f64]) -> bool {
    vector.iter().all(|&value| value == 0.0)
}

/// The vector divided by its largest magnitude.
fn scaled(vector: &[f64]) -> Option<Vec<f64>> {
    let largest = vector
        .iter()
        .fold(0.0, |largest: f64, value| largest.max(value.abs()));
    (largest > 0.0).then(|| vector.iter().map(|value| value / largest).collect())
}

pub(crate) fn check_same_images(prediction: &Answers, truth: &Answers) -> Result<(), Error> {
    if let Some(entry) = prediction
        .entries()
        .iter()
        .find(|entry| truth.get(&entry.id).is_none())
    {
        let (id, truth) = (entry.id.clone(), truth.name().to_owned());
        return Err(prediction.error(entry.line, Problem::UnknownId { id, truth }));
    }
    if let Some(entry) = truth
        .entries()
        .iter()
        .find(|entry| prediction.get(&entry.id).is_none())
    {
        let (id, prediction) = (entry.id.clone(), prediction.name().to_owned());
        return Err(truth.error(entry.line, Problem::MissingId { id, prediction }));
    }
    Ok(())
}

/// The embeddings of some entries, prompts embedded on the way.
pub(crate) fn embeddings<'a>(
    answers: &Answers,
    entries: &[&'a Entry],
    embed: &mut EmbedTexts<'_>,
) -> Result<Vec<Cow<'a, [f64]>>, Error> {
    let prompts: Vec<String> = entries
        .iter()
        .filter_map(|entry| match &entry.answer {
            Answer::Prompt(prompt) => Some(prompt.clone()),
            Answer::Embedding(_) => None,
        })
        .collect();
    let mut embedded = Vec::new();
    if !prompts.is_empty() {
        let failed = |problem| Error::new(answers.name(), None, problem);
        embedded = embed(&prompts).map_err(|cause| failed(Problem::Embedder(cause)))?;
        if embedded.len() != prompts.len() {
            let (texts, embeddings) = (prompts.len(), embedded.len());
            return Err(failed(Problem::EmbedderCount { texts, embeddings }));
        }
    }
    let mut embedded = embedded.into_iter();
    let mut all = Vec::with_capacity(entries.len());
    for entry in entries {
        all.push(match &entry.answer {
            Answer::Embedding(embedding) => Cow::Borrowed(embedding.as_slice()),
            Answer::Prompt(_) => {
                let embedding = widened(entry, embedded.next().unwrap_or_default());
                Cow::Owned(embedding.map_err(|problem| answers.error(entry.line, problem))?)
            }
        });
    }
    Ok(all)
}

fn widened(entry: &Entry, embedding: Vec<f32>) -> Result<Vec<f64>, Problem> {
    let id = || entry.id.clone();
    if embedding.len() != DIMENSIONS {
        return Err(Problem::Width {
            id: id(),
            found: embedding.len(),
        });
    }
    if let Some(dimension) = embedding.iter().position(|value| !value.is_finite()) {
        let text = embedding[dimension].to_string();
        return Err(Problem::NotFinite {
            id: id(),
            dimension,
            text,
        });
    }
    Ok(embedding.into_iter().map(f64::from).collect())
}
