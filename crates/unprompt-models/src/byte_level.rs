//! GPT-2's byte pairs as BART and OFA use them: `vocab.json` and `merges.txt`.
//!
//! Source: `BartTokenizer` of transformers 4.18, on which `OFATokenizer` is built.

use crate::{
    ModelError, Result,
    clip_tokenizer::check_length,
    configuration::{read_json, read_optional},
    tokenizers_within::encode,
    word_pieces::cleaned,
};
use serde_json::{Map, Value, json};
use std::path::Path;
use tokenizers::{AddedToken, Tokenizer, models::bpe::BPE, pre_tokenizers::byte_level::ByteLevel};

const SPECIAL: [&str; 5] = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"];

#[derive(Debug)]
pub(crate) struct BytePairs {
    tokenizer: Tokenizer,
    begin: u32,
    end: u32,
}

impl BytePairs {
    /// Reads the two files of a folder, and `added_tokens.json` where it is there.
    pub(crate) fn load(folder: &Path) -> Result<Self> {
        let vocabulary_path = folder.join("vocab.json");
        let merges_path = folder.join("merges.txt");
        let vocabulary: Map<String, Value> = read_json(&vocabulary_path)?;
        let refuse = |message: String| ModelError::configuration(&vocabulary_path, message);
        let merges = read_optional(&merges_path)?
            .ok_or_else(|| ModelError::configuration(&merges_path, "no such file"))?;
        let merges = String::from_utf8(merges)
            .map_err(|error| ModelError::configuration(&merges_path, error.to_string()))?;
        let merges: Vec<&str> = merges
            .lines()
            .filter(|line| !line.starts_with("#version") && !line.trim().is_empty())
            .collect();
        let pairs = json!({
            "type": "BPE",
            "vocab": vocabulary,
            "merges": merges,
            "unk_token": "<unk>",
        });
        let pairs: BPE =
            serde_json::from_str(&pairs.to_string()).map_err(|error| refuse(error.to_string()))?;
        let mut tokenizer = Tokenizer::new(pairs);
        // No space is put before the text.
        tokenizer.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
        tokenizer.with_decoder(Some(ByteLevel::default()));
        let special: Vec<AddedToken> = SPECIAL
            .into_iter()
            .filter(|token| tokenizer.token_to_id(token).is_some())
            .map(|token| AddedToken::from(token, true).lstrip(token == "<mask>"))
            .collect();
        tokenizer
            .add_special_tokens(special)
            .map_err(|error| refuse(error.to_string()))?;
        let id = |token: &str| {
            tokenizer
                .token_to_id(token)
                .ok_or_else(|| refuse(format!("no token `{token}`")))
        };
        let (begin, end) = (id("<s>")?, id("</s>")?);
        Ok(Self {
            tokenizer,
            begin,
            end,
        })
    }

    /// The ids of a text between those of `<s>` and `</s>`.
    pub(crate) fn encode(&self, text: &str) -> Result<Vec<u32>> {
        check_length(text)?;
        let mut ids = vec![self.begin];
        ids.extend(encode(&self.tokenizer, text, false)?);
        ids.push(self.end);
        Ok(ids)
    }

    /// The text of ids: special and unknown ones left out, bytes that are no text replaced, spaces
    /// before punctuation removed, no white space around it.
    pub(crate) fn decode(&self, ids: &[u32]) -> Result<String> {
        let text = self.tokenizer.decode(ids, true);
        let text = text.map_err(|error| ModelError::Tokenizer(error.to_string()))?;
        Ok(cleaned(text).trim().to_owned())
    }
}
