//! What is done at one size of the picture, on the way down and on the way up.

use crate::{
    Result,
    attention::{SpatialTransformer, TextLayers, TextMemory, TransformerShape},
    layers::convolution,
    residual_block::{BlockShape, ResidualBlock},
};
use candle_core::{D, Tensor};
use unprompt_models::parts::Weights;
use unprompt_nn::{Around, SpatialConv2d};

/// Residual blocks, each with a transformer behind it or none.
#[derive(Debug)]
pub(crate) struct Level {
    layers: Vec<(ResidualBlock, Option<SpatialTransformer>)>,
}

impl Level {
    /// One block for each number of `inputs`.
    pub(crate) fn new(
        weights: &Weights,
        inputs: impl Iterator<Item = usize>,
        shape: &BlockShape,
        transformer: Option<TransformerShape>,
        channels: usize,
        texts: &mut TextLayers,
    ) -> Result<Self> {
        let mut layers = Vec::new();
        for (index, inputs) in inputs.enumerate() {
            let place = weights.at("resnets").at(index);
            let block = ResidualBlock::new(&place, (channels, inputs), shape)?;
            let attention = match &transformer {
                Some(shape) => {
                    let place = weights.at("attentions").at(index);
                    Some(SpatialTransformer::new(&place, shape, texts)?)
                }
                None => None,
            };
            layers.push((block, attention));
        }
        Ok(Self { layers })
    }

    /// As [`ResidualBlock::work`].
    pub(crate) fn work(&self, pixels: usize, tokens: usize) -> u64 {
        let one = |(block, attention): &(ResidualBlock, Option<SpatialTransformer>)| {
            let attention = attention.as_ref();
            block.work(pixels) + attention.map_or(0, |layer| layer.work(pixels, tokens))
        };
        self.layers.iter().map(one).sum()
    }
}

/// On the way down.
#[derive(Debug)]
pub(crate) struct DownLevel {
    pub(crate) level: Level,
    pub(crate) downsample: Option<SpatialConv2d>,
}

impl DownLevel {
    pub(crate) fn new(
        weights: &Weights,
        level: Level,
        channels: usize,
        has_next: bool,
    ) -> Result<Self> {
        let place = weights.at("downsamplers.0.conv");
        let downsample = match has_next {
            true => Some(convolution(&place, (channels, channels), 2)?),
            false => None,
        };
        Ok(Self { level, downsample })
    }

    /// Puts what the way up will need behind what is there.
    pub(crate) fn forward(
        &self,
        x: Tensor,
        time: &Tensor,
        texts: &[&TextMemory],
        skipped: &mut Vec<Tensor>,
    ) -> Result<Tensor> {
        let mut hidden = x;
        for (block, attention) in &self.level.layers {
            hidden = block.forward(&hidden, Some(time))?;
            if let Some(attention) = attention {
                hidden = attention.forward(&hidden, texts)?;
            }
            skipped.push(hidden.clone());
        }
        if let Some(layer) = &self.downsample {
            hidden = layer.forward(&hidden, &Around::default())?;
            skipped.push(hidden.clone());
        }
        Ok(hidden)
    }
}

/// On the way up.
#[derive(Debug)]
pub(crate) struct UpLevel {
    pub(crate) level: Level,
    pub(crate) upsample: Option<SpatialConv2d>,
}

impl UpLevel {
    pub(crate) fn new(
        weights: &Weights,
        level: Level,
        channels: usize,
        has_next: bool,
    ) -> Result<Self> {
        let place = weights.at("upsamplers.0.conv");
        let upsample = match has_next {
            true => Some(convolution(&place, (channels, channels), 1)?),
            false => None,
        };
        Ok(Self { level, upsample })
    }

    /// Takes back what the way down has put there, the last first.
    pub(crate) fn forward(
        &self,
        x: Tensor,
        time: &Tensor,
        texts: &[&TextMemory],
        skipped: &mut Vec<Tensor>,
    ) -> Result<Tensor> {
        let mut hidden = x;
        for (block, attention) in &self.level.layers {
            if let Some(skipped) = skipped.pop() {
                hidden = Tensor::cat(&[hidden, skipped], D::Minus1)?;
            }
            hidden = block.forward(&hidden, Some(time))?;
            if let Some(attention) = attention {
                hidden = attention.forward(&hidden, texts)?;
            }
        }
        if let Some(layer) = &self.upsample {
            // To the size that the way down had there, which is twice this one or a little less.
            let (_, height, width, _) = match skipped.last() {
                Some(skipped) => skipped.dims4()?,
                None => hidden.dims4()?,
            };
            let around = Around {
                stretched_to: Some((height, width)),
                ..Around::default()
            };
            hidden = layer.forward(&hidden, &around)?;
        }
        Ok(hidden)
    }
}
