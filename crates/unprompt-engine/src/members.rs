//! The members of a preset with all that they need, from a picture's bytes to their embeddings.

use crate::{
    Captioner, Classifier, EngineError, Evidence, ImageEncoder, InputError, Label, LabelChoice,
    MemberKind, MemberSpec, ModelReceipt, PictureInterrogator, Preset, Result,
    member::{Retrieval, label_mean, label_text},
    phrase_table::PhraseTable,
    prompt_list::prompt_list,
    text_search::Candidate,
};
use std::{collections::HashMap, path::PathBuf};
use unprompt_hub::{Hub, Progress};
use unprompt_image::{Limits, decode};
use unprompt_interrogate::{Behaviour, InterrogateOptions, TableProgress};
use unprompt_models::{Compute, SentenceEncoder};

/// The models, tables and lists of a preset's members.
#[derive(Debug)]
pub(crate) struct Members {
    classifiers: HashMap<String, Classifier>,
    regressors: HashMap<String, ImageEncoder>,
    captioners: HashMap<String, Captioner>,
    /// By the member's name.
    interrogators: HashMap<String, PictureInterrogator>,
    /// Every label of a classifier, by model.
    labels: HashMap<String, PhraseTable>,
    /// By the list's name.
    prompts: HashMap<String, PhraseTable>,
    /// By the member's name.
    retrievals: HashMap<String, Retrieval>,
}

/// What the networks see in one picture.
pub(crate) struct Seen {
    labels: HashMap<String, Vec<Label>>,
    /// By the member's name.
    regressions: HashMap<String, Vec<f32>>,
    /// Captions and prompts, by the member's name.
    texts: HashMap<String, String>,
}

/// What one member makes of a picture.
pub(crate) struct MemberResult {
    /// Not normalised.
    pub(crate) embedding: Vec<f64>,
    /// The member's own text is the first.
    pub(crate) texts: Vec<Candidate>,
    pub(crate) evidence: Vec<Evidence>,
}

impl Members {
    /// Loads everything that the members of a preset need; receipts of the models are added.
    /// `encoder_identity` tells the encoder's embeddings apart from any other's.
    pub(crate) fn load(
        hub: &Hub,
        preset: &Preset,
        (encoder, encoder_identity): (&SentenceEncoder, &str),
        compute: &Compute,
        receipts: &mut Vec<ModelReceipt>,
        progress: &dyn Progress,
        tables: &dyn TableProgress,
    ) -> Result<Self> {
        let failed = |message| EngineError::Preset {
            preset: format!("`{}`", preset.name),
            message,
        };
        let table = |name: &str, texts| {
            let cache = &hub.environment().own_cache;
            let encoder = (encoder, encoder_identity);
            PhraseTable::new(name, texts, encoder, cache, tables).map_err(|reason| {
                EngineError::Model {
                    name: preset.encoder.clone(),
                    reason,
                }
            })
        };
        let mut members = Self {
            classifiers: HashMap::new(),
            regressors: HashMap::new(),
            captioners: HashMap::new(),
            interrogators: HashMap::new(),
            labels: HashMap::new(),
            prompts: HashMap::new(),
            retrievals: HashMap::new(),
        };
        for spec in &preset.members {
            match &spec.kind {
                MemberKind::LabelText { model, .. } | MemberKind::LabelMean { model, .. } => {
                    if !members.classifiers.contains_key(model) {
                        let (resolved, classifier) =
                            Classifier::load(hub, model, compute, progress)?;
                        receipts.push(ModelReceipt::new(&resolved, classifier.dtype())?);
                        members.classifiers.insert(model.clone(), classifier);
                    }
                }
                MemberKind::Regressor { model, .. } => {
                    if !members.regressors.contains_key(model) {
                        let (resolved, regressor) =
                            ImageEncoder::load(hub, model, compute, progress)?;
                        let width = encoder.width();
                        if regressor.regression_width() != Some(width) {
                            return Err(failed(format!(
                                "member `{}`: `{model}` is no regressor of {width} numbers, the \
                                 width of `{}`",
                                spec.name, preset.encoder
                            )));
                        }
                        receipts.push(ModelReceipt::new(&resolved, compute.dtype())?);
                        members.regressors.insert(model.clone(), regressor);
                    }
                }
                MemberKind::Captioner { model, .. } => {
                    members.load_captioner(hub, model, compute, receipts, progress)?;
                }
                MemberKind::Interrogator {
                    clip,
                    captioner,
                    mode,
                    labels,
                } => {
                    if let Some(model) = captioner {
                        members.load_captioner(hub, model, compute, receipts, progress)?;
                    }
                    let labels = LabelChoice {
                        folder: labels.as_ref().map(PathBuf::from),
                        ..LabelChoice::default()
                    };
                    let options = InterrogateOptions::new((*mode).into(), Behaviour::Fixed);
                    let (resolved, interrogator) = PictureInterrogator::load(
                        hub, clip, &labels, options, compute, progress, tables,
                    )?;
                    receipts.push(ModelReceipt::new(&resolved, compute.dtype())?);
                    members
                        .interrogators
                        .insert(spec.name.clone(), interrogator);
                }
                MemberKind::Prior { .. } | MemberKind::Retrieval { .. } => {}
            }
            if let MemberKind::LabelMean { model, .. } = &spec.kind
                && !members.labels.contains_key(model)
            {
                let labels = members.classifiers[model].labels().to_vec();
                members.labels.insert(model.clone(), table(model, labels)?);
            }
            if let Some(prompts) = spec.kind.prompts()
                && !members.prompts.contains_key(prompts)
            {
                let list = prompt_list(prompts).map_err(failed)?;
                members
                    .prompts
                    .insert(prompts.to_owned(), table(prompts, list)?);
            }
            if let MemberKind::Retrieval {
                prompts,
                centred,
                temperature,
                ..
            } = &spec.kind
            {
                let retrieval = Retrieval::new(&members.prompts[prompts], *centred, *temperature);
                members.retrievals.insert(spec.name.clone(), retrieval);
            }
        }
        Ok(members)
    }

