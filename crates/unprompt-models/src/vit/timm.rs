//! The layout of timm, with or without its `config.json`.

use super::network::{ImagePooling, Vit, read_head};
use crate::{
    ModelError, Result,
    attention_pool::AttentionPool,
    configuration::activation_of_timm,
    patch_embedding::PatchEmbedding,
    transformer::{BlockShape, TIMM, Transformer},
    weights::Weights,
};
use candle_core::Tensor;
use serde_json::{Map, Value};
use unprompt_nn::{Activation, Mask};

/// timm's own, for every plain `vit_*`.
const EPSILON: f64 = 1e-6;
/// For the image towers of CLIPs.
const CLIP_EPSILON: f64 = 1e-5;

/// `global_pool` of timm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GlobalPool {
    Token,
    Average,
    Max,
    /// By attention.
    Map,
}

impl GlobalPool {
    fn parse(value: &Value) -> std::result::Result<Self, String> {
        match value.as_str() {
            Some("token") => Ok(Self::Token),
            Some("avg") => Ok(Self::Average),
            Some("max") => Ok(Self::Max),
            Some("map") => Ok(Self::Map),
            _ => Err(format!(
                "`global_pool` {value} where token, avg, max or map is built"
            )),
        }
    }
}

/// What a folder of timm says that its tensors do not.
#[derive(Clone, Debug, Default)]
pub(crate) struct TimmConfig {
    architecture: Option<String>,
    /// `Some(0)`: no head.
    classes: Option<usize>,
    pooling: Option<GlobalPool>,
    activation: Option<Activation>,
    heads: Option<usize>,
    image_size: Option<(usize, usize)>,
    labels: Option<Vec<String>>,
}

/// What is wrong with a number of heads beside a configuration.
pub(super) const SAYS_HEADS: &str = "says how many heads there are; a number (`--heads`) is told for \
                                     tensors without a config.json";

impl TimmConfig {
    /// A state dict by itself, with as many heads as one is told.
    pub(super) fn bare(heads: Option<usize>) -> Self {
        Self {
            heads,
            ..Self::default()
        }
    }

    /// The image tower of an open_clip model that is one of timm's networks: by its name and
    /// picture size, with the pooling named and without a head.
    pub(crate) fn of_trunk(
        architecture: &str,
        image_size: (usize, usize),
        pooling: &Value,
    ) -> std::result::Result<Self, String> {
        check_architecture(architecture)?;
        Ok(Self {
            architecture: Some(architecture.to_owned()),
            classes: Some(0),
            pooling: Some(GlobalPool::parse(pooling)?),
            image_size: Some(image_size),
            ..Self::default()
        })
    }

    /// Whether the number of heads follows from a width alone: an architecture's name says it, as
    /// `num_heads` does.
    pub(super) fn guesses_heads(&self) -> bool {
        self.architecture.is_none() && self.heads.is_none()
    }

    /// `global_pool`, where it is said.
    pub(super) fn pooling(&self) -> Option<GlobalPool> {
        self.pooling
    }

    /// Height and width, where they are said.
    pub(super) fn image_size(&self) -> Option<(usize, usize)> {
        self.image_size
    }

    /// Whether it is the image tower of a CLIP, normalised before its blocks too.
    pub(super) fn is_clip(&self) -> bool {
        self.architecture
            .as_deref()
            .is_some_and(|name| name.contains("_clip_"))
    }

    /// The activation of the blocks: what is said, or what timm gives the architecture.
    pub(super) fn activation(&self) -> Activation {
        self.activation
            .unwrap_or_else(|| activation_of(self.architecture.as_deref().unwrap_or_default()))
    }

