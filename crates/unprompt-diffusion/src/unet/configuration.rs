//! `unet/config.json`.

use crate::{Result, configuration::Configuration};
use serde_json::{Value, json};
use std::path::Path;

/// More levels than any network has.
const MOST_LEVELS: usize = 8;
/// More blocks in a level than any network has.
const MOST_LAYERS: usize = 64;

/// The network's shape. Lists have a value for each level of the way down, the first at full size.
#[derive(Clone, Debug)]
pub(crate) struct UNetConfig {
    /// Channels of the picture that it sees, and of its answer.
    pub(crate) latents: usize,
    /// Rows and columns of the latents that it was trained on.
    pub(crate) size: usize,
    pub(crate) channels: Vec<usize>,
    /// Residual blocks on the way down; one more on the way up.
    pub(crate) layers: Vec<usize>,
    pub(crate) heads: Vec<usize>,
    /// Blocks of each transformer.
    pub(crate) depths: Vec<usize>,
    /// Whether there are transformers, on the way down and, by `up_blocks`, on the way up.
    pub(crate) attends_down: Vec<bool>,
    pub(crate) attends_up: Vec<bool>,
    /// Width of the text's tokens.
    pub(crate) text: usize,
    pub(crate) groups: usize,
    pub(crate) epsilon: f64,
    /// Whether cosines stand before sines in the time's embedding, and what is taken from the number of
    /// frequencies.
    pub(crate) cosines_first: bool,
    pub(crate) frequency_shift: f64,
    pub(crate) added: Option<AddedTime>,
}

/// `text_time`: the pooled text and some numbers beside the time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AddedTime {
    /// Width of a number's embedding.
    pub(crate) number: usize,
    /// Width of them all and of the pooled text.
    pub(crate) inputs: usize,
}

/// What is built of the switches that no published model of these families uses otherwise.
fn built() -> [(&'static str, Value); 27] {
    [
        ("act_fn", json!("silu")),
        ("attention_type", json!("default")),
        ("center_input_sample", json!(false)),
        ("class_embed_type", Value::Null),
        ("class_embeddings_concat", json!(false)),
        ("conv_in_kernel", json!(3)),
        ("conv_out_kernel", json!(3)),
        ("cross_attention_norm", Value::Null),
        ("downsample_padding", json!(1)),
        ("dual_cross_attention", json!(false)),
        ("encoder_hid_dim", Value::Null),
        ("encoder_hid_dim_type", Value::Null),
        ("mid_block_only_cross_attention", json!(false)),
        ("mid_block_scale_factor", json!(1)),
        ("mid_block_type", json!("UNetMidBlock2DCrossAttn")),
        ("num_attention_heads", Value::Null),
        ("num_class_embeds", Value::Null),
        ("only_cross_attention", json!(false)),
        ("resnet_out_scale_factor", json!(1)),
        ("resnet_skip_time_act", json!(false)),
        ("resnet_time_scale_shift", json!("default")),
        ("reverse_transformer_layers_per_block", Value::Null),
        ("time_cond_proj_dim", Value::Null),
        ("time_embedding_act_fn", Value::Null),
        ("time_embedding_dim", Value::Null),
        ("time_embedding_type", json!("positional")),
        ("timestep_post_act", Value::Null),
    ]
}

impl UNetConfig {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let config = Configuration::read(path)?;
        for (key, value) in built() {
            config.only(key, &value)?;
        }
        let down: Vec<String> = config.or(
            "down_block_types",
            levels("CrossAttnDownBlock2D", "DownBlock2D"),
        )?;
        let mut up = levels("CrossAttnUpBlock2D", "UpBlock2D");
        up.reverse();
        let up: Vec<String> = config.or("up_block_types", up)?;
        let channels: Vec<usize> = config.or("block_out_channels", vec![320, 640, 1280, 1280])?;
        let count = channels.len();
        if count == 0 || count > MOST_LEVELS || down.len() != count || up.len() != count {
            return Err(config.refuse(&format!(
                "{count} of `block_out_channels` for {} of `down_block_types` and {} of `up_block_types`",
                down.len(),
                up.len()
            )));
        }
        let attends = |key: &str, names: &[String], with: &str, without: &str| {
            let one = |name: &String| match name {
                name if name == with => Ok(true),
                name if name == without => Ok(false),
                name => Err(config.refuse(&format!(
                    "`{key}`: `{name}` is not built; {with} and {without} are"
                ))),
            };
            names.iter().map(one).collect::<Result<Vec<bool>>>()
        };
        let heads: Vec<usize> = config.by_level("attention_head_dim", 8, count)?;
        let groups = config.or("norm_num_groups", 32)?;
        let fits = |(channels, heads): (&usize, &usize)| {
            *heads > 0 && *channels > 0 && channels.is_multiple_of(*heads)
        };
        if !channels.iter().zip(&heads).all(fits) {
            return Err(config.refuse(&format!(
                "`attention_head_dim` {heads:?} does not divide `block_out_channels` {channels:?}"
            )));
        }
        let layers = config.by_level("layers_per_block", 2, count)?;
        if layers
            .iter()
            .any(|layers| *layers == 0 || *layers > MOST_LAYERS)
        {
            return Err(config.refuse(&format!(
                "`layers_per_block` {layers:?}: from 1 to {MOST_LAYERS} are built"
            )));
        }
        let [latents, outputs] = [config.or("in_channels", 4)?, config.or("out_channels", 4)?];
        if latents != outputs {
            return Err(config.refuse(&format!(
                "`in_channels` {latents} beside `out_channels` {outputs}: models for inpainting and for changing \
                 pictures are not built"
            )));
        }
        let added = match config.optional::<String>("addition_embed_type")?.as_deref() {
            None => None,
            Some("text_time") => Some(AddedTime {
                number: config.or("addition_time_embed_dim", 256)?,
                inputs: config.or("projection_class_embeddings_input_dim", 2816)?,
            }),
            Some(other) => {
                return Err(config.refuse(&format!(
                    "`addition_embed_type` `{other}` is not built; text_time is, and none"
                )));
            }
        };
        Ok(Self {
            latents,
            size: config.or("sample_size", 64)?,
            layers,
            depths: config.by_level("transformer_layers_per_block", 1, count)?,
            attends_down: attends(
                "down_block_types",
                &down,
                "CrossAttnDownBlock2D",
                "DownBlock2D",
            )?,
            attends_up: attends("up_block_types", &up, "CrossAttnUpBlock2D", "UpBlock2D")?,
            text: config.or("cross_attention_dim", 1280)?,
            groups,
            epsilon: config.or("norm_eps", 1e-5)?,
            cosines_first: config.or("flip_sin_to_cos", true)?,
            frequency_shift: config.or("freq_shift", 0.0)?,
            added,
            channels,
            heads,
        })
    }
}

/// The four levels of the first models: the last has no transformers.
fn levels(attending: &str, last: &str) -> Vec<String> {
    let mut levels = vec![attending.to_owned(); 3];
    levels.push(last.to_owned());
    levels
}
