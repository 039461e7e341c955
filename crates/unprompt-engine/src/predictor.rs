//! From pictures to predictions.

use crate::{
    Classifier, FailureRecord, InputError, MemberKind, MemberRecord, ModelReceipt, Outcome,
    PredictionRecord, Preset, PromptSource, Receipt, Result, Source, classifier::Label,
    encoder::load_sentence_encoder, member,
};
use rayon::prelude::*;
use std::{collections::HashMap, time::Instant};
use unprompt_hub::{Hub, Progress};
use unprompt_image::{Limits, decode};
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
    classifiers: HashMap<String, Classifier>,
    receipt: Receipt,
}

/// What was learnt from one picture before any text is embedded.
struct Analysis {
    /// The prompt in the file, or else each classifier's labels.
    found: Found,
    elapsed_ms: f64,
}

enum Found {
    Prompt(String),
    Labels(HashMap<String, Vec<Label>>),
}

impl Predictor {
    /// Loads a preset's models, fetching those that are not here.
    ///
    /// # Errors
    /// When a model cannot be had or is not of the kind that the preset needs.
    pub fn load(
        hub: &Hub,
        preset: Preset,
        compute: &Compute,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let mut receipts = Vec::new();
        let (resolved, encoder) = load_sentence_encoder(hub, &preset.encoder, compute, progress)?;
        receipts.push(ModelReceipt::new(&resolved, compute.dtype())?);
        let mut classifiers = HashMap::new();
        for spec in &preset.members {
            if !classifiers.contains_key(&spec.model) {
                let (resolved, classifier) = Classifier::load(hub, &spec.model, compute, progress)?;
                receipts.push(ModelReceipt::new(&resolved, classifier.dtype())?);
                classifiers.insert(spec.model.clone(), classifier);
            }
        }
        let receipt = Receipt {
            version: env!("CARGO_PKG_VERSION").into(),
            dtype: compute.dtype().name(),
            models: receipts,
        };
        Ok(Self {
            preset,
            encoder,
            classifiers,
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
            None => {
                let mut labels = HashMap::new();
                for (name, classifier) in &self.classifiers {
                    let decoding = classifier.preprocessor().decode_options(options.limits);
                    let image = decode(&bytes, &decoding)?;
                    let members = self.preset.members.iter().filter(|m| m.model == *name);
                    let top = members.map(|member| member.top).max().unwrap_or(0);
                    labels.insert(name.clone(), classifier.classify(&image, top)?);
                }
                Found::Labels(labels)
            }
        };
        Ok(Analysis {
            found,
            elapsed_ms: start.elapsed().as_secs_f64() * 1e3,
        })
    }

    fn texts(&self, found: &Found) -> Vec<String> {
        match found {
            Found::Prompt(prompt) => vec![prompt.clone()],
            Found::Labels(labels) => self
                .preset
                .members
                .iter()
                .flat_map(|spec| member::texts(spec, &labels[&spec.model]))
                .collect(),
        }
    }

    fn record(
        &self,
        path: String,
        analysis: Analysis,
        embeddings: &HashMap<String, Vec<f32>>,
        share_ms: f64,
    ) -> std::result::Result<PredictionRecord, InputError> {
        let record = |prompt, source, embedding, members| PredictionRecord {
            path,
            prompt,
            source,
            embedding,
            members,
            preset: self.preset.name.clone(),
            elapsed_ms: ((analysis.elapsed_ms + share_ms) * 1e3).round() / 1e3,
            receipt: self.receipt.clone(),
        };
        // Embedding all texts together failed: alone, each names its own trouble.
        let own;
        let embeddings = if embeddings.is_empty() {
            let texts = self.texts(&analysis.found);
            own = texts
                .iter()
                .cloned()
                .zip(self.encoder.embed(&texts)?)
                .collect();
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
                ))
            }
            Found::Labels(labels) => {
                let members: Vec<MemberRecord> = self
                    .preset
                    .members
                    .iter()
                    .map(|spec| {
                        let labels = &labels[&spec.model];
                        MemberRecord {
                            name: spec.name.clone(),
                            weight: spec.weight,
                            text: (spec.kind == MemberKind::LabelText)
                                .then(|| member::label_text(labels, spec.top)),
                            embedding: member::embedding(spec, labels, embeddings),
                        }
                    })
                    .collect();
                let blend = member::blend(members.iter().map(|m| (m.weight, &m.embedding)));
                let prompt = members
                    .iter()
                    .find_map(|member| member.text.clone())
                    .unwrap_or_default();
                Ok(record(prompt, PromptSource::Predicted, blend, members))
            }
        }
    }
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
