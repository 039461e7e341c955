//! OFA, the captioner: one transformer over a picture's features and a question, one that answers.
//!
//! Paper: Wang et al., "OFA: Unifying Architectures, Tasks, and Modalities Through a Simple
//! Sequence-to-Sequence Learning Framework" (2022). Reference: `OFAModel` of modelscope 1.40, and
//! for the search transformers 4.18, which the published weights are used with. Layout: a folder
//! with `config.json`, `pytorch_model.bin` (or safetensors), `vocab.json` and `merges.txt`.

mod attention;
mod config;
mod decoder;
mod encoder;
mod resnet;

use crate::{
    Caption, ImageToText, LoadOptions, ModelError, Result, byte_level::BytePairs,
    captioning::generated, configuration::read_json, weights::Weights,
};
use candle_core::Tensor;
use config::OfaConfig;
use decoder::TextDecoder;
use encoder::Encoder;
use serde_json::{Map, Value};
use std::{cell::RefCell, path::Path};
use unprompt_checkpoint::Checkpoint;
use unprompt_nn::{GenerationOptions, LengthPenalty, generate};

/// Pictures that are captioned at once; bounds the memory of a long list.
const PICTURES_AT_ONCE: usize = 4;

/// Side of the pictures that the captioners were trained on.
const IMAGE_SIZE: usize = 480;

/// What the captioners were trained to be asked.
const QUESTION: &str = " what does the image describe?";

/// An OFA with its vocabulary.
#[derive(Debug)]
pub struct Ofa {
    encoder: Encoder,
    decoder: TextDecoder,
    vocabulary: BytePairs,
    config: OfaConfig,
}

impl Ofa {
    /// Reads a model's folder.
    ///
    /// # Errors
    /// Names the file and the setting that is not built, or the tensor with the expected and the
    /// found shape.
    pub fn load(folder: &Path, options: impl Into<LoadOptions>) -> Result<Self> {
        let options = options.into();
        let config_path = folder.join("config.json");
        let config: Map<String, Value> = read_json(&config_path)?;
        let config = OfaConfig::parse(&config)
            .map_err(|message| ModelError::configuration(&config_path, message))?;
        let vocabulary = BytePairs::load(folder)?;
        let checkpoint = Checkpoint::open(folder, options.pickle)?;
        let used = RefCell::default();
        let root = Weights::new(&checkpoint, &used).computed(&options.compute.on_cpu());
        let model = Self {
            encoder: Encoder::new(&root.at("encoder"), &config)?,
            decoder: TextDecoder::new(&root.at("decoder"), &config)?,
            vocabulary,
            config,
        };
        root.check_all_used(is_left_over)?;
        Ok(model)
    }

    /// The states of the encoder, tokens * width values for each picture: the picture's places row
    /// by row, then the question's tokens.
    ///
    /// # Errors
    /// When a picture has another number of values than [`ImageToText::image_size`] says.
    pub fn image_states<P: AsRef<[f32]>>(&self, pictures: &[P]) -> Result<Vec<Vec<f32>>> {
        let encoded = self
            .encoder
            .forward(pictures, self.side(), &self.question(None)?)?;
        let values = |state: &Tensor| Ok(state.flatten_all()?.to_vec1()?);
        encoded.states.iter().map(values).collect()
    }

    /// The logits after each of `ids` for a picture: ids * vocabulary values.
    ///
    /// # Errors
    /// When the picture has another number of values, or an id is outside the vocabulary.
    pub fn logits(&self, picture: &[f32], ids: &[u32]) -> Result<Vec<f32>> {
        let question = self.question(None)?;
        let encoded = self.encoder.forward(&[picture], self.side(), &question)?;
        let mut decoding = self.decoder.begin(&encoded, ids.len())?;
        let logits = decoding.all_logits(&[ids.to_vec()])?;
        Ok(logits.flatten_all()?.to_vec1()?)
    }

    /// The ids that a text becomes between those of its ends.
    ///
    /// # Errors
    /// When the vocabulary cannot take it.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        self.vocabulary.encode(text)
    }

    /// The text of token ids, as a caption of them reads.
    ///
    /// # Errors
    /// When the vocabulary cannot take them.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.vocabulary.decode(ids)
    }

    fn question(&self, prompt: Option<&str>) -> Result<Vec<u32>> {
        self.vocabulary.encode(prompt.unwrap_or(QUESTION))
    }

    /// As large as in training, or as the table of positions allows.
    fn side(&self) -> usize {
        IMAGE_SIZE.min(resnet::STRIDE * self.config.image_bucket_size)
    }
}

/// What a file holds that captions have no use for: buffers, and what draws pictures.
fn is_left_over(name: &str) -> bool {
    // Heads of other tasks.
    if name == "temp" || name.starts_with("mlp_head.") {
        return true;
    }
    let name = match name.split_once('.') {
        Some(("encoder" | "decoder", name)) => name,
        _ => return false,
    };
    name.ends_with("num_batches_tracked")
        || matches!(
            name,
            "token_rp_bucket" | "image_rp_bucket" | "image_position_idx" | "version"
        )
        || [
            "code_layernorm_embedding.",
            "embed_image_positions.",
            "image_pos_ln.",
            "image_rel_pos_table_list.",
        ]
        .iter()
        .any(|beginning| name.starts_with(beginning))
}

impl ImageToText for Ofa {
    fn image_size(&self) -> (usize, usize) {
        (self.side(), self.side())
    }

    /// Five beams, no two tokens twice, by the rules of transformers 4, and the lengths and the
    /// forced end token of the model's configuration.
    fn default_options(&self) -> GenerationOptions {
        let config = &self.config;
        GenerationOptions {
            beams: 5,
            no_repeat_ngram: 2,
            max_length: config.max_length,
            min_length: config.min_length,
            length_penalty: config.length_penalty,
            length_penalty_of: LengthPenalty::WholeSequence,
            early_stopping: config.early_stopping,
            end_token: config.eos_token_id,
            forced_first_token: config.forced_bos_token_id,
            forced_end_token: config.forced_eos_token_id,
            // The reference fails where it comes.
            suppressed_tokens: vec![config.pad_token_id],
            ..GenerationOptions::default()
        }
    }

    fn check(&self, prompt: Option<&str>, options: &GenerationOptions) -> Result<()> {
        let question = self.question(prompt)?.len();
        let most = self.encoder.text_positions();
        if question > most {
            return Err(ModelError::Generation(format!(
                "a question of {question} tokens, where the model takes {most}"
            )));
        }
        let (begin, vocabulary) = (self.config.decoder_start_token_id, self.config.vocab_size);
        let checked = options.check_for(&[begin], vocabulary, self.decoder.longest());
        generated("ofa", checked)
    }

    /// `prompt` is the question; without one it is the captioners' own, " what does the image
    /// describe?", with the space before it.
    fn caption(
        &self,
        pictures: &[Vec<f32>],
        prompt: Option<&str>,
        options: &GenerationOptions,
    ) -> Result<Vec<Caption>> {
        self.check(prompt, options)?;
        let question = self.question(prompt)?;
        let longest = options
            .max_new_tokens
            .map_or(options.max_length, |new| new.saturating_add(1));
        let begin = vec![self.config.decoder_start_token_id];
        let mut captions = Vec::with_capacity(pictures.len());
        for pictures in pictures.chunks(PICTURES_AT_ONCE) {
            let encoded = self.encoder.forward(pictures, self.side(), &question)?;
            let mut decoding = self.decoder.begin(&encoded, longest)?;
            let prompts = vec![begin.clone(); pictures.len()];
            for result in generated("ofa", generate(&mut decoding, &prompts, options))? {
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
