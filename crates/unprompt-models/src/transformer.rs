//! The pre-norm transformer under ViT and both towers of CLIP: normalise, attend, add; normalise,
//! feed forward, add.

mod prefix;

use crate::{Result, weights::Weights};
use candle_core::{D, Tensor};
use unprompt_nn::{Activation, LayerNorm, Linear, Mask, self_attention, self_attention_at};

/// What shapes every block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlockShape {
    /// Width of a token's vector.
    pub(crate) width: usize,
    /// Attention heads; they divide the width.
    pub(crate) heads: usize,
    /// Width between the two linear layers of the feed-forward part.
    pub(crate) inner: usize,
    /// Between the same two.
    pub(crate) activation: Activation,
    /// Added to the variance in layer normalisation.
    pub(crate) epsilon: f64,
    /// Which tokens a token attends to.
    pub(crate) mask: Mask,
}

/// What a layout calls the parts of a block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlockNames {
    pub(crate) attention_norm: &'static str,
    pub(crate) query_key_value: QueryKeyValue,
    pub(crate) attention_output: &'static str,
    pub(crate) attention_scale: Option<&'static str>,
    pub(crate) inner_norm: &'static str,
    pub(crate) inner: &'static str,
    pub(crate) output: &'static str,
    pub(crate) output_scale: Option<&'static str>,
}