    pub(super) fn parse(config: &Map<String, Value>) -> std::result::Result<Self, String> {
        let Some(Value::String(architecture)) = config.get("architecture") else {
            return Err("`architecture` is not a text".into());
        };
        check_architecture(architecture)?;
        let mut parsed = Self {
            architecture: Some(architecture.clone()),
            ..Self::default()
        };
        let pretrained = config.get("pretrained_cfg").and_then(Value::as_object);
        let number = |value: &Value, name: &str| {
            let small = value.as_u64().filter(|number| *number <= 1 << 20);
            small
                .map(|number| number as usize)
                .ok_or_else(|| format!("`{name}` must be a small whole number, found {value}"))
        };
        if let Some(value) = config.get("num_classes") {
            parsed.classes = Some(number(value, "num_classes")?);
        }
        if let Some(value) = config.get("global_pool").filter(|value| !value.is_null()) {
            parsed.pooling = Some(GlobalPool::parse(value)?);
        }
        if let Some(Value::Array(size)) = pretrained.and_then(|config| config.get("input_size")) {
            let [_, height, width] = size.as_slice() else {
                return Err("`input_size` must be 3, height and width".into());
            };
            parsed.image_size = Some((number(height, "input_size")?, number(width, "input_size")?));
        }
        if let Some(Value::Object(arguments)) = config.get("model_args") {
            for (name, value) in arguments {
                match name.as_str() {
                    "img_size" => {
                        let side = value.as_array().map_or_else(
                            || number(value, name).map(|side| (side, side)),
                            |pair| match pair.as_slice() {
                                [height, width] => {
                                    Ok((number(height, name)?, number(width, name)?))
                                }
                                _ => Err("`img_size` must be a side, or height and width".into()),
                            },
                        )?;
                        parsed.image_size = Some(side);
                    }
                    "num_classes" => parsed.classes = Some(number(value, name)?),
                    "num_heads" => parsed.heads = Some(number(value, name)?),
                    "global_pool" => parsed.pooling = Some(GlobalPool::parse(value)?),
                    "act_layer" if !value.is_null() => {
                        parsed.activation = Some(activation_of_timm(value)?);
                    }
                    // `save_for_hf` writes what the model was made with, defaults too.
                    "in_chans" if value.as_u64() == Some(3) => {}
                    "in_chans" => {
                        return Err(format!("`in_chans` is {value} where 3 is built"));
                    }
                    _ if is_default(name, value) => {}
                    // These show in the tensors, or change nothing at inference.
                    "patch_size" | "embed_dim" | "depth" | "mlp_ratio" | "qkv_bias"
                    | "class_token" | "reg_tokens" | "no_embed_class" | "init_values"
                    | "fc_norm" | "dynamic_img_size" | "drop_rate" | "drop_path_rate"
                    | "proj_drop_rate" | "attn_drop_rate" | "patch_drop_rate" | "pos_drop_rate"
                    | "weight_init" | "fix_init" => {}
                    other => return Err(format!("the model argument `{other}` is not built")),
                }
            }
        }
        let names = config
            .get("label_names")
            .or_else(|| pretrained?.get("label_names"));
        if let Some(Value::Array(names)) = names {
            let names = names.iter().map(|name| name.as_str().map(String::from));
            parsed.labels = names.collect();
        }
        Ok(parsed)
    }
}

/// Whether this argument of timm's has the value that changes nothing: others are not built.
fn is_default(name: &str, value: &Value) -> bool {
    match name {
        "qk_norm"
        | "scale_attn_norm"
        | "scale_mlp_norm"
        | "pre_norm"
        | "pool_include_prefix"
        | "dynamic_img_pad" => value == &Value::Bool(false),
        "proj_bias" | "final_norm" => value == &Value::Bool(true),
        "pos_embed" => value == "learn",
        "norm_layer" | "embed_norm_layer" | "act_layer" => value.is_null(),
        _ => false,
    }
}

/// Refuses the families whose tensors look like a plain ViT's but mean something else.
fn check_architecture(architecture: &str) -> std::result::Result<(), String> {
    if !architecture.starts_with("vit_") || !architecture.contains("_patch") {
        return Err(format!(
            "architecture `{architecture}` where a `vit_*_patch*` is built"
        ));
    }
    for (part, reason) in [
        ("_rpn_", "normalised after its blocks"),
        ("_xp_", "made of parallel blocks"),
        ("_pwee_", "made of parallel blocks"),
        ("relpos", "placed by relative positions"),
        ("_rope", "placed by rotations"),
        ("dinov3", "placed by rotations"),
        ("vit_pe_", "placed by rotations"),
    ] {
        if architecture.contains(part) {
            return Err(format!(
                "architecture `{architecture}` is not built: it is {reason}"
            ));
        }
    }
    Ok(())
}

