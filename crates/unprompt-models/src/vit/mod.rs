//! The Vision Transformer: the regressor of embeddings, and an ImageNet classifier.
//!
//! Paper: Dosovitskiy et al., "An Image is Worth 16x16 Words" (2020). References:
//! `VisionTransformer` of timm 1.0.31 and `ViTForImageClassification` of transformers 5.24.
//! Layouts: a folder of timm (`config.json` with `architecture`), a folder of transformers
//! (`config.json` with `model_type`), or a bare state dict with timm's names, whose shapes say all.
//! SigLIP's image tower is one too: its two layouts are read here for [`crate::SiglipCheckpoint`].

mod network;
mod siglip;
mod tensors;
mod timm;
mod transformers;

pub use network::Vit;
pub(crate) use siglip::SiglipVisionConfig;
pub use tensors::VitTensors;
pub(crate) use timm::{TimmConfig, build as build_timm};

use crate::{LoadOptions, ModelError, Result, configuration::read_json_optional, weights::Weights};
use serde_json::{Map, Value};
use std::{cell::RefCell, path::Path};
use unprompt_checkpoint::Checkpoint;

impl Vit {
    /// Reads a folder, or a weight file by itself.
    ///
    /// A folder with a `config.json` is a model of timm or of transformers. Without one, and for a
    /// file, patch size, width, depth, image size (square) and number of outputs are those of the
    /// tensors; the number of heads is what timm gives this width
    /// ([`guessed_heads`](Self::guessed_heads)), unless [`load_with_heads`](Self::load_with_heads)
    /// is told. The paper's regressor is such a file, with 384 outputs.
    ///
    /// # Errors
    /// Names the file and the setting that is not built, or the tensor with the expected and the
    /// found shape.
    pub fn load(path: &Path, options: impl Into<LoadOptions>) -> Result<Self> {
        Self::read(path, None, options.into())
    }

    /// As [`load`](Self::load), for tensors alone whose number of heads is known: no shape shows it.
    ///
    /// # Errors
    /// As `load`; when there is a configuration, which has its own number, and when the width does
    /// not divide into so many heads.
    pub fn load_with_heads(
        path: &Path,
        heads: usize,
        options: impl Into<LoadOptions>,
    ) -> Result<Self> {
        Self::read(path, Some(heads), options.into())
    }

    fn read(path: &Path, heads: Option<usize>, options: LoadOptions) -> Result<Self> {
        let config_path = path.join("config.json");
        let config: Option<Map<String, Value>> = if path.is_dir() {
            read_json_optional(&config_path)?
        } else {
            None
        };
        let refuse = |message: String| ModelError::configuration(&config_path, message);
        let plan = match &config {
            None => Plan::Timm(timm::TimmConfig::bare(heads)),
            Some(_) if heads.is_some() => {
                return Err(refuse(timm::SAYS_HEADS.into()));
            }
            Some(config) if config.contains_key("architecture") => {
                Plan::Timm(timm::TimmConfig::parse(config).map_err(refuse)?)
            }
            Some(config) if config.contains_key("model_type") => {
                Plan::Transformers(transformers::parse(config).map_err(refuse)?)
            }
            Some(_) => {
                return Err(refuse(
                    "neither `architecture` (timm) nor `model_type` (transformers) is there".into(),
                ));
            }
        };
        let checkpoint = Checkpoint::open(path, options.pickle)?;
        let used = RefCell::default();
        let root = Weights::new(&checkpoint, &used).computed(&options.compute);
        let refuse = |message: String| {
            let path = if config.is_some() { &config_path } else { path };
            ModelError::configuration(path, message)
        };
        let model = match plan {
            Plan::Timm(config) => timm::build(&config, &root, refuse)?,
            Plan::Transformers(config) => transformers::build(&config, &root)?,
        };
        root.check_all_used(transformers::is_left_over)?;
        Ok(model)
    }
}

enum Plan {
    Timm(timm::TimmConfig),
    Transformers(transformers::TransformersConfig),
}
