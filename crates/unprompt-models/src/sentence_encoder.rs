//! SBERT: a text to one vector.
//!
//! Paper: Reimers and Gurevych, "Sentence-BERT" (2019). Reference: sentence-transformers 6.2, and
//! all-MiniLM-L6-v2 (Apache-2.0) as the weights of the pipeline. Layout: `modules.json` names the
//! steps (Transformer, Pooling, Normalize) and their folders.

use crate::{
    Bert, LoadOptions, ModelError, Result, SentenceTokenizer, configuration::read_json,
    sentence_tokenizer::Module, to_unit_length,
};
use candle_core::DType;
use serde_json::Value;
use std::path::Path;

/// Tokens that go through the network at once; bounds the memory of a long list of texts.
const TOKENS_AT_ONCE: usize = 4096;

/// How the vectors of a text's tokens become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// The mean over all tokens.
    Mean,
    /// The first token's vector.
    Cls,
}

/// A sentence encoder: tokenizer, BERT, pooling and, if the model has it, normalisation.
#[derive(Debug)]
pub struct SentenceEncoder {
    tokenizer: SentenceTokenizer,
    bert: Bert,
    pooling: Pooling,
    normalize: bool,
}

impl SentenceEncoder {
    /// Reads a folder in the layout of sentence-transformers.
    ///
    /// # Errors
    /// Names the file and what in it is missing, broken or not built.
    pub fn load(folder: &Path, options: impl Into<LoadOptions>) -> Result<Self> {
        let modules_path = folder.join("modules.json");
        let modules: Vec<Module> = read_json(&modules_path)?;
        let refuse = |message: String| Err(ModelError::configuration(&modules_path, message));
        // The type is a Python path; releases moved the classes but kept their names.
        let kinds: Vec<&str> = modules
            .iter()
            .map(|m| m.kind.rsplit('.').next().unwrap_or_default())
            .collect();
        let normalize = match kinds.as_slice() {
            ["Transformer", "Pooling"] => false,
            ["Transformer", "Pooling", "Normalize"] => true,
            _ => {
                return refuse(format!(
                    "the steps {kinds:?} where Transformer, Pooling and optionally Normalize are built"
                ));
            }
        };
        for module in &modules {
            module.check(&modules_path)?;
        }
        let transformer = folder.join(&modules[0].path);
        let pooling = read_pooling(&folder.join(&modules[1].path).join("config.json"))?;
        let bert = Bert::load(&transformer, options)?;
        let tokenizer = SentenceTokenizer::of_transformer(&transformer)?;
        Ok(Self {
            tokenizer,
            bert,
            pooling,
            normalize,
        })
    }

    /// Width of the embeddings.
    pub fn width(&self) -> usize {
        self.bert.config().hidden_size
    }

    /// The ids of a text as the network sees them: special tokens included, cut to the limit.
    ///
    /// # Errors
    /// When the tokenizer cannot take the text.
    pub fn tokenize(&self, text: &str) -> Result<Vec<u32>> {
        self.tokenizer.encode(text)
    }

    /// One vector of [`width`](Self::width) numbers for each text, of unit length if the model
    /// normalises.
    ///
    /// # Errors
    /// When the weights give no finite number.
    pub fn embed<T: AsRef<str> + Sync>(&self, texts: &[T]) -> Result<Vec<Vec<f32>>> {
        let mut embeddings = self.embed_raw(texts)?;
        if self.normalize {
            embeddings
                .iter_mut()
                .for_each(|embedding| to_unit_length(embedding));
        }
        Ok(embeddings)
    }

    /// As [`embed`](Self::embed), without the final normalisation.
    ///
    /// # Errors
    /// As `embed`.
    pub fn embed_raw<T: AsRef<str> + Sync>(&self, texts: &[T]) -> Result<Vec<Vec<f32>>> {
        let mut embeddings = Vec::with_capacity(texts.len());
        let (mut ids, mut lengths) = (Vec::new(), Vec::new());
        for (index, text) in texts.iter().enumerate() {
            let text_ids = self.tokenize(text.as_ref())?;
            ids.extend_from_slice(&text_ids);
            lengths.push(text_ids.len());
            if ids.len() >= TOKENS_AT_ONCE || index + 1 == texts.len() {
                embeddings.extend(self.pool(&ids, &lengths)?);
                ids.clear();
                lengths.clear();
            }
        }
        Ok(embeddings)
    }

    fn pool(&self, ids: &[u32], lengths: &[usize]) -> Result<Vec<Vec<f32>>> {
        let hidden = self
            .bert
            .forward(ids, lengths)?
            .to_dtype(DType::F32)?
            .flatten_all()?
            .to_vec1::<f32>()?;
        let width = self.width();
        let mut rows = hidden.chunks_exact(width);
        let mut embeddings = Vec::with_capacity(lengths.len());
        for &length in lengths {
            let mut embedding = vec![0.0; width];
            for (index, row) in rows.by_ref().take(length).enumerate() {
                if index == 0 || self.pooling == Pooling::Mean {
                    embedding
                        .iter_mut()
                        .zip(row)
                        .for_each(|(sum, value)| *sum += value);
                }
            }
            if self.pooling == Pooling::Mean {
                let count = length.max(1) as f32;
                embedding.iter_mut().for_each(|value| *value /= count);
            }
            if embedding.iter().any(|value| !value.is_finite()) {
                return Err(ModelError::NotFinite {
                    model: "sentence encoder",
                });
            }
            embeddings.push(embedding);
        }
        Ok(embeddings)
    }
}

/// Reads `1_Pooling/config.json`: flags until sentence-transformers 5, one word since 6.
fn read_pooling(path: &Path) -> Result<Pooling> {
    let config: serde_json::Map<String, Value> = read_json(path)?;
    let mut modes: Vec<&str> = config
        .iter()
        .filter(|(_, value)| **value == Value::Bool(true))
        .filter_map(|(key, _)| key.strip_prefix("pooling_mode_"))
        .collect();
    match config.get("pooling_mode") {
        Some(Value::String(mode)) => modes.push(mode),
        Some(Value::Array(list)) => modes.extend(list.iter().filter_map(Value::as_str)),
        _ => {}
    }
    match modes.as_slice() {
        ["mean_tokens" | "mean"] => Ok(Pooling::Mean),
        ["cls_token" | "cls"] => Ok(Pooling::Cls),
        _ => Err(ModelError::configuration(
            path,
            format!("the pooling {modes:?} where exactly one of mean and cls is built"),
        )),
    }
}
