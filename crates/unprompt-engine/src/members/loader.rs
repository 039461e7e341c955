//! Loading what members need: each network and each list once, with its receipt.

use crate::{
    encoders::{
        captioner::{CaptionOptions, Captioner},
        classifier::Classifier,
        image_encoder::{ImageEncoder, Views},
        networks::{CaptionOf, FeaturesOf, LabelsOf, Networks, VectorOf},
        picture_interrogator::{LabelChoice, PictureInterrogator},
    },
    error::{EngineError, Result},
    lists::{phrase_table::PhraseTable, prompt_list::prompt_list},
    record::ModelReceipt,
};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};
use unprompt_hub::{Hub, Progress, ResolvedModel};
use unprompt_index::PromptIndex;
use unprompt_interrogate::{Behaviour, InterrogateOptions, Mode, TableProgress};
use unprompt_models::{Compute, SentenceEncoder};

/// What members are loaded from, and what has been loaded for them.
pub(crate) struct Loader<'a> {
    pub(crate) hub: &'a Hub,
    /// The preset's name.
    pub(crate) preset: &'a str,
    /// Its members' names, in its order.
    pub(crate) names: Vec<&'a str>,
    /// The place of the member that is being loaded.
    pub(crate) place: usize,
    /// The preset's sentence encoder, its name there, and its files.
    pub(crate) encoder: &'a SentenceEncoder,
    pub(crate) encoder_name: &'a str,
    pub(crate) encoder_model: &'a ResolvedModel,
    pub(crate) compute: &'a Compute,
    pub(crate) progress: &'a dyn Progress,
    pub(crate) tables: &'a dyn TableProgress,
    /// Prompt indexes that were opened beforehand, by folder.
    pub(crate) indexes: HashMap<PathBuf, PromptIndex>,
    pub(crate) networks: Networks,
    /// By the classifier's name.
    pub(crate) label_tables: HashMap<String, Arc<PhraseTable>>,
    /// By the list's name.
    pub(crate) prompt_tables: HashMap<String, Arc<PhraseTable>>,
    pub(crate) receipts: Vec<ModelReceipt>,
}

impl Loader<'_> {
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
        if !self.networks.classifiers.contains_key(model) {
            let (resolved, classifier) =
                Classifier::load(self.hub, model, self.compute, self.progress)?;
            self.receipts
                .push(ModelReceipt::new(&resolved, classifier.dtype())?);
            self.networks
                .classifiers
                .insert(model.to_owned(), classifier);
        }
        Ok(())
    }

    /// A picture's vector, and the tower that gives it.
    pub(crate) fn vector(
        &mut self,
        model: &str,
        views: Views,
    ) -> Result<(VectorOf, &ImageEncoder)> {
        if !self.networks.towers.contains_key(model) {
            let (resolved, tower) =
                ImageEncoder::load(self.hub, model, self.compute, self.progress)?;
            self.receipts
                .push(ModelReceipt::new(&resolved, self.compute.dtype())?);
            self.networks
                .towers
                .insert(model.to_owned(), Arc::new(tower));
        }
        let vector = self.networks.ask_vector(model, views);
        Ok((vector, &self.networks.towers[model]))
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
        let labels = self.networks.classifiers[model].labels().to_vec();
        let table = self.table(model, labels)?;
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
        let table = self.table(list, prompts)?;
        self.prompt_tables
            .insert(list.to_owned(), Arc::clone(&table));
        Ok(table)
    }

    fn table(&self, name: &str, texts: Vec<String>) -> Result<Arc<PhraseTable>> {
        // Embeddings that are kept are those of these weights, device and kind of numbers.
        let identity = self.compute.identity(self.encoder_model.sha256()?);
        let cache = &self.hub.environment().own_cache;
        let encoder = (self.encoder, identity.as_str());
        match PhraseTable::new(name, texts, encoder, cache, self.tables) {
            Ok(table) => Ok(Arc::new(table)),
            Err(reason) => Err(EngineError::Model {
                name: self.encoder_name.to_owned(),
                reason,
            }),
        }
    }

    /// The index of a folder, which was opened before anything was loaded.
    pub(crate) fn index(&mut self, folder: &Path) -> Result<PromptIndex> {
        match self.indexes.remove(folder) {
            Some(index) => Ok(index),
            None => Ok(PromptIndex::open(folder)?),
        }
    }
}
