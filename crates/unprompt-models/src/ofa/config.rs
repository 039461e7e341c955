//! What shapes an OFA: `config.json` with the switches of `OFAConfig`.

use crate::configuration::activation_named;
use serde::Deserialize;
use serde_json::{Map, Value};
use unprompt_nn::Activation;

/// More than any model has; bounds what a hostile configuration can ask for.
const MOST_LAYERS: usize = 256;
/// Rows of the buckets that the reference computes for texts.
pub(super) const TEXT_POSITIONS: usize = 1024;

/// The part that changes the numbers; the defaults are those of `OFAConfig` and, for what concerns
/// generation, of `PretrainedConfig` in transformers 4.18.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub(super) struct OfaConfig {
    model_type: String,
    pub(super) vocab_size: usize,
    pub(super) max_position_embeddings: usize,
    pub(super) d_model: usize,
    pub(super) encoder_layers: usize,
    pub(super) encoder_ffn_dim: usize,
    pub(super) encoder_attention_heads: usize,
    pub(super) decoder_layers: usize,
    pub(super) decoder_ffn_dim: usize,
    pub(super) decoder_attention_heads: usize,
    activation_function: String,
    scale_embedding: bool,
    pub(super) encoder_normalize_before: bool,
    pub(super) decoder_normalize_before: bool,
    pub(super) normformer: bool,
    pub(super) layernorm_embedding: bool,
    pub(super) patch_layernorm_embedding: bool,
    resnet_type: String,
    pub(super) token_bucket_size: usize,
    pub(super) image_bucket_size: usize,
    pub(super) add_type_embedding: bool,
    pub(super) share_decoder_input_output_embed: bool,
    attn_scale_factor: f64,
    pub(super) entangle_position_embedding: bool,
    pub(super) disable_entangle: bool,
    interpolate_position: bool,
    orig_patch_image_size: usize,
    pub(super) share_attn_bias: bool,
    use_image_feature: bool,
    use_ofasys: bool,
    use_gamma_feature: bool,
    pub(super) pad_token_id: u32,
    pub(super) decoder_start_token_id: u32,
    pub(super) eos_token_id: u32,
    pub(super) forced_bos_token_id: Option<u32>,
    pub(super) forced_eos_token_id: Option<u32>,
    pub(super) max_length: usize,
    pub(super) min_length: usize,
    pub(super) length_penalty: f64,
    pub(super) early_stopping: bool,
}

impl Default for OfaConfig {
    fn default() -> Self {
        Self {
            model_type: "ofa".into(),
            vocab_size: 59457,
            max_position_embeddings: 1024,
            d_model: 512,
            encoder_layers: 4,
            encoder_ffn_dim: 2048,
            encoder_attention_heads: 8,
            decoder_layers: 4,
            decoder_ffn_dim: 2048,
            decoder_attention_heads: 8,
            activation_function: "gelu".into(),
            scale_embedding: false,
            encoder_normalize_before: true,
            decoder_normalize_before: true,
            normformer: true,
            layernorm_embedding: true,
            patch_layernorm_embedding: true,
            resnet_type: "resnet101".into(),
            token_bucket_size: 256,
            image_bucket_size: 42,
            add_type_embedding: true,
            share_decoder_input_output_embed: true,
            attn_scale_factor: 2.0,
            entangle_position_embedding: false,
            disable_entangle: false,
            interpolate_position: false,
            orig_patch_image_size: 224,
            share_attn_bias: false,
            use_image_feature: true,
            use_ofasys: false,
            use_gamma_feature: false,
            pad_token_id: 1,
            decoder_start_token_id: 0,
            eos_token_id: 2,
            forced_bos_token_id: None,
            forced_eos_token_id: Some(2),
            max_length: 20,
            min_length: 0,
            length_penalty: 1.0,
            early_stopping: false,
        }
    }
}

impl OfaConfig {
    pub(super) fn parse(config: &Map<String, Value>) -> Result<Self, String> {
        let config: Self = serde_json::from_value(Value::Object(config.clone()))
            .map_err(|error| error.to_string())?;
        if config.model_type != "ofa" {
            return Err(format!(
                "model_type `{}` where `ofa` is built",
                config.model_type
            ));
        }
        for (name, is_asked) in [
            ("use_ofasys", config.use_ofasys),
            ("use_gamma_feature", config.use_gamma_feature),
            ("use_image_feature false", !config.use_image_feature),
        ] {
            if is_asked {
                return Err(format!(
                    "{name}, which no published captioner has, is not built"
                ));
            }
        }
        let width = config.d_model;
        for heads in [
            config.encoder_attention_heads,
            config.decoder_attention_heads,
        ] {
            if heads == 0 || width == 0 || !width.is_multiple_of(heads) {
                return Err(format!(
                    "d_model {width} does not divide into {heads} heads"
                ));
            }
        }
        if config.encoder_layers.max(config.decoder_layers) > MOST_LAYERS {
            return Err(format!(
                "{} and {} layers where at most {MOST_LAYERS} are built",
                config.encoder_layers, config.decoder_layers
            ));
        }
        if !(2..=TEXT_POSITIONS).contains(&config.token_bucket_size)
            || !(1..=256).contains(&config.image_bucket_size)
            || !(1..=1 << 16).contains(&config.max_position_embeddings)
        {
            return Err(format!(
                "token_bucket_size {}, image_bucket_size {} and max_position_embeddings {}, where 2 \
                 to {TEXT_POSITIONS}, 1 to 256 and 1 to 65536 are built",
                config.token_bucket_size, config.image_bucket_size, config.max_position_embeddings
            ));
        }
        if !(config.attn_scale_factor.is_finite() && config.attn_scale_factor > 0.0) {
            return Err(format!("attn_scale_factor {}", config.attn_scale_factor));
        }
        let positions = config.orig_patch_image_size / 16;
        if config.interpolate_position && !(1..=config.image_bucket_size).contains(&positions) {
            return Err(format!(
                "orig_patch_image_size {} beside an image_bucket_size of {}",
                config.orig_patch_image_size, config.image_bucket_size
            ));
        }
        config.resnet()?;
        config.activation()?;
        Ok(config)
    }

    /// Blocks of the three stages.
    pub(super) fn resnet(&self) -> Result<[usize; 3], String> {
        match self.resnet_type.as_str() {
            "resnet18" => Ok([2, 2, 2]),
            "resnet34" | "resnet50" => Ok([3, 4, 6]),
            "resnet101" => Ok([3, 4, 23]),
            "resnet152" => Ok([3, 8, 36]),
            other => Err(format!(
                "resnet_type `{other}` is none of resnet18, resnet34, resnet50, resnet101, resnet152"
            )),
        }
    }

    pub(super) fn activation(&self) -> Result<Activation, String> {
        activation_named(&self.activation_function)
    }

    /// What embeddings are multiplied by.
    pub(super) fn embedding_scale(&self) -> f64 {
        if self.scale_embedding {
            (self.d_model as f64).sqrt()
        } else {
            1.0
        }
    }

    /// What scores of attention are multiplied by, for so many heads.
    pub(super) fn attention_scale(&self, heads: usize) -> f32 {
        let head_width = (self.d_model / heads) as f64;
        (head_width * self.attn_scale_factor).powf(-0.5) as f32
    }

    /// The side of the grid of positions that is stretched over larger pictures.
    pub(super) fn stretched_positions(&self) -> Option<usize> {
        self.interpolate_position
            .then_some(self.orig_patch_image_size / 16)
    }
}
