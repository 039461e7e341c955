//! BLIP, the captioner: a Vision Transformer that sees and a BERT that writes.
//!
//! Paper: Li et al., "BLIP: Bootstrapping Language-Image Pre-training" (2022). References:
//! `BlipForConditionalGeneration` of transformers 5.24, and for the authors' own files
//! (`model_large_caption.pth`, `model_base_caption_capfilt_large.pth`) the names and constants of
//! their `blip_decoder`. Layouts: a folder of transformers, or such a file with a BERT vocabulary.

mod config;
mod decoder;

use crate::{
    Caption, ImageToText, LoadOptions, ModelError, Result,
    captioning::generated,
    configuration::read_json_optional,
    patch_embedding::PatchEmbedding,
    transformer::{BlockNames, BlockShape, QueryKeyValue, TIMM, TRANSFORMERS_CLIP, Transformer},
    weights::Weights,
    word_pieces::WordPieces,
};
use candle_core::Tensor;
use config::{BlipConfig, VisionConfig};
use decoder::TextDecoder;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::{
    cell::RefCell,
    path::{Path, PathBuf},
};
use unprompt_checkpoint::Checkpoint;
use unprompt_nn::{GenerationOptions, LayerNorm, Mask, generate};

/// Pictures that are captioned at once; bounds the memory of a long list.
const PICTURES_AT_ONCE: usize = 8;

/// What CLIP Interrogator lets a caption have.
const NEW_TOKENS: usize = 32;

/// `BlipEncoderLayer` of transformers.
const TRANSFORMERS_BLIP: BlockNames = BlockNames {
    query_key_value: QueryKeyValue::Fused {
        weight: "self_attn.qkv.weight",
        bias: "self_attn.qkv.bias",
    },
    attention_output: "self_attn.projection",
    ..TRANSFORMERS_CLIP
};

/// A BLIP with its vocabulary.
#[derive(Debug)]
pub struct Blip {
    embedding: PatchEmbedding,
    transformer: Transformer,
    norm: LayerNorm,
    decoder: TextDecoder,
    vocabulary: WordPieces,
    begin: u32,
    end: u32,
}

/// The part of `tokenizer_config.json` that changes a caption; the default is transformers 5's.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct TokenizerConfig {
    clean_up_tokenization_spaces: Option<bool>,
}

impl Blip {
    /// Reads a folder of transformers, or a file of the authors by itself.
    ///
    /// `vocabulary` is a `tokenizer.json` or a `vocab.txt`, of the uncased BERT where the weights
    /// are published ones. Without it the folder's own is read.
    ///
    /// # Errors
    /// Names the file and the setting that is not built, or the tensor with the expected and the
    /// found shape.
    pub fn load(
        path: &Path,
        vocabulary: Option<&Path>,
        options: impl Into<LoadOptions>,
    ) -> Result<Self> {
        let options = options.into();
        let found = match vocabulary {
            Some(vocabulary) => Some(vocabulary.to_owned()),
            None => own_vocabulary(path),
        };
        let Some(found) = found else {
            return Err(ModelError::configuration(
                path,
                "no tokenizer.json or vocab.txt beside it; put the uncased BERT's there",
            ));
        };
        let config_path = path.join("config.json");
        let config: Option<Map<String, Value>> = if path.is_dir() {
            read_json_optional(&config_path)?
        } else {
            None
        };
        let tokenizer_config = match &config {
            Some(_) => read_json_optional::<TokenizerConfig>(&path.join("tokenizer_config.json"))?
                .unwrap_or_default(),
            // The authors' code runs on transformers 4.
            None => TokenizerConfig {
                clean_up_tokenization_spaces: Some(true),
            },
        };
        let vocabulary = WordPieces::load(
            &found,
            tokenizer_config
                .clean_up_tokenization_spaces
                .unwrap_or(false),
        )?;
        let checkpoint = Checkpoint::open(path, options.pickle)?;
        let used = RefCell::default();
        let root = Weights::new(&checkpoint, &used).computed(&options.compute.on_cpu());
        let is_original = config.is_none();
        let config = match &config {
            Some(config) => BlipConfig::parse(config)
                .map_err(|message| ModelError::configuration(&config_path, message))?,
            None => BlipConfig::of_tensors(&root)
                .map_err(|message| ModelError::configuration(path, message))?,
        };
        let (begin, end) = match config.tokens {
            Some(tokens) => tokens,
            // `[DEC]` was added behind BERT's tokens, `[ENC]` behind it.
            None => match (vocabulary.len(), vocabulary.id("[SEP]")) {
                (begin, Some(end)) if begin < config.text.vocabulary => (begin as u32, end),
                (count, _) => {
                    let message = format!(
                        "{count} word pieces, where a `[SEP]` and fewer than {} are needed; the \
                         weights are for the uncased BERT's vocabulary",
                        config.text.vocabulary
                    );
                    return Err(ModelError::configuration(&found, message));
                }
            },
        };
        let model = Self::new(&config, is_original, &root, vocabulary, (begin, end))?;
        root.check_all_used(|name| {
            name == "text_decoder.bert.embeddings.position_ids"
                || name == "text_decoder.cls.predictions.decoder.bias"
                || name == "vision_model.embeddings.position_ids"
        })?;
        Ok(model)
    }

    /// Whether a vocabulary lies in the model's folder, or beside its file.
    pub fn has_vocabulary(path: &Path) -> bool {
        own_vocabulary(path).is_some()
    }

