//! Loading what members need: each network and each list once, with its receipt.

use crate::{
    encoders::{
        captioner::{CaptionOptions, Captioner},
        classifier::Classifier,
        deferred_encoder::DeferredEncoder,
        image_encoder::{ImageEncoder, Views},
        networks::{CaptionOf, FeaturesOf, LabelsOf, Networks, RemoteOf, VectorOf},
        picture_interrogator::{LabelChoice, PictureInterrogator},
        remote_captioner::RemoteCaptioner,
    },
    error::{EngineError, Result},
    lists::{
        phrase_table::PhraseTable,
        prompt_list::{MOST_PROMPTS, prompt_list},
        store::open_store,
    },
    record::ModelReceipt,
    vectors::widened,
};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};
use unprompt_eye::TextList;
use unprompt_hub::{Hub, Progress, ResolvedModel};
use unprompt_index::PromptStore;
use unprompt_interrogate::{Behaviour, InterrogateOptions, Mode, TableProgress};
use unprompt_models::{Compute, Head, SentenceEncoder};
use unprompt_remote::{Question, RemoteError};

/// What members are loaded from, and what has been loaded for them.
pub(crate) struct Loader<'a> {
    pub(crate) hub: &'a Hub,
    /// The preset's name.
    pub(crate) preset: &'a str,
    /// Its members' names, in its order.
    pub(crate) names: Vec<&'a str>,
    /// The place of the member that is being loaded.
    pub(crate) place: usize,
    /// The preset's sentence encoder, and its name there.
    pub(crate) deferred: &'a DeferredEncoder,
    pub(crate) encoder_name: &'a str,
    pub(crate) compute: &'a Compute,
    pub(crate) progress: &'a dyn Progress,
    pub(crate) tables: &'a dyn TableProgress,
    /// Prompt indexes that were opened beforehand, by their place.
    pub(crate) indexes: HashMap<PathBuf, Arc<dyn PromptStore>>,
    pub(crate) networks: Networks,
    /// By the classifier's name.
    pub(crate) label_tables: HashMap<String, Arc<PhraseTable>>,
    /// By the list's name.
    pub(crate) prompt_tables: HashMap<String, Arc<PhraseTable>>,
    pub(crate) receipts: Vec<ModelReceipt>,
}

