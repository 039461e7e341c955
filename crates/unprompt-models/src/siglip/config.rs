//! What the two published layouts say about a SigLIP, in one form.

use super::tokenizer::Cleaning;
use crate::{
    configuration::activation_named,
    tower_config::{Parsed, block_shape, check_context, image_and_patch},
    transformer::BlockShape,
    vit::{SiglipVisionConfig, TimmConfig},
};
use serde::Deserialize;
use serde_json::{Map, Value};
use unprompt_nn::{Activation, Mask};

/// Which names the tensors have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    OpenClip,
    Transformers,
}

/// Both towers, or the one that a folder has.
#[derive(Debug)]
pub(super) struct SiglipConfig {
    pub(super) layout: Layout,
    pub(super) image: Option<ImageConfig>,
    pub(super) text: Option<TextConfig>,
}

#[derive(Debug)]
pub(super) enum ImageConfig {
    OpenClip {
        trunk: TimmConfig,
        /// Of the space shared with texts.
        width: usize,
    },
    Transformers(SiglipVisionConfig),
}

#[derive(Debug)]
pub(super) struct TextConfig {
    pub(super) shape: BlockShape,
    pub(super) layers: usize,
    pub(super) context_length: usize,
    pub(super) vocabulary: usize,
    pub(super) embedding_width: usize,
    pub(super) projection: Projection,
    pub(super) cleaning: Cleaning,
}

/// What follows the text tower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Projection {
    None,
    Matrix,
    Linear,
}

/// `model_cfg` of `open_clip_config.json`; the defaults are those of open_clip.
#[derive(Deserialize)]
struct OpenClip {
    embed_dim: usize,
    vision_cfg: Trunk,
    text_cfg: OpenClipText,
}

#[derive(Deserialize)]
struct Trunk {
    #[serde(default = "default_image_size")]
    image_size: Value,
    timm_model_name: String,
    #[serde(default = "default_pool")]
    timm_pool: Value,
    #[serde(default = "default_projection")]
    timm_proj: Value,
}

fn default_image_size() -> Value {
    224.into()
}

fn default_pool() -> Value {
    "avg".into()
}

fn default_projection() -> Value {
    "linear".into()
}

/// Every setting that is known; another one is an error, because it may change the network.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct OpenClipText {
    context_length: usize,
    vocab_size: usize,
    width: usize,
    heads: usize,
    layers: usize,
    mlp_ratio: f64,
    no_causal_mask: bool,
    pool_type: String,
    proj_type: Option<String>,
    proj_bias: bool,
    norm_kwargs: NormSettings,
    act_kwargs: Option<ActivationSettings>,
    // Which folder has the tokenizer; here it is this one, as in every published SigLIP.
    #[serde(rename = "hf_tokenizer_name")]
    _tokenizer: Option<Value>,
    tokenizer_kwargs: TokenizerSettings,
    // Without effect where no token is masked and the last one is taken.
    #[serde(rename = "pad_id")]
    _padding: Option<Value>,
    #[serde(rename = "eos_id")]
    _end: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct NormSettings {
    eps: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ActivationSettings {
    #[serde(default)]
    approximate: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenizerSettings {
    clean: Option<String>,
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
            no_causal_mask: false,
            pool_type: "argmax".into(),
            proj_type: Some("linear".into()),
            proj_bias: false,
            norm_kwargs: NormSettings::default(),
            act_kwargs: None,
            _tokenizer: None,
            tokenizer_kwargs: TokenizerSettings::default(),
            _padding: None,
            _end: None,
        }
    }
}

