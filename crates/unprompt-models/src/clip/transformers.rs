//! `config.json` of transformers.

use super::config::{
    ClipConfig, ClipLayout, ImageConfig, ImagePooling, Projection, TextConfig, TextPooling,
};
use crate::{
    configuration::activation_named,
    tower_config::{Parsed, block_shape, check_context, image_and_patch},
    transformer::BlockShape,
};
use serde::Deserialize;
use serde_json::{Map, Value};
use unprompt_nn::Mask;

/// A tower's part of a `config.json` of transformers; the defaults are those of
/// `CLIPVisionConfig` and `CLIPTextConfig`, which differ in the numbers given as options.
#[derive(Debug, Deserialize)]
struct TransformersTower {
    hidden_size: Option<usize>,
    intermediate_size: Option<usize>,
    num_hidden_layers: Option<usize>,
    num_attention_heads: Option<usize>,
    hidden_act: Option<String>,
    layer_norm_eps: Option<f64>,
    projection_dim: Option<usize>,
    // image
    num_channels: Option<usize>,
    image_size: Option<Value>,
    patch_size: Option<Value>,
    // text
    architectures: Option<Vec<String>>,
    vocab_size: Option<usize>,
    max_position_embeddings: Option<usize>,
    eos_token_id: Option<u32>,
}

/// Reads a `config.json` of transformers: of a `CLIPModel`, or of one tower with projection.
pub(super) fn parse(config: &Map<String, Value>) -> Parsed<ClipConfig> {
    let model_type = config.get("model_type").and_then(Value::as_str);
    let layout = ClipLayout::Transformers;
    let whole = Value::Object(config.clone());
    match model_type.unwrap_or_default() {
        "clip" => {
            let width = config.get("projection_dim").map_or(Ok(512), |value| {
                let width = value.as_u64().map(|width| width as usize);
                width.ok_or_else(|| format!("`projection_dim` must be a number, found {value}"))
            })?;
            Ok(ClipConfig {
                layout,
                image: Some(transformers_image(&part(config, "vision"), Some(width))?),
                text: Some(transformers_text(&part(config, "text"), Some(width))?),
            })
        }
        "clip_vision_model" => Ok(ClipConfig {
            layout,
            image: Some(transformers_image(&whole, None)?),
            text: None,
        }),
        "clip_text_model" => Ok(ClipConfig {
            layout,
            image: None,
            text: Some(transformers_text(&whole, None)?),
        }),
        other => Err(format!(
            "model_type `{other}` where clip, clip_vision_model or clip_text_model is built"
        )),
    }
}

/// `vision_config` or `text_config`, with what older files say in `..._config_dict` over it.
fn part(config: &Map<String, Value>, name: &str) -> Value {
    let object = |key: String| {
        let object = config.get(&key).and_then(Value::as_object);
        object.cloned().unwrap_or_default()
    };
    let mut merged = object(format!("{name}_config"));
    merged.extend(object(format!("{name}_config_dict")));
    Value::Object(merged)
}

fn transformers_shape(
    part: &str,
    tower: &TransformersTower,
    (width, heads): (usize, usize),
    mask: Mask,
) -> Parsed<BlockShape> {
    let width = tower.hidden_size.unwrap_or(width);
    let inner = tower
        .intermediate_size
        .unwrap_or(if mask == Mask::None { 3072 } else { 2048 });
    let activation = activation_named(tower.hidden_act.as_deref().unwrap_or("quick_gelu"))
        .map_err(|message| format!("{part}: {message}"))?;
    let heads = tower.num_attention_heads.unwrap_or(heads);
    let epsilon = tower.layer_norm_eps.unwrap_or(1e-5);
    block_shape(part, (width, heads, inner), activation, epsilon, mask)
}

fn transformers_image(config: &Value, embedding_width: Option<usize>) -> Parsed<ImageConfig> {
    let part = "vision_config";
    let tower: TransformersTower =
        serde_json::from_value(config.clone()).map_err(|error| format!("{part}: {error}"))?;
    if tower.num_channels.is_some_and(|channels| channels != 3) {
        return Err(format!("{part}: `num_channels` must be 3"));
    }
    let (image_size, patch) = image_and_patch(
        part,
        tower.image_size.as_ref().unwrap_or(&224.into()),
        tower.patch_size.as_ref().unwrap_or(&32.into()),
    )?;
    Ok(ImageConfig {
        shape: transformers_shape(part, &tower, (768, 12), Mask::None)?,
        layers: tower.num_hidden_layers.unwrap_or(12),
        image_size,
        patch,
        embedding_width: embedding_width.or(tower.projection_dim).unwrap_or(512),
        norm_before: true,
        pooling: ImagePooling::ClassToken,
    })
}

fn transformers_text(config: &Value, embedding_width: Option<usize>) -> Parsed<TextConfig> {
    let part = "text_config";
    let tower: TransformersTower =
        serde_json::from_value(config.clone()).map_err(|error| format!("{part}: {error}"))?;
    let context_length = tower.max_position_embeddings.unwrap_or(77);
    check_context(part, context_length)?;
    Ok(TextConfig {
        shape: transformers_shape(part, &tower, (512, 8), Mask::Causal)?,
        layers: tower.num_hidden_layers.unwrap_or(12),
        context_length,
        vocabulary: tower.vocab_size.unwrap_or(49408),
        embedding_width: embedding_width.or(tower.projection_dim).unwrap_or(512),
        // 2 was written by mistake before transformers 4.31, and is read as the largest id since.
        pooling: match tower.eos_token_id.unwrap_or(49407) {
            2 => TextPooling::LargestId,
            id => TextPooling::FirstOf(id),
        },
        // `CLIPTextModel`, the text encoder of a diffusion model, has none.
        projection: match &tower.architectures {
            Some(names) if names.iter().any(|name| name == "CLIPTextModel") => Projection::None,
            _ => Projection::Linear,
        },
        other_tokenizer: None,
    })
}