impl<'a> Loader<'a> {
    /// The preset's sentence encoder and its files, which are loaded by who needs them first.
    pub(crate) fn encoder(&self) -> Result<&'a (ResolvedModel, SentenceEncoder)> {
        self.deferred.get(self.progress)
    }

    /// What was made in the space of one encoder is of no use in that of another.
    pub(crate) fn require_encoder(&self, made: &str) -> Result<()> {
        let asked = self.encoder_name;
        if made == asked {
            return Ok(());
        }
        Err(self.failed(format!(
            "made for the sentence encoder `{made}`, the preset's is `{asked}`"
        )))
    }

    /// The list of prompts that the program carries.
    pub(crate) fn carried_prompts(&self) -> Result<&'static TextList> {
        self.require_encoder(unprompt_eye::ENCODER)?;
        unprompt_eye::prompts().map_err(|error| self.failed(error.to_string()))
    }

    /// The mean embedding of a list: of one of its own, of `eye`, the list that the program carries,
    /// or of one of its parts, `eye/PART`. `eye/captions` is what the carried head was trained on.
    pub(crate) fn mean(&mut self, list: &str) -> Result<Vec<f64>> {
        let Some(part) = list.strip_prefix(unprompt_eye::NAME) else {
            return Ok(self.prompts(list)?.mean.clone());
        };
        let prompts = self.carried_prompts()?;
        match part.strip_prefix('/') {
            None if part.is_empty() => Ok(widened(prompts.mean())),
            Some("captions") => {
                let head =
                    Head::carried(unprompt_eye::head()).map_err(|reason| EngineError::Model {
                        name: unprompt_eye::NAME.to_owned(),
                        reason,
                    })?;
                Ok(widened(head.target_mean()))
            }
            Some(part) if prompts.segment(part).is_some() => Ok(prompts
                .segment(part)
                .map_or(Vec::new(), |part| widened(&part.mean))),
            // A file of one's own whose name begins alike.
            _ => Ok(self.prompts(list)?.mean.clone()),
        }
    }

    /// Why the member cannot be loaded.
    pub(crate) fn failed(&self, message: String) -> EngineError {
        EngineError::Preset {
            preset: format!("`{}`", self.preset),
            message: format!("member `{}`: {message}", self.names[self.place]),
        }
    }

    /// The place of the member of a name that stands before.
    pub(crate) fn position(&self, name: &str) -> Result<usize> {
        let before = &self.names[..self.place];
        before
            .iter()
            .position(|before| *before == name)
            .ok_or_else(|| self.failed(format!("no member `{name}` stands before")))
    }

    /// The `top` labels of a classifier.
    pub(crate) fn labels(&mut self, model: &str, top: usize) -> Result<LabelsOf> {
        self.classifier(model)?;
        Ok(self.networks.ask_labels(model, top))
    }

    /// The features of a classifier, and how many there are.
    pub(crate) fn features(&mut self, model: &str) -> Result<(FeaturesOf, usize)> {
        self.classifier(model)?;
        let width = self.networks.classifiers[model].features_width();
        let width = width.ok_or_else(|| {
            self.failed(format!(
                "`{model}` is no EfficientNet-Lite, whose features a head takes"
            ))
        })?;
        Ok((self.networks.ask_features(model), width))
    }

    fn classifier(&mut self, model: &str) -> Result<()> {
        if self.networks.classifiers.contains_key(model) {
            return Ok(());
        }
        let classifier = if model == unprompt_eye::NAME {
            let classifier = Classifier::carried()?;
            self.receipts
                .push(ModelReceipt::carried("tower.safetensors"));
            classifier
        } else {
            let (resolved, classifier) =
                Classifier::load(self.hub, model, self.compute, self.progress)?;
            self.receipts
                .push(ModelReceipt::new(&resolved, classifier.dtype())?);
            classifier
        };
        self.networks
            .classifiers
            .insert(model.to_owned(), classifier);
        Ok(())
    }

    /// A picture's vector, and the tower that gives it. `heads` is the number of attention heads of a
    /// Vision Transformer whose files do not say it.
    pub(crate) fn vector(
        &mut self,
        model: &str,
        heads: Option<usize>,
        views: Views,
    ) -> Result<(VectorOf, &ImageEncoder)> {
        // The same tensors with other heads are another network.
        let name = heads.map_or_else(
            || model.to_owned(),
            |heads| format!("{model} ({heads} heads)"),
        );
        if !self.networks.towers.contains_key(&name) {
            let (hub, compute) = (self.hub, self.compute);
            let (resolved, tower) =
                ImageEncoder::load_with_heads(hub, model, heads, compute, self.progress)?;
            self.receipts
                .push(ModelReceipt::new(&resolved, compute.dtype())?);
            self.networks.towers.insert(name.clone(), Arc::new(tower));
        }
        let vector = self.networks.ask_vector(&name, views);
        Ok((vector, &self.networks.towers[&name]))
    }

    /// What a captioner writes.
    pub(crate) fn caption(&mut self, model: &str, options: CaptionOptions) -> Result<CaptionOf> {
        if !self.networks.captioners.contains_key(model) {
            let (resolved, captioner) =
                Captioner::load(self.hub, model, self.compute, self.progress)?;
            self.receipts
                .push(ModelReceipt::new(&resolved, self.compute.dtype())?);
            self.networks.captioners.insert(model.to_owned(), captioner);
        }
        Ok(self.networks.ask_caption(model, options))
    }

    /// What a captioner on another server writes. A preset may come from anybody, and pictures would leave
    /// this machine: somebody has to have allowed it.
    pub(crate) fn remote(&mut self, model: &str, question: Question) -> Result<RemoteOf> {
        if !self.hub.allows_remote() {
            return Err(RemoteError::NotAllowed {
                name: model.to_owned(),
                reason: "the preset would send pictures to this server; --allow-remote lets it",
            }
            .into());
        }
        if !self.networks.remotes.contains_key(model) {
            let captioner = RemoteCaptioner::load(self.hub, model)?;
            self.receipts.push(ModelReceipt::remote(model));
            self.networks.remotes.insert(model.to_owned(), captioner);
        }
        Ok(self.networks.ask_remote(model, question))
    }

    /// A CLIP Interrogator, and the vector of its own image tower, which others then share.
    pub(crate) fn interrogator(
        &mut self,
        clip: &str,
        labels: Option<&Path>,
        mode: Mode,
    ) -> Result<(VectorOf, PictureInterrogator)> {
        let labels = LabelChoice {
            folder: labels.map(Path::to_owned),
            ..LabelChoice::default()
        };
        let options = InterrogateOptions::new(mode, Behaviour::Fixed);
        let (hub, compute) = (self.hub, self.compute);
        let (resolved, interrogator) = PictureInterrogator::load(
            hub,
            clip,
            &labels,
            options,
            compute,
            self.progress,
            self.tables,
        )?;
        self.receipts
            .push(ModelReceipt::new(&resolved, compute.dtype())?);
        let tower = interrogator.shared_pictures();
        self.networks.towers.insert(clip.to_owned(), tower);
        Ok((self.networks.ask_vector(clip, Views::Plain), interrogator))
    }

    /// The embeddings of all labels of a classifier whose labels are asked for.
    pub(crate) fn label_table(&mut self, model: &str) -> Result<Arc<PhraseTable>> {
        if let Some(known) = self.label_tables.get(model) {
            return Ok(Arc::clone(known));
        }
        let table = if model == unprompt_eye::NAME {
            self.require_encoder(unprompt_eye::ENCODER)?;
            let failed = |error: unprompt_eye::Damaged| self.failed(error.to_string());
            let list = unprompt_eye::labels().map_err(failed)?;
            let texts = (0..list.len()).map(|index| list.text(index));
            let texts = texts
                .collect::<std::result::Result<_, _>>()
                .map_err(failed)?;
            let rows = (0..list.len()).map(|index| list.embedding(index));
            Arc::new(PhraseTable::from_rows(texts, rows.collect()))
        } else {
            let labels = self.networks.classifiers[model].labels().to_vec();
            self.table(model, labels)?
        };
        self.label_tables
            .insert(model.to_owned(), Arc::clone(&table));
        Ok(table)
    }

    /// The embeddings of a list of prompts.
    pub(crate) fn prompts(&mut self, list: &str) -> Result<Arc<PhraseTable>> {
        if let Some(known) = self.prompt_tables.get(list) {
            return Ok(Arc::clone(known));
        }
        let prompts = prompt_list(list).map_err(|message| self.failed(message))?;
        let others: usize = self
            .prompt_tables
            .values()
            .map(|table| table.texts.len())
            .sum();
        if others + prompts.len() > MOST_PROMPTS {
            return Err(self.failed(format!(
                "more than {MOST_PROMPTS} prompts in the lists of all members, which are held in memory; \
                 a member of the kind `knn` takes any number"
            )));
        }
        let table = self.table(list, prompts)?;
        self.prompt_tables
            .insert(list.to_owned(), Arc::clone(&table));
        Ok(table)
    }

    fn table(&self, name: &str, texts: Vec<String>) -> Result<Arc<PhraseTable>> {
        // Embeddings that are kept are those of these weights, device and kind of numbers.
        let (model, encoder) = self.encoder()?;
        let identity = self.compute.identity(model.sha256()?);
        let cache = &self.hub.environment().own_cache;
        let encoder = (encoder, identity.as_str());
        match PhraseTable::new(name, texts, encoder, cache, self.tables) {
            Ok(table) => Ok(Arc::new(table)),
            Err(reason) => Err(EngineError::Model {
                name: self.encoder_name.to_owned(),
                reason,
            }),
        }
    }

    /// The index of a place, which was opened before anything was loaded.
    pub(crate) fn index(&mut self, place: &Path) -> Result<Arc<dyn PromptStore>> {
        match self.indexes.get(place) {
            Some(index) => Ok(Arc::clone(index)),
            None => open_store(self.hub, place),
        }
    }
}