/// Reads `open_clip_config.json`.
pub(super) fn parse_open_clip(config: &Map<String, Value>) -> Parsed<SiglipConfig> {
    let model = config.get("model_cfg").and_then(Value::as_object);
    let model = model.unwrap_or(config);
    if let Some(name) = model
        .get("text_cfg")
        .and_then(|text| text.get("hf_model_name"))
        .filter(|name| !name.is_null())
    {
        return Err(format!(
            "text_cfg: `hf_model_name` {name} is not built: SigLIP's own text tower is"
        ));
    }
    let model: OpenClip =
        serde_json::from_value(Value::Object(model.clone())).map_err(|error| error.to_string())?;

    let part = "vision_cfg";
    let Trunk {
        image_size,
        timm_model_name,
        timm_pool,
        timm_proj,
    } = model.vision_cfg;
    if timm_proj != "none" {
        return Err(format!(
            "{part}: `timm_proj` {timm_proj} where none is built"
        ));
    }
    // The trunk's patches are those of its tensors.
    let (image_size, _) = image_and_patch(part, &image_size, &1.into())?;
    let trunk = TimmConfig::of_trunk(&timm_model_name, image_size, &timm_pool)
        .map_err(|message| format!("{part}: {message}"))?;

    let part = "text_cfg";
    let text = model.text_cfg;
    check_context(part, text.context_length)?;
    if !text.no_causal_mask || text.pool_type != "last" {
        return Err(format!(
            "{part}: SigLIP's texts are read in both directions (`no_causal_mask`) up to the last \
             token (`pool_type` last); found {} and {}",
            text.no_causal_mask, text.pool_type
        ));
    }
    let approximate = text.act_kwargs.and_then(|settings| settings.approximate);
    let activation = match approximate.as_deref() {
        None | Some("none") => Activation::Gelu,
        Some("tanh") => Activation::GeluTanh,
        Some(other) => {
            return Err(format!(
                "{part}: GELU's approximation `{other}` is not built"
            ));
        }
    };
    let inner = (text.width as f64 * text.mlp_ratio) as usize;
    let text = TextConfig {
        shape: block_shape(
            part,
            (text.width, text.heads, inner),
            activation,
            text.norm_kwargs.eps.unwrap_or(1e-5),
            Mask::None,
        )?,
        layers: text.layers,
        context_length: text.context_length,
        vocabulary: text.vocab_size,
        embedding_width: model.embed_dim,
        projection: match (text.proj_type.as_deref(), text.proj_bias) {
            (Some("linear") | None, true) => Projection::Linear,
            (Some("linear") | None, false) => Projection::Matrix,
            (Some("none"), _) if text.width == model.embed_dim => Projection::None,
            (other, _) => {
                return Err(format!(
                    "{part}: `proj_type` {other:?} from a width of {} to {} is not built",
                    text.width, model.embed_dim
                ));
            }
        },
        cleaning: match text.tokenizer_kwargs.clean.as_deref() {
            Some("canonicalize") => Cleaning::Canonical,
            Some("lower") => Cleaning::Lower,
            Some("whitespace") | None => Cleaning::Blanks,
            Some(other) => return Err(format!("{part}: the cleaning `{other}` is unknown")),
        },
    };
    Ok(SiglipConfig {
        layout: Layout::OpenClip,
        image: Some(ImageConfig::OpenClip {
            trunk,
            width: model.embed_dim,
        }),
        text: Some(text),
    })
}

/// `text_config`; the defaults are those of `SiglipTextConfig`.
#[derive(Deserialize)]
#[serde(default)]
struct TransformersText {
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    max_position_embeddings: usize,
    hidden_act: String,
    layer_norm_eps: f64,
    projection_size: Option<usize>,
}

impl Default for TransformersText {
    fn default() -> Self {
        Self {
            vocab_size: 32000,
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            max_position_embeddings: 64,
            hidden_act: "gelu_pytorch_tanh".into(),
            layer_norm_eps: 1e-6,
            projection_size: None,
        }
    }
}

/// Reads a `config.json` of transformers: of a `SiglipModel`, or of one tower.
pub(super) fn parse_transformers(config: &Map<String, Value>) -> Parsed<SiglipConfig> {
    let part = |name: &str| {
        let part = config.get(name).filter(|part| !part.is_null());
        part.cloned().unwrap_or_else(|| Value::Object(Map::new()))
    };
    let whole = Value::Object(config.clone());
    let model_type = config.get("model_type").and_then(Value::as_str);
    let (image, text) = match model_type.unwrap_or_default() {
        "siglip" => (Some(part("vision_config")), Some(part("text_config"))),
        "siglip_vision_model" => (Some(whole), None),
        "siglip_text_model" => (None, Some(whole)),
        "siglip2" => {
            return Err(
                "model_type `siglip2` is the one for pictures of any shape (NaFlex), which is not \
                 built; SigLIP 2 for pictures of one size is"
                    .into(),
            );
        }
        other => {
            return Err(format!(
                "model_type `{other}` where siglip, siglip_vision_model or siglip_text_model is \
                 built"
            ));
        }
    };
    Ok(SiglipConfig {
        layout: Layout::Transformers,
        image: image
            .map(|config| SiglipVisionConfig::parse(&config).map(ImageConfig::Transformers))
            .transpose()?,
        text: text.map(transformers_text).transpose()?,
    })
}

fn transformers_text(config: Value) -> Parsed<TextConfig> {
    let part = "text_config";
    let text: TransformersText =
        serde_json::from_value(config).map_err(|error| format!("{part}: {error}"))?;
    check_context(part, text.max_position_embeddings)?;
    let activation =
        activation_named(&text.hidden_act).map_err(|message| format!("{part}: {message}"))?;
    Ok(TextConfig {
        shape: block_shape(
            part,
            (
                text.hidden_size,
                text.num_attention_heads,
                text.intermediate_size,
            ),
            activation,
            text.layer_norm_eps,
            Mask::None,
        )?,
        layers: text.num_hidden_layers,
        context_length: text.max_position_embeddings,
        vocabulary: text.vocab_size,
        embedding_width: text.projection_size.unwrap_or(text.hidden_size),
        projection: Projection::Linear,
        cleaning: Cleaning::Folder,
    })
}
