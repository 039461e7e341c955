//! A picture in, a text out: what every captioner is to the rest of the project, and what their
//! decoders share.

use crate::{ModelError, Result};
use candle_core::Tensor;
use unprompt_nn::{
    GenerationError, GenerationOptions, KeyValueCache, Memory, MemoryBias, memory_attention,
};

/// A text that a model wrote under a picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Caption {
    /// The text, without special tokens and without white space around it.
    pub text: String,
    /// All tokens as the reference's `generate` returns them, special ones included.
    pub token_ids: Vec<u32>,
    /// The logarithm of the probability of the text's tokens, on average where the length penalty
    /// is 1; see [`unprompt_nn::Generated`].
    pub score: f32,
}

/// A network that writes captions.
pub trait ImageToText: std::fmt::Debug + Send + Sync {
    /// Height and width of the pictures that [`caption`](Self::caption) takes.
    fn image_size(&self) -> (usize, usize);

    /// How the model generates where nothing else is asked for, with the tokens that are its own.
    fn default_options(&self) -> GenerationOptions;

    /// Tells before any work whether a caption after this prompt can be had with these options.
    ///
    /// # Errors
    /// When they do not fit the model, or leave no room after the prompt.
    fn check(&self, prompt: Option<&str>, options: &GenerationOptions) -> Result<()>;

    /// One caption for each picture. A picture is height * width * 3 normalised values, channels
    /// last; `prompt` is what the model goes on from, or what it is asked.
    ///
    /// What a picture gives does not depend on the others.
    ///
    /// # Errors
    /// When a picture has another number of values, the options do not fit, or the weights give a
    /// number that is not finite.
    fn caption(
        &self,
        pictures: &[Vec<f32>],
        prompt: Option<&str>,
        options: &GenerationOptions,
    ) -> Result<Vec<Caption>>;
}

/// A search's error as one of this crate, for the kind of model.
pub(crate) fn generated<T>(
    model: &'static str,
    result: std::result::Result<T, GenerationError>,
) -> Result<T> {
    result.map_err(|error| match error {
        GenerationError::NotFinite { .. } => ModelError::NotFinite { model },
        GenerationError::Compute(error) => error.into(),
        other => ModelError::Generation(other.to_string()),
    })
}

/// The sequences that are being decoded, each with the picture it is about.
#[derive(Debug)]
pub(crate) struct Sequences {
    pub(crate) cache: KeyValueCache,
    // by picture, then by layer
    memories: Vec<Vec<Memory>>,
    owners: Vec<usize>,
}

impl Sequences {
    /// One sequence for each picture. A picture's memories are those of the layers.
    pub(crate) fn new(
        memories: Vec<Vec<Memory>>,
        layers: usize,
        heads_and_width: (usize, usize),
        scale: f32,
    ) -> Result<Self> {
        let pictures = memories.len();
        Ok(Self {
            cache: KeyValueCache::new(layers, heads_and_width, scale, pictures)?,
            memories,
            owners: (0..pictures).collect(),
        })
    }

    /// Attention of the step's tokens, `lengths` of each sequence, to their pictures.
    pub(crate) fn attend_to_pictures(
        &self,
        layer: usize,
        queries: &Tensor,
        lengths: &[usize],
        scale: f32,
        bias: Option<&MemoryBias>,
    ) -> candle_core::Result<Tensor> {
        let mut groups: Vec<(usize, usize)> = Vec::with_capacity(self.memories.len());
        for (owner, length) in self.owners.iter().zip(lengths) {
            match groups.last_mut() {
                Some((last, count)) if last == owner => *count += length,
                _ => groups.push((*owner, *length)),
            }
        }
        let groups: Vec<(&Memory, usize)> = groups
            .into_iter()
            .map(|(owner, count)| (&self.memories[owner][layer], count))
            .collect();
        memory_attention(queries, &groups, scale, bias)
    }

    pub(crate) fn select(&mut self, origins: &[usize]) -> candle_core::Result<()> {
        self.cache.select(origins)?;
        self.owners = origins.iter().map(|origin| self.owners[*origin]).collect();
        Ok(())
    }
}

/// The last of each sequence's tokens among the step's.
pub(crate) fn last_tokens(hidden: &Tensor, lengths: &[usize]) -> candle_core::Result<Tensor> {
    if lengths.iter().all(|length| *length == 1) {
        return Ok(hidden.clone());
    }
    let ends = lengths.iter().scan(0, |end, length| {
        *end += *length as u32;
        Some(*end - 1)
    });
    let ends: Vec<u32> = ends.collect();
    hidden.index_select(&Tensor::new(ends, hidden.device())?, 0)
}
