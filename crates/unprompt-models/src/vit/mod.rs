//! The Vision Transformer: the regressor of embeddings, and an ImageNet classifier.
//!
//! Paper: Dosovitskiy et al., "An Image is Worth 16x16 Words" (2020). References:
//! `VisionTransformer` of timm 1.0.31 and `ViTForImageClassification` of transformers 5.24.
//! Layouts: a folder of timm (`config.json` with `architecture`), a folder of transformers
//! (`config.json` with `model_type`), or a bare state dict with timm's names, whose shapes say all.
//! SigLIP's image tower is one too: its two layouts are read here for [`crate::SiglipCheckpoint`].

mod siglip;
mod timm;
mod transformers;

pub(crate) use siglip::SiglipVisionConfig;
pub(crate) use timm::{TimmConfig, build as build_timm};

use crate::{
    LoadOptions, ModelError, Result, attention_pool::AttentionPool, compute::rows,
    configuration::read_json_optional, patch_embedding::PatchEmbedding, transformer::Transformer,
    weights::Weights,
};
use candle_core::Tensor;
use serde_json::{Map, Value};
use std::{cell::RefCell, path::Path};
use unprompt_checkpoint::Checkpoint;
use unprompt_nn::{Activation, LayerNorm, Linear};

/// Pictures that go through the network at once; bounds the memory of a long list.
const PICTURES_AT_ONCE: usize = 8;

/// How the tokens of a picture become one vector.
#[derive(Debug)]
enum ImagePooling {
    /// The first token.
    ClassToken,
    /// The mean over the patches.
    Mean,
    /// The largest over the patches, each element by itself.
    Max,
    /// A learnt query's attention to all tokens.
    Attention(Box<AttentionPool>),
}

/// A Vision Transformer with or without a linear head.
#[derive(Debug)]
pub struct Vit {
    embedding: PatchEmbedding,
    transformer: Transformer,
    pooling: ImagePooling,
    // Before or after the pooling; for the class token the two are the same.
    norm: LayerNorm,
    norm_after_pooling: bool,
    head: Option<Linear>,
    outputs: usize,
    labels: Option<Vec<String>>,
}

impl Vit {
    /// Reads a folder, or a weight file by itself.
    ///
    /// A folder with a `config.json` is a model of timm or of transformers. Without one, and for a
    /// file, patch size, width, depth, image size (square) and number of outputs are those of the
    /// tensors; the number of heads is what timm gives this width. The paper's regressor is such a
    /// file, with 384 outputs.
    ///
    /// # Errors
    /// Names the file and the setting that is not built, or the tensor with the expected and the
    /// found shape.
    pub fn load(path: &Path, options: impl Into<LoadOptions>) -> Result<Self> {
        let options = options.into();
        let config_path = path.join("config.json");
        let config: Option<Map<String, Value>> = if path.is_dir() {
            read_json_optional(&config_path)?
        } else {
            None
        };
        let refuse = |message: String| ModelError::configuration(&config_path, message);
        let plan = match &config {
            None => Plan::Timm(timm::TimmConfig::bare()),
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

    /// Height and width of the pictures that [`forward`](Self::forward) takes.
    pub fn image_size(&self) -> (usize, usize) {
        self.embedding.image_size()
    }

    /// Numbers per picture: the outputs of the head, or the width of the features without one.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Whether there is a head, so that the outputs are logits or a regression and not features.
    pub fn has_head(&self) -> bool {
        self.head.is_some()
    }

    /// The names of the outputs in order, where the checkpoint's configuration has them.
    pub fn labels(&self) -> Option<&[String]> {
        self.labels.as_deref()
    }

    /// The raw outputs of each picture: logits, a regression, or without a head the pooled,
    /// normalised features.
    ///
    /// A picture is height * width * 3 normalised values, channels last, of
    /// [`image_size`](Self::image_size). What a picture gives does not depend on the others.
    ///
    /// # Errors
    /// When a picture has another number of values, or the outputs are not finite.
    pub fn forward<P: AsRef<[f32]>>(&self, pictures: &[P]) -> Result<Vec<Vec<f32>>> {
        let mut outputs = Vec::with_capacity(pictures.len());
        for pictures in pictures.chunks(PICTURES_AT_ONCE) {
            let pooled = self.pooled(pictures)?;
            let raw = match &self.head {
                Some(head) => head.forward(&pooled)?,
                None => pooled,
            };
            outputs.extend(rows(&raw)?);
        }
        if outputs.iter().flatten().any(|value| !value.is_finite()) {
            return Err(ModelError::NotFinite { model: "vit" });
        }
        Ok(outputs)
    }

    /// (pictures, width)
    fn pooled<P: AsRef<[f32]>>(&self, pictures: &[P]) -> Result<Tensor> {
        let (count, tokens) = (pictures.len(), self.embedding.token_count());
        let (hidden, lengths) = (self.embedding.forward(pictures)?, vec![tokens; count]);
        let patches = |hidden: Tensor| -> Result<Tensor> {
            let hidden = self.transformer.forward(hidden, &lengths)?;
            let hidden = hidden.reshape((count, tokens, ()))?;
            let prefix = self.embedding.prefix_count();
            let patches = hidden.narrow(1, prefix, tokens - prefix)?;
            Ok(if self.norm_after_pooling {
                patches
            } else {
                self.norm.forward(&patches)?
            })
        };
        let pooled = match &self.pooling {
            // The normalisation sees each token by itself, so only this one needs it.
            ImagePooling::ClassToken => {
                let at = vec![0; count];
                let class = self.transformer.forward_at(hidden, &lengths, &at)?;
                return Ok(self.norm.forward(&class)?);
            }
            ImagePooling::Attention(pool) => {
                let hidden = self.transformer.forward(hidden, &lengths)?;
                return pool.forward(&self.norm.forward(&hidden)?, tokens);
            }
            ImagePooling::Max => patches(hidden)?.max(1)?,
            ImagePooling::Mean => patches(hidden)?.mean(1)?,
        };
        Ok(if self.norm_after_pooling {
            self.norm.forward(&pooled)?
        } else {
            pooled
        })
    }
}

enum Plan {
    Timm(timm::TimmConfig),
    Transformers(transformers::TransformersConfig),
}

/// The head of `expected` outputs, or of as many as the tensor has rows, and its outputs; without
/// one the features' width.
fn read_head(
    weights: &Weights,
    expected: Option<usize>,
    width: usize,
) -> Result<(Option<Linear>, usize)> {
    let rows = weights.shape("weight").and_then(|shape| shape.first());
    let outputs = match expected {
        Some(outputs) => outputs,
        None => match rows {
            Some(rows) => *rows,
            None => return Ok((None, width)),
        },
    };
    let head = weights.linear((outputs, width), Activation::Identity)?;
    Ok((Some(head), outputs))
}
