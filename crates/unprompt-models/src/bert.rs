//! BERT, the encoder under the sentence encoder.
//!
//! Paper: Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for Language
//! Understanding" (2018). Reference: `BertModel` of transformers 5.24. Layout: `config.json` and
//! `model.safetensors`, the names with or without the prefix `bert.`.

use crate::{
    LoadOptions, ModelError, Result,
    configuration::{activation_named, read_json},
    weights::Weights,
};
use candle_core::Tensor;
use serde::Deserialize;
use std::{cell::RefCell, path::Path};
use unprompt_checkpoint::Checkpoint;
use unprompt_nn::{Activation, Embedding, LayerNorm, Linear, Mask, self_attention};

/// The part of `config.json` that changes the numbers; the defaults are those of `BertConfig`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct BertConfig {
    /// The family; anything but "bert" is refused.
    pub model_type: String,
    /// Rows of the word table.
    pub vocab_size: usize,
    /// Width of a token's vector.
    pub hidden_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Attention heads in a layer.
    pub num_attention_heads: usize,
    /// Width between the two linear layers of the feed-forward part.
    pub intermediate_size: usize,
    /// Activation of the feed-forward part, by its name in transformers.
    pub hidden_act: String,
    /// Rows of the position table.
    pub max_position_embeddings: usize,
    /// Rows of the token-type table.
    pub type_vocab_size: usize,
    /// Added to the variance in layer normalisation.
    pub layer_norm_eps: f64,
    /// Kind of position; only "absolute" exists here.
    pub position_embedding_type: String,
}

impl Default for BertConfig {
    fn default() -> Self {
        Self {
            model_type: "bert".into(),
            vocab_size: 30522,
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            hidden_act: "gelu".into(),
            max_position_embeddings: 512,
            type_vocab_size: 2,
            layer_norm_eps: 1e-12,
            position_embedding_type: "absolute".into(),
        }
    }
}

impl BertConfig {
    fn check(&self) -> std::result::Result<Activation, String> {
        if self.model_type != "bert" {
            return Err(format!(
                "model_type `{}` where `bert` is built",
                self.model_type
            ));
        }
        if self.position_embedding_type != "absolute" {
            return Err(format!(
                "position_embedding_type `{}` where `absolute` is built",
                self.position_embedding_type
            ));
        }
        if self.num_attention_heads == 0
            || !self.hidden_size.is_multiple_of(self.num_attention_heads)
        {
            return Err(format!(
                "hidden_size {} does not divide into {} heads",
                self.hidden_size, self.num_attention_heads
            ));
        }
        activation_named(&self.hidden_act)
    }
}

/// The encoder, without its pooler.
#[derive(Debug)]
pub struct Bert {
    config: BertConfig,
    word_embeddings: Embedding,
    position_embeddings: Embedding,
    // Every text is one segment, so the first row of the table serves all tokens: (1, hidden)
    token_type_embedding: Tensor,
    embeddings_norm: LayerNorm,
    layers: Vec<Layer>,
}

#[derive(Debug)]
struct Layer {
    query_key_value: Linear,
    attention_output: Linear,
    attention_norm: LayerNorm,
    intermediate: Linear,
    output: Linear,
    output_norm: LayerNorm,
}

impl Bert {
    /// Reads `config.json` and the weights of a folder.
    ///
    /// # Errors
    /// Names the file, or the tensor with the expected and the found shape.
    pub fn load(folder: &Path, options: impl Into<LoadOptions>) -> Result<Self> {
        let options = options.into();
        let config_path = folder.join("config.json");
        let config: BertConfig = read_json(&config_path)?;
        let activation = config
            .check()
            .map_err(|message| ModelError::configuration(&config_path, message))?;
        let checkpoint = Checkpoint::open(folder, options.pickle)?;
        let used = RefCell::default();
        let root = Weights::new(&checkpoint, &used).computed(&options.compute);
        let bert = root.at("bert");
        let prefixed = bert.contains("embeddings.word_embeddings.weight");
        let weights = if prefixed { bert } else { root.clone() };
        let model = Self::new(config, activation, &weights)?;
        // The pooler and the heads of pre-training come after what a sentence encoder reads.
        root.check_all_used(|name| {
            let name = name.strip_prefix("bert.").unwrap_or(name);
            name == "embeddings.position_ids"
                || name.starts_with("pooler.")
                || name.starts_with("cls.")
        })?;
        Ok(model)
    }

