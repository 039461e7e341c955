//! The truth about the pictures, embedded.

use anyhow::{Result, bail};
use std::collections::HashMap;
use unprompt::{
    KnownPrompts, SentenceEncoder, Source,
    eval::{Answer, Answers, image_id, subject},
};

/// Texts that are embedded at once.
pub(super) const TEXTS_AT_ONCE: usize = 256;

/// By the picture's id.
pub(super) struct Truth {
    by_id: HashMap<String, Known>,
}

/// What is known of one picture.
pub(super) struct Known {
    pub(super) embedding: Vec<f64>,
    /// As the file has it: a prompt, or an embedding.
    pub(super) answer: Answer,
    /// The embedding of the prompt's subject.
    pub(super) subject: Option<Vec<f64>>,
    pub(super) generator: Option<String>,
    /// Cosine with the nearest prompt that the preset knows.
    pub(super) nearest_known: Option<f64>,
}

impl Truth {
    /// Embeds the truth of these pictures; an embedding must be as wide as the encoder's.
    pub(super) fn new(
        truth: &Answers,
        sources: &[Source],
        encoder: &SentenceEncoder,
        known: &KnownPrompts,
    ) -> Result<Self> {
        let mut by_id = HashMap::new();
        for sources in sources.chunks(TEXTS_AT_ONCE) {
            let ids = sources.iter().map(|source| image_id(source.path()));
            let entries: Vec<_> = ids.filter_map(|id| truth.get(&id)).collect();
            let mut texts = Vec::new();
            for entry in &entries {
                match &entry.answer {
                    Answer::Prompt(prompt) => texts.extend([prompt.as_str(), subject(prompt)]),
                    Answer::Embedding(row) => {
                        let is_zero = row.iter().all(|value| *value == 0.0);
                        if row.len() != encoder.width() || is_zero {
                            bail!(
                                "{}:{}: image `{}` has an embedding of {} numbers, expected {} that \
                                 are not all 0",
                                truth.name(),
                                entry.line,
                                entry.id,
                                row.len(),
                                encoder.width()
                            );
                        }
                    }
                }
            }
            // Pictures of one prompt stand together, and need it once.
            let mut distinct = texts.clone();
            distinct.sort_unstable();
            distinct.dedup();
            let rows = encoder.embed(&distinct)?;
            let row = |text: &str| {
                let place = distinct.binary_search(&text).ok();
                place.map(|place| widened(&rows[place]))
            };
            let embeddings: Vec<Vec<f64>> = entries
                .iter()
                .map(|entry| match &entry.answer {
                    Answer::Prompt(prompt) => row(prompt).unwrap_or_default(),
                    Answer::Embedding(numbers) => numbers.clone(),
                })
                .collect();
            let units: Vec<Vec<f32>> = embeddings.iter().map(|row| unit(row)).collect();
            let nearest = known.nearest(&units)?;
            for ((entry, embedding), nearest) in entries.into_iter().zip(embeddings).zip(nearest) {
                let subject = match &entry.answer {
                    Answer::Prompt(prompt) => row(subject(prompt)),
                    Answer::Embedding(_) => None,
                };
                by_id.insert(
                    entry.id.clone(),
                    Known {
                        embedding,
                        answer: entry.answer.clone(),
                        subject,
                        generator: entry.generator.clone(),
                        nearest_known: nearest.map(|known| f64::from(known.similarity)),
                    },
                );
            }
        }
        Ok(Self { by_id })
    }

    /// What is known of a picture, handed over.
    pub(super) fn take(&mut self, id: &str) -> Option<Known> {
        self.by_id.remove(id)
    }
}

/// A vector of numbers that are not all 0, at unit length.
pub(super) fn unit(row: &[f64]) -> Vec<f32> {
    let length = row.iter().map(|value| value * value).sum::<f64>().sqrt();
    row.iter().map(|value| (value / length) as f32).collect()
}

pub(super) fn widened(row: &[f32]) -> Vec<f64> {
    row.iter().copied().map(f64::from).collect()
}
