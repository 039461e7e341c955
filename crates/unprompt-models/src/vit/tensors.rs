//! A Vision Transformer as plain tensors: what somebody who trains it needs.

use super::timm::{self, GlobalPool, TimmConfig};
use crate::{LoadOptions, ModelError, Result, configuration::read_json_optional, weights::Weights};
use serde_json::{Map, Value};
use std::{cell::RefCell, path::Path};
use unprompt_checkpoint::Checkpoint;
use unprompt_nn::Activation;

/// The tensors of a plain Vision Transformer with a class token, with timm's names.
#[derive(Clone, Debug)]
pub struct VitTensors {
    /// Whether it is the image tower of a CLIP: normalised before its blocks too, and without a bias of the
    /// patches.
    pub clip: bool,
    /// Whether its blocks have QuickGELU, and not GELU.
    pub quick_gelu: bool,
    /// Height and width of its pictures.
    pub image_size: (usize, usize),
    /// Side of a patch.
    pub patch: usize,
    /// Width of a token's vector.
    pub width: usize,
    /// Blocks.
    pub depth: usize,
    /// Attention heads.
    pub heads: usize,
    /// Whether their number was said by nobody, and is what timm gives this width.
    pub heads_are_guessed: bool,
    /// Width between the two linear layers of a block.
    pub inner: usize,
    /// Numbers that its head gives; none without a head.
    pub outputs: Option<usize>,
    /// Name, shape and values of each tensor, those of the head among them.
    pub tensors: Vec<(String, Vec<usize>, Vec<f32>)>,
    /// Its `config.json`, where it has one.
    pub config: Option<Map<String, Value>>,
}

impl VitTensors {
    /// Reads a folder of timm, or a bare state dict with timm's names.
    ///
    /// # Errors
    /// Names the file, and what of the network is not trained: registers, pooling that is not the class
    /// token's, layer scale, or an activation other than GELU.
    pub fn load(path: &Path, options: impl Into<LoadOptions>) -> Result<Self> {
        Self::load_with_heads(path, None, options)
    }

    /// As [`load`](Self::load), with the number of heads of tensors alone where it is known: no shape
    /// shows it.
    ///
    /// # Errors
    /// As `load`; when a number is given beside a configuration, or the width does not divide into so
    /// many heads.
    pub fn load_with_heads(
        path: &Path,
        heads: Option<usize>,
        options: impl Into<LoadOptions>,
    ) -> Result<Self> {
        let options = options.into();
        let config_path = path.join("config.json");
        let config: Option<Map<String, Value>> = if path.is_dir() {
            read_json_optional(&config_path)?
        } else {
            None
        };
        let refuse = |message: String| {
            let path = if config.is_some() { &config_path } else { path };
            ModelError::configuration(path, message)
        };
        let parsed = match &config {
            None => TimmConfig::bare(heads),
            Some(_) if heads.is_some() => return Err(refuse(timm::SAYS_HEADS.into())),
            Some(config) if config.contains_key("architecture") => {
                TimmConfig::parse(config).map_err(refuse)?
            }
            Some(_) => {
                return Err(refuse(
                    "a Vision Transformer is trained in the layout of timm (`architecture`); timm's \
                     own `save_for_hf` writes it"
                        .into(),
                ));
            }
        };
        let checkpoint = Checkpoint::open(path, options.pickle)?;
        let used = RefCell::default();
        let root = Weights::new(&checkpoint, &used);
        Self::read(&parsed, &root, config.clone()).map_err(|reason| match reason {
            Refusal::Model(error) => error,
            Refusal::Message(message) => refuse(message),
        })
    }

    fn read(
        parsed: &TimmConfig,
        root: &Weights,
        config: Option<Map<String, Value>>,
    ) -> std::result::Result<Self, Refusal> {
        if !root.contains("cls_token") {
            return Err("without a class token (`cls_token`) a network is not trained".into());
        }
        for (tensor, what) in [
            ("reg_token", "registers"),
            ("attn_pool.latent", "pooling by attention"),
            ("fc_norm.weight", "pooling over the patches"),
            ("blocks.0.ls1.gamma", "layer scale"),
        ] {
            if root.contains(tensor) {
                return Err(format!("networks with {what} (`{tensor}`) are not trained").into());
            }
        }
        if parsed
            .pooling()
            .is_some_and(|pooling| pooling != GlobalPool::Token)
        {
            return Err("only `global_pool` token is trained".into());
        }
        let clip = parsed.is_clip();
        if clip != root.contains("norm_pre.weight") {
            return Err("a CLIP's image tower has `norm_pre.weight` and an `architecture` of `vit_*_clip_*`".into());
        }
        let quick_gelu = match (parsed.activation(), clip) {
            (Activation::Gelu, _) => false,
            (Activation::QuickGelu, true) => true,
            (other, _) => {
                return Err(
                    format!("networks with the activation {other:?} are not trained").into(),
                );
            }
        };
        let (width, patch) = match root.shape("patch_embed.proj.weight") {
            Some(&[width, 3, height, patch]) if height == patch && patch > 0 => (width, patch),
            found => {
                return Err(format!(
                    "tensor `patch_embed.proj.weight`: expected shape [width, 3, patch, patch], found \
                     {found:?}"
                )
                .into());
            }
        };
        let positions = match root.shape("pos_embed") {
            Some(&[1, rows, _]) => rows,
            found => {
                return Err(format!(
                    "tensor `pos_embed`: expected shape [1, positions, {width}], found {found:?}"
                )
                .into());
            }
        };
        let image_size = parsed
            .image_size()
            .or_else(|| timm::square(positions, 1, patch))
            .ok_or_else(|| {
                format!("tensor `pos_embed`: {positions} positions are no square and a class token")
            })?;
        let depth = timm::depth(root);
        let inner = root.shape("blocks.0.mlp.fc1.weight");
        let inner = inner.and_then(|shape| shape.first()).copied();
        let mut tensors = Vec::new();
        for name in root.names() {
            let shape = root.shape(&name).unwrap_or_default().to_vec();
            let values = root.values(&name, &shape).map_err(Refusal::Model)?;
            tensors.push((name, shape, values));
        }
        Ok(Self {
            clip,
            quick_gelu,
            image_size,
            patch,
            width,
            depth,
            heads: timm::heads(parsed, width, 1)?,
            heads_are_guessed: parsed.guesses_heads(),
            inner: inner.ok_or_else(|| "a network without blocks is not trained".to_owned())?,
            outputs: root
                .shape("head.weight")
                .and_then(|shape| shape.first())
                .copied(),
            tensors,
            config,
        })
    }
}

/// Why a network is not trained.
enum Refusal {
    Model(ModelError),
    Message(String),
}

impl From<String> for Refusal {
    fn from(message: String) -> Self {
        Self::Message(message)
    }
}

impl From<&str> for Refusal {
    fn from(message: &str) -> Self {
        Self::Message(message.to_owned())
    }
}