    fn load_captioner(
        &mut self,
        hub: &Hub,
        model: &str,
        compute: &Compute,
        receipts: &mut Vec<ModelReceipt>,
        progress: &dyn Progress,
    ) -> Result<()> {
        if !self.captioners.contains_key(model) {
            let (resolved, captioner) = Captioner::load(hub, model, compute, progress)?;
            receipts.push(ModelReceipt::new(&resolved, compute.dtype())?);
            self.captioners.insert(model.to_owned(), captioner);
        }
        Ok(())
    }

    /// Runs every network over a picture.
    pub(crate) fn see(
        &self,
        preset: &Preset,
        bytes: &[u8],
        limits: Limits,
    ) -> std::result::Result<Seen, InputError> {
        let mut seen = Seen {
            labels: HashMap::new(),
            regressions: HashMap::new(),
            texts: HashMap::new(),
        };
        for (name, classifier) in &self.classifiers {
            let image = decode(bytes, &classifier.preprocessor().decode_options(limits))?;
            let tops = preset.members.iter().map(|member| match &member.kind {
                MemberKind::LabelText { model, top } if model == name => *top,
                MemberKind::LabelMean { model, top, .. } if model == name => {
                    top.unwrap_or(usize::MAX)
                }
                _ => 0,
            });
            let labels = classifier.classify(&image, tops.max().unwrap_or(0))?;
            seen.labels.insert(name.clone(), labels);
        }
        for spec in &preset.members {
            if let MemberKind::Regressor { model, tta } = &spec.kind {
                let regressor = &self.regressors[model];
                let image = decode(bytes, &regressor.preprocessor().decode_options(limits))?;
                let mut embedding = regressor.embed(&[image], *tta, false)?;
                seen.regressions
                    .insert(spec.name.clone(), embedding.swap_remove(0));
            }
            if let Some(text) = self.text(spec, bytes, limits)? {
                seen.texts.insert(spec.name.clone(), text);
            }
        }
        Ok(seen)
    }

