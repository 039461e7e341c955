//! Loading all that the members of a preset need.

use super::Members;
use crate::{
    Captioner, Classifier, EngineError, ImageEncoder, LabelChoice, MemberKind, MemberSpec,
    ModelReceipt, PictureInterrogator, Preset, Result,
    index::require,
    list_index::ListIndex,
    loading::reference,
    member::{Knn, Retrieval},
    phrase_table::PhraseTable,
    prompt_list::prompt_list,
};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};
use unprompt_hub::{Hub, Progress, ResolvedModel};
use unprompt_index::{NegativeDistance, PromptIndex, Regression, Space};
use unprompt_interrogate::{Behaviour, InterrogateOptions, TableProgress};
use unprompt_models::{Compute, SentenceEncoder};

/// What members are loaded from.
pub(crate) struct Loading<'a> {
    pub(crate) hub: &'a Hub,
    pub(crate) preset: &'a Preset,
    /// The preset's sentence encoder, and its files.
    pub(crate) encoder: &'a SentenceEncoder,
    pub(crate) encoder_model: &'a ResolvedModel,
    pub(crate) compute: &'a Compute,
    pub(crate) progress: &'a dyn Progress,
    pub(crate) tables: &'a dyn TableProgress,
}

impl Loading<'_> {
    fn failed(&self, message: String) -> EngineError {
        EngineError::Preset {
            preset: format!("`{}`", self.preset.name),
            message,
        }
    }
}

/// The prompt indexes that members name, by the member's name.
pub(crate) fn open_indexes(preset: &Preset) -> Result<HashMap<String, PromptIndex>> {
    let named = preset.members.iter();
    let named = named.filter_map(|spec| Some((spec.name.clone(), spec.kind.index()?)));
    named
        .map(|(name, folder)| Ok((name, PromptIndex::open(Path::new(folder))?)))
        .collect()
}

impl Members {
    /// Loads everything that the members of a preset need; receipts of the models are added.
    pub(crate) fn load(
        from: &Loading<'_>,
        mut indexes: HashMap<String, PromptIndex>,
        receipts: &mut Vec<ModelReceipt>,
    ) -> Result<Self> {
        let Loading {
            hub,
            preset,
            encoder,
            encoder_model,
            compute,
            progress,
            tables,
        } = *from;
        // Embeddings that are kept are those of these weights, device and kind of numbers.
        let encoder_identity = compute.identity(encoder_model.sha256()?);
        let failed = |message| from.failed(message);
        let table = |name: &str, texts| {
            let cache = &hub.environment().own_cache;
            let encoder = (encoder, encoder_identity.as_str());
            PhraseTable::new(name, texts, encoder, cache, tables).map_err(|reason| {
                EngineError::Model {
                    name: preset.encoder.clone(),
                    reason,
                }
            })
        };
        let mut members = Self::default();
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
                    let pictures = interrogator.shared_pictures();
                    members.pictures.insert(clip.clone(), pictures);
                    members
                        .interrogators
                        .insert(spec.name.clone(), interrogator);
                }
                MemberKind::Prior { .. }
                | MemberKind::Retrieval { .. }
                | MemberKind::Knn { .. } => {}
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
        // Last, as an interrogator may have brought the CLIP.
        for spec in &preset.members {
            if let MemberKind::Knn { .. } = &spec.kind {
                let index = indexes.remove(&spec.name);
                let knn = members.load_knn(from, spec, index, receipts)?;
                members.knns.insert(spec.name.clone(), knn);
            }
        }
        Ok(members)
    }

    fn load_knn(
        &mut self,
        from: &Loading<'_>,
        spec: &MemberSpec,
        index: Option<PromptIndex>,
        receipts: &mut Vec<ModelReceipt>,
    ) -> Result<Knn> {
        let MemberKind::Knn {
            index: folder,
            prompts,
            clip,
            from: query,
            neighbours,
            as_published,
            evidence,
        } = &spec.kind
        else {
            return Err(from.failed(format!("member `{}`: no kNN", spec.name)));
        };
        let name = folder.as_deref().or(prompts.as_deref()).unwrap_or_default();
        let index = match (index, clip) {
            (Some(index), _) => index,
            (None, Some(clip)) => ListIndex {
                list: name,
                clip,
                sentence_model: from.encoder_model,
                sentence: from.encoder,
                compute: from.compute,
            }
            .open(from.hub, from.progress, from.tables)?,
            (None, None) => return Err(from.failed(format!("member `{}`: no CLIP", spec.name))),
        };
        let manifest = index.manifest();
        let folder = Path::new(name);
        require(folder, &manifest.sentence, from.encoder_model, "`encoder`")?;
        let clip = match query {
            Some(_) => None,
            None => Some(clip.clone().unwrap_or_else(|| manifest.clip.name.clone())),
        };
        if let Some(clip) = &clip {
            if !self.pictures.contains_key(clip) {
                let (model, pictures) =
                    ImageEncoder::load(from.hub, clip, from.compute, from.progress)?;
                receipts.push(ModelReceipt::new(&model, from.compute.dtype())?);
                self.pictures.insert(clip.clone(), Arc::new(pictures));
            }
            let model = from.hub.resolve(&reference(clip)?, from.progress)?;
            require(folder, &manifest.clip, &model, "`clip`")?;
        }
        receipts.push(ModelReceipt::of_index(name, &index));
        Ok(Knn {
            space: match query {
                Some(_) => Space::Sentence,
                None => Space::Clip,
            },
            regression: Regression {
                neighbours: *neighbours,
                negative: match as_published {
                    true => NegativeDistance::AsPublished,
                    false => NegativeDistance::Zero,
                },
            },
            clip,
            evidence: *evidence,
            index,
        })
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
}
