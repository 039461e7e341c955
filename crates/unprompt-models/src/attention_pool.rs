//! Pooling by attention: a learnt query asks all tokens of a picture, and a feed-forward part
//! follows. SigLIP's image tower ends so.
//!
//! References: `AttentionPoolLatent` of timm 1.0.31 and `SiglipMultiheadAttentionPoolingHead` of
//! transformers 5.24, the same network under other names.

use crate::{Result, transformer::BlockShape, weights::Weights};
use candle_core::Tensor;
use unprompt_nn::{Activation, LayerNorm, Linear, pooled_attention};

/// A picture's tokens to one vector of the same width.
#[derive(Debug)]
pub(crate) struct AttentionPool {
    // (width)
    query: Tensor,
    key_value: Linear,
    heads: usize,
    attention_output: Linear,
    norm: LayerNorm,
    inner: Linear,
    output: Linear,
}

impl AttentionPool {
    /// timm's `attn_pool`; the feed-forward part has the blocks' width and activation.
    pub(crate) fn of_timm(weights: &Weights, shape: &BlockShape) -> Result<Self> {
        let width = shape.width;
        let latent = weights.tensor("latent", &[1, 1, width])?;
        let query = weights
            .at("q")
            .linear((width, width), Activation::Identity)?;
        let key_value = weights
            .at("kv")
            .linear((2 * width, width), Activation::Identity)?;
        Self::new(
            weights,
            shape,
            (&latent, &query, key_value),
            ["proj", "norm"],
        )
    }

    /// `vision_model.head` of transformers, whose three projections are one tensor.
    pub(crate) fn of_transformers(weights: &Weights, shape: &BlockShape) -> Result<Self> {
        let width = shape.width;
        let probe = weights.tensor("probe", &[1, 1, width])?;
        let attention = weights.at("attention");
        let weight = attention.tensor("in_proj_weight", &[3 * width, width])?;
        let bias = attention.tensor("in_proj_bias", &[3 * width])?;
        let part = |start: usize, rows: usize| -> Result<Linear> {
            let (weight, bias) = (weight.narrow(0, start, rows)?, bias.narrow(0, start, rows)?);
            Ok(Linear::new(&weight, Some(&bias), Activation::Identity)?)
        };
        let (query, key_value) = (part(0, width)?, part(width, 2 * width)?);
        let names = ["attention.out_proj", "layernorm"];
        Self::new(weights, shape, (&probe, &query, key_value), names)
    }

    /// `latent` is what the query is computed from.
    fn new(
        weights: &Weights,
        shape: &BlockShape,
        (latent, query, key_value): (&Tensor, &Linear, Linear),
        [attention_output, norm]: [&str; 2],
    ) -> Result<Self> {
        let &BlockShape {
            width,
            inner,
            heads,
            activation,
            epsilon,
            ..
        } = shape;
        let mlp = weights.at("mlp");
        Ok(Self {
            query: query.forward(&latent.squeeze(0)?)?.squeeze(0)?,
            key_value,
            heads,
            attention_output: weights
                .at(attention_output)
                .linear((width, width), Activation::Identity)?,
            norm: weights.at(norm).layer_norm(width, epsilon)?,
            inner: mlp.at("fc1").linear((inner, width), activation)?,
            output: mlp.at("fc2").linear((width, inner), Activation::Identity)?,
        })
    }

    /// (pictures * tokens, width) to (pictures, width).
    pub(crate) fn forward(&self, hidden: &Tensor, tokens: usize) -> Result<Tensor> {
        let key_value = self.key_value.forward(hidden)?;
        let pooled = pooled_attention(&self.query, &key_value, tokens, self.heads)?;
        let pooled = self.attention_output.forward(&pooled)?;
        let inner = self.inner.forward(&self.norm.forward(&pooled)?)?;
        Ok(self.output.forward_residual(&inner, &pooled)?)
    }
}
