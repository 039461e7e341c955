//! From pictures to predictions.

use crate::{
    ConfidenceFeature, FailureRecord, InputError, MemberRecord, MemberSpec, ModelReceipt, Outcome,
    PredictionRecord, Preset, PromptSource, Receipt, Result, Source,
    calibration::agreement,
    encoder::load_sentence_encoder,
    member::{blend, unit},
    members::{MemberResult, Members, Seen},
    missing,
    text_search::{self, Candidate, FoundText, TextQuery},
};
use rayon::prelude::*;
use std::{
    collections::{HashMap, HashSet},
    time::Instant,
};
use unprompt_hub::{Hub, Progress};
use unprompt_image::Limits;
use unprompt_interrogate::TableProgress;
use unprompt_models::{Compute, SentenceEncoder};

/// How many pieces of one text may become parts of another.
const PIECES: usize = 16;

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
    found: Found,
    elapsed_ms: f64,
}

/// The prompt in the file, or else what the networks see.
enum Found {
    Prompt(String),
    Seen(Seen),
}

/// One picture's prediction before its text is chosen.
struct Draft {
    known: Known,
    elapsed_ms: f64,
}

enum Known {
    Prompt {
        prompt: String,
        embedding: Vec<f32>,
    },
    Blend {
        results: Vec<MemberResult>,
        blend: Vec<f64>,
    },
}

impl Predictor {
    /// Loads a preset's models, fetching those that are not here; `progress` is told of what is
    /// fetched, `tables` of label tables that are embedded for the first time.
    ///
    /// # Errors
    /// When a model cannot be had or is not of the kind that the preset needs; where models are
    /// missing the error names all of them.
    pub fn load(
        hub: &Hub,
        preset: Preset,
        compute: &Compute,
        progress: &dyn Progress,
        tables: &dyn TableProgress,
    ) -> Result<Self> {
        Self::load_models(hub, &preset, compute, progress, tables)
            .map_err(|error| missing::explain(hub, &preset, error))
    }