/// The activation that timm gives an architecture. Some SigLIPs were trained with the tanh
/// approximation, and only their name says so.
fn activation_of(architecture: &str) -> Activation {
    let by_tanh = [
        "vit_base_patch32_siglip_",
        "vit_so400m_patch16_siglip_",
        "vit_giantopt_patch16_siglip_",
        "vit_large_patch16_siglip_512",
        "vit_large_patch16_siglip_gap_512",
    ];
    if by_tanh.iter().any(|name| architecture.starts_with(name)) {
        Activation::GeluTanh
    } else if architecture.contains("_clip_quickgelu") {
        Activation::QuickGelu
    } else {
        Activation::Gelu
    }
}

/// The heads that timm gives a width.
fn heads_of(width: usize) -> Option<usize> {
    match width {
        1152 | 1280 | 1408 | 1664 => Some(16),
        _ => (width > 0 && width.is_multiple_of(64)).then_some(width / 64),
    }
}

/// Builds the network whose tensors are at `root`.
pub(crate) fn build(
    config: &TimmConfig,
    root: &Weights,
    refuse: impl Fn(String) -> ModelError,
) -> Result<Vit> {
    let clip = config.is_clip();
    if !clip && root.contains("norm_pre.weight") {
        return Err(refuse(
            "the tensor `norm_pre.weight` is a CLIP image tower's, and nothing says which GELU that has; \
             add a config.json of timm with its `architecture` (`vit_*_clip_*`), or give the open_clip or \
             transformers folder of that CLIP"
                .into(),
        ));
    }
    let epsilon = if clip { CLIP_EPSILON } else { EPSILON };
    let by_attention = root.contains("attn_pool.latent");
    if by_attention && config.architecture.is_none() {
        return Err(refuse(
            "with pooling by attention (`attn_pool`) the tensors do not say which GELU the network \
             has; add a config.json of timm with its `architecture`"
                .into(),
        ));
    }
    let (width, patch) = match root.shape("patch_embed.proj.weight") {
        Some(&[width, 3, height, patch]) if height == patch && patch > 0 => (width, patch),
        Some(found) => {
            return Err(refuse(format!(
                "tensor `patch_embed.proj.weight`: expected shape [width, 3, patch, patch], found \
                 {found:?}"
            )));
        }
        // Fails, and names what is there instead.
        None => {
            root.tensor("patch_embed.proj.weight", &[768, 3, 16, 16])?;
            return Err(refuse("no tensor `patch_embed.proj.weight`".into()));
        }
    };
    let (class_tokens, registers) = (
        usize::from(root.contains("cls_token")),
        root.shape("reg_token")
            .and_then(|shape| shape.get(1))
            .copied()
            .unwrap_or(0),
    );
    let positions = match root.shape("pos_embed") {
        Some(&[1, rows, _]) => rows,
        Some(found) => {
            return Err(refuse(format!(
                "tensor `pos_embed`: expected shape [1, positions, {width}], found {found:?}"
            )));
        }
        None => {
            return Err(refuse(
                "no tensor `pos_embed`; other positions are not built".into(),
            ));
        }
    };
    let prefix_count = class_tokens + registers;
    let image_size = match config.image_size {
        Some(size) => size,
        None => square(positions, prefix_count, patch).ok_or_else(|| {
            refuse(format!(
                "tensor `pos_embed`: {positions} positions are not a square of patches and \
                 {prefix_count} tokens before them"
            ))
        })?,
    };
    let heads = heads(config, width, class_tokens + registers).map_err(&refuse)?;
    let depth = depth(root);
    let inner = root
        .shape("blocks.0.mlp.fc1.weight")
        .and_then(|shape| shape.first())
        .copied()
        .unwrap_or(4 * width);

    let rows = |name: &str, count: usize| -> Result<Tensor> {
        Ok(root.tensor(name, &[1, count, width])?.squeeze(0)?)
    };
    let mut prefix = Vec::new();
    if class_tokens == 1 {
        prefix.push(rows("cls_token", 1)?);
    }
    if registers > 0 {
        prefix.push(rows("reg_token", registers)?);
    }
    let prefix = (!prefix.is_empty())
        .then(|| Tensor::cat(&prefix, 0))
        .transpose()?;
    let embedding = PatchEmbedding::new(
        &root.tensor("patch_embed.proj.weight", &[width, 3, patch, patch])?,
        root.optional_tensor("patch_embed.proj.bias", &[width])?
            .as_ref(),
        prefix,
        rows("pos_embed", positions)?,
        image_size,
    )?;
    let shape = BlockShape {
        width,
        heads,
        inner,
        activation: config.activation(),
        epsilon,
        mask: Mask::None,
    };
    let transformer = Transformer::new(&root.at("blocks"), depth, &shape, &TIMM)?;

    let norm_after_pooling = root.contains("fc_norm.weight");
    let norm = if norm_after_pooling {
        "fc_norm"
    } else {
        "norm"
    };
    let norm = root.at(norm).layer_norm(width, epsilon)?;
    let norm_before = clip
        .then(|| root.at("norm_pre").layer_norm(width, epsilon))
        .transpose()?;
    let pooling = config.pooling.unwrap_or(match class_tokens {
        _ if by_attention => GlobalPool::Map,
        _ if norm_after_pooling => GlobalPool::Average,
        0 => GlobalPool::Average,
        _ => GlobalPool::Token,
    });
    let pooling = match pooling {
        GlobalPool::Token if class_tokens == 0 => {
            return Err(refuse(
                "`global_pool` is token, but there is no tensor `cls_token`".into(),
            ));
        }
        GlobalPool::Token => ImagePooling::ClassToken,
        GlobalPool::Average => ImagePooling::Mean,
        GlobalPool::Max => ImagePooling::Max,
        GlobalPool::Map => {
            let pool = AttentionPool::of_timm(&root.at("attn_pool"), &shape)?;
            ImagePooling::Attention(Box::new(pool))
        }
    };
    let (head, outputs) = match config.classes {
        Some(0) => (None, width),
        expected => read_head(&root.at("head"), expected, width)?,
    };
    if let Some(labels) = config
        .labels
        .as_ref()
        .filter(|labels| labels.len() != outputs)
    {
        return Err(refuse(format!(
            "{} label names for {outputs} outputs",
            labels.len()
        )));
    }
    Ok(Vit {
        embedding,
        norm_before,
        transformer,
        pooling,
        norm,
        norm_after_pooling,
        head,
        outputs,
        labels: config.labels.clone(),
        guessed_heads: config.guesses_heads().then_some(heads),
    })
}

