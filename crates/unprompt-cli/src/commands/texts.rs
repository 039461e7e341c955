//! Captions as places in the sentence encoder's space, kept on the disk.

use crate::arguments::Common;
use anyhow::{Context, Result};
use unprompt::{
    Compute, Hub, ResolvedModel, SentenceEncoder, data::Sample, load_sentence_encoder,
    train::VectorStore,
};

/// Texts that are embedded together.
const AT_ONCE: usize = 64;

/// A sentence encoder and what it said before.
pub(in crate::commands) struct Texts {
    encoder: SentenceEncoder,
    embeddings: VectorStore,
}

impl Texts {
    /// Loads the encoder and opens the store of its embeddings.
    pub(in crate::commands) fn load(
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
    pub(in crate::commands) fn width(&self) -> usize {
        self.encoder.width()
    }

    /// The encoder, for what is not kept.
    pub(in crate::commands) fn encoder(&self) -> &SentenceEncoder {
        &self.encoder
    }

    /// Embeds those that were never embedded before.
    pub(in crate::commands) fn take<'a>(
        &mut self,
        texts: impl Iterator<Item = &'a str>,
    ) -> Result<()> {
        let store = &mut self.embeddings;
        let new: Vec<&str> = texts
            .filter(|text| store.get(&VectorStore::key(text.as_bytes())).is_none())
            .collect();
        for texts in new.chunks(AT_ONCE) {
            let embeddings = self.encoder.embed(texts)?;
            let keys = texts.iter().map(|text| VectorStore::key(text.as_bytes()));
            store.put(keys.zip(embeddings))?;
        }
        Ok(())
    }

    /// A text's embedding, once it was [taken](Self::take).
    pub(in crate::commands) fn of(&self, text: &str) -> Result<&[f32]> {
        let found = self.embeddings.get(&VectorStore::key(text.as_bytes()));
        found.context("an embedding is missing from its store")
    }

    /// The mean of the embeddings of each picture's captions, which are taken.
    pub(in crate::commands) fn targets(&mut self, samples: &[Sample]) -> Result<Vec<Vec<f32>>> {
        let captions = samples.iter().flat_map(|sample| &sample.captions);
        self.take(captions.map(String::as_str))?;
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
