//! SigLIP's image tower in the layout of transformers: no class token, and pooling by attention.

use super::network::{ImagePooling, Vit};
use crate::{
    Result,
    attention_pool::AttentionPool,
    configuration::activation_named,
    patch_embedding::PatchEmbedding,
    tower_config::{Parsed, block_shape, image_and_patch},
    transformer::{BlockShape, TRANSFORMERS_CLIP, Transformer},
    weights::Weights,
};
use serde::Deserialize;
use serde_json::Value;
use unprompt_nn::Mask;

/// `vision_config`; the defaults are those of `SiglipVisionConfig`.
#[derive(Debug, Deserialize)]
#[serde(default)]
struct Fields {
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_channels: usize,
    image_size: Value,
    patch_size: Value,
    hidden_act: String,
    layer_norm_eps: f64,
    vision_use_head: bool,
}

impl Default for Fields {
    fn default() -> Self {
        Self {
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            num_channels: 3,
            image_size: 224.into(),
            patch_size: 16.into(),
            hidden_act: "gelu_pytorch_tanh".into(),
            layer_norm_eps: 1e-6,
            vision_use_head: true,
        }
    }
}

/// A checked configuration.
#[derive(Clone, Debug)]
pub(crate) struct SiglipVisionConfig {
    shape: BlockShape,
    layers: usize,
    image_size: (usize, usize),
    patch: usize,
}

impl SiglipVisionConfig {
    pub(crate) fn parse(config: &Value) -> Parsed<Self> {
        let part = "vision_config";
        let fields: Fields =
            serde_json::from_value(config.clone()).map_err(|error| format!("{part}: {error}"))?;
        if fields.num_channels != 3 {
            return Err(format!("{part}: `num_channels` must be 3"));
        }
        if !fields.vision_use_head {
            return Err(format!(
                "{part}: without its head (`vision_use_head`) the tower gives no vector"
            ));
        }
        let (image_size, patch) = image_and_patch(part, &fields.image_size, &fields.patch_size)?;
        let activation =
            activation_named(&fields.hidden_act).map_err(|message| format!("{part}: {message}"))?;
        Ok(Self {
            shape: block_shape(
                part,
                (
                    fields.hidden_size,
                    fields.num_attention_heads,
                    fields.intermediate_size,
                ),
                activation,
                fields.layer_norm_eps,
                Mask::None,
            )?,
            layers: fields.num_hidden_layers,
            image_size,
            patch,
        })
    }

    /// Builds the tower whose tensors are at `tower`.
    pub(crate) fn build(&self, tower: &Weights) -> Result<Vit> {
        let &Self {
            shape,
            layers,
            image_size,
            patch,
        } = self;
        let width = shape.width;
        let embeddings = tower.at("embeddings");
        let patches = embeddings.at("patch_embedding");
        let positions = (image_size.0 / patch) * (image_size.1 / patch);
        let embedding = PatchEmbedding::new(
            &patches.tensor("weight", &[width, 3, patch, patch])?,
            Some(&patches.tensor("bias", &[width])?),
            None,
            embeddings.tensor("position_embedding.weight", &[positions, width])?,
            image_size,
        )?;
        let blocks = tower.at("encoder").at("layers");
        let pool = AttentionPool::of_transformers(&tower.at("head"), &shape)?;
        Ok(Vit {
            embedding,
            norm_before: None,
            transformer: Transformer::new(&blocks, layers, &shape, &TRANSFORMERS_CLIP)?,
            pooling: ImagePooling::Attention(Box::new(pool)),
            norm: tower
                .at("post_layernorm")
                .layer_norm(width, shape.epsilon)?,
            norm_after_pooling: false,
            head: None,
            outputs: width,
            labels: None,
            guessed_heads: None,
        })
    }
}
