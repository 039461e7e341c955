//! The scores of a preset: its own, its members', and those of answers that look at no picture.

use anyhow::{Result, bail};
use serde::Serialize;
use std::collections::{HashMap, HashSet};
use unprompt::{
    Baselines, FailureRecord, PredictionRecord, Predictor, PromptSource, Receipt, SentenceEncoder,
    Source,
    eval::{Answer, Answers, cosine, image_id},
};

/// Texts that are embedded at once.
const TEXTS_AT_ONCE: usize = 256;

/// What `eval` found, in the keys of its JSON. Cosines are from -1 to 1.
#[derive(Debug, Serialize)]
pub(crate) struct Evaluation {
    pub(crate) preset: String,
    /// Mean cosine of the predictions' embeddings with the truth.
    pub(crate) mean_cosine: f64,
    /// Pictures that were scored.
    pub(crate) n: usize,
    /// Different prompts among them.
    pub(crate) prompts: usize,
    /// Pictures whose prompt was read from the file.
    pub(crate) from_metadata: usize,
    /// Mean cosine of the predictions' texts with the truth.
    pub(crate) text_mean_cosine: f64,
    /// Mean of the expected scores, where the preset has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expected_score: Option<ExpectedScore>,
    pub(crate) members: Vec<MemberScore>,
    pub(crate) baselines: BaselineScores,
    /// Files that the truth does not have.
    pub(crate) without_truth: Vec<String>,
    /// Ids of the truth that have no picture.
    pub(crate) without_picture: Vec<String>,
    pub(crate) failed: Vec<FailureRecord>,
    pub(crate) per_image: Vec<ImageResult>,
    pub(crate) receipt: Receipt,
}

#[derive(Debug, Serialize)]
pub(crate) struct ExpectedScore {
    pub(crate) mean: f64,
    /// Mean absolute difference from the true score.
    pub(crate) error: f64,
}

#[derive(Debug, Serialize)]
pub(crate) struct MemberScore {
    pub(crate) name: String,
    pub(crate) weight: f64,
    pub(crate) mean_cosine: f64,
    /// Pictures that it looked at.
    pub(crate) n: usize,
}

#[derive(Debug, Serialize)]
pub(crate) struct BaselineScores {
    pub(crate) mean_embedding: BaselineScore,
    pub(crate) constant_prompt: BaselineScore,
}

#[derive(Debug, Serialize)]
pub(crate) struct BaselineScore {
    pub(crate) mean_cosine: f64,
    /// The list that it is made of.
    pub(crate) list: &'static str,
    /// Prompts of that list.
    pub(crate) list_prompts: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) prompt: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct ImageResult {
    pub(crate) id: String,
    pub(crate) path: String,
    pub(crate) cosine: f64,
    pub(crate) text_cosine: f64,
    pub(crate) prompt: String,
    /// Not there where the truth is an embedding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) true_prompt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expected_score: Option<f64>,
    pub(crate) source: PromptSource,
}

/// The truth about the pictures, embedded.
pub(super) struct Truth {
    by_id: HashMap<String, (Vec<f64>, Option<String>)>,
}

impl Truth {
    /// Embeds the truth of these pictures; an embedding must be as wide as the encoder's.
    pub(super) fn new(
        truth: &Answers,
        sources: &[Source],
        encoder: &SentenceEncoder,
    ) -> Result<Self> {
        let mut by_id = HashMap::new();
        for sources in sources.chunks(TEXTS_AT_ONCE) {
            let ids = sources.iter().map(|source| image_id(source.path()));
            let entries: Vec<_> = ids.filter_map(|id| truth.get(&id)).collect();
            let mut texts = Vec::new();
            for entry in &entries {
                match &entry.answer {
                    Answer::Prompt(prompt) => texts.push((entry, prompt.clone())),
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
                        by_id.insert(entry.id.clone(), (row.clone(), None));
                    }
                }
            }
            let prompts: Vec<&str> = texts.iter().map(|(_, text)| text.as_str()).collect();
            let rows = encoder.embed(&prompts)?;
            for ((entry, prompt), row) in texts.into_iter().zip(rows) {
                by_id.insert(entry.id.clone(), (widened(&row), Some(prompt)));
            }
        }
        Ok(Self { by_id })
    }
}

/// Scores as they come.
pub(super) struct Scores<'a> {
    predictor: &'a Predictor,
    baselines: &'a Baselines,
    truth: Truth,
    /// Predictions whose texts are not embedded yet.
    waiting: Vec<PredictionRecord>,
    images: Vec<ImageResult>,
    failed: Vec<FailureRecord>,
    /// Sum and count, member by member.
    members: Vec<(f64, usize)>,
    mean_embedding: f64,
    constant_prompt: f64,
}

