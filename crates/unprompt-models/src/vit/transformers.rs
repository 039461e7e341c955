//! The layout of transformers: `ViTForImageClassification`, or `ViTModel` without a head.

use super::network::{ImagePooling, Vit, read_head};
use crate::{
    Result,
    configuration::activation_named,
    patch_embedding::PatchEmbedding,
    transformer::{BlockShape, TRANSFORMERS_5_VIT, TRANSFORMERS_VIT, Transformer},
    weights::Weights,
};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use unprompt_nn::Mask;

/// The part of `config.json` that changes the numbers; the defaults are those of `ViTConfig`.
#[derive(Debug, Deserialize)]
#[serde(default)]
struct Fields {
    model_type: String,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    hidden_act: String,
    layer_norm_eps: f64,
    image_size: Side,
    patch_size: Side,
    num_channels: usize,
    id2label: Option<BTreeMap<String, String>>,
}

/// A side, or height and width.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
enum Side {
    Square(usize),
    Pair(usize, usize),
}

impl Side {
    fn pair(self) -> (usize, usize) {
        match self {
            Self::Square(side) => (side, side),
            Self::Pair(height, width) => (height, width),
        }
    }
}

impl Default for Fields {
    fn default() -> Self {
        Self {
            model_type: "vit".into(),
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            hidden_act: "gelu".into(),
            layer_norm_eps: 1e-12,
            image_size: Side::Square(224),
            patch_size: Side::Square(16),
            num_channels: 3,
            id2label: None,
        }
    }
}

/// A checked configuration.
#[derive(Debug)]
pub(super) struct TransformersConfig {
    shape: BlockShape,
    layers: usize,
    image_size: (usize, usize),
    patch: usize,
    labels: Option<Vec<String>>,
}

pub(super) fn parse(
    config: &Map<String, Value>,
) -> std::result::Result<TransformersConfig, String> {
    let fields: Fields =
        serde_json::from_value(Value::Object(config.clone())).map_err(|error| error.to_string())?;
    if fields.model_type != "vit" {
        return Err(format!(
            "model_type `{}` where `vit` is built",
            fields.model_type
        ));
    }
    let (width, heads) = (fields.hidden_size, fields.num_attention_heads);
    if heads == 0 || width == 0 || !width.is_multiple_of(heads) {
        return Err(format!(
            "hidden_size {width} does not divide into {heads} heads"
        ));
    }
    let (patch, image_size) = (fields.patch_size.pair(), fields.image_size.pair());
    let (shorter, longer) = (
        image_size.0.min(image_size.1),
        image_size.0.max(image_size.1),
    );
    if patch.0 != patch.1 || patch.0 == 0 || patch.0 > shorter || longer > 1 << 14 {
        return Err(format!(
            "patch_size {patch:?} and image_size {image_size:?} where square patches within a \
             picture of at most 16384 pixels a side are built"
        ));
    }
    if fields.num_channels != 3 {
        return Err(format!(
            "num_channels {} where 3 is built",
            fields.num_channels
        ));
    }
    Ok(TransformersConfig {
        shape: BlockShape {
            width,
            heads,
            inner: fields.intermediate_size,
            activation: activation_named(&fields.hidden_act)?,
            epsilon: fields.layer_norm_eps,
            mask: Mask::None,
        },
        layers: fields.num_hidden_layers,
        image_size,
        patch: patch.0,
        labels: fields.id2label.map(labels).transpose()?,
    })
}

/// `id2label` as a list: its keys are the numbers from 0 on, as texts.
fn labels(by_id: BTreeMap<String, String>) -> std::result::Result<Vec<String>, String> {
    let mut by_id = by_id;
    (0..by_id.len())
        .map(|id| {
            by_id
                .remove(&id.to_string())
                .ok_or_else(|| format!("`id2label` has no entry {id}"))
        })
        .collect()
}

pub(super) fn build(config: &TransformersConfig, root: &Weights) -> Result<Vit> {
    let prefixed = root.at("vit");
    let is_prefixed = prefixed.contains("embeddings.cls_token");
    let weights = if is_prefixed { prefixed } else { root.clone() };
    let &TransformersConfig {
        shape,
        layers,
        image_size,
        patch,
        ..
    } = config;
    let width = shape.width;
    let embeddings = weights.at("embeddings");
    let projection = embeddings.at("patch_embeddings").at("projection");
    let count = (image_size.0 / patch) * (image_size.1 / patch) + 1;
    let row_shape = |rows: usize| [1, rows, width];
    let embedding = PatchEmbedding::new(
        &projection.tensor("weight", &[width, 3, patch, patch])?,
        Some(&projection.tensor("bias", &[width])?),
        Some(embeddings.tensor("cls_token", &row_shape(1))?.squeeze(0)?),
        embeddings
            .tensor("position_embeddings", &row_shape(count))?
            .squeeze(0)?,
        image_size,
    )?;
    let (blocks, names) = if weights.contains("layers.0.layernorm_before.weight") {
        (weights.at("layers"), &TRANSFORMERS_5_VIT)
    } else {
        (weights.at("encoder").at("layer"), &TRANSFORMERS_VIT)
    };
    let transformer = Transformer::new(&blocks, layers, &shape, names)?;
    let norm = weights.at("layernorm").layer_norm(width, shape.epsilon)?;
    // The configuration of a model without a head has labels too: two that mean nothing.
    let classifier = root.at("classifier");
    let labels = config.labels.as_ref();
    let labels = labels.filter(|_| is_prefixed || classifier.contains("weight"));
    let (head, outputs) = read_head(&classifier, labels.map(Vec::len), width)?;
    Ok(Vit {
        embedding,
        norm_before: None,
        transformer,
        pooling: ImagePooling::ClassToken,
        norm,
        norm_after_pooling: false,
        outputs,
        labels: labels.cloned(),
        guessed_heads: None,
        head,
    })
}

/// The pooler: `ViTModel` has one, the classifier reads the class token itself.
pub(super) fn is_left_over(name: &str) -> bool {
    let name = name.strip_prefix("vit.").unwrap_or(name);
    matches!(name, "pooler.dense.weight" | "pooler.dense.bias")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_must_be_complete() {
        let entries = |ids: &[&str]| -> BTreeMap<String, String> {
            ids.iter()
                .map(|id| (id.to_string(), format!("l{id}")))
                .collect()
        };
        let ids = ["0", "1", "10", "2", "3", "4", "5", "6", "7", "8", "9"];
        assert_eq!(labels(entries(&ids)).unwrap()[10], "l10");
        let message = labels(entries(&["0", "2"])).unwrap_err();
        assert!(message.contains("no entry 1"), "{message}");
    }
}
