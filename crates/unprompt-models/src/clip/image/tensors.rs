//! The image tower as plain tensors, with timm's names.

use super::{ClipLayout, ImageConfig, ImagePooling, blocks};
use crate::{ModelError, Result, VitTensors, transformer::QueryKeyValue, weights::Weights};
use unprompt_nn::Activation;

/// A tensor's new name, its shape and its values.
type Named = (String, Vec<usize>, Vec<f32>);

/// The tensors of the tower that `config` describes.
pub(in crate::clip) fn tensors(
    config: &ImageConfig,
    layout: ClipLayout,
    root: &Weights,
    refuse: impl Fn(&str) -> ModelError,
) -> Result<VitTensors> {
    if config.pooling != ImagePooling::ClassToken || !config.norm_before {
        return Err(refuse(
            "only image towers with a class token and a normalisation before the blocks are trained",
        ));
    }
    let quick_gelu = match config.shape.activation {
        Activation::Gelu => false,
        Activation::QuickGelu => true,
        other => {
            return Err(refuse(&format!(
                "image towers with {other:?} are not trained"
            )));
        }
    };
    let (places, names) = blocks(layout, root);
    if names
        .attention_scale
        .is_some_and(|scale| places.at(0).contains(scale))
    {
        return Err(refuse("image towers with layer scale are not trained"));
    }
    let (width, inner, patch) = (config.shape.width, config.shape.inner, config.patch);
    let (height, side) = config.image_size;
    let positions = (height / patch) * (side / patch) + 1;
    let (tower, [class, table, patches, before, behind]) = match layout {
        ClipLayout::OpenClip => (
            root.at("visual"),
            [
                "class_embedding",
                "positional_embedding",
                "conv1.weight",
                "ln_pre",
                "ln_post",
            ],
        ),
        ClipLayout::Transformers => (
            root.at("vision_model"),
            [
                "embeddings.class_embedding",
                "embeddings.position_embedding.weight",
                "embeddings.patch_embedding.weight",
                // The name is misspelt in every published file.
                "pre_layrnorm",
                "post_layernorm",
            ],
        ),
    };
    let mut tensors: Vec<Named> = vec![
        (
            "cls_token".into(),
            vec![1, 1, width],
            tower.values(class, &[width])?,
        ),
        (
            "pos_embed".into(),
            vec![1, positions, width],
            tower.values(table, &[positions, width])?,
        ),
        (
            "patch_embed.proj.weight".into(),
            vec![width, 3, patch, patch],
            tower.values(patches, &[width, 3, patch, patch])?,
        ),
    ];
    let mut pair = |place: &Weights, old: &str, new: String, shape: &[usize]| -> Result<()> {
        let layer = place.at(old);
        tensors.push((
            format!("{new}.weight"),
            shape.to_vec(),
            layer.values("weight", shape)?,
        ));
        let bias = layer.values("bias", &shape[..1])?;
        tensors.push((format!("{new}.bias"), shape[..1].to_vec(), bias));
        Ok(())
    };
    pair(&tower, before, "norm_pre".into(), &[width])?;
    pair(&tower, behind, "norm".into(), &[width])?;
    for block in 0..config.layers {
        let place = places.at(block);
        let new = |name: &str| format!("blocks.{block}.{name}");
        pair(&place, names.attention_norm, new("norm1"), &[width])?;
        pair(
            &place,
            names.attention_output,
            new("attn.proj"),
            &[width, width],
        )?;
        pair(&place, names.inner_norm, new("norm2"), &[width])?;
        pair(&place, names.inner, new("mlp.fc1"), &[inner, width])?;
        pair(&place, names.output, new("mlp.fc2"), &[width, inner])?;
    }
    for block in 0..config.layers {
        let place = places.at(block);
        let (weight, bias) = query_key_value(&place, names.query_key_value, width)?;
        let new = |name: &str| format!("blocks.{block}.attn.qkv.{name}");
        tensors.push((new("weight"), vec![3 * width, width], weight));
        tensors.push((new("bias"), vec![3 * width], bias));
    }
    Ok(VitTensors {
        clip: true,
        quick_gelu,
        image_size: config.image_size,
        patch,
        width,
        depth: config.layers,
        heads: config.shape.heads,
        heads_are_guessed: false,
        inner,
        outputs: None,
        tensors,
        config: None,
    })
}

/// Weight and bias of queries, keys and values in one.
fn query_key_value(
    place: &Weights,
    names: QueryKeyValue,
    width: usize,
) -> Result<(Vec<f32>, Vec<f32>)> {
    Ok(match names {
        QueryKeyValue::Fused { weight, bias } => (
            place.values(weight, &[3 * width, width])?,
            place.values(bias, &[3 * width])?,
        ),
        QueryKeyValue::Separate(names) => {
            let (mut weight, mut bias) = (Vec::new(), Vec::new());
            for name in names {
                let part = place.at(name);
                weight.extend(part.values("weight", &[width, width])?);
                bias.extend(part.values("bias", &[width])?);
            }
            (weight, bias)
        }
    })
}
