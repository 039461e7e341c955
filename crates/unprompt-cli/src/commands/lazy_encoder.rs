//! A sentence encoder that is loaded when the first text comes: files of embeddings need no model.

use crate::{
    arguments::Common,
    output::describe,
    progress::LoadingProgress,
    setup::{compute, hub},
};
use unprompt::{SentenceEncoder, eval::EmbedError, load_sentence_encoder};

pub(crate) struct LazyEncoder<'a> {
    common: &'a Common,
    model: &'a str,
    loaded: Option<SentenceEncoder>,
}

impl<'a> LazyEncoder<'a> {
    pub(crate) fn new(common: &'a Common, model: &'a str) -> Self {
        Self {
            common,
            model,
            loaded: None,
        }
    }

    /// One embedding a text.
    pub(crate) fn embed(&mut self, texts: &[String]) -> Result<Vec<Vec<f32>>, EmbedError> {
        let encoder = match &mut self.loaded {
            Some(encoder) => encoder,
            empty => {
                let progress = LoadingProgress::new(self.common.quiet);
                let hub = hub(self.common).map_err(|error| describe(&error))?;
                let compute = compute(self.common).map_err(|error| describe(&error))?;
                let loaded = load_sentence_encoder(&hub, self.model, &compute, &progress)?;
                empty.insert(loaded.1)
            }
        };
        Ok(encoder.embed(texts)?)
    }
}
