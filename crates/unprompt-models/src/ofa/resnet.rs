//! The ResNet under OFA, up to its third stage, batch normalisation folded into the convolutions.

use crate::{Result, weights::Weights};
use candle_core::{Device, Tensor};
use unprompt_nn::{Activation, Linear, Padding, PatchConv2d, add_relu, max_pool};

/// Channels of the last stage.
pub(super) const CHANNELS: usize = 1024;
/// Pixels of a side for each position of the result.
pub(super) const STRIDE: usize = 16;
const EXPANSION: usize = 4;
const EPSILON: f64 = 1e-5;

#[derive(Debug)]
pub(super) struct ResNet {
    stem: PatchConv2d,
    blocks: Vec<Bottleneck>,
}

#[derive(Debug)]
struct Bottleneck {
    narrow: Linear,
    middle: PatchConv2d,
    widen: Linear,
    shortcut: Option<PatchConv2d>,
}

impl ResNet {
    pub(super) fn new(weights: &Weights, stages: [usize; 3]) -> Result<Self> {
        let (weight, bias) = folded(weights, "conv1", "bn1", [64, 3, 7, 7])?;
        let placement = (2, Padding::Zeros(3));
        let stem = PatchConv2d::new(&weight, Some(&bias), placement, Activation::Relu)?;
        let mut blocks = Vec::new();
        let mut inputs = 64;
        for (stage, count) in stages.into_iter().enumerate() {
            let width = 64 << stage;
            let place = weights.at(format!("layer{}", stage + 1));
            for index in 0..count {
                let stride = if index == 0 && stage > 0 { 2 } else { 1 };
                blocks.push(Bottleneck::new(&place.at(index), (inputs, width), stride)?);
                inputs = EXPANSION * width;
            }
        }
        Ok(Self { stem, blocks })
    }

    /// (pictures, height, width, 3) to (pictures, height / 16, width / 16, [`CHANNELS`]).
    pub(super) fn forward(&self, pictures: &Tensor) -> candle_core::Result<Tensor> {
        let mut x = max_pool(&self.stem.forward(pictures)?)?;
        for block in &self.blocks {
            let inner = block.middle.forward(&block.narrow.forward(&x)?)?;
            let inner = block.widen.forward(&inner)?;
            x = match &block.shortcut {
                Some(shortcut) => add_relu(&inner, &shortcut.forward(&x)?)?,
                None => add_relu(&inner, &x)?,
            };
        }
        Ok(x)
    }
}

impl Bottleneck {
    fn new(weights: &Weights, (inputs, width): (usize, usize), stride: usize) -> Result<Self> {
        let outputs = EXPANSION * width;
        let pointwise = |conv: &str, norm: &str, (outputs, inputs), activation| {
            let (weight, bias) = folded(weights, conv, norm, [outputs, inputs, 1, 1])?;
            let weight = weight.reshape((outputs, inputs))?;
            Ok::<_, crate::ModelError>(Linear::new(&weight, Some(&bias), activation)?)
        };
        let (weight, bias) = folded(weights, "conv2", "bn2", [width, width, 3, 3])?;
        let placement = (stride, Padding::Zeros(1));
        let middle = PatchConv2d::new(&weight, Some(&bias), placement, Activation::Relu)?;
        let shortcut = if stride != 1 || inputs != outputs {
            let place = weights.at("downsample");
            let (weight, bias) = folded(&place, "0", "1", [outputs, inputs, 1, 1])?;
            let placement = (stride, Padding::None);
            let shortcut = PatchConv2d::new(&weight, Some(&bias), placement, Activation::Identity)?;
            Some(shortcut)
        } else {
            None
        };
        Ok(Self {
            narrow: pointwise("conv1", "bn1", (width, inputs), Activation::Relu)?,
            middle,
            widen: pointwise("conv3", "bn3", (outputs, width), Activation::Identity)?,
            shortcut,
        })
    }
}

/// A convolution's weight and bias with the batch normalisation behind it taken in:
/// `g (W x - m) / s + b = (g / s) W x + (b - g m / s)`.
fn folded(
    weights: &Weights,
    convolution: &str,
    norm: &str,
    shape: [usize; 4],
) -> Result<(Tensor, Tensor)> {
    let outputs = shape[0];
    let mut weight = weights.at(convolution).values("weight", &shape)?;
    let norm = weights.at(norm);
    let values = |name| norm.values(name, &[outputs]);
    let (gain, shift) = (values("weight")?, values("bias")?);
    let (mean, variance) = (values("running_mean")?, values("running_var")?);
    let each = (weight.len() / outputs).max(1);
    let mut bias = Vec::with_capacity(outputs);
    for (index, weights) in weight.chunks_exact_mut(each).enumerate() {
        let factor = f64::from(gain[index]) / (f64::from(variance[index]) + EPSILON).sqrt();
        for weight in weights {
            *weight = (f64::from(*weight) * factor) as f32;
        }
        bias.push((f64::from(shift[index]) - f64::from(mean[index]) * factor) as f32);
    }
    Ok((
        Tensor::from_vec(weight, &shape, &Device::Cpu)?,
        Tensor::from_vec(bias, outputs, &Device::Cpu)?,
    ))
}