    fn new(config: BertConfig, activation: Activation, weights: &Weights) -> Result<Self> {
        let width = config.hidden_size;
        let embeddings = weights.at("embeddings");
        let table =
            |name: &str, rows: usize| embeddings.tensor(&format!("{name}.weight"), &[rows, width]);
        let word_embeddings = Embedding::new(table("word_embeddings", config.vocab_size)?);
        let position_embeddings = Embedding::new(table(
            "position_embeddings",
            config.max_position_embeddings,
        )?);
        let token_type_embedding =
            table("token_type_embeddings", config.type_vocab_size)?.narrow(0, 0, 1)?;
        let embeddings_norm = embeddings
            .at("LayerNorm")
            .layer_norm(width, config.layer_norm_eps)?;
        let layers = weights.at("encoder").at("layer");
        let layers = (0..config.num_hidden_layers)
            .map(|index| Layer::new(&layers.at(index), &config, activation))
            .collect::<Result<_>>()?;
        Ok(Self {
            config,
            word_embeddings,
            position_embeddings,
            token_type_embedding,
            embeddings_norm,
            layers,
        })
    }

    /// The configuration that the model was built from.
    pub fn config(&self) -> &BertConfig {
        &self.config
    }

    /// The last layer's vectors of several texts laid end to end without padding.
    ///
    /// `ids` are the tokens of all texts, special tokens included, and `lengths` the tokens of
    /// each; the result is (tokens, hidden).
    ///
    /// # Errors
    /// When an id is outside the vocabulary or a text longer than the position table.
    pub fn forward(&self, ids: &[u32], lengths: &[usize]) -> Result<Tensor> {
        let positions: Vec<u32> = lengths
            .iter()
            .flat_map(|length| 0..*length as u32)
            .collect();
        let words = self.word_embeddings.forward(ids)?;
        let positions = self.position_embeddings.forward(&positions)?;
        let words = words.broadcast_add(&self.token_type_embedding)?;
        let mut hidden = self.embeddings_norm.forward_residual(&words, &positions)?;
        for layer in &self.layers {
            hidden = layer.forward(&hidden, lengths, self.config.num_attention_heads)?;
        }
        Ok(hidden)
    }
}

impl Layer {
    fn new(weights: &Weights, config: &BertConfig, activation: Activation) -> Result<Self> {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let attention = weights.at("attention");
        let parts = ["query", "key", "value"].map(|name| attention.at("self").at(name));
        let fused_weights = parts
            .iter()
            .map(|part| part.tensor("weight", &[width, width]))
            .collect::<Result<Vec<_>>>()?;
        let fused_biases = parts
            .iter()
            .map(|part| part.tensor("bias", &[width]))
            .collect::<Result<Vec<_>>>()?;
        let query_key_value = weights.block_linear_of(
            &Tensor::cat(&fused_weights, 0)?,
            Some(&Tensor::cat(&fused_biases, 0)?),
            Activation::Identity,
        )?;
        let (attended, output) = (attention.at("output"), weights.at("output"));
        let epsilon = config.layer_norm_eps;
        Ok(Self {
            query_key_value,
            attention_output: attended
                .at("dense")
                .block_linear((width, width), Activation::Identity)?,
            attention_norm: attended.at("LayerNorm").layer_norm(width, epsilon)?,
            intermediate: weights
                .at("intermediate")
                .at("dense")
                .block_linear((inner, width), activation)?,
            output: output
                .at("dense")
                .block_linear((width, inner), Activation::Identity)?,
            output_norm: output.at("LayerNorm").layer_norm(width, epsilon)?,
        })
    }

    fn forward(&self, hidden: &Tensor, lengths: &[usize], heads: usize) -> Result<Tensor> {
        let attended = self.query_key_value.forward(hidden)?;
        let attended = self_attention(&attended, lengths, heads, Mask::None)?;
        let attended = self.attention_output.forward(&attended)?;
        let hidden = self.attention_norm.forward_residual(&attended, hidden)?;
        let inner = self.intermediate.forward(&hidden)?;
        Ok(self
            .output_norm
            .forward_residual(&self.output.forward(&inner)?, &hidden)?)
    }
}
