//! Two convolutions around which the input is carried: `ResnetBlock2D` of diffusers.

use crate::{
    Result,
    layers::{convolution, group_norm, pointwise},
};
use candle_core::Tensor;
use unprompt_models::parts::Weights;
use unprompt_nn::{Activation, Around, GroupNorm, Linear, SpatialConv2d};

/// Normalise, activate, convolve, twice; the time is added between the two.
#[derive(Debug)]
pub(crate) struct ResidualBlock {
    norm1: GroupNorm,
    conv1: SpatialConv2d,
    time: Option<Linear>,
    norm2: GroupNorm,
    conv2: SpatialConv2d,
    shortcut: Option<Linear>,
}

/// What shapes the blocks of one network.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlockShape {
    /// Groups of its normalisations, and what they add to the variance.
    pub(crate) groups: usize,
    pub(crate) epsilon: f64,
    /// Width of the time's vector, where there is one.
    pub(crate) time: Option<usize>,
}

impl ResidualBlock {
    pub(crate) fn new(
        weights: &Weights,
        (outputs, inputs): (usize, usize),
        shape: &BlockShape,
    ) -> Result<Self> {
        let &BlockShape {
            groups,
            epsilon,
            time,
        } = shape;
        let time = match time {
            Some(width) => Some(pointwise(&weights.at("time_emb_proj"), (outputs, width))?),
            None => None,
        };
        let shortcut = match inputs == outputs {
            true => None,
            false => Some(pointwise(&weights.at("conv_shortcut"), (outputs, inputs))?),
        };
        Ok(Self {
            norm1: group_norm(&weights.at("norm1"), inputs, groups, epsilon)?,
            conv1: convolution(&weights.at("conv1"), (outputs, inputs), 1)?,
            time,
            norm2: group_norm(&weights.at("norm2"), outputs, groups, epsilon)?,
            conv2: convolution(&weights.at("conv2"), (outputs, outputs), 1)?,
            shortcut,
        })
    }

    /// (batch, height, width, inputs) to as many outputs; `time` is (batch, time's width), activated
    /// already.
    pub(crate) fn forward(&self, x: &Tensor, time: Option<&Tensor>) -> Result<Tensor> {
        let time = match (&self.time, time) {
            (Some(layer), Some(time)) => Some(layer.forward(time)?),
            _ => None,
        };
        // Assigned anew, not shadowed: what was before is large, and no longer needed.
        let mut hidden = self.norm1.forward(x, Activation::Silu)?;
        let around = Around {
            bias: time.as_ref(),
            ..Around::default()
        };
        hidden = self.conv1.forward(&hidden, &around)?;
        hidden = self.norm2.forward(&hidden, Activation::Silu)?;
        let carried = match &self.shortcut {
            Some(shortcut) => &shortcut.forward(x)?,
            None => x,
        };
        let around = Around {
            residual: Some(carried),
            ..Around::default()
        };
        Ok(self.conv2.forward(&hidden, &around)?)
    }

    /// The larger of its numbers of channels.
    pub(crate) fn widest(&self) -> usize {
        self.conv1.inputs().max(self.conv1.outputs())
    }

    /// Multiplications and additions over a picture of so many pixels.
    pub(crate) fn work(&self, pixels: usize) -> u64 {
        let [inputs, outputs] = [self.conv1.inputs(), self.conv1.outputs()].map(|c| c as u64);
        let shortcut = self.shortcut.as_ref().map_or(0, |_| inputs * outputs);
        pixels as u64 * (9 * outputs * (inputs + outputs) + shortcut)
    }
}
