//! SigLIP and SigLIP 2: pictures and texts in one space, as CLIP, trained pair by pair.
//!
//! Papers: Zhai et al., "Sigmoid Loss for Language Image Pre-Training" (2023); Tschannen et al.,
//! "SigLIP 2" (2025). References: `SiglipModel` of transformers 5.24, and open_clip 3.3.0 on timm
//! 1.0.31. Layouts: a folder of open_clip whose image tower is one of timm's
//! (`open_clip_config.json`, `open_clip_model.safetensors` or `open_clip_pytorch_model.bin`), or of
//! transformers (`config.json`; both towers, or one). Both bring `tokenizer.json`.

mod config;
mod known;
mod text;
mod tokenizer;

pub use known::{KnownSiglip, known_siglip, known_siglips};
pub use text::SiglipTextTower;
pub use tokenizer::SiglipTokenizer;

use crate::{
    Compute, LoadOptions, ModelError, Result, Vit,
    configuration::{read_json, read_json_optional},
    weights::Weights,
};
use config::{ImageConfig, Layout, SiglipConfig};
use serde_json::{Map, Value};
use std::{
    cell::RefCell,
    path::{Path, PathBuf},
};
use unprompt_checkpoint::Checkpoint;

/// Whether a configuration, `open_clip_config.json` or `config.json`, is a SigLIP's.
pub fn is_siglip(config: &Value) -> bool {
    let model = config.get("model_cfg").unwrap_or(config);
    let trunk = model
        .get("vision_cfg")
        .and_then(|vision| vision.get("timm_model_name"));
    let model_type = config.get("model_type");
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    text(trunk).contains("siglip") || text(model_type).starts_with("siglip")
}

/// A folder's SigLIP: its configuration, and its tensors on demand, so that a use that needs one
/// tower reads only that one.
#[derive(Debug)]
pub struct SiglipCheckpoint {
    config: SiglipConfig,
    config_path: PathBuf,
    folder: PathBuf,
    checkpoint: Checkpoint,
    compute: Compute,
}

impl SiglipCheckpoint {
    /// Opens a folder.
    ///
    /// # Errors
    /// Names the file that is missing, or the setting that is not built: SigLIP 2 for pictures of
    /// any shape (NaFlex), text towers of transformers within open_clip.
    pub fn open(folder: &Path, options: impl Into<LoadOptions>) -> Result<Self> {
        let options = options.into();
        let open_clip_path = folder.join("open_clip_config.json");
        let open_clip: Option<Map<String, Value>> = read_json_optional(&open_clip_path)?;
        let (config, config_path) = match open_clip {
            Some(config) => (config::parse_open_clip(&config), open_clip_path),
            None => {
                let path = folder.join("config.json");
                let config: Map<String, Value> = read_json(&path)?;
                (config::parse_transformers(&config), path)
            }
        };
        let config = config.map_err(|message| ModelError::configuration(&config_path, message))?;
        let weights = match config.layout {
            Layout::OpenClip => ["open_clip_model.safetensors", "open_clip_pytorch_model.bin"]
                .map(|name| folder.join(name))
                .into_iter()
                .find(|path| path.is_file()),
            Layout::Transformers => None,
        };
        let checkpoint = Checkpoint::open(weights.as_deref().unwrap_or(folder), options.pickle)?;
        Ok(Self {
            config,
            config_path,
            folder: folder.to_owned(),
            checkpoint,
            compute: options.compute,
        })
    }

    /// Whether pictures and texts are prepared as open_clip does it.
    pub fn is_open_clip(&self) -> bool {
        self.config.layout == Layout::OpenClip
    }

    /// Reads the image tower: a Vision Transformer whose features are the picture's vector, not
    /// normalised.
    ///
    /// # Errors
    /// When the folder has none; otherwise names the tensor, with the expected and the found shape.
    pub fn image_tower(&self) -> Result<Vit> {
        let Some(config) = &self.config.image else {
            return Err(self.refuse("the folder holds a text tower only".into()));
        };
        let used = RefCell::default();
        let root = Weights::new(&self.checkpoint, &used).computed(&self.compute);
        let tower = match config {
            ImageConfig::OpenClip { trunk, width } => {
                let weights = root.at("visual").at("trunk");
                let tower =
                    crate::vit::build_timm(trunk, &weights, |message| self.refuse(message))?;
                if tower.outputs() != *width {
                    return Err(self.refuse(format!(
                        "`embed_dim` is {width}, but the image tower gives {} numbers",
                        tower.outputs()
                    )));
                }
                tower
            }
            ImageConfig::Transformers(config) => {
                let tower = root.at("vision_model");
                // A tower by itself may come without its name.
                let is_named = tower.contains("post_layernorm.weight");
                config.build(if is_named { &tower } else { &root })?
            }
        };
        root.check_all_used_but(&["text.", "text_model."], &[])?;
        Ok(tower)
    }

    /// Reads the text tower.
    ///
    /// # Errors
    /// As [`image_tower`](Self::image_tower).
    pub fn text_tower(&self) -> Result<SiglipTextTower> {
        let Some(config) = &self.config.text else {
            return Err(self.refuse("the folder holds an image tower only".into()));
        };
        let used = RefCell::default();
        let root = Weights::new(&self.checkpoint, &used).computed(&self.compute);
        let tower = SiglipTextTower::new(config, self.config.layout, &root)?;
        root.check_all_used_but(&["visual.", "vision_model."], &[])?;
        Ok(tower)
    }

    /// The folder's tokenizer, with the cleaning of its layout before it.
    ///
    /// # Errors
    /// When there is no text tower, or the file `tokenizer.json` is missing or broken.
    pub fn tokenizer(&self) -> Result<SiglipTokenizer> {
        let Some(text) = &self.config.text else {
            return Err(self.refuse("the folder holds an image tower only".into()));
        };
        SiglipTokenizer::from_folder(&self.folder, text.context_length, text.cleaning)
    }

    fn refuse(&self, message: String) -> ModelError {
        ModelError::configuration(&self.config_path, message)
    }
}
