//! From pictures to predictions.

use crate::{
    FailureRecord, InputError, MemberRecord, MemberSpec, ModelReceipt, Outcome, PredictionRecord,
    Preset, PromptSource, Receipt, Result, Source,
    encoder::load_sentence_encoder,
    member::{blend, cosine, unit},
    members::{MemberResult, Members, Seen},
};
use rayon::prelude::*;
use std::{collections::HashMap, time::Instant};
use unprompt_hub::{Hub, Progress};
use unprompt_image::Limits;
use unprompt_interrogate::TableProgress;
use unprompt_models::{Compute, SentenceEncoder};

/// What a caller may ask of a prediction.
#[derive(Clone, Copy, Debug)]
pub struct PredictOptions {
    /// Take the prompt that the file carries, where it carries one.
    pub metadata: bool,
    /// Limits on each picture.
    pub limits: Limits,
}

impl Default for PredictOptions {
    fn default() -> Self {
        Self {
            metadata: true,
            limits: Limits::default(),
        }
    }
}

/// A preset with its models loaded.
#[derive(Debug)]
pub struct Predictor {
    preset: Preset,
    encoder: SentenceEncoder,
    members: Members,
    receipt: Receipt,
}

/// What was learnt from one picture before any text is embedded.
struct Analysis {
    /// The prompt in the file, or else what the networks see.
    found: Found,
    elapsed_ms: f64,
}

enum Found {
    Prompt(String),
    Seen(Seen),
}

impl Predictor {
    /// Loads a preset's models, fetching those that are not here; `progress` is told of what is
    /// fetched, `tables` of label tables that are embedded for the first time.
    ///
    /// # Errors
    /// When a model cannot be had or is not of the kind that the preset needs.
    pub fn load(
        hub: &Hub,
        preset: Preset,
        compute: &Compute,
        progress: &dyn Progress,
        tables: &dyn TableProgress,
    ) -> Result<Self> {
        let mut receipts = Vec::new();
        let (resolved, encoder) = load_sentence_encoder(hub, &preset.encoder, compute, progress)?;
        receipts.push(ModelReceipt::new(&resolved, compute.dtype())?);
        // Embeddings that are kept are those of these weights, device and kind of numbers.
        let identity = format!("{} {compute:?}", resolved.sha256()?);
        let encoder_and_identity = (&encoder, identity.as_str());
        let members = Members::load(
            hub,
            &preset,
            encoder_and_identity,
            compute,
            &mut receipts,
            progress,
            tables,
        )?;
        let receipt = Receipt {
            version: env!("CARGO_PKG_VERSION").into(),
            dtype: compute.dtype().name(),
            models: receipts,
        };
        Ok(Self {
            preset,
            encoder,
            members,
            receipt,
        })
    }

    /// The results of a batch of pictures, in their order.
    ///
    /// Pictures are shared between the threads of the current pool, and all texts are embedded
    /// together; neither changes a bit of any record except its time.
    pub fn predict(&self, sources: &[Source], options: &PredictOptions) -> Vec<Outcome> {
        let analyses: Vec<std::result::Result<Analysis, InputError>> = sources
            .par_iter()
            .map(|source| self.analyse(source, options))
            .collect();
        let start = Instant::now();
        let mut texts: Vec<String> = analyses
            .iter()
            .flatten()
            .flat_map(|analysis| self.texts(&analysis.found))
            .collect();
        texts.sort_unstable();
        texts.dedup();
        let embeddings = self.encoder.embed(&texts);
        let share_ms = start.elapsed().as_secs_f64() * 1e3 / sources.len().max(1) as f64;
        let embeddings = match embeddings {
            Ok(embeddings) => texts.into_iter().zip(embeddings).collect(),
            // The texts come from pictures that may be hostile: find out whose it was.
            Err(_) => HashMap::new(),
        };
        let outcome = |(source, analysis): (&Source, std::result::Result<Analysis, InputError>)| {
            let path = source.path().to_string_lossy().into_owned();
            let record = analysis
                .and_then(|analysis| self.record(path.clone(), analysis, &embeddings, share_ms));
            match record {
                Ok(record) => Outcome::Prediction(Box::new(record)),
                Err(error) => Outcome::Failure(FailureRecord {
                    path,
                    error: error.to_string(),
                }),
            }
        };
        sources.iter().zip(analyses).map(outcome).collect()
    }

    fn analyse(
        &self,
        source: &Source,
        options: &PredictOptions,
    ) -> std::result::Result<Analysis, InputError> {
        let start = Instant::now();
        let bytes = source.read(&options.limits)?;
        let found = match metadata_prompt(&bytes, options) {
            Some(prompt) => Found::Prompt(prompt),
            None => Found::Seen(self.members.see(&self.preset, &bytes, options.limits)?),
        };
        Ok(Analysis {
            found,
            elapsed_ms: start.elapsed().as_secs_f64() * 1e3,
        })
    }

