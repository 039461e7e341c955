//! What shapes a BLIP: a configuration of transformers, or the tensors of an original file.

use crate::{configuration::activation_named, weights::Weights};
use serde::Deserialize;
use serde_json::{Map, Value};
use unprompt_nn::Activation;

/// Width of a head in every BLIP that was published as a bare file.
const ORIGINAL_HEAD_WIDTH: usize = 64;
/// More than any model has; bounds what a hostile configuration can ask for.
const MOST_LAYERS: usize = 256;

/// The part of `config.json` that changes the numbers; the defaults are those of `BlipConfig`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Fields {
    model_type: String,
    vision_config: VisionFields,
    text_config: TextFields,
}

#[derive(Debug, Deserialize)]
#[serde(default)]
struct VisionFields {
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    image_size: usize,
    patch_size: usize,
    hidden_act: String,
    layer_norm_eps: f64,
}

impl Default for VisionFields {
    fn default() -> Self {
        Self {
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            image_size: 384,
            patch_size: 16,
            hidden_act: "gelu".into(),
            layer_norm_eps: 1e-5,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(default)]
struct TextFields {
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    max_position_embeddings: usize,
    hidden_act: String,
    layer_norm_eps: f64,
    bos_token_id: u32,
    sep_token_id: u32,
}

impl Default for TextFields {
    fn default() -> Self {
        Self {
            vocab_size: 30524,
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 8,
            max_position_embeddings: 512,
            hidden_act: "gelu".into(),
            layer_norm_eps: 1e-12,
            bos_token_id: 30522,
            sep_token_id: 102,
        }
    }
}

/// The encoder of the picture.
#[derive(Clone, Copy, Debug)]
pub(super) struct VisionConfig {
    pub(super) width: usize,
    pub(super) inner: usize,
    pub(super) layers: usize,
    pub(super) heads: usize,
    pub(super) image_size: usize,
    pub(super) patch: usize,
    pub(super) activation: Activation,
    pub(super) epsilon: f64,
}

/// The decoder of the text.
#[derive(Clone, Copy, Debug)]
pub(super) struct TextConfig {
    pub(super) vocabulary: usize,
    pub(super) width: usize,
    pub(super) picture_width: usize,
    pub(super) inner: usize,
    pub(super) layers: usize,
    pub(super) heads: usize,
    pub(super) positions: usize,
    pub(super) activation: Activation,
    pub(super) epsilon: f64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct BlipConfig {
    pub(super) vision: VisionConfig,
    pub(super) text: TextConfig,
    /// The token that a caption begins with, and the one that ends it, where the files say.
    pub(super) tokens: Option<(u32, u32)>,
}

type Parsed<T> = std::result::Result<T, String>;

impl BlipConfig {
    /// From `config.json` of transformers.
    pub(super) fn parse(config: &Map<String, Value>) -> Parsed<Self> {
        let fields: Fields = serde_json::from_value(Value::Object(config.clone()))
            .map_err(|error| error.to_string())?;
        if fields.model_type != "blip" {
            return Err(format!(
                "model_type `{}` where `blip` is built",
                fields.model_type
            ));
        }
        let (vision, text) = (fields.vision_config, fields.text_config);
        let config = Self {
            vision: VisionConfig {
                width: vision.hidden_size,
                inner: vision.intermediate_size,
                layers: vision.num_hidden_layers,
                heads: vision.num_attention_heads,
                image_size: vision.image_size,
                patch: vision.patch_size,
                activation: activation_named(&vision.hidden_act)?,
                epsilon: vision.layer_norm_eps,
            },
            text: TextConfig {
                vocabulary: text.vocab_size,
                width: text.hidden_size,
                picture_width: vision.hidden_size,
                inner: text.intermediate_size,
                layers: text.num_hidden_layers,
                heads: text.num_attention_heads,
                positions: text.max_position_embeddings,
                activation: activation_named(&text.hidden_act)?,
                epsilon: text.layer_norm_eps,
            },
            tokens: Some((text.bos_token_id, text.sep_token_id)),
        };
        config.check()?;
        Ok(config)
    }

    /// From the tensors of a file of the paper's authors. The layers' numbers follow from their
    /// shapes and names; that a head is 64 wide and both epsilons are their code's.
    pub(super) fn of_tensors(root: &Weights) -> Parsed<Self> {
        let shape = |name: &str, rank: usize| match root.shape(name) {
            Some(shape) if shape.len() == rank => Ok(shape),
            Some(shape) => Err(format!("tensor `{name}` of shape {shape:?}")),
            None => Err(format!("no tensor `{name}`, as a BLIP captioner has")),
        };
        let count = |before: &str, after: &str| {
            (0..=MOST_LAYERS)
                .take_while(|index| root.contains(&format!("{before}.{index}.{after}")))
                .count()
        };
        let patches = shape("visual_encoder.patch_embed.proj.weight", 4)?;
        let (width, patch) = (patches[0], patches[3]);
        let positions = shape("visual_encoder.pos_embed", 3)?[1];
        let side = positions.saturating_sub(1).isqrt();
        if side * side + 1 != positions {
            return Err(format!(
                "{positions} positions, which are no square picture"
            ));
        }
        let words = shape("text_decoder.bert.embeddings.word_embeddings.weight", 2)?;
        let layer = "text_decoder.bert.encoder.layer.0";
        let config = Self {
            vision: VisionConfig {
                width,
                inner: shape("visual_encoder.blocks.0.mlp.fc1.weight", 2)?[0],
                layers: count("visual_encoder.blocks", "norm1.weight"),
                heads: width / ORIGINAL_HEAD_WIDTH,
                image_size: side.saturating_mul(patch),
                patch,
                activation: Activation::Gelu,
                epsilon: 1e-6,
            },
            text: TextConfig {
                vocabulary: words[0],
                width: words[1],
                picture_width: width,
                inner: shape(&format!("{layer}.intermediate.dense.weight"), 2)?[0],
                layers: count(
                    "text_decoder.bert.encoder.layer",
                    "attention.self.query.weight",
                ),
                heads: words[1] / ORIGINAL_HEAD_WIDTH,
                positions: shape("text_decoder.bert.embeddings.position_embeddings.weight", 2)?[0],
                activation: Activation::Gelu,
                epsilon: 1e-12,
            },
            tokens: None,
        };
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Parsed<()> {
        let Self { vision, text, .. } = self;
        for (name, width, heads) in [
            ("vision", vision.width, vision.heads),
            ("text", text.width, text.heads),
        ] {
            if heads == 0 || width == 0 || !width.is_multiple_of(heads) {
                return Err(format!(
                    "a {name} width of {width} does not divide into {heads} heads"
                ));
            }
        }
        if vision.patch == 0 || vision.patch > vision.image_size || vision.image_size > 1 << 12 {
            return Err(format!(
                "patches of {} in pictures of {} pixels",
                vision.patch, vision.image_size
            ));
        }
        if vision.layers > MOST_LAYERS || text.layers > MOST_LAYERS {
            return Err(format!(
                "{} and {} layers where at most {MOST_LAYERS} are built",
                vision.layers, text.layers
            ));
        }
        if let Some((begin, end)) = self.tokens
            && (begin as usize >= text.vocabulary || end as usize >= text.vocabulary)
        {
            return Err(format!(
                "tokens {begin} and {end} in a vocabulary of {}",
                text.vocabulary
            ));
        }
        Ok(())
    }
}
