//! A sentence encoder that is loaded when the first text has to be embedded: a preset whose lists
//! the program carries predicts without one.

use crate::{
    encoders::{located::reference, sentence_encoder::load_sentence_encoder},
    error::{InputError, Result},
};
use std::sync::{Mutex, OnceLock, PoisonError};
use unprompt_hub::{Hub, NoProgress, Progress, ResolvedModel};
use unprompt_models::{Compute, Dtype, SentenceEncoder};

/// A sentence encoder by its name, and once it is loaded with its files.
#[derive(Debug)]
pub(crate) struct DeferredEncoder {
    hub: Hub,
    name: String,
    compute: Compute,
    loaded: OnceLock<(ResolvedModel, SentenceEncoder)>,
    /// Why it could not be had when a text needed it.
    failure: Mutex<Option<String>>,
}

impl DeferredEncoder {
    pub(crate) fn new(hub: &Hub, name: &str, compute: &Compute) -> Self {
        Self {
            hub: hub.clone(),
            name: name.to_owned(),
            compute: compute.clone(),
            loaded: OnceLock::new(),
            failure: Mutex::new(None),
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

    /// As [`get`](Self::get), for one text among many: what could not be had is not fetched anew for
    /// each of them, but taken as soon as its files are here.
    pub(crate) fn get_for_text(
        &self,
    ) -> std::result::Result<&(ResolvedModel, SentenceEncoder), InputError> {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reason) = &*failure
            && !self.is_here()
        {
            return Err(InputError::Encoder(reason.clone()));
        }
        self.get(&NoProgress).map_err(|error| {
            // What stands behind the first line is advice, which is given once and not in every record.
            let reason = error.to_string();
            let reason = reason.lines().next().unwrap_or_default().to_owned();
            *failure = Some(reason.clone());
            InputError::Encoder(reason)
        })
    }

    /// The numbers that it computes in.
    pub(crate) fn dtype(&self) -> Dtype {
        self.compute.dtype()
    }

    fn is_here(&self) -> bool {
        let found = reference(&self.name).map(|reference| self.hub.locate(&reference));
        matches!(found, Ok(Ok(Some(_))))
    }

    /// The encoder's files, if it is loaded.
    pub(crate) fn model(&self) -> Option<&ResolvedModel> {
        self.loaded.get().map(|(model, _)| model)
    }
}