    fn new(
        config: &BlipConfig,
        is_original: bool,
        root: &Weights,
        vocabulary: WordPieces,
        (begin, end): (u32, u32),
    ) -> Result<Self> {
        let VisionConfig {
            width,
            patch,
            image_size,
            layers,
            epsilon,
            ..
        } = config.vision;
        let rows = (image_size / patch).pow(2) + 1;
        let place = root.at(if is_original {
            "visual_encoder"
        } else {
            "vision_model"
        });
        let (patches, class, positions, blocks, names, norm) = if is_original {
            let patches = place.at("patch_embed").at("proj");
            let blocks = place.at("blocks");
            (patches, "cls_token", "pos_embed", blocks, &TIMM, "norm")
        } else {
            let patches = place.at("embeddings").at("patch_embedding");
            let blocks = place.at("encoder").at("layers");
            let (class, positions) = (
                "embeddings.class_embedding",
                "embeddings.position_embedding",
            );
            (
                patches,
                class,
                positions,
                blocks,
                &TRANSFORMERS_BLIP,
                "post_layernorm",
            )
        };
        let embedding = PatchEmbedding::new(
            &patches.tensor("weight", &[width, 3, patch, patch])?,
            Some(&patches.tensor("bias", &[width])?),
            Some(place.tensor(class, &[1, 1, width])?.squeeze(0)?),
            place.tensor(positions, &[1, rows, width])?.squeeze(0)?,
            (image_size, image_size),
        )?;
        let shape = BlockShape {
            width,
            heads: config.vision.heads,
            inner: config.vision.inner,
            activation: config.vision.activation,
            epsilon,
            mask: Mask::None,
        };
        Ok(Self {
            embedding,
            transformer: Transformer::new(&blocks, layers, &shape, names)?,
            norm: place.at(norm).layer_norm(width, epsilon)?,
            decoder: TextDecoder::new(config.text, &root.at("text_decoder"))?,
            vocabulary,
            begin,
            end,
        })
    }

    /// The encoder's states of each picture: (tokens, width).
    fn states<P: AsRef<[f32]>>(&self, pictures: &[P]) -> Result<Vec<Tensor>> {
        let tokens = self.embedding.token_count();
        let hidden = self.embedding.forward(pictures)?;
        let hidden = self
            .transformer
            .forward(hidden, &vec![tokens; pictures.len()])?;
        let hidden = self.norm.forward(&hidden)?;
        (0..pictures.len())
            .map(|picture| Ok(hidden.narrow(0, picture * tokens, tokens)?))
            .collect()
    }

    /// The states of the picture's encoder, tokens * width values for each picture.
    ///
    /// # Errors
    /// When a picture has another number of values than [`ImageToText::image_size`] says.
    pub fn image_states<P: AsRef<[f32]>>(&self, pictures: &[P]) -> Result<Vec<Vec<f32>>> {
        let states = self.states(pictures)?;
        let values = |state: &Tensor| Ok(state.flatten_all()?.to_vec1()?);
        states.iter().map(values).collect()
    }

    /// The logits after each of `ids` for a picture: ids * vocabulary values.
    ///
    /// # Errors
    /// When the picture has another number of values, or an id is outside the vocabulary.
    pub fn logits(&self, picture: &[f32], ids: &[u32]) -> Result<Vec<f32>> {
        let mut decoding = self.decoder.begin(&self.states(&[picture])?)?;
        let logits = decoding.all_logits(&[ids.to_vec()])?;
        Ok(logits.flatten_all()?.to_vec1()?)
    }

    /// The text of token ids, as a caption of them reads.
    ///
    /// # Errors
    /// When the vocabulary cannot take them.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.vocabulary.decode(ids)
    }

    /// The tokens that a caption begins with.
    fn prompt(&self, prompt: Option<&str>) -> Result<Vec<u32>> {
        let mut ids = vec![self.begin];
        if let Some(text) = prompt {
            ids.extend(self.vocabulary.encode(text)?);
        }
        Ok(ids)
    }
}

fn own_vocabulary(path: &Path) -> Option<PathBuf> {
    let folder = if path.is_dir() { path } else { path.parent()? };
    ["tokenizer.json", "vocab.txt"]
        .map(|name| folder.join(name))
        .into_iter()
        .find(|path| path.is_file())
}

impl ImageToText for Blip {
    fn image_size(&self) -> (usize, usize) {
        self.embedding.image_size()
    }

    /// Greedy, 32 new tokens, as CLIP Interrogator asks for it; of models with fewer positions as
    /// many as there are after the first.
    fn default_options(&self) -> GenerationOptions {
        GenerationOptions {
            max_new_tokens: Some(NEW_TOKENS.min(self.decoder.positions().saturating_sub(1))),
            end_token: self.end,
            ..GenerationOptions::default()
        }
    }

    fn check(&self, prompt: Option<&str>, options: &GenerationOptions) -> Result<()> {
        let (vocabulary, positions) = (self.decoder.vocabulary(), self.decoder.positions());
        let prompt = self.prompt(prompt)?;
        generated("blip", options.check_for(&prompt, vocabulary, positions))
    }

    /// `prompt` is the beginning of the caption, such as "a picture of"; the caption contains it,
    /// spelt as its tokens spell it.
    fn caption(
        &self,
        pictures: &[Vec<f32>],
        prompt: Option<&str>,
        options: &GenerationOptions,
    ) -> Result<Vec<Caption>> {
        let prompt = self.prompt(prompt)?;
        let mut captions = Vec::with_capacity(pictures.len());
        for pictures in pictures.chunks(PICTURES_AT_ONCE) {
            let mut decoding = self.decoder.begin(&self.states(pictures)?)?;
            let prompts = vec![prompt.clone(); pictures.len()];
            let results = generated("blip", generate(&mut decoding, &prompts, options))?;
            for result in results {
                captions.push(Caption {
                    text: self.vocabulary.decode(&result.token_ids)?,
                    token_ids: result.token_ids,
                    score: result.score,
                });
            }
        }
        Ok(captions)
    }
}