/// Where the weights of queries, keys and values are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum QueryKeyValue {
    /// One tensor, (3 * width, width), and its bias.
    Fused {
        weight: &'static str,
        bias: &'static str,
    },
    /// Three linear layers.
    Separate([&'static str; 3]),
}

/// `Block` of timm.
pub(crate) const TIMM: BlockNames = BlockNames {
    attention_norm: "norm1",
    query_key_value: QueryKeyValue::Fused {
        weight: "attn.qkv.weight",
        bias: "attn.qkv.bias",
    },
    attention_output: "attn.proj",
    attention_scale: Some("ls1.gamma"),
    inner_norm: "norm2",
    inner: "mlp.fc1",
    output: "mlp.fc2",
    output_scale: Some("ls2.gamma"),
};

/// `ResidualAttentionBlock` of open_clip.
pub(crate) const OPEN_CLIP: BlockNames = BlockNames {
    attention_norm: "ln_1",
    query_key_value: QueryKeyValue::Fused {
        weight: "attn.in_proj_weight",
        bias: "attn.in_proj_bias",
    },
    attention_output: "attn.out_proj",
    attention_scale: Some("ls_1.gamma"),
    inner_norm: "ln_2",
    inner: "mlp.c_fc",
    output: "mlp.c_proj",
    output_scale: Some("ls_2.gamma"),
};

/// `CLIPEncoderLayer` of transformers.
pub(crate) const TRANSFORMERS_CLIP: BlockNames = BlockNames {
    attention_norm: "layer_norm1",
    query_key_value: QueryKeyValue::Separate([
        "self_attn.q_proj",
        "self_attn.k_proj",
        "self_attn.v_proj",
    ]),
    attention_output: "self_attn.out_proj",
    attention_scale: None,
    inner_norm: "layer_norm2",
    inner: "mlp.fc1",
    output: "mlp.fc2",
    output_scale: None,
};

/// `ViTLayer` of transformers as files hold it.
pub(crate) const TRANSFORMERS_VIT: BlockNames = BlockNames {
    attention_norm: "layernorm_before",
    query_key_value: QueryKeyValue::Separate([
        "attention.attention.query",
        "attention.attention.key",
        "attention.attention.value",
    ]),
    attention_output: "attention.output.dense",
    attention_scale: None,
    inner_norm: "layernorm_after",
    inner: "intermediate.dense",
    output: "output.dense",
    output_scale: None,
};

/// `ViTLayer` of transformers 5 as it is in memory; its state dict has these names.
pub(crate) const TRANSFORMERS_5_VIT: BlockNames = BlockNames {
    query_key_value: QueryKeyValue::Separate([
        "attention.q_proj",
        "attention.k_proj",
        "attention.v_proj",
    ]),
    attention_output: "attention.o_proj",
    inner: "mlp.fc1",
    output: "mlp.fc2",
    ..TRANSFORMERS_VIT
};

/// A stack of blocks.
#[derive(Debug)]
pub(crate) struct Transformer {
    blocks: Vec<Block>,
    width: usize,
    heads: usize,
    mask: Mask,
}

#[derive(Debug)]
struct Block {
    attention_norm: LayerNorm,
    query_key_value: Linear,
    attention_output: Linear,
    inner_norm: LayerNorm,
    inner: Linear,
    output: Linear,
}

impl Transformer {
    /// Reads blocks `0` to `count - 1` below `weights`.
    pub(crate) fn new(
        weights: &Weights,
        count: usize,
        shape: &BlockShape,
        names: &BlockNames,
    ) -> Result<Self> {
        let blocks = (0..count)
            .map(|index| Block::new(&weights.at(index), shape, names))
            .collect::<Result<_>>()?;
        Ok(Self::of(blocks, shape))
    }

    /// Block `index` below `weights` alone.
    pub(crate) fn only(
        weights: &Weights,
        index: usize,
        shape: &BlockShape,
        names: &BlockNames,
    ) -> Result<Self> {
        let block = Block::new(&weights.at(index), shape, names)?;
        Ok(Self::of(vec![block], shape))
    }

    fn of(blocks: Vec<Block>, shape: &BlockShape) -> Self {
        Self {
            blocks,
            width: shape.width,
            heads: shape.heads,
            mask: shape.mask,
        }
    }

    /// Width of a token's vector.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// (tokens, width) of sequences laid end to end, `lengths` tokens each, to the same shape.
    pub(crate) fn forward(&self, hidden: Tensor, lengths: &[usize]) -> Result<Tensor> {
        self.through(&self.blocks, hidden, lengths)
    }

    /// The same without the last `skipped` blocks.
    pub(crate) fn forward_without(
        &self,
        hidden: Tensor,
        lengths: &[usize],
        skipped: usize,
    ) -> Result<Tensor> {
        let Some(count) = self.blocks.len().checked_sub(skipped) else {
            let blocks = self.blocks.len();
            let message = format!("a network of {blocks} blocks has no {skipped} to leave out");
            return Err(candle_core::Error::Msg(message).into());
        };
        self.through(&self.blocks[..count], hidden, lengths)
    }

    /// What [`forward`](Self::forward) gives for one token of each sequence, `at` its place there:
    /// (sequences, width), the same bits. Of the others the last block computes queries, keys
    /// and values only.
    pub(crate) fn forward_at(
        &self,
        hidden: Tensor,
        lengths: &[usize],
        at: &[usize],
    ) -> Result<Tensor> {
        let mut start = 0;
        let rows = lengths.iter().zip(at).map(|(length, at)| {
            let row = start + at;
            start += length;
            row as u32
        });
        let rows = Tensor::new(rows.collect::<Vec<_>>(), hidden.device())?;
        let Some((last, blocks)) = self.blocks.split_last() else {
            return Ok(hidden.index_select(&rows, 0)?);
        };
        let hidden = self.through(blocks, hidden, lengths)?;
        let qkv = last.query_key_value(&hidden)?;
        let attended = self_attention_at(&qkv, lengths, at, self.heads, self.mask)?;
        last.after_attention(&hidden.index_select(&rows, 0)?, &attended)
    }

    fn through(&self, blocks: &[Block], hidden: Tensor, lengths: &[usize]) -> Result<Tensor> {
        let mut hidden = hidden;
        for block in blocks {
            let qkv = block.query_key_value(&hidden)?;
            let attended = self_attention(&qkv, lengths, self.heads, self.mask)?;
            hidden = block.after_attention(&hidden, &attended)?;
        }
        Ok(hidden)
    }
}

impl Block {
    fn new(weights: &Weights, shape: &BlockShape, names: &BlockNames) -> Result<Self> {
        let &BlockShape {
            width,
            inner,
            epsilon,
            activation,
            ..
        } = shape;
        Ok(Self {
            attention_norm: weights
                .at(names.attention_norm)
                .layer_norm(width, epsilon)?,
            query_key_value: names.query_key_value.read(weights, width)?,
            attention_output: scaled_linear(
                weights,
                names.attention_output,
                names.attention_scale,
                (width, width),
            )?,
            inner_norm: weights.at(names.inner_norm).layer_norm(width, epsilon)?,
            inner: weights
                .at(names.inner)
                .block_linear((inner, width), activation)?,
            output: scaled_linear(weights, names.output, names.output_scale, (width, inner))?,
        })
    }
}

impl Block {
    /// Queries, keys and values, (tokens, 3 * width), from the tokens before the block.
    fn query_key_value(&self, hidden: &Tensor) -> Result<Tensor> {
        let normalised = self.attention_norm.forward(hidden)?;
        Ok(self.query_key_value.forward(&normalised)?)
    }

    /// What follows attention, from the tokens before the block and what they attended to.
    fn after_attention(&self, hidden: &Tensor, attended: &Tensor) -> Result<Tensor> {
        let hidden = self.attention_output.forward_residual(attended, hidden)?;
        let inner = self.inner.forward(&self.inner_norm.forward(&hidden)?)?;
        Ok(self.output.forward_residual(&inner, &hidden)?)
    }
}

impl QueryKeyValue {
    fn read(self, weights: &Weights, width: usize) -> Result<Linear> {
        let (weight, bias) = match self {
            Self::Fused { weight, bias } => (
                weights.tensor(weight, &[3 * width, width])?,
                weights.optional_tensor(bias, &[3 * width])?,
            ),
            Self::Separate(names) => {
                let parts = names.map(|name| weights.at(name));
                let weight = parts
                    .iter()
                    .map(|part| part.tensor("weight", &[width, width]))
                    .collect::<Result<Vec<_>>>()?;
                // `qkv_bias` is one switch for all three.
                let biased = parts.iter().any(|part| part.contains("bias"));
                let bias = parts
                    .iter()
                    .filter(|_| biased)
                    .map(|part| part.tensor("bias", &[width]))
                    .collect::<Result<Vec<_>>>()?;
                let bias = biased.then(|| Tensor::cat(&bias, 0)).transpose()?;
                (Tensor::cat(&weight, 0)?, bias)
            }
        };
        weights.block_linear_of(&weight, bias.as_ref(), Activation::Identity)
    }
}

/// A linear layer with the layer scale behind it, if the checkpoint has one, folded in:
/// `g * (W x + b) = (g W) x + g b`.
fn scaled_linear(
    weights: &Weights,
    name: &str,
    scale: Option<&str>,
    (outputs, inputs): (usize, usize),
) -> Result<Linear> {
    let layer = weights.at(name);
    let mut weight = layer.tensor("weight", &[outputs, inputs])?;
    let mut bias = layer.tensor("bias", &[outputs])?;
    let scale = match scale {
        Some(scale) => weights.optional_tensor(scale, &[outputs])?,
        None => None,
    };
    if let Some(scale) = scale {
        weight = weight.broadcast_mul(&scale.unsqueeze(D::Minus1)?)?;
        bias = (bias * scale)?;
    }
    weights.block_linear_of(&weight, Some(&bias), Activation::Identity)
}
