//! `open_clip_config.json`.

use super::config::{
    ClipConfig, ClipLayout, ImageConfig, ImagePooling, Projection, TextConfig, TextPooling,
};
use crate::tower_config::{Parsed, block_shape, check_context, image_and_patch};
use serde::Deserialize;
use serde_json::{Map, Value};
use unprompt_nn::{Activation, Mask};

/// `model_cfg` of `open_clip_config.json`; the defaults are those of open_clip.
#[derive(Debug, Deserialize)]
struct OpenClip {
    embed_dim: usize,
    #[serde(default)]
    quick_gelu: bool,
    vision_cfg: OpenClipVision,
    text_cfg: OpenClipText,
}

#[derive(Debug, Deserialize)]
#[serde(default)]
struct OpenClipVision {
    layers: Value,
    width: usize,
    head_width: usize,
    mlp_ratio: f64,
    patch_size: Value,
    image_size: Value,
    no_ln_pre: bool,
    pool_type: String,
    final_ln_after_pool: bool,
    #[serde(flatten)]
    others: Map<String, Value>,
}

impl Default for OpenClipVision {
    fn default() -> Self {
        Self {
            layers: 12.into(),
            width: 768,
            head_width: 64,
            mlp_ratio: 4.0,
            patch_size: 16.into(),
            image_size: 224.into(),
            no_ln_pre: false,
            pool_type: "tok".into(),
            final_ln_after_pool: false,
            others: Map::new(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(default)]
struct OpenClipText {
    context_length: usize,
    vocab_size: usize,
    width: usize,
    heads: usize,
    layers: usize,
    mlp_ratio: f64,
    eos_id: u32,
    pool_type: String,
    proj_type: Option<String>,
    proj_bias: bool,
    #[serde(flatten)]
    others: Map<String, Value>,
}

impl Default for OpenClipText {
    fn default() -> Self {
        Self {
            context_length: 77,
            vocab_size: 49408,
            width: 512,
            heads: 8,
            layers: 12,
            mlp_ratio: 4.0,
            eos_id: 2,
            pool_type: "argmax".into(),
            proj_type: Some("linear".into()),
            proj_bias: false,
            others: Map::new(),
        }
    }
}

/// open_clip settings whose non-default values change the network in ways that are not built.
const REFUSED_VISION: [&str; 12] = [
    "timm_model_name",
    "attentional_pool",
    "block_type",
    "qk_norm",
    "scaled_cosine_attn",
    "scale_heads",
    "scale_attn_inner",
    "scale_attn",
    "scale_fc",
    "act_kwargs",
    "norm_kwargs",
    "output_tokens",
];
const REFUSED_TEXT: [&str; 13] = [
    "hf_model_name",
    "no_causal_mask",
    "embed_cls",
    "block_type",
    "qk_norm",
    "scaled_cosine_attn",
    "scale_heads",
    "scale_attn_inner",
    "scale_attn",
    "scale_fc",
    "act_kwargs",
    "norm_kwargs",
    "output_tokens",
];
/// Settings that name another tokenizer than CLIP's, or change it.
const TOKENIZER: [&str; 3] = ["hf_tokenizer_name", "tokenizer_mode", "tokenizer_kwargs"];
/// Settings that show in the tensors (layer scale), or matter to training only.
const IGNORED: [&str; 14] = [
    "ls_init_value",
    "patch_dropout",
    "attn_pooler_queries",
    "attn_pooler_heads",
    "pos_embed_type",
    "timm_model_pretrained",
    "timm_pool",
    "timm_proj",
    "timm_proj_bias",
    "timm_drop",
    "timm_drop_path",
    "pad_id",
    "hf_model_pretrained",
    "final_ln_after_pool",
];

fn refuse_others(part: &str, others: &Map<String, Value>, refused: &[&str]) -> Parsed<()> {
    for (name, value) in others {
        let is_default = matches!(value, Value::Null | Value::Bool(false));
        let name = name.as_str();
        if refused.contains(&name) && !is_default {
            let hint = match name {
                "timm_model_name" => " (MobileCLIP, EVA and ConvNeXt models are of this kind)",
                _ => "",
            };
            return Err(format!("{part}: `{name}` {value} is not built{hint}"));
        }
        if !refused.contains(&name)
            && !IGNORED.contains(&name)
            && !TOKENIZER.contains(&name)
            && !is_default
        {
            return Err(format!("{part}: the setting `{name}` is unknown"));
        }
    }
    Ok(())
}

/// Reads `open_clip_config.json`, or a `model_cfg` by itself.
pub(super) fn parse(config: &Map<String, Value>) -> Parsed<ClipConfig> {
    let model = config.get("model_cfg").and_then(Value::as_object);
    let model = model.unwrap_or(config);
    for key in ["multimodal_cfg", "audio_cfg"] {
        if model.get(key).is_some_and(|value| !value.is_null()) {
            return Err(format!(
                "`{key}` is not built: only the two towers of CLIP are"
            ));
        }
    }
    let model: OpenClip =
        serde_json::from_value(Value::Object(model.clone())).map_err(|error| error.to_string())?;
    let activation = if model.quick_gelu {
        Activation::QuickGelu
    } else {
        Activation::Gelu
    };
    const EPSILON: f64 = 1e-5;

    let part = "vision_cfg";
    let vision = &model.vision_cfg;
    refuse_others(part, &vision.others, &REFUSED_VISION)?;
    let Some(layers) = vision.layers.as_u64() else {
        return Err(format!(
            "{part}: `layers` {} where one number is built (four are a ResNet's)",
            vision.layers
        ));
    };
    let heads = vision.width.checked_div(vision.head_width).unwrap_or(0);
    let inner = (vision.width as f64 * vision.mlp_ratio) as usize;
    let (image_size, patch) = image_and_patch(part, &vision.image_size, &vision.patch_size)?;
    let image = ImageConfig {
        shape: block_shape(
            part,
            (vision.width, heads, inner),
            activation,
            EPSILON,
            Mask::None,
        )?,
        layers: layers as usize,
        image_size,
        patch,
        embedding_width: model.embed_dim,
        norm_before: !vision.no_ln_pre,
        pooling: match vision.pool_type.as_str() {
            "tok" => ImagePooling::ClassToken,
            "avg" => ImagePooling::Mean {
                norm_after: vision.final_ln_after_pool,
            },
            other => {
                return Err(format!(
                    "{part}: `pool_type` {other} where tok or avg is built"
                ));
            }
        },
    };

    let part = "text_cfg";
    let text = &model.text_cfg;
    refuse_others(part, &text.others, &REFUSED_TEXT)?;
    check_context(part, text.context_length)?;
    let inner = (text.width as f64 * text.mlp_ratio) as usize;
    let asks_for_another = |name: &&str| match text.others.get(*name) {
        None | Some(Value::Null) => false,
        Some(Value::Object(settings)) => !settings.is_empty(),
        Some(_) => true,
    };
    let other_tokenizer = TOKENIZER.iter().find(|name| asks_for_another(name));
    let text = TextConfig {
        shape: block_shape(
            part,
            (text.width, text.heads, inner),
            activation,
            EPSILON,
            Mask::Causal,
        )?,
        layers: text.layers,
        context_length: text.context_length,
        vocabulary: text.vocab_size,
        embedding_width: model.embed_dim,
        pooling: match text.pool_type.as_str() {
            "argmax" => TextPooling::LargestId,
            "eos" => TextPooling::FirstOf(text.eos_id),
            other => {
                return Err(format!(
                    "{part}: `pool_type` {other} where argmax or eos is built"
                ));
            }
        },
        projection: match (text.proj_type.as_deref(), text.proj_bias) {
            (Some("linear") | None, false) => Projection::Matrix,
            (Some("linear") | None, true) => Projection::Linear,
            (Some("none"), _) => Projection::None,
            (Some(other), _) => {
                return Err(format!(
                    "{part}: `proj_type` {other} where linear or none is built"
                ));
            }
        },
        other_tokenizer: other_tokenizer.map(|name| format!("`{name}` {}", text.others[*name])),
    };
    Ok(ClipConfig {
        layout: ClipLayout::OpenClip,
        image: Some(image),
        text: Some(text),
    })
}