pub(super) fn heads(
    config: &TimmConfig,
    width: usize,
    prefix_count: usize,
) -> std::result::Result<usize, String> {
    let architecture = config.architecture.as_deref().unwrap_or_default();
    let heads = match config.heads {
        Some(heads) => Some(heads),
        None if architecture.starts_with("vit_base_patch16_gap_")
            || architecture.starts_with("vit_giantopt_") =>
        {
            Some(16)
        }
        None if architecture.is_empty() && width == 768 && prefix_count == 0 => {
            return Err(
                "a width of 768 without class token has 12 heads or 16; say which (`--heads N`), or \
                 add a config.json of timm with its `architecture`"
                    .into(),
            );
        }
        None => heads_of(width),
    };
    match heads {
        Some(heads) if heads > 0 && width.is_multiple_of(heads) => Ok(heads),
        Some(heads) => Err(format!(
            "a width of {width} does not divide into {heads} heads"
        )),
        None => Err(format!(
            "no number of heads is known for a width of {width}; say it (`--heads N`), or give \
             `num_heads` in `model_args` of a config.json"
        )),
    }
}

/// Blocks that have a first normalisation.
pub(super) fn depth(root: &Weights) -> usize {
    let blocks = root.at("blocks");
    (0..)
        .take_while(|index| blocks.contains(&format!("{index}.norm1.weight")))
        .count()
}

