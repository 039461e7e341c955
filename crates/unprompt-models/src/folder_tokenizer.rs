//! A folder's own tokenizer, for texts of a limited length.

use crate::{
    Result,
    tokenizers_within::{LONGEST_CUT, beginning, encode},
};
use serde_json::{Map, Value};
use tokenizers::{Tokenizer, TruncationParams};

/// A tokenizer that cuts a text, and the same that does not, for counting.
#[derive(Debug)]
pub(crate) struct FolderTokenizer {
    cut: Tokenizer,
    uncut: Tokenizer,
}

impl FolderTokenizer {
    /// Cuts at `limit` ids, special ones included. The file's own truncation and padding are
    /// left-overs of training.
    pub(crate) fn new(mut tokenizer: Tokenizer, limit: usize) -> tokenizers::Result<Self> {
        tokenizer.with_truncation(None)?;
        tokenizer.with_padding(None);
        let uncut = tokenizer.clone();
        let truncation = TruncationParams {
            max_length: limit,
            ..TruncationParams::default()
        };
        tokenizer.with_truncation(Some(truncation))?;
        Ok(Self {
            cut: tokenizer,
            uncut,
        })
    }

    /// The ids of a text with its special tokens, cut or whole.
    pub(crate) fn ids(&self, text: &str, cut: bool) -> Result<Vec<u32>> {
        let tokenizer = if cut { &self.cut } else { &self.uncut };
        let text = if cut {
            beginning(text, LONGEST_CUT)
        } else {
            text
        };
        encode(tokenizer, text, true)
    }

    /// The id of `pad_token` of `tokenizer_config.json`, or of `default` where it is not set; what
    /// is wrong, without the file's name, if there is none.
    pub(crate) fn padding_id(
        &self,
        config: &Map<String, Value>,
        default: &str,
    ) -> std::result::Result<u32, String> {
        // A text, or an object with the text in it.
        let token = match config.get("pad_token") {
            Some(Value::Object(token)) => token.get("content"),
            token => token,
        };
        let token = token.and_then(Value::as_str).unwrap_or(default);
        self.uncut
            .token_to_id(token)
            .ok_or_else(|| format!("the padding token `{token}` is not in the vocabulary"))
    }
}
