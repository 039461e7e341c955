//! A sentence encoder's tokenizer, which needs no network.

use crate::{
    ModelError, Result,
    clip_tokenizer::check_length,
    configuration::{read_json_optional, read_optional},
    tokenizers_within::{LONGEST_CUT, beginning, encode, parse},
};
use serde::Deserialize;
use serde_json::Value;
use std::path::Path;
use tokenizers::{Tokenizer, TruncationParams};

/// One of the steps that `modules.json` lists.
#[derive(Deserialize)]
pub(crate) struct Module {
    pub(crate) path: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
}

impl Module {
    /// Refuses a path that leaves the model's folder.
    pub(crate) fn check(&self, modules_path: &Path) -> Result<()> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        if self.path.bytes().all(plain) {
            return Ok(());
        }
        Err(ModelError::configuration(
            modules_path,
            format!("the path `{}` is not a plain folder name", self.path),
        ))
    }
}

/// What turns a text into the ids that a sentence encoder reads.
#[derive(Debug)]
pub struct SentenceTokenizer {
    tokenizer: Tokenizer,
    limit: Option<usize>,
}

impl SentenceTokenizer {
    /// Reads `tokenizer.json` of a folder of sentence-transformers or transformers. Weights need
    /// not be there, nor any other file; those that say how long a text may be are followed.
    ///
    /// # Errors
    /// Names the file that is missing or broken.
    pub fn load(folder: &Path) -> Result<Self> {
        let modules_path = folder.join("modules.json");
        let modules: Option<Vec<Module>> = read_json_optional(&modules_path)?;
        match modules.as_ref().and_then(|modules| modules.first()) {
            Some(transformer) => {
                transformer.check(&modules_path)?;
                Self::of_transformer(&folder.join(&transformer.path))
            }
            None => Self::of_transformer(folder),
        }
    }

    /// The tokenizer in the folder of the step `Transformer`.
    pub(crate) fn of_transformer(folder: &Path) -> Result<Self> {
        let path = folder.join("tokenizer.json");
        let bytes = read_optional(&path)?.ok_or_else(|| {
            ModelError::configuration(&path, "no such file in the model's folder")
        })?;
        let broken = |error: tokenizers::Error| ModelError::configuration(&path, error.to_string());
        let mut tokenizer = parse(&path, &bytes)?;
        // The file's own truncation and padding are left-overs of training.
        let limit = max_tokens(folder)?;
        let truncation = limit.map(|max_length| TruncationParams {
            max_length,
            ..TruncationParams::default()
        });
        tokenizer.with_truncation(truncation).map_err(broken)?;
        tokenizer.with_padding(None);
        Ok(Self { tokenizer, limit })
    }

    /// Most tokens of a text, special ones included; a longer one is cut. None where no file says it.
    pub fn longest(&self) -> Option<usize> {
        self.limit
    }

    /// The ids of a text: special tokens included, cut to the limit. Where there is one, no more than
    /// the first 64 KiB are looked at.
    ///
    /// # Errors
    /// When the tokenizer cannot take the text, or it is longer than a megabyte and there is no limit.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let text = match self.limit {
            Some(_) => beginning(text, LONGEST_CUT),
            None => {
                check_length(text)?;
                text
            }
        };
        encode(&self.tokenizer, text, true)
    }
}

/// The number of tokens a text is cut to: `max_seq_length`, else the tokenizer's own limit, never
/// more than there are positions; none where nothing says it.
fn max_tokens(folder: &Path) -> Result<Option<usize>> {
    let field = |file: &str, key: &str| -> Result<Option<usize>> {
        let config: Option<Value> = read_json_optional(&folder.join(file))?;
        Ok(config
            .and_then(|config| config.get(key)?.as_u64())
            .map(|limit| limit as usize))
    };
    let limit = match field("sentence_bert_config.json", "max_seq_length")? {
        Some(limit) => Some(limit),
        // 1e30, which is no whole number, where nobody set it.
        None => field("tokenizer_config.json", "model_max_length")?,
    };
    let positions = match field("config.json", "max_position_embeddings")? {
        None if folder.join("config.json").is_file() => Some(512), // as `BertConfig` has it
        positions => positions,
    };
    Ok(limit.into_iter().chain(positions).min())
}

#[cfg(test)]
#[path = "../../../attacks/long_prompt.rs"]
mod long_prompt;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_text_only_the_beginning_is_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let tokenizer = r#"{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],
            "normalizer":null,"pre_tokenizer":{"type":"Whitespace"},"decoder":null,
            "post_processor":null,
            "model":{"type":"WordLevel","vocab":{"a":0,"b":1,"[UNK]":2},"unk_token":"[UNK]"}}"#;
        std::fs::write(folder.path().join("tokenizer.json"), tokenizer).unwrap();
        let unlimited = SentenceTokenizer::load(folder.path()).unwrap();
        assert_eq!(unlimited.encode("a b c").unwrap(), [0, 1, 2]);
        assert!(unlimited.encode(&"a ".repeat(1 << 20)).is_err());
        std::fs::write(folder.path().join("config.json"), "{}").unwrap();
        let limited = SentenceTokenizer::load(folder.path()).unwrap();
        assert_eq!(limited.longest(), Some(512));
        // 8 MiB, as a picture's metadata may hold.
        let long = long_prompt::prompt(4 << 20);
        assert_eq!(limited.encode(&long).unwrap(), [0, 1].repeat(256));
        // What is too far away to be looked at counts for nothing.
        let blanks = format!("a{}b", " ".repeat(1 << 20));
        assert_eq!(limited.encode(&blanks).unwrap(), [0]);
    }
}
