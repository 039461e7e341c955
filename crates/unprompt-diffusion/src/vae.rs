//! Latents to pixels: the decoder of `AutoencoderKL` of diffusers.
//!
//! Layout: `config.json` and `diffusion_pytorch_model.safetensors`; the encoder's tensors are left
//! unread.

use crate::{
    Result,
    configuration::Configuration,
    layers::{convolution, group_norm, pointwise, side_by_side},
    residual_block::{BlockShape, ResidualBlock},
};
use candle_core::Tensor;
use serde_json::{Value, json};
use std::{cell::RefCell, path::Path};
use unprompt_checkpoint::Checkpoint;
use unprompt_models::{Dtype, LoadOptions, ModelError, parts::Weights};
use unprompt_nn::{Activation, Around, GroupNorm, Linear, Mask, SpatialConv2d, self_attention};

/// What `Decoder` adds to variances.
const EPSILON: f64 = 1e-6;
/// More levels than any decoder has.
const MOST_LEVELS: usize = 8;

/// The decoder.
#[derive(Debug)]
pub(crate) struct Vae {
    latents: usize,
    levels: usize,
    scaling: f64,
    shift: f64,
    after_quantisation: Option<Linear>,
    input: SpatialConv2d,
    before: ResidualBlock,
    attention: Option<PixelAttention>,
    after: ResidualBlock,
    up: Vec<(Vec<ResidualBlock>, Option<SpatialConv2d>)>,
    norm: GroupNorm,
    output: SpatialConv2d,
}

/// Where every pixel of the smallest picture attends to all.
#[derive(Debug)]
struct PixelAttention {
    norm: GroupNorm,
    query_key_value: Linear,
    output: Linear,
}

impl Vae {
    /// Reads the folder. `may_upcast` says whether the family's pipeline leaves f16 where the folder wants
    /// it to: the decoder of the first SDXL makes values that are too large for that.
    pub(crate) fn open(folder: &Path, options: &LoadOptions, may_upcast: bool) -> Result<Self> {
        let config = Configuration::read(&folder.join("config.json"))?;
        for (key, value) in [
            ("act_fn", json!("silu")),
            ("out_channels", json!(3)),
            ("latents_mean", Value::Null),
            ("latents_std", Value::Null),
        ] {
            config.only(key, &value)?;
        }
        let checkpoint = Checkpoint::open(folder, options.pickle).map_err(ModelError::from)?;
        let used = RefCell::default();
        let is_half = options.compute.dtype() == Dtype::F16;
        let compute = match is_half && may_upcast && config.or("force_upcast", true)? {
            true => options.compute.in_f32(),
            false => options.compute.clone(),
        };
        let root = Weights::new(&checkpoint, &used).computed(&compute);
        let decoder = Self::new(&config, &root)?;
        root.check_all_used(|name| {
            name.starts_with("encoder.") || name.starts_with("quant_conv.")
        })?;
        Ok(decoder)
    }

    fn new(config: &Configuration, root: &Weights) -> Result<Self> {
        let channels: Vec<usize> = config.or("block_out_channels", vec![64])?;
        let levels = channels.len();
        let blocks = "UpDecoderBlock2D";
        let names: Vec<String> = config.or("up_block_types", vec![blocks.to_owned()])?;
        if levels == 0 || levels > MOST_LEVELS || names.len() != levels {
            return Err(config.refuse(&format!(
                "{levels} of `block_out_channels` for {} of `up_block_types`",
                names.len()
            )));
        }
        if let Some(name) = names.iter().find(|name| *name != blocks) {
            return Err(config.refuse(&format!(
                "`up_block_types`: `{name}` is not built; {blocks} is"
            )));
        }
        let latents: usize = config.or("latent_channels", 4)?;
        let layers = config.or("layers_per_block", 1usize)?.saturating_add(1);
        let groups = config.or("norm_num_groups", 32)?;
        let shape = BlockShape {
            groups,
            epsilon: EPSILON,
            time: None,
        };
        let (first, last) = (channels[0], channels[levels - 1]);
        let after_quantisation = match config.or("use_post_quant_conv", true)? {
            true => Some(pointwise(&root.at("post_quant_conv"), (latents, latents))?),
            false => None,
        };
        let decoder = root.at("decoder");
        let input = convolution(&decoder.at("conv_in"), (last, latents), 1)?;
        let middle = decoder.at("mid_block");
        let residual = |index: usize| {
            ResidualBlock::new(&middle.at("resnets").at(index), (last, last), &shape)
        };
        let attention = match config.or("mid_block_add_attention", true)? {
            true => Some(PixelAttention::new(
                &middle.at("attentions.0"),
                last,
                groups,
            )?),
            false => None,
        };
        let mut up = Vec::with_capacity(levels);
        let mut inputs = last;
        for (index, &outputs) in channels.iter().rev().enumerate() {
            let place = decoder.at("up_blocks").at(index);
            let mut blocks = Vec::new();
            for layer in 0..layers {
                let place = place.at("resnets").at(layer);
                blocks.push(ResidualBlock::new(&place, (outputs, inputs), &shape)?);
                inputs = outputs;
            }
            let upsample = match index + 1 < levels {
                true => {
                    let place = place.at("upsamplers.0.conv");
                    Some(convolution(&place, (outputs, outputs), 1)?)
                }
                false => None,
            };
            up.push((blocks, upsample));
        }
        let scaling: f64 = config.or("scaling_factor", 0.18215)?;
        if scaling <= 0.0 {
            return Err(config.refuse("`scaling_factor` must be above 0"));
        }
        Ok(Self {
            latents,
            levels,
            scaling,
            shift: config.or("shift_factor", 0.0)?,
            after_quantisation,
            input,
            before: residual(0)?,
            attention,
            after: residual(1)?,
            up,
            norm: group_norm(&decoder.at("conv_norm_out"), first, groups, EPSILON)?,
            output: convolution(&decoder.at("conv_out"), (3, first), 1)?,
        })
    }

