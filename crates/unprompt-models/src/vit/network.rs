//! The network, whichever layout it was read from.

use crate::{
    ModelError, Result, attention_pool::AttentionPool, compute::rows,
    patch_embedding::PatchEmbedding, transformer::Transformer, weights::Weights,
};
use candle_core::Tensor;
use unprompt_nn::{Activation, LayerNorm, Linear};

/// Pictures that go through the network at once; bounds the memory of a long list.
const PICTURES_AT_ONCE: usize = 8;

/// How the tokens of a picture become one vector.
#[derive(Debug)]
pub(super) enum ImagePooling {
    /// The first token.
    ClassToken,
    /// The mean over the patches.
    Mean,
    /// The largest over the patches, each element by itself.
    Max,
    /// A learnt query's attention to all tokens.
    Attention(Box<AttentionPool>),
}

/// A Vision Transformer with or without a linear head.
#[derive(Debug)]
pub struct Vit {
    pub(super) embedding: PatchEmbedding,
    /// Of the tokens before the first block, as CLIPs have it.
    pub(super) norm_before: Option<LayerNorm>,
    pub(super) transformer: Transformer,
    pub(super) pooling: ImagePooling,
    // Before or after the pooling; for the class token the two are the same.
    pub(super) norm: LayerNorm,
    pub(super) norm_after_pooling: bool,
    pub(super) head: Option<Linear>,
    pub(super) outputs: usize,
    pub(super) labels: Option<Vec<String>>,
    pub(super) guessed_heads: Option<usize>,
}

impl Vit {
    /// Height and width of the pictures that [`forward`](Self::forward) takes.
    pub fn image_size(&self) -> (usize, usize) {
        self.embedding.image_size()
    }

    /// Numbers per picture: the outputs of the head, or the width of the features without one.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Whether there is a head, so that the outputs are logits or a regression and not features.
    pub fn has_head(&self) -> bool {
        self.head.is_some()
    }

    /// The names of the outputs in order, where the checkpoint's configuration has them.
    pub fn labels(&self) -> Option<&[String]> {
        self.labels.as_deref()
    }

    /// The number of heads, where neither the files nor the caller said it and it was taken to be
    /// what timm's networks of this width have. With another number the outputs mean nothing, and no
    /// tensor shows it.
    pub fn guessed_heads(&self) -> Option<usize> {
        self.guessed_heads
    }

    /// The raw outputs of each picture: logits, a regression, or without a head the pooled,
    /// normalised features.
    ///
    /// A picture is height * width * 3 normalised values, channels last, of
    /// [`image_size`](Self::image_size). What a picture gives does not depend on the others.
    ///
    /// # Errors
    /// When a picture has another number of values, or the outputs are not finite.
    pub fn forward<P: AsRef<[f32]>>(&self, pictures: &[P]) -> Result<Vec<Vec<f32>>> {
        let mut outputs = Vec::with_capacity(pictures.len());
        for pictures in pictures.chunks(PICTURES_AT_ONCE) {
            let pooled = self.pooled(pictures)?;
            let raw = match &self.head {
                Some(head) => head.forward(&pooled)?,
                None => pooled,
            };
            outputs.extend(rows(&raw)?);
        }
        if outputs.iter().flatten().any(|value| !value.is_finite()) {
            return Err(ModelError::NotFinite { model: "vit" });
        }
        Ok(outputs)
    }

    /// (pictures, width)
    fn pooled<P: AsRef<[f32]>>(&self, pictures: &[P]) -> Result<Tensor> {
        let (count, tokens) = (pictures.len(), self.embedding.token_count());
        let (hidden, lengths) = (self.embedding.forward(pictures)?, vec![tokens; count]);
        let hidden = match &self.norm_before {
            Some(norm) => norm.forward(&hidden)?,
            None => hidden,
        };
        let patches = |hidden: Tensor| -> Result<Tensor> {
            let hidden = self.transformer.forward(hidden, &lengths)?;
            let hidden = hidden.reshape((count, tokens, ()))?;
            let prefix = self.embedding.prefix_count();
            let patches = hidden.narrow(1, prefix, tokens - prefix)?;
            Ok(if self.norm_after_pooling {
                patches
            } else {
                self.norm.forward(&patches)?
            })
        };
        let pooled = match &self.pooling {
            // The normalisation sees each token by itself, so only this one needs it.
            ImagePooling::ClassToken => {
                let at = vec![0; count];
                let class = self.transformer.forward_at(hidden, &lengths, &at)?;
                return Ok(self.norm.forward(&class)?);
            }
            ImagePooling::Attention(pool) => {
                let hidden = self.transformer.forward(hidden, &lengths)?;
                return pool.forward(&self.norm.forward(&hidden)?, tokens);
            }
            ImagePooling::Max => patches(hidden)?.max(1)?,
            ImagePooling::Mean => patches(hidden)?.mean(1)?,
        };
        Ok(if self.norm_after_pooling {
            self.norm.forward(&pooled)?
        } else {
            pooled
        })
    }
}

/// The head of `expected` outputs, or of as many as the tensor has rows, and its outputs; without
/// one the features' width.
pub(super) fn read_head(
    weights: &Weights,
    expected: Option<usize>,
    width: usize,
) -> Result<(Option<Linear>, usize)> {
    let rows = weights.shape("weight").and_then(|shape| shape.first());
    let outputs = match expected {
        Some(outputs) => outputs,
        None => match rows {
            Some(rows) => *rows,
            None => return Ok((None, width)),
        },
    };
    let head = weights.linear((outputs, width), Activation::Identity)?;
    Ok((Some(head), outputs))
}
