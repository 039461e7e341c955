//! CLIP: pictures and texts in one space.
//!
//! Paper: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision"
//! (2021). References: open_clip 3.3.0 and `CLIPModel` of transformers 5.24. Layouts: a folder of
//! open_clip (`open_clip_config.json`, `open_clip_model.safetensors` or
//! `open_clip_pytorch_model.bin`), or of transformers (`config.json`; both towers, or one with its
//! projection). A folder may hold both layouts, as those of LAION do.

mod config;
mod image;
mod known;
mod open_clip;
mod text;
mod transformers;

pub use image::{ClipImageTower, ClipImageTowerByBlocks};
pub use known::{KnownClip, known_clip, known_clips};
pub use text::{ClipTextPrefix, ClipTextTower};

use crate::{
    ClipTokenizer, Compute, LoadOptions, ModelError, Result, VitTensors,
    configuration::{read_json, read_json_optional},
    weights::Weights,
};
use config::{BUFFERS, ClipConfig, ClipLayout};
use serde_json::{Map, Value};
use std::{
    cell::RefCell,
    path::{Path, PathBuf},
};
use unprompt_checkpoint::{Checkpoint, Pickle};

/// A folder's CLIP: its configuration, and its tensors on demand, so that a use that needs one
/// tower reads only that one.
#[derive(Debug)]
pub struct ClipCheckpoint {
    config: ClipConfig,
    config_path: PathBuf,
    // Of the folder's own tokenizer
    folder: PathBuf,
    checkpoint: Checkpoint,
    compute: Compute,
}

impl ClipCheckpoint {
    /// Opens a folder. Where it holds both layouts, open_clip's is taken if its weights are there
    /// in safetensors or pickles are allowed.
    ///
    /// # Errors
    /// Names the file and the setting that is not built: towers of timm (MobileCLIP, EVA,
    /// ConvNeXt; for SigLIP there is [`crate::SiglipCheckpoint`]), ResNets, text towers of
    /// transformers, CoCa.
    pub fn open(folder: &Path, options: impl Into<LoadOptions>) -> Result<Self> {
        let options = options.into();
        let open_clip_path = folder.join("open_clip_config.json");
        let transformers_path = folder.join("config.json");
        let open_clip: Option<Map<String, Value>> = read_json_optional(&open_clip_path)?;
        let has_transformers = is_transformers_clip(&transformers_path)?;
        let weights = ["open_clip_model.safetensors", "open_clip_pytorch_model.bin"]
            .map(|name| folder.join(name))
            .into_iter()
            .find(|path| {
                let readable = path.extension().is_some_and(|kind| kind == "safetensors")
                    || options.pickle == Pickle::Allow
                    || !has_transformers;
                path.is_file() && readable
            });
        match open_clip {
            Some(config) if weights.is_some() || !has_transformers => {
                let config = open_clip::parse(&config)
                    .map_err(|message| ModelError::configuration(&open_clip_path, message))?;
                let weights = weights.as_deref().unwrap_or(folder);
                Self::new(config, open_clip_path, folder, weights, options)
            }
            _ => {
                let config: Map<String, Value> = read_json(&transformers_path)?;
                let config = transformers::parse(&config)
                    .map_err(|message| ModelError::configuration(&transformers_path, message))?;
                Self::new(config, transformers_path, folder, folder, options)
            }
        }
    }