    /// What a captioner or an interrogator says of a picture; `None` of another member.
    fn text(
        &self,
        spec: &MemberSpec,
        bytes: &[u8],
        limits: Limits,
    ) -> std::result::Result<Option<String>, InputError> {
        let caption = |model: &str| {
            let captioner = &self.captioners[model];
            let image = decode(bytes, &captioner.preprocessor().decode_options(limits))?;
            let mut captions = captioner.caption(&[image], &spec.kind.caption_options())?;
            let text = captions.swap_remove(0).text;
            Ok::<_, InputError>(text.trim().to_owned())
        };
        match &spec.kind {
            MemberKind::Captioner { model, suffix, .. } => Ok(Some(caption(model)? + suffix)),
            MemberKind::Interrogator { captioner, .. } => {
                let caption = captioner.as_deref().map(caption).transpose()?;
                let interrogator = &self.interrogators[&spec.name];
                let preprocessor = interrogator.pictures().preprocessor();
                let image = decode(bytes, &preprocessor.decode_options(limits))?;
                let mut found = interrogator.interrogate(&[image], &[caption.as_deref()])?;
                Ok(found.swap_remove(0)?.prompt)
            }
            _ => Ok(None),
        }
    }

    /// The texts whose embeddings [`results`](Self::results) asks for.
    pub(crate) fn texts(preset: &Preset, seen: &Seen) -> Vec<String> {
        let members = preset.members.iter();
        let text = |member: &MemberSpec| match &member.kind {
            MemberKind::LabelText { model, top } => Some(label_text(&seen.labels[model], *top)),
            _ => seen.texts.get(&member.name).cloned(),
        };
        members.filter_map(text).collect()
    }

    /// What each member makes of a picture, in the order of the preset.
    pub(crate) fn results(
        &self,
        preset: &Preset,
        seen: &Seen,
        embeddings: &HashMap<String, Vec<f32>>,
    ) -> Vec<MemberResult> {
        let mut results: Vec<MemberResult> = Vec::with_capacity(preset.members.len());
        for spec in &preset.members {
            let mut result = MemberResult {
                embedding: Vec::new(),
                texts: Vec::new(),
                evidence: Vec::new(),
            };
            match &spec.kind {
                MemberKind::LabelText { model, top } => {
                    let text = label_text(&seen.labels[model], *top);
                    let embedding = embeddings[&text].clone();
                    result.embedding = widened(&embedding);
                    result.texts.push(Candidate { text, embedding });
                }
                MemberKind::Captioner { .. } | MemberKind::Interrogator { .. } => {
                    let text = seen.texts[&spec.name].clone();
                    let embedding = embeddings[&text].clone();
                    result.embedding = widened(&embedding);
                    result.texts.push(Candidate { text, embedding });
                }
                MemberKind::LabelMean {
                    model,
                    top,
                    temperature,
                    centred,
                } => {
                    let labels = &seen.labels[model];
                    let labels = &labels[..top.unwrap_or(usize::MAX).min(labels.len())];
                    let table = &self.labels[model];
                    result.embedding = label_mean(labels, *temperature, *centred, table);
                }
                MemberKind::Regressor { .. } => {
                    result.embedding = widened(&seen.regressions[&spec.name]);
                }
                MemberKind::Prior { prompts } => {
                    result.embedding = self.prompts[prompts].mean.clone();
                }
                MemberKind::Retrieval {
                    query,
                    prompts,
                    evidence,
                    ..
                } => {
                    let table = &self.prompts[prompts];
                    // The check of the preset found the query before this member.
                    let query = preset.members.iter().position(|m| m.name == *query);
                    let query = query.map_or(&[][..], |index| &results[index].embedding);
                    let found = self.retrievals[&spec.name].search(query, table, *evidence);
                    result.embedding = found.embedding;
                    for (index, similarity) in found.nearest {
                        let candidate = table.candidate(index);
                        let prompt = candidate.text.clone();
                        result.texts.push(candidate);
                        result.evidence.push(Evidence { prompt, similarity });
                    }
                }
            }
            results.push(result);
        }
        results
    }
}

fn widened(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}