impl<'a> Scores<'a> {
    pub(super) fn new(predictor: &'a Predictor, baselines: &'a Baselines, truth: Truth) -> Self {
        Self {
            predictor,
            baselines,
            truth,
            waiting: Vec::new(),
            images: Vec::new(),
            failed: Vec::new(),
            members: vec![(0.0, 0); predictor.preset().members.len()],
            mean_embedding: 0.0,
            constant_prompt: 0.0,
        }
    }

    pub(super) fn add(
        &mut self,
        result: Result<Box<PredictionRecord>, FailureRecord>,
    ) -> Result<()> {
        match result {
            Ok(record) => self.waiting.push(*record),
            Err(failure) => self.failed.push(failure),
        }
        if self.waiting.len() == TEXTS_AT_ONCE {
            self.score_waiting()?;
        }
        Ok(())
    }

    /// Scores the predictions that wait for their texts to be embedded together.
    fn score_waiting(&mut self) -> Result<()> {
        let records = std::mem::take(&mut self.waiting);
        let texts: Vec<&str> = records
            .iter()
            .map(|record| record.prompt.as_str())
            .collect();
        let texts = self.predictor.encoder()?.embed(&texts)?;
        for (record, text) in records.into_iter().zip(texts) {
            self.score(record, &text)?;
        }
        Ok(())
    }

    fn score(&mut self, record: PredictionRecord, text: &[f32]) -> Result<()> {
        let id = image_id(record.path.as_ref());
        let Some((truth, true_prompt)) = self.truth.by_id.remove(&id) else {
            bail!("{}: no truth for `{id}`", record.path);
        };
        // Embeddings that cancel out have no direction: they are as good as orthogonal.
        let score = |row: &[f64]| cosine(row, &truth).unwrap_or(0.0);
        for (sum, member) in self.members.iter_mut().zip(&record.members) {
            sum.0 += score(&widened(&member.embedding));
            sum.1 += 1;
        }
        self.mean_embedding += score(&self.baselines.mean_embedding);
        self.constant_prompt += score(&widened(&self.baselines.constant_embedding));
        self.images.push(ImageResult {
            id,
            // Truths were embedded before: the encoder is there, and every record has its embedding.
            cosine: record
                .embedding
                .map_or(0.0, |embedding| score(&widened(&embedding))),
            text_cosine: score(&widened(text)),
            path: record.path,
            prompt: record.prompt,
            true_prompt,
            expected_score: record.expected_score,
            source: record.source,
        });
        Ok(())
    }

    pub(super) fn finish(
        mut self,
        without_truth: Vec<String>,
        without_picture: Vec<String>,
    ) -> Result<Evaluation> {
        self.score_waiting()?;
        let images = self.images;
        if images.is_empty() {
            bail!("no picture could be predicted, so there is nothing to score");
        }
        let n = images.len();
        let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / n as f64;
        let preset = self.predictor.preset();
        let members = preset.members.iter().zip(&self.members);
        let members = members.filter(|(_, (_, n))| *n > 0);
        let members = members.map(|(member, (sum, n))| MemberScore {
            name: member.name.clone(),
            weight: member.weight,
            mean_cosine: sum / *n as f64,
            n: *n,
        });
        let expected: Vec<(f64, f64)> = images
            .iter()
            .filter_map(|image| Some((image.expected_score?, image.cosine)))
            .collect();
        let over_expected = |of: fn(&(f64, f64)) -> f64| {
            expected.iter().map(of).sum::<f64>() / expected.len() as f64
        };
        let expected_score = (!expected.is_empty()).then(|| ExpectedScore {
            mean: over_expected(|(expected, _)| *expected),
            error: over_expected(|(expected, found)| (expected - found).abs()),
        });
        let baseline = |sum: f64, prompt: Option<&String>| BaselineScore {
            mean_cosine: sum / n as f64,
            list: self.baselines.list,
            list_prompts: self.baselines.prompts,
            prompt: prompt.cloned(),
        };
        let from_metadata = |image: &&ImageResult| image.source == PromptSource::Metadata;
        let prompts: HashSet<&str> = images
            .iter()
            .map(|image| image.true_prompt.as_deref().unwrap_or(&image.id))
            .collect();
        Ok(Evaluation {
            preset: preset.name.clone(),
            mean_cosine: mean(&mut images.iter().map(|image| image.cosine)),
            n,
            prompts: prompts.len(),
            from_metadata: images.iter().filter(from_metadata).count(),
            text_mean_cosine: mean(&mut images.iter().map(|image| image.text_cosine)),
            expected_score,
            members: members.collect(),
            baselines: BaselineScores {
                mean_embedding: baseline(self.mean_embedding, None),
                constant_prompt: baseline(
                    self.constant_prompt,
                    Some(&self.baselines.constant_prompt),
                ),
            },
            without_truth,
            without_picture,
            failed: self.failed,
            per_image: images,
            receipt: self.predictor.receipt().clone(),
        })
    }
}

fn widened(row: &[f32]) -> Vec<f64> {
    row.iter().copied().map(f64::from).collect()
}