    /// Opens weights of open_clip that have no `open_clip_config.json` beside them, as one of its
    /// named architectures.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_as(
        known: &KnownClip,
        weights: &Path,
        options: impl Into<LoadOptions>,
    ) -> Result<Self> {
        let options = options.into();
        let refuse = |message: String| ModelError::configuration(weights, message);
        let config = open_clip::parse(&known.config().map_err(refuse)?).map_err(refuse)?;
        Self::new(config, weights.to_owned(), weights, weights, options)
    }

    fn new(
        config: ClipConfig,
        config_path: PathBuf,
        folder: &Path,
        weights: &Path,
        options: LoadOptions,
    ) -> Result<Self> {
        let checkpoint = Checkpoint::open(weights, options.pickle)?;
        Ok(Self {
            config,
            config_path,
            folder: folder.to_owned(),
            checkpoint,
            compute: options.compute,
        })
    }

    /// Whether texts are tokenised as open_clip does it, and not by the folder's own tokenizer.
    pub fn is_open_clip(&self) -> bool {
        self.config.layout == ClipLayout::OpenClip
    }

    /// Reads the image tower.
    ///
    /// # Errors
    /// When the folder has none; otherwise names the tensor, with the expected and the found shape.
    pub fn image_tower(&self) -> Result<ClipImageTower> {
        let Some(config) = &self.config.image else {
            return Err(self.refuse("the folder holds a text tower only"));
        };
        self.read(|root| ClipImageTower::new(config, self.config.layout, root))
    }

    /// The image tower as plain tensors with timm's names, without its projection: for somebody who trains
    /// it.
    ///
    /// # Errors
    /// As [`image_tower`](Self::image_tower), and for towers that are not trained: without a class
    /// token's pooling or the normalisation before the blocks.
    pub fn image_tensors(&self) -> Result<VitTensors> {
        let Some(config) = &self.config.image else {
            return Err(self.refuse("the folder holds a text tower only"));
        };
        let used = RefCell::default();
        let root = Weights::new(&self.checkpoint, &used);
        image::tensors(config, self.config.layout, &root, |message| {
            self.refuse(message)
        })
    }

    /// The image tower with its blocks left in the file, for a use that needs it seldom and has a
    /// better use for the memory.
    ///
    /// # Errors
    /// As [`image_tower`](Self::image_tower), but for the blocks, which are looked for when they
    /// are used.
    pub fn into_image_tower_by_blocks(self) -> Result<ClipImageTowerByBlocks> {
        match self.config.image.clone() {
            Some(config) => ClipImageTowerByBlocks::new(
                self.checkpoint,
                self.compute,
                config,
                self.config.layout,
            ),
            None => Err(self.refuse("the folder holds a text tower only")),
        }
    }

    /// Reads the text tower.
    ///
    /// # Errors
    /// As [`image_tower`](Self::image_tower).
    pub fn text_tower(&self) -> Result<ClipTextTower> {
        let Some(config) = &self.config.text else {
            return Err(self.refuse("the folder holds an image tower only"));
        };
        self.read(|root| ClipTextTower::new(config, self.config.layout, root))
    }

    /// The tokenizer that the text tower was trained with: open_clip's own, for which `vocabulary`
    /// is the file `bpe_simple_vocab_16e6.txt.gz` unless the folder
    /// [brings it](Self::brings_vocabulary), or the one in a folder of transformers.
    ///
    /// # Errors
    /// When there is no text tower, open_clip's needs its vocabulary and none is given, the
    /// configuration of open_clip asks for another tokenizer, or a file is missing or broken.
    pub fn tokenizer(&self, vocabulary: Option<&Path>) -> Result<ClipTokenizer> {
        let Some(text) = &self.config.text else {
            return Err(self.refuse("the folder holds an image tower only"));
        };
        if !self.is_open_clip() {
            return ClipTokenizer::from_folder(&self.folder, text.context_length);
        }
        if let Some(setting) = &text.other_tokenizer {
            return Err(self.refuse(&format!("text_cfg: {setting} is not built")));
        }
        if self.brings_vocabulary() {
            return ClipTokenizer::open_clip_of_folder(&self.folder, text.context_length);
        }
        let vocabulary = vocabulary.ok_or_else(|| {
            self.refuse(
                "its tokenizer needs CLIP's vocabulary, the file bpe_simple_vocab_16e6.txt.gz, or \
                 vocab.json and merges.txt beside it",
            )
        })?;
        ClipTokenizer::open_clip(vocabulary, text.context_length)
    }

    /// Whether the tokenizer needs no file from elsewhere: in a folder of transformers, and in one of
    /// open_clip that has `vocab.json` and `merges.txt`.
    pub fn brings_vocabulary(&self) -> bool {
        let has = |name: &str| self.folder.join(name).is_file();
        !self.is_open_clip() || (has("vocab.json") && has("merges.txt"))
    }

    /// The factor that cosines are multiplied with before a soft-max over texts: the exponential
    /// of `logit_scale`. `None` where a folder holds one tower only.
    ///
    /// # Errors
    /// When the tensor is no single number.
    pub fn logit_scale(&self) -> Result<Option<f32>> {
        let Some(tensor) = self.checkpoint.tensor("logit_scale") else {
            return Ok(None);
        };
        // A scalar, or one number in a list where it was trained as such.
        let shape = if tensor.shape == [1] { vec![1] } else { vec![] };
        let values = self.checkpoint.tensor_f32("logit_scale", &shape)?;
        Ok(values.first().map(|value| value.exp()))
    }

    /// Builds one tower, and checks that every tensor belongs to it or to the other one.
    fn read<T>(
        &self,
        build: impl Fn(&Weights) -> Result<(T, &'static [&'static str])>,
    ) -> Result<T> {
        let used = RefCell::default();
        let root = Weights::new(&self.checkpoint, &used).computed(&self.compute);
        let (tower, others) = build(&root)?;
        root.check_all_used_but(others, BUFFERS)?;
        Ok(tower)
    }

    fn refuse(&self, message: &str) -> ModelError {
        ModelError::configuration(&self.config_path, message)
    }
}

/// Whether a `config.json` is of a CLIP of transformers; folders of open_clip hold timm's too.
fn is_transformers_clip(path: &Path) -> Result<bool> {
    let config: Option<Map<String, Value>> = read_json_optional(path)?;
    let model_type = config
        .as_ref()
        .and_then(|config| config.get("model_type")?.as_str());
    Ok(model_type.is_some_and(|name| name.starts_with("clip")))
}
