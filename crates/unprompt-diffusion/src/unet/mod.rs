//! The network that says what noise is in a picture: `UNet2DConditionModel` of diffusers.
//!
//! Papers: Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models" (2022);
//! Podell et al., "SDXL" (2023). Reference: diffusers 0.42.1. Layout: `config.json` and
//! `diffusion_pytorch_model.safetensors`, whole, in shards, or in half precision.

mod configuration;
mod embedding;
mod level;

use crate::{
    Result,
    attention::{SpatialTransformer, TextLayers, TextMemory, TransformerShape},
    layers::{convolution, group_norm},
    residual_block::{BlockShape, ResidualBlock},
};
use candle_core::Tensor;
use configuration::UNetConfig;
use embedding::{AddedEmbedding, TimeEmbedding};
use level::{DownLevel, Level, UpLevel};
use std::{
    cell::RefCell,
    iter::{once, repeat},
    path::Path,
};
use unprompt_checkpoint::Checkpoint;
use unprompt_models::{LoadOptions, parts::Weights};
use unprompt_nn::{Activation, Around, GroupNorm, SpatialConv2d};

/// The network.
#[derive(Debug)]
pub(crate) struct UNet {
    config: UNetConfig,
    time: TimeEmbedding,
    added: Option<AddedEmbedding>,
    input: SpatialConv2d,
    down: Vec<DownLevel>,
    middle: Middle,
    up: Vec<UpLevel>,
    norm: GroupNorm,
    output: SpatialConv2d,
    texts: TextLayers,
}

/// Between the way down and the way up.
#[derive(Debug)]
struct Middle {
    before: ResidualBlock,
    attention: SpatialTransformer,
    after: ResidualBlock,
}

/// What a picture is drawn after.
#[derive(Debug)]
pub(crate) struct Condition {
    text: TextMemory,
    /// What is added to the time's vector: (1, width).
    added: Option<Tensor>,
}

impl UNet {
    /// Reads the folder.
    pub(crate) fn open(folder: &Path, options: &LoadOptions) -> Result<Self> {
        let config = UNetConfig::read(&folder.join("config.json"))?;
        let checkpoint =
            Checkpoint::open(folder, options.pickle).map_err(unprompt_models::ModelError::from)?;
        let used = RefCell::default();
        let root = Weights::new(&checkpoint, &used).computed(&options.compute);
        let network = Self::new(config, &root)?;
        root.check_all_used(|_| false)?;
        Ok(network)
    }

    fn new(config: UNetConfig, root: &Weights) -> Result<Self> {
        let channels = &config.channels;
        let levels = channels.len();
        let (first, last) = (channels[0], channels[levels - 1]);
        let input = convolution(&root.at("conv_in"), (first, config.latents), 1)?;
        let time = TimeEmbedding::new(root, &config, first)?;
        let added = match config.added {
            Some(shape) => Some(AddedEmbedding::new(root, &config, &shape, time.width())?),
            None => None,
        };
        let shape = BlockShape {
            groups: config.groups,
            epsilon: config.epsilon,
            time: Some(time.width()),
        };
        let mut texts = TextLayers::default();
        let mut down = Vec::with_capacity(levels);
        for level in 0..levels {
            let inputs = channels[level.saturating_sub(1)];
            let place = root.at("down_blocks").at(level);
            let inputs = once(inputs).chain(repeat(channels[level]));
            let level_of = Level::new(
                &place,
                inputs.take(config.layers[level]),
                &shape,
                config.attends_down[level].then(|| config.transformer(level)),
                channels[level],
                &mut texts,
            )?;
            down.push(DownLevel::new(
                &place,
                level_of,
                channels[level],
                level + 1 < levels,
            )?);
        }
        let place = root.at("mid_block");
        let residual =
            |index: usize| ResidualBlock::new(&place.at("resnets").at(index), (last, last), &shape);
        let before = residual(0)?;
        let attention = SpatialTransformer::new(
            &place.at("attentions").at(0),
            &config.transformer(levels - 1),
            &mut texts,
        )?;
        let middle = Middle {
            before,
            attention,
            after: residual(1)?,
        };
        let mut up = Vec::with_capacity(levels);
        for index in 0..levels {
            let level = levels - 1 - index;
            let place = root.at("up_blocks").at(index);
            let from_below = channels[(level + 1).min(levels - 1)];
            let count = config.layers[level] + 1;
            let skipped = |layer: usize| match layer + 1 == count {
                true => channels[level.saturating_sub(1)],
                false => channels[level],
            };
            let inputs = (0..count).map(|layer| {
                let before = if layer == 0 {
                    from_below
                } else {
                    channels[level]
                };
                before + skipped(layer)
            });
            let level_of = Level::new(
                &place,
                inputs,
                &shape,
                config.attends_up[index].then(|| config.transformer(level)),
                channels[level],
                &mut texts,
            )?;
            up.push(UpLevel::new(
                &place,
                level_of,
                channels[level],
                index + 1 < levels,
            )?);
        }
        Ok(Self {
            time,
            added,
            input,
            down,
            middle,
            up,
            norm: group_norm(
                &root.at("conv_norm_out"),
                first,
                config.groups,
                config.epsilon,
            )?,
            output: convolution(&root.at("conv_out"), (config.latents, first), 1)?,
            texts,
            config,
        })
    }