    fn texts(&self, found: &Found) -> Vec<String> {
        match found {
            Found::Prompt(prompt) => vec![prompt.clone()],
            Found::Seen(seen) => Members::texts(&self.preset, seen),
        }
    }

    fn record(
        &self,
        path: String,
        analysis: Analysis,
        embeddings: &HashMap<String, Vec<f32>>,
        share_ms: f64,
    ) -> std::result::Result<PredictionRecord, InputError> {
        let record = |prompt, source, embedding, members, evidence| PredictionRecord {
            path,
            prompt,
            source,
            embedding,
            members,
            evidence,
            preset: self.preset.name.clone(),
            elapsed_ms: ((analysis.elapsed_ms + share_ms) * 1e3).round() / 1e3,
            receipt: self.receipt.clone(),
        };
        // Embedding all texts together failed: alone, each names its own trouble.
        let own;
        let texts = self.texts(&analysis.found);
        let missing = |text: &String| !embeddings.contains_key(text);
        let embeddings = if texts.iter().any(missing) {
            let rows = self.encoder.embed(&texts)?;
            own = texts.into_iter().zip(rows).collect();
            &own
        } else {
            embeddings
        };
        match &analysis.found {
            Found::Prompt(prompt) => {
                let embedding = embeddings[prompt].clone();
                Ok(record(
                    prompt.clone(),
                    PromptSource::Metadata,
                    embedding,
                    Vec::new(),
                    Vec::new(),
                ))
            }
            Found::Seen(seen) => {
                let mut results = self.members.results(&self.preset, seen, embeddings);
                let embedding = self.blend(&results);
                let prompt = nearest_text(&results, &embedding);
                let evidence = results
                    .iter_mut()
                    .flat_map(|result| std::mem::take(&mut result.evidence))
                    .collect();
                let member = |(spec, result): (&MemberSpec, MemberResult)| MemberRecord {
                    name: spec.name.clone(),
                    weight: spec.weight,
                    text: result.texts.into_iter().next().map(|(text, _)| text),
                    embedding: narrowed(&unit(&result.embedding)),
                };
                let members = self.preset.members.iter().zip(results).map(member);
                let members: Vec<MemberRecord> = members.collect();
                let source = PromptSource::Predicted;
                Ok(record(
                    prompt,
                    source,
                    narrowed(&embedding),
                    members,
                    evidence,
                ))
            }
        }
    }

    /// The members' weighted sum, at unit length.
    fn blend(&self, results: &[MemberResult]) -> Vec<f64> {
        let row = |result: &MemberResult| match self.preset.normalize_members {
            true => unit(&result.embedding),
            false => result.embedding.clone(),
        };
        let rows: Vec<Vec<f64>> = results.iter().map(row).collect();
        let weights = self.preset.members.iter().map(|member| member.weight);
        unit(&blend(weights.zip(rows.iter().map(Vec::as_slice))))
    }
}

/// The text, of all that the members gave, whose embedding is nearest to the blend; the first of
/// equally near ones. So it is never worse than the best single source.
fn nearest_text(results: &[MemberResult], blend: &[f64]) -> String {
    let mut best: Option<(f64, &String)> = None;
    for (text, embedding) in results.iter().flat_map(|result| &result.texts) {
        let embedding: Vec<f64> = embedding.iter().copied().map(f64::from).collect();
        let similarity = cosine(&embedding, blend);
        if best.is_none_or(|(best, _)| similarity > best) {
            best = Some((similarity, text));
        }
    }
    best.map(|(_, text)| text.clone()).unwrap_or_default()
}

fn narrowed(values: &[f64]) -> Vec<f32> {
    values.iter().map(|value| *value as f32).collect()
}

/// The prompt that the file carries. A record that is damaged, or has no prompt, is as good as
/// none: the picture itself is still there to be looked at.
fn metadata_prompt(bytes: &[u8], options: &PredictOptions) -> Option<String> {
    if !options.metadata {
        return None;
    }
    let metadata = unprompt_metadata::read(bytes).ok()??;
    metadata.has_prompt().then_some(metadata.prompt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_text_is_taken_and_the_first_of_equals() {
        let result = |texts: &[(&str, [f32; 2])]| MemberResult {
            embedding: Vec::new(),
            texts: texts
                .iter()
                .map(|(text, row)| ((*text).into(), row.to_vec()))
                .collect(),
            evidence: Vec::new(),
        };
        let results = [
            result(&[("far", [0.0, 1.0])]),
            result(&[]),
            result(&[("near", [1.0, 0.1]), ("as near", [2.0, 0.2])]),
        ];
        assert_eq!(nearest_text(&results, &[1.0, 0.0]), "near");
        assert_eq!(nearest_text(&results, &[-1.0, 1.0]), "far");
        assert_eq!(nearest_text(&results[1..2], &[1.0, 0.0]), "");
    }
}