    /// Channels of the latents.
    pub(crate) fn latents(&self) -> usize {
        self.latents
    }

    /// Pixels of a side that one latent stands for.
    pub(crate) fn factor(&self) -> usize {
        1 << (self.levels - 1)
    }

    /// (1, height, width, latents) to (1, height, width, 3) of pixels, from -1 to 1 and a little beyond.
    pub(crate) fn decode(&self, latents: &Tensor) -> Result<Tensor> {
        let mut hidden = ((latents / self.scaling)? + self.shift)?;
        hidden = self.input.beside_weights(&hidden)?;
        if let Some(layer) = &self.after_quantisation {
            hidden = layer.forward(&hidden)?;
        }
        hidden = self.input.forward(&hidden, &Around::default())?;
        hidden = self.before.forward(&hidden, None)?;
        if let Some(attention) = &self.attention {
            hidden = attention.forward(&hidden)?;
        }
        hidden = self.after.forward(&hidden, None)?;
        for (blocks, upsample) in &self.up {
            for block in blocks {
                hidden = block.forward(&hidden, None)?;
            }
            if let Some(layer) = upsample {
                let (_, height, width, _) = hidden.dims4()?;
                let around = Around {
                    stretched_to: Some((2 * height, 2 * width)),
                    ..Around::default()
                };
                hidden = layer.forward(&hidden, &around)?;
            }
        }
        let hidden = self.norm.forward(&hidden, Activation::Silu)?;
        Ok(self.output.forward(&hidden, &Around::default())?)
    }

    /// Multiplications and additions of [`decode`](Self::decode) for so many rows and columns of
    /// latents, within a few per cent.
    pub(crate) fn work(&self, (rows, columns): (usize, usize)) -> u64 {
        let mut pixels = rows * columns;
        let channels = self.input.outputs() as u64;
        let mut work = self.before.work(pixels) + self.after.work(pixels);
        if self.attention.is_some() {
            work += pixels as u64 * (4 * channels * channels + 2 * channels * pixels as u64);
        }
        for (blocks, upsample) in &self.up {
            work += blocks.iter().map(|block| block.work(pixels)).sum::<u64>();
            if let Some(layer) = upsample {
                pixels *= 4;
                work += (pixels * 9 * layer.inputs() * layer.outputs()) as u64;
            }
        }
        work + (pixels * 27 * self.output.inputs()) as u64
    }

    /// Values of the largest feature map, for so many rows and columns of latents.
    pub(crate) fn largest_map(&self, (rows, columns): (usize, usize)) -> u64 {
        let mut pixels = rows * columns;
        let mut most = 0;
        for (blocks, upsample) in &self.up {
            for block in blocks {
                most = most.max(pixels * block.widest());
            }
            if let Some(layer) = upsample {
                pixels *= 4;
                most = most.max(pixels * layer.outputs());
            }
        }
        most as u64
    }
}

impl PixelAttention {
    fn new(weights: &Weights, channels: usize, groups: usize) -> Result<Self> {
        // The second names are those of the first published files.
        let place = |[name, old]: [&str; 2]| {
            let is_old = weights.contains(&format!("{old}.weight"));
            weights.at(if is_old { old } else { name })
        };
        let parts = [["to_q", "query"], ["to_k", "key"], ["to_v", "value"]].map(place);
        Ok(Self {
            norm: group_norm(&weights.at("group_norm"), channels, groups, EPSILON)?,
            query_key_value: side_by_side(&parts, (channels, channels))?,
            output: pointwise(&place(["to_out.0", "proj_attn"]), (channels, channels))?,
        })
    }

    /// (1, height, width, channels) to the same shape.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, height, width, channels) = x.dims4()?;
        let pixels = height * width;
        let hidden = self.norm.forward(x, Activation::Identity)?;
        let hidden = hidden.reshape((batch * pixels, channels))?;
        let qkv = self.query_key_value.forward(&hidden)?;
        let attended = self_attention(&qkv, &vec![pixels; batch], 1, Mask::None)?;
        Ok(self
            .output
            .forward_residual(&attended.reshape(x.dims())?, x)?)
    }
}
