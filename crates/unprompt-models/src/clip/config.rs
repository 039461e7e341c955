//! What the two published layouts say about a CLIP, in one form.

use crate::configuration::activation_named;
use serde::Deserialize;
use serde_json::{Map, Value};
use unprompt_nn::{Activation, Mask};

use crate::transformer::BlockShape;

type Parsed<T> = std::result::Result<T, String>;

/// Pictures larger than this, or longer contexts, are no CLIP's.
const LARGEST_SIDE: usize = 1 << 14;

/// Which names the tensors have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClipLayout {
    OpenClip,
    Transformers,
}

/// Both towers, or the one that a folder has.
#[derive(Clone, Debug)]
pub(super) struct ClipConfig {
    pub(super) layout: ClipLayout,
    pub(super) image: Option<ImageConfig>,
    pub(super) text: Option<TextConfig>,
}

/// The image tower.
#[derive(Clone, Debug)]
pub(super) struct ImageConfig {
    pub(super) shape: BlockShape,
    pub(super) layers: usize,
    pub(super) image_size: (usize, usize),
    pub(super) patch: usize,
    pub(super) embedding_width: usize,
    pub(super) norm_before: bool,
    pub(super) pooling: ImagePooling,
}

/// How the image tower's tokens become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ImagePooling {
    ClassToken,
    /// The mean over the patches, normalised before or after it.
    Mean {
        norm_after: bool,
    },
}

/// The text tower.
#[derive(Clone, Debug)]
pub(super) struct TextConfig {
    pub(super) shape: BlockShape,
    pub(super) layers: usize,
    pub(super) context_length: usize,
    pub(super) vocabulary: usize,
    pub(super) embedding_width: usize,
    pub(super) pooling: TextPooling,
    pub(super) projection: Projection,
}

/// Which token's vector stands for the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextPooling {
    /// The first with the largest id: the end token in the usual vocabulary.
    LargestId,
    /// The first with this id; the first of all where there is none.
    FirstOf(u32),
}

/// What follows the text tower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Projection {
    None,
    Matrix,
    Linear,
}

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
/// Settings that show in the tensors (layer scale), or matter elsewhere: to training, or to the
/// tokenizer, which reads them itself.
const IGNORED: [&str; 17] = [
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
    "hf_tokenizer_name",
    "tokenizer_mode",
    "tokenizer_kwargs",
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
                "timm_model_name" => {
                    " (MobileCLIP, SigLIP, EVA and ConvNeXt models are of this kind)"
                }
                _ => "",
            };
            return Err(format!("{part}: `{name}` {value} is not built{hint}"));
        }
        if !refused.contains(&name) && !IGNORED.contains(&name) && !is_default {
            return Err(format!("{part}: the setting `{name}` is unknown"));
        }
    }
    Ok(())
}

/// Width, heads and the width within the feed-forward part, checked.
fn block_shape(
    part: &str,
    (width, heads, inner): (usize, usize, usize),
    activation: Activation,
    epsilon: f64,
    mask: Mask,
) -> Parsed<BlockShape> {
    if heads == 0 || width == 0 || width % heads != 0 {
        return Err(format!(
            "{part}: a width of {width} does not divide into {heads} heads"
        ));
    }
    Ok(BlockShape {
        width,
        heads,
        inner,
        activation,
        epsilon,
        mask,
    })
}

/// A side, or a pair of height and width.
fn sides(part: &str, name: &str, value: &Value) -> Parsed<(usize, usize)> {
    let side = |value: &Value| {
        let side = value.as_u64().map(|side| side as usize);
        side.filter(|side| (1..=LARGEST_SIDE).contains(side))
    };
    let pair = match value {
        Value::Array(pair) => match pair.as_slice() {
            [height, width] => side(height).zip(side(width)),
            _ => None,
        },
        value => side(value).map(|side| (side, side)),
    };
    pair.ok_or_else(|| format!("{part}: `{name}` must be a side or a pair of them, found {value}"))
}

fn image_and_patch(
    part: &str,
    image_size: &Value,
    patch_size: &Value,
) -> Parsed<((usize, usize), usize)> {
    let image = sides(part, "image_size", image_size)?;
    let (patch, patch_width) = sides(part, "patch_size", patch_size)?;
    if patch != patch_width || patch > image.0.min(image.1) {
        return Err(format!(
            "{part}: patches of {patch} x {patch_width} in pictures of {} x {}",
            image.0, image.1
        ));
    }
    Ok((image, patch))
}

fn check_context(part: &str, context_length: usize) -> Parsed<()> {
    if (1..=LARGEST_SIDE).contains(&context_length) {
        return Ok(());
    }
    Err(format!(
        "{part}: a context of {context_length} tokens where 1 to {LARGEST_SIDE} are built"
    ))
}

/// Reads `open_clip_config.json`, or a `model_cfg` by itself.
pub(super) fn parse_open_clip(config: &Map<String, Value>) -> Parsed<ClipConfig> {
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
    };
    Ok(ClipConfig {
        layout: ClipLayout::OpenClip,
        image: Some(image),
        text: Some(text),
    })
}

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
    vocab_size: Option<usize>,
    max_position_embeddings: Option<usize>,
    eos_token_id: Option<u32>,
}

/// Reads a `config.json` of transformers: of a `CLIPModel`, or of one tower with projection.
pub(super) fn parse_transformers(config: &Map<String, Value>) -> Parsed<ClipConfig> {
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
        projection: Projection::Linear,
    })
}
