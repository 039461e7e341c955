//! Captions as places in the sentence encoder's space, kept on the disk.

use crate::arguments::Common;
use anyhow::{Context, Result};
use unprompt::{
    Compute, Hub, ResolvedModel, SentenceEncoder, data::Sample, load_sentence_encoder,
    train::VectorStore,
};

/// Texts that are embedded together.
const TEXTS_AT_ONCE: usize = 64;

/// A sentence encoder and what it said before.
pub(super) struct Texts {
    encoder: SentenceEncoder,
    embeddings: VectorStore,
}

impl Texts {
    /// Loads the encoder and opens the store of its embeddings.
    pub(super) fn load(
        common: &Common,
        hub: &Hub,
        name: &str,
        compute: &Compute,
    ) -> Result<(ResolvedModel, Self)> {
        let progress = crate::progress::LoadingProgress::new(common.quiet);
        let (model, encoder) = load_sentence_encoder(hub, name, compute, &progress)?;
        let store = hub.environment().own_cache.join("features");
        let identity = compute.identity(model.sha256()?);
        let embeddings = VectorStore::open(&store, &format!("texts {identity}"), encoder.width())?;
        let texts = Self {
            encoder,
            embeddings,
        };
        Ok((model, texts))
    }

    /// Numbers of an embedding.
    pub(super) fn width(&self) -> usize {
        self.encoder.width()
    }

    /// A caption's embedding, once [`targets`](Self::targets) has taken it in.
    pub(super) fn of(&self, caption: &str) -> Result<&[f32]> {
        let found = self.embeddings.get(&VectorStore::key(caption.as_bytes()));
        found.context("an embedding is missing from its store")
    }

    /// The mean of the embeddings of each picture's captions.
    pub(super) fn targets(&mut self, samples: &[Sample]) -> Result<Vec<Vec<f32>>> {
        let store = &mut self.embeddings;
        let new: Vec<&String> = samples
            .iter()
            .flat_map(|sample| &sample.captions)
            .filter(|caption| store.get(&VectorStore::key(caption.as_bytes())).is_none())
            .collect();
        for texts in new.chunks(TEXTS_AT_ONCE) {
            let embeddings = self.encoder.embed(texts)?;
            let keys = texts.iter().map(|text| VectorStore::key(text.as_bytes()));
            store.put(keys.zip(embeddings))?;
        }
        let target = |sample: &Sample| {
            let mut sum = vec![0.0f32; self.encoder.width()];
            let share = 1.0 / sample.captions.len().max(1) as f32;
            for caption in &sample.captions {
                sum.iter_mut()
                    .zip(self.of(caption)?)
                    .for_each(|(sum, value)| *sum += share * value);
            }
            Ok(sum)
        };
        samples.iter().map(target).collect()
    }
}