    /// What its configuration says.
    pub(crate) fn config(&self) -> &UNetConfig {
        &self.config
    }

    /// `x` on the device of the network and in its numbers.
    pub(crate) fn beside_weights(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.input.beside_weights(x)?)
    }

    /// What a text's tokens, (tokens, width), say to every block, and what the pooled text and the
    /// numbers beside it (SDXL: sizes and crop) say beside the time.
    pub(crate) fn condition(
        &self,
        tokens: &Tensor,
        pooled: Option<(&[f32], &[f32])>,
    ) -> Result<Condition> {
        let added = match (&self.added, pooled) {
            (Some(layer), Some((pooled, numbers))) => Some(layer.forward(pooled, numbers)?),
            _ => None,
        };
        Ok(Condition {
            text: self.texts.memory(tokens)?,
            added,
        })
    }

    /// The network's answer for pictures at one time: (batch, height, width, latents) to the same
    /// shape, a condition for each picture. The answer is where the network is, and in its numbers.
    pub(crate) fn forward(
        &self,
        x: &Tensor,
        time: f32,
        conditions: &[&Condition],
    ) -> Result<Tensor> {
        let texts: Vec<&TextMemory> = conditions.iter().map(|one| &one.text).collect();
        let time = self.time.forward(time)?;
        let times: Vec<Tensor> = conditions
            .iter()
            .map(|one| match &one.added {
                Some(added) => &time + added,
                None => Ok(time.clone()),
            })
            .collect::<candle_core::Result<_>>()?;
        let time = Activation::Silu.forward(&Tensor::cat(&times, 0)?)?;

        let x = self.input.beside_weights(x)?;
        let mut hidden = self.input.forward(&x, &Around::default())?;
        let mut skipped = vec![hidden.clone()];
        for level in &self.down {
            hidden = level.forward(hidden, &time, &texts, &mut skipped)?;
        }
        let Middle {
            before,
            attention,
            after,
        } = &self.middle;
        hidden = before.forward(&hidden, Some(&time))?;
        hidden = attention.forward(&hidden, &texts)?;
        hidden = after.forward(&hidden, Some(&time))?;
        for level in &self.up {
            hidden = level.forward(hidden, &time, &texts, &mut skipped)?;
        }
        let hidden = self.norm.forward(&hidden, Activation::Silu)?;
        Ok(self.output.forward(&hidden, &Around::default())?)
    }

    /// Multiplications and additions of [`forward`](Self::forward) for one picture of so many rows and
    /// columns of latents and a text of so many tokens, within a few per cent.
    pub(crate) fn work(&self, size: (usize, usize), tokens: usize) -> u64 {
        let first = self.input.outputs() as u64 * 9;
        let pixels = (size.0 * size.1) as u64;
        let mut work = 2 * first * pixels * self.config.latents as u64;
        let mut sizes = vec![size];
        for level in &self.down {
            let size = sizes[sizes.len() - 1];
            work += level.level.work(size.0 * size.1, tokens);
            if let Some(layer) = &level.downsample {
                let next = layer.output_size(size);
                let weights = 9 * layer.inputs() * layer.outputs();
                work += (next.0 * next.1 * weights) as u64;
                sizes.push(next);
            }
        }
        let (rows, columns) = sizes[sizes.len() - 1];
        let pixels = rows * columns;
        let Middle {
            before,
            attention,
            after,
        } = &self.middle;
        work += before.work(pixels) + attention.work(pixels, tokens) + after.work(pixels);
        for level in &self.up {
            let (rows, columns) = sizes.pop().unwrap_or(size);
            work += level.level.work(rows * columns, tokens);
            if let (Some(layer), Some((rows, columns))) = (&level.upsample, sizes.last()) {
                work += (rows * columns * 9 * layer.inputs() * layer.outputs()) as u64;
            }
        }
        work
    }
}

impl UNetConfig {
    fn transformer(&self, level: usize) -> TransformerShape {
        TransformerShape {
            channels: self.channels[level],
            heads: self.heads[level],
            depth: self.depths[level],
            text: self.text,
            groups: self.groups,
        }
    }
}