/// The side of the picture that a position table is for, with or without rows for the prefix.
pub(super) fn square(
    positions: usize,
    prefix_count: usize,
    patch: usize,
) -> Option<(usize, usize)> {
    let side = |count: usize| {
        let side = count.isqrt();
        (side > 0 && side * side == count).then_some(side)
    };
    let patches = positions
        .checked_sub(prefix_count)
        .and_then(side)
        .or_else(|| side(positions))?;
    let pixels = patches.checked_mul(patch)?;
    Some((pixels, pixels))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_those_that_timm_gives() {
        for (width, heads) in [
            (192, 3),
            (384, 6),
            (512, 8),
            (768, 12),
            (1024, 16),
            (1152, 16),
            (1280, 16),
            (1408, 16),
            (1664, 16),
        ] {
            assert_eq!(heads_of(width), Some(heads), "{width}");
        }
        assert_eq!(heads_of(100), None);
        assert_eq!(heads_of(0), None);
    }

    #[test]
    fn arguments_that_change_nothing_are_read_over() {
        let config = |arguments: &str| {
            let text = format!(
                r#"{{"architecture": "vit_tiny_patch4_12", "model_args": {{{arguments}}}}}"#
            );
            TimmConfig::parse(&serde_json::from_str(&text).unwrap())
        };
        // As timm's `save_for_hf` has them.
        let saved = r#""img_size": 12, "patch_size": 4, "in_chans": 3, "embed_dim": 128, "depth": 1,
            "num_heads": 2, "qk_norm": false, "proj_bias": true, "pos_embed": "learn",
            "pre_norm": false, "final_norm": true, "norm_layer": null, "act_layer": null,
            "fix_init": false"#;
        let parsed = config(saved).unwrap();
        assert_eq!((parsed.heads, parsed.image_size), (Some(2), Some((12, 12))));
        assert_eq!(parsed.activation, None);
        for (argument, expected) in [
            (r#""in_chans": 1"#, "`in_chans` is 1"),
            (r#""qk_norm": true"#, "`qk_norm`"),
            (r#""norm_layer": "rmsnorm""#, "`norm_layer`"),
            (r#""pos_embed": "none""#, "`pos_embed`"),
        ] {
            let message = config(argument).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn the_image_size_is_read_from_the_positions() {
        assert_eq!(square(197, 1, 16), Some((224, 224)));
        assert_eq!(square(577, 1, 16), Some((384, 384)));
        assert_eq!(square(196, 0, 16), Some((224, 224)));
        // Registers without positions of their own.
        assert_eq!(square(1369, 5, 14), Some((518, 518)));
        assert_eq!(square(198, 1, 16), None);
        assert_eq!(square(0, 1, 16), None);
    }

    #[test]
    fn lookalikes_are_refused_by_name() {
        for name in [
            "resnet50",
            "vit_base_patch16_rpn_224",
            "vit_large_patch14_xp_224",
            "vit_relpos_base_patch16_224",
            "vit_pe_spatial_base_patch16_512",
        ] {
            let message = check_architecture(name).unwrap_err();
            assert!(message.contains(name), "{message}");
        }
        for name in [
            "vit_base_patch16_224",
            "vit_base_patch32_clip_224",
            "vit_medium_patch16_gap_256",
            "vit_base_patch16_siglip_224",
        ] {
            assert_eq!(check_architecture(name), Ok(()));
        }
    }

    #[test]
    fn the_name_of_a_siglip_says_which_gelu_it_has() {
        for name in [
            "vit_base_patch16_siglip_224",
            "vit_large_patch16_siglip_384",
            "vit_so400m_patch14_siglip_384",
            "vit_so400m_patch14_siglip_gap_448",
            "vit_base_patch16_224",
        ] {
            assert_eq!(activation_of(name), Activation::Gelu, "{name}");
        }
        for name in [
            "vit_base_patch32_siglip_256",
            "vit_base_patch32_siglip_gap_256",
            "vit_large_patch16_siglip_512",
            "vit_so400m_patch16_siglip_256",
            "vit_giantopt_patch16_siglip_384",
        ] {
            assert_eq!(activation_of(name), Activation::GeluTanh, "{name}");
        }
    }
}
