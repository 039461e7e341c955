//! Scores picture by picture, as predictions come.

use super::{
    evaluation::ImageResult,
    truth::{TEXTS_AT_ONCE, Truth, unit, widened},
};
use anyhow::{Result, bail};
use unprompt::{
    Baselines, FailureRecord, PredictionRecord, Predictor,
    eval::{Answer, cosine_or_zero, image_id, modifier_recall, subject},
};

/// Scores as they come.
pub(super) struct Scores<'a> {
    predictor: &'a Predictor,
    baselines: &'a Baselines,
    truth: Truth,
    /// Predictions whose texts are not embedded yet.
    waiting: Vec<PredictionRecord>,
    scored: Scored,
    failed: Vec<FailureRecord>,
}

/// The pictures that have a score: every list has one entry a picture.
#[derive(Default)]
pub(super) struct Scored {
    pub(super) images: Vec<ImageResult>,
    /// What makes pictures belong together.
    pub(super) truths: Vec<Answer>,
    /// Their embeddings, of unit length.
    pub(super) truth_rows: Vec<Vec<f32>>,
    /// Of each member, in the preset's order; none where it did not look at the picture.
    pub(super) members: Vec<Vec<Option<f64>>>,
    /// The mean embedding, the constant prompt and each prior.
    pub(super) blind: Vec<Vec<f64>>,
}

impl<'a> Scores<'a> {
    pub(super) fn new(predictor: &'a Predictor, baselines: &'a Baselines, truth: Truth) -> Self {
        Self {
            predictor,
            baselines,
            truth,
            waiting: Vec::new(),
            scored: Scored::default(),
            failed: Vec::new(),
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
        let texts =
            |of: fn(&PredictionRecord) -> &str| -> Vec<&str> { records.iter().map(of).collect() };
        let encoder = self.predictor.encoder()?;
        let whole = encoder.embed(&texts(|record| &record.prompt))?;
        let subjects = encoder.embed(&texts(|record| subject(&record.prompt)))?;
        for ((record, text), subject) in records.into_iter().zip(whole).zip(subjects) {
            self.score(record, &text, &subject)?;
        }
        Ok(())
    }

    fn score(&mut self, record: PredictionRecord, text: &[f32], subject: &[f32]) -> Result<()> {
        let id = image_id(record.path.as_ref());
        let Some(truth) = self.truth.take(&id) else {
            bail!("{}: no truth for `{id}`", record.path);
        };
        // Embeddings that cancel out have no direction: they are as good as orthogonal.
        let score = |row: &[f64]| cosine_or_zero(row, &truth.embedding);
        let members = 0..self.predictor.preset().members.len();
        self.scored.members.push(
            members
                .map(|member| {
                    let member = record.members.get(member)?;
                    Some(score(&widened(&member.embedding)))
                })
                .collect(),
        );
        let baselines = self.baselines;
        let mut blind = vec![
            score(&baselines.mean_embedding),
            score(&widened(&baselines.constant_embedding)),
        ];
        blind.extend(baselines.priors.iter().map(|prior| score(&prior.embedding)));
        self.scored.blind.push(blind);
        let true_prompt = match &truth.answer {
            Answer::Prompt(prompt) => Some(prompt.clone()),
            Answer::Embedding(_) => None,
        };
        self.scored.images.push(ImageResult {
            id,
            // Truths were embedded before: the encoder is there, and every record has its embedding.
            cosine: record
                .embedding
                .map_or(0.0, |embedding| score(&widened(&embedding))),
            text_cosine: score(&widened(text)),
            path: record.path,
            modifier_recall: true_prompt
                .as_deref()
                .and_then(|truth| modifier_recall(truth, &record.prompt)),
            subject_cosine: truth
                .subject
                .map(|truth| cosine_or_zero(&truth, &widened(subject))),
            nearest_known: truth.nearest_known,
            prompt: record.prompt,
            true_prompt,
            generator: truth.generator,
            expected_score: record.expected_score,
            clip_t: None,
            true_clip_t: None,
            redrawn: None,
            source: record.source,
        });
        self.scored.truths.push(truth.answer);
        self.scored.truth_rows.push(unit(&truth.embedding));
        Ok(())
    }

    /// All scores, once the last prediction has come, and what failed.
    pub(super) fn finish(mut self) -> Result<(Scored, Vec<FailureRecord>)> {
        self.score_waiting()?;
        if self.scored.images.is_empty() {
            bail!("no picture could be predicted, so there is nothing to score");
        }
        Ok((self.scored, self.failed))
    }
}
