//! From pictures to predictions.

mod draft;

use crate::{
    EngineError, FailureRecord, InputError, ModelReceipt, Outcome, Preset, Receipt, Source,
    encoder::load_sentence_encoder,
    members::{Embeddings, Loading, Members, Seen, open_indexes},
    missing, text_search,
};
use draft::{Draft, pieces};
use rayon::prelude::*;
use std::time::Instant;
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
    found: Found,
    /// Why the metadata could not be read.
    metadata_error: Option<String>,
    elapsed_ms: f64,
}

/// The prompt in the file, or else what the networks see.
enum Found {
    Prompt(String),
    Seen(Seen),
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
    ) -> Result<Self, EngineError> {
        Self::load_models(hub, &preset, compute, progress, tables)
            .map_err(|error| missing::explain(hub, &preset, error))
    }

    fn load_models(
        hub: &Hub,
        preset: &Preset,
        compute: &Compute,
        progress: &dyn Progress,
        tables: &dyn TableProgress,
    ) -> Result<Self, EngineError> {
        // Missing indexes are told before gigabytes are fetched.
        let indexes = open_indexes(preset)?;
        let mut receipts = Vec::new();
        let (encoder_model, encoder) =
            load_sentence_encoder(hub, &preset.encoder, compute, progress)?;
        receipts.push(ModelReceipt::new(&encoder_model, compute.dtype())?);
        let from = Loading {
            hub,
            preset,
            encoder: &encoder,
            encoder_model: &encoder_model,
            compute,
            progress,
            tables,
        };
        let members = Members::load(&from, indexes, &mut receipts)?;
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
        let analyses: Vec<Result<Analysis, InputError>> = sources
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
        let embeddings: Embeddings = match self.encoder.embed(&texts) {
            Ok(embeddings) => texts.into_iter().zip(embeddings).collect(),
            // The texts come from pictures that may be hostile: find out whose it was.
            Err(_) => Embeddings::new(),
        };
        let drafts = self.drafts(analyses, &embeddings);
        let (mut ready, mut queries) = (Vec::new(), Vec::new());
        for draft in drafts {
            ready.push(draft.map(|(draft, query)| {
                queries.extend(query);
                draft
            }));
        }
        let mut texts = text_search::search(&self.encoder, &queries).into_iter();
        let share_ms = start.elapsed().as_secs_f64() * 1e3 / sources.len().max(1) as f64;
        let outcome = |(source, draft): (&Source, Result<Draft, InputError>)| {
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
        sources.iter().zip(ready).map(outcome).collect()
    }

    fn analyse(&self, source: &Source, options: &PredictOptions) -> Result<Analysis, InputError> {
        let start = Instant::now();
        let bytes = source.read(&options.limits)?;
        let (prompt, metadata_error) = metadata_prompt(&bytes, options);
        let found = match prompt {
            Some(prompt) => Found::Prompt(prompt),
            None => Found::Seen(self.members.see(&self.preset, &bytes, options.limits)?),
        };
        Ok(Analysis {
            found,
            metadata_error,
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
}

/// The prompt that the file carries, or what keeps it from being read. A record that is damaged, or
/// has no prompt, is as good as none: the picture itself is still there to be looked at.
fn metadata_prompt(bytes: &[u8], options: &PredictOptions) -> (Option<String>, Option<String>) {
    if !options.metadata {
        return (None, None);
    }
    match unprompt_metadata::read(bytes) {
        Ok(Some(found)) if found.has_prompt() => (Some(found.prompt), None),
        Ok(_) => (None, None),
        Err(error) => (None, Some(error.to_string())),
    }
}