    fn load_models(
        hub: &Hub,
        preset: &Preset,
        compute: &Compute,
        progress: &dyn Progress,
        tables: &dyn TableProgress,
    ) -> Result<Self> {
        let mut receipts = Vec::new();
        let (resolved, encoder) = load_sentence_encoder(hub, &preset.encoder, compute, progress)?;
        receipts.push(ModelReceipt::new(&resolved, compute.dtype())?);
        // Embeddings that are kept are those of these weights, device and kind of numbers.
        let identity = compute.identity(resolved.sha256()?);
        let encoder_and_identity = (&encoder, identity.as_str());
        let members = Members::load(
            hub,
            preset,
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
            preset: preset.clone(),
            encoder,
            members,
            receipt,
        })
    }

    /// The preset.
    pub fn preset(&self) -> &Preset {
        &self.preset
    }

    /// The sentence encoder of the preset.
    pub fn encoder(&self) -> &SentenceEncoder {
        &self.encoder
    }

    /// What computes its records; the encoder is the first model.
    pub fn receipt(&self) -> &Receipt {
        &self.receipt
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
        let embeddings: HashMap<String, Vec<f32>> = match self.encoder.embed(&texts) {
            Ok(embeddings) => texts.into_iter().zip(embeddings).collect(),
            // The texts come from pictures that may be hostile: find out whose it was.
            Err(_) => HashMap::new(),
        };
        let (mut drafts, mut queries) = (Vec::new(), Vec::new());
        for analysis in analyses {
            drafts.push(analysis.and_then(|analysis| {
                let (draft, query) = self.draft(analysis, &embeddings)?;
                queries.extend(query);
                Ok(draft)
            }));
        }
        let mut texts = text_search::search(&self.encoder, &queries).into_iter();
        let share_ms = start.elapsed().as_secs_f64() * 1e3 / sources.len().max(1) as f64;
        let outcome = |(source, draft): (&Source, std::result::Result<Draft, InputError>)| {
            let path = source.path().to_string_lossy().into_owned();
            match draft {
                Ok(draft) => {
                    let record = self.record(path, draft, &mut texts, share_ms);
                    Outcome::Prediction(Box::new(record))
                }
                Err(error) => Outcome::Failure(FailureRecord {
                    path,
                    error: error.to_string(),
                }),
            }
        };
        sources.iter().zip(drafts).map(outcome).collect()
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
            Found::Seen(seen) => {
                let mut texts = Members::texts(&self.preset, seen);
                let pieces: Vec<String> = texts.iter().flat_map(|text| pieces(text)).collect();
                texts.extend(pieces);
                texts
            }
        }
    }

    /// The prediction's embedding, and what its text is searched among.
    fn draft(
        &self,
        analysis: Analysis,
        embeddings: &HashMap<String, Vec<f32>>,
    ) -> std::result::Result<(Draft, Option<TextQuery>), InputError> {
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
        let elapsed_ms = analysis.elapsed_ms;
        let (known, query) = match analysis.found {
            Found::Prompt(prompt) => {
                let embedding = embeddings[&prompt].clone();
                (Known::Prompt { prompt, embedding }, None)
            }
            Found::Seen(seen) => {
                let results = self.members.results(&self.preset, &seen, embeddings);
                let blend = self.blend(&results);
                let query = self.text_query(&results, &blend, embeddings);
                (Known::Blend { results, blend }, Some(query))
            }
        };
        Ok((Draft { known, elapsed_ms }, query))
    }

    /// Whole texts are those that members gave or retrieved; chains are made of these and of the
    /// pieces of those that members gave. Prompts that are merely nearest to the blend are left out:
    /// where the members are unsure the blend is near the mean of all prompts, and so are the texts
    /// that say the least.
    fn text_query(
        &self,
        results: &[MemberResult],
        blend: &[f64],
        embeddings: &HashMap<String, Vec<f32>>,
    ) -> TextQuery {
        let texts = results.iter().flat_map(|result| &result.texts);
        let whole: Vec<Candidate> = texts.cloned().collect();
        let mut seen = HashSet::new();
        let pieces = whole.iter().flat_map(|candidate| {
            let pieces = pieces(&candidate.text);
            let pieces = pieces.into_iter().filter_map(|text| {
                let embedding = embeddings.get(&text)?.clone();
                Some(Candidate { text, embedding })
            });
            std::iter::once(candidate.clone()).chain(pieces.collect::<Vec<_>>())
        });
        let phrases = pieces
            .filter(|piece| seen.insert(piece.text.clone()))
            .collect();
        TextQuery {
            target: blend.to_vec(),
            whole,
            phrases,
        }
    }

    fn record(
        &self,
        path: String,
        draft: Draft,
        texts: &mut impl Iterator<Item = FoundText>,
        share_ms: f64,
    ) -> PredictionRecord {
        let mut record = PredictionRecord {
            path,
            prompt: String::new(),
            source: PromptSource::Metadata,
            embedding: Vec::new(),
            members: Vec::new(),
            evidence: Vec::new(),
            expected_score: None,
            preset: self.preset.name.clone(),
            elapsed_ms: ((draft.elapsed_ms + share_ms) * 1e3).round() / 1e3,
            receipt: self.receipt.clone(),
        };
        match draft.known {
            Known::Prompt { prompt, embedding } => {
                record.prompt = prompt;
                record.embedding = embedding;
            }
            Known::Blend { mut results, blend } => {
                // Each draft of this kind asked for one text.
                let found = texts.next().unwrap_or_default();
                record.source = PromptSource::Predicted;
                record.expected_score = self.expected_score(&results, found.similarity);
                record.prompt = found.text;
                record.embedding = narrowed(&blend);
                for result in &mut results {
                    record.evidence.append(&mut result.evidence);
                }
                let member = |(spec, result): (&MemberSpec, MemberResult)| MemberRecord {
                    name: spec.name.clone(),
                    weight: spec.weight,
                    text: result.texts.into_iter().next().map(|first| first.text),
                    embedding: narrowed(&unit(&result.embedding)),
                };
                record.members = self
                    .preset
                    .members
                    .iter()
                    .zip(results)
                    .map(member)
                    .collect();
            }
        }
        record
    }

    fn expected_score(&self, results: &[MemberResult], similarity: f64) -> Option<f64> {
        let calibration = self.preset.calibration.as_ref()?;
        let members = self.preset.members.iter().zip(results);
        let weighted = members.filter(|(spec, _)| spec.weight > 0.0);
        let feature = match calibration.feature {
            ConfidenceFeature::Text => similarity,
            ConfidenceFeature::Agreement => {
                agreement(weighted.map(|(_, result)| result.embedding.as_slice()))
            }
        };
        Some(calibration.expected_score(feature))
    }

    fn blend(&self, results: &[MemberResult]) -> Vec<f64> {
        let members = self.preset.members.iter().zip(results);
        let rows = members.map(|(spec, result)| (spec.weight, result.embedding.as_slice()));
        blend(rows, self.preset.normalize_members)
    }
}

/// The phrases that a text consists of, between commas; none where it is one phrase.
fn pieces(text: &str) -> Vec<String> {
    let pieces = text.split(',').map(str::trim);
    let pieces: Vec<String> = pieces
        .filter(|piece| !piece.is_empty() && *piece != text)
        .take(PIECES)
        .map(String::from)
        .collect();
    pieces
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
    fn a_text_has_the_pieces_between_its_commas() {
        assert_eq!(
            pieces("a cat,  on a mat, ,oil"),
            ["a cat", "on a mat", "oil"]
        );
        assert!(pieces("a cat").is_empty());
        assert!(pieces("").is_empty());
        assert_eq!(pieces(&"a,".repeat(100)).len(), PIECES);
    }
}
