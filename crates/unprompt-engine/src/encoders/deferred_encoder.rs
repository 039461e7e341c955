//! A sentence encoder that is loaded when the first text has to be embedded: a preset whose lists
//! the program carries predicts without one.

use crate::{encoders::sentence_encoder::load_sentence_encoder, error::Result};
use std::sync::OnceLock;
use unprompt_hub::{Hub, Progress, ResolvedModel};
use unprompt_models::{Compute, SentenceEncoder};

/// A sentence encoder by its name, and once it is loaded with its files.
#[derive(Debug)]
pub(crate) struct DeferredEncoder {
    hub: Hub,
    name: String,
    compute: Compute,
    loaded: OnceLock<(ResolvedModel, SentenceEncoder)>,
}

impl DeferredEncoder {
    pub(crate) fn new(hub: &Hub, name: &str, compute: &Compute) -> Self {
        Self {
            hub: hub.clone(),
            name: name.to_owned(),
            compute: compute.clone(),
            loaded: OnceLock::new(),
        }
    }

    /// The encoder and its files; `progress` is told of what is fetched the first time.
    pub(crate) fn get(&self, progress: &dyn Progress) -> Result<&(ResolvedModel, SentenceEncoder)> {
        if let Some(loaded) = self.loaded.get() {
            return Ok(loaded);
        }
        let loaded = load_sentence_encoder(&self.hub, &self.name, &self.compute, progress)?;
        Ok(self.loaded.get_or_init(|| loaded))
    }

    /// The encoder's files, if it is loaded.
    pub(crate) fn model(&self) -> Option<&ResolvedModel> {
        self.loaded.get().map(|(model, _)| model)
    }
}
