//! Where pixels attend to each other and to the text: `Transformer2DModel` of diffusers.

use crate::{
    Result,
    layers::{group_norm, pointwise, side_by_side},
};
use candle_core::Tensor;
use unprompt_models::parts::Weights;
use unprompt_nn::{
    Activation, GroupNorm, LayerNorm, Linear, Mask, Memory, gated_gelu, memory_attention,
    self_attention,
};

/// What `BasicTransformerBlock` and `Transformer2DModel` add to variances.
const LAYER_EPSILON: f64 = 1e-5;
const GROUP_EPSILON: f64 = 1e-6;

/// Blocks of attention over the pixels of a picture, around which the picture is carried.
#[derive(Debug)]
pub(crate) struct SpatialTransformer {
    norm: GroupNorm,
    input: Linear,
    blocks: Vec<Block>,
    output: Linear,
    channels: usize,
    heads: usize,
}

/// What shapes one of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TransformerShape {
    pub(crate) channels: usize,
    pub(crate) heads: usize,
    /// Blocks, one after the other.
    pub(crate) depth: usize,
    /// Width of the text's tokens.
    pub(crate) text: usize,
    /// Groups of the normalisation before them.
    pub(crate) groups: usize,
}

#[derive(Debug)]
struct Block {
    norm1: LayerNorm,
    query_key_value: Linear,
    output1: Linear,
    norm2: LayerNorm,
    query: Linear,
    output2: Linear,
    norm3: LayerNorm,
    gate: Linear,
    output3: Linear,
    /// Its place among the texts' keys and values.
    place: usize,
}

/// The layers that make keys and values of a text, those of all blocks of a network in order: they are
/// computed once for all steps.
#[derive(Debug, Default)]
pub(crate) struct TextLayers(Vec<(Linear, usize)>);

/// The keys and values of one text for each block of a network.
#[derive(Debug)]
pub(crate) struct TextMemory(Vec<Memory>);

impl TextLayers {
    /// Of a text's tokens, (tokens, width).
    pub(crate) fn memory(&self, tokens: &Tensor) -> Result<TextMemory> {
        let one = |(layer, heads): &(Linear, usize)| -> Result<Memory> {
            Ok(Memory::new(&layer.forward(tokens)?, *heads)?)
        };
        Ok(TextMemory(
            self.0.iter().map(one).collect::<Result<Vec<_>>>()?,
        ))
    }
}

impl SpatialTransformer {
    /// Reads the blocks, and puts their layers for the text behind those that are there.
    pub(crate) fn new(
        weights: &Weights,
        shape: &TransformerShape,
        texts: &mut TextLayers,
    ) -> Result<Self> {
        let &TransformerShape {
            channels,
            heads,
            groups,
            ..
        } = shape;
        let square = (channels, channels);
        let blocks = (0..shape.depth)
            .map(|index| {
                let place = weights.at("transformer_blocks").at(index);
                Block::new(&place, shape, texts)
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            norm: group_norm(&weights.at("norm"), channels, groups, GROUP_EPSILON)?,
            input: pointwise(&weights.at("proj_in"), square)?,
            blocks,
            output: pointwise(&weights.at("proj_out"), square)?,
            channels,
            heads,
        })
    }

    /// (batch, height, width, channels) to the same shape; a text for each picture of the batch.
    pub(crate) fn forward(&self, x: &Tensor, texts: &[&TextMemory]) -> Result<Tensor> {
        let (batch, height, width, channels) = x.dims4()?;
        let pixels = height * width;
        let hidden = self.norm.forward(x, Activation::Identity)?;
        let mut hidden = self
            .input
            .forward(&hidden.reshape((batch * pixels, channels))?)?;
        for block in &self.blocks {
            hidden = block.forward(&hidden, pixels, self.heads, texts)?;
        }
        let hidden = hidden.reshape(x.dims())?;
        Ok(self.output.forward_residual(&hidden, x)?)
    }

    /// Multiplications and additions over a picture of so many pixels, for a text of so many tokens.
    pub(crate) fn work(&self, pixels: usize, tokens: usize) -> u64 {
        let [pixels, tokens, channels] = [pixels, tokens, self.channels].map(|n| n as u64);
        // Queries, keys, values and output; query and output; the gate's two halves of four times the
        // width, and back.
        let linear = (4 + 2 + 8 + 4) * channels * channels;
        let attention = 2 * channels * (pixels + tokens);
        pixels * (self.blocks.len() as u64 * (linear + attention) + 2 * channels * channels)
    }
}

impl Block {
    fn new(weights: &Weights, shape: &TransformerShape, texts: &mut TextLayers) -> Result<Self> {
        let (channels, heads) = (shape.channels, shape.heads);
        let norm = |name| weights.at(name).layer_norm(channels, LAYER_EPSILON);
        let square = (channels, channels);
        let pixels = weights.at("attn1");
        let query_key_value = ["to_q", "to_k", "to_v"].map(|name| pixels.at(name));
        let text = weights.at("attn2");
        let key_value = ["to_k", "to_v"].map(|name| text.at(name));
        let place = texts.0.len();
        texts
            .0
            .push((side_by_side(&key_value, (channels, shape.text))?, heads));
        let inner = 4 * channels;
        let feed_forward = weights.at("ff").at("net");
        Ok(Self {
            norm1: norm("norm1")?,
            query_key_value: side_by_side(&query_key_value, square)?,
            output1: pointwise(&pixels.at("to_out.0"), square)?,
            norm2: norm("norm2")?,
            query: side_by_side(&[text.at("to_q")], square)?,
            output2: pointwise(&text.at("to_out.0"), square)?,
            norm3: norm("norm3")?,
            gate: pointwise(&feed_forward.at("0.proj"), (2 * inner, channels))?,
            output3: pointwise(&feed_forward.at("2"), (channels, inner))?,
            place,
        })
    }

    /// (batch * pixels, channels) to the same shape.
    fn forward(
        &self,
        x: &Tensor,
        pixels: usize,
        heads: usize,
        texts: &[&TextMemory],
    ) -> Result<Tensor> {
        let lengths = vec![pixels; texts.len()];
        let qkv = self.query_key_value.forward(&self.norm1.forward(x)?)?;
        let attended = self_attention(&qkv, &lengths, heads, Mask::None)?;
        drop(qkv);
        let x = self.output1.forward_residual(&attended, x)?;

        let queries = self.query.forward(&self.norm2.forward(&x)?)?;
        let memories: Vec<(&Memory, usize)> = texts
            .iter()
            .map(|text| (&text.0[self.place], pixels))
            .collect();
        let scale = ((queries.dim(1)? / heads) as f32).sqrt().recip();
        let attended = memory_attention(&queries, &memories, scale, None)?;
        let x = self.output2.forward_residual(&attended, &x)?;

        let gated = gated_gelu(&self.gate.forward(&self.norm3.forward(&x)?)?)?;
        Ok(self.output3.forward_residual(&gated, &x)?)
    }
}
