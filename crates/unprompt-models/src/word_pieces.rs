//! BERT's tokenizer as a captioner uses it: texts to ids without special tokens, and back.
//!
//! Source: `BertTokenizer` of transformers 5.24, uncased.

use crate::{
    ModelError, Result,
    clip_tokenizer::check_length,
    configuration::read_optional,
    tokenizers_within::{encode, parse},
};
use serde_json::{Map, Value, json};
use std::path::Path;
use tokenizers::{
    AddedToken, Tokenizer, decoders::wordpiece::WordPiece as WordPieceDecoder,
    models::wordpiece::WordPiece, normalizers::bert::BertNormalizer,
    pre_tokenizers::bert::BertPreTokenizer,
};

const SPECIAL: [&str; 5] = ["[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"];

#[derive(Debug)]
pub(crate) struct WordPieces {
    tokenizer: Tokenizer,
    clean_up: bool,
}

impl WordPieces {
    /// Reads a `tokenizer.json`, or a `vocab.txt` with one word piece a line. `clean_up` also takes
    /// the spaces out of contractions, as transformers 4 does unless told not to, and 5 if told to.
    pub(crate) fn load(path: &Path, clean_up: bool) -> Result<Self> {
        let refuse = |message: String| ModelError::configuration(path, message);
        let bytes = read_optional(path)?.ok_or_else(|| refuse("no such file".into()))?;
        let is_json = path
            .extension()
            .is_some_and(|extension| extension == "json");
        let mut tokenizer = if is_json {
            let mut tokenizer = parse(path, &bytes)?;
            // What a sentence encoder's file says about lengths is not for captions.
            tokenizer
                .with_truncation(None)
                .map_err(|error| refuse(error.to_string()))?;
            tokenizer.with_padding(None);
            tokenizer
        } else {
            let text = String::from_utf8(bytes).map_err(|error| refuse(error.to_string()))?;
            let id = |(id, line): (usize, &str)| (line.trim_end().to_owned(), Value::from(id));
            let vocabulary: Map<String, Value> = text.lines().enumerate().map(id).collect();
            if !vocabulary.contains_key("[UNK]") {
                return Err(refuse("no line `[UNK]`, as a BERT vocabulary has".into()));
            }
            let pieces = json!({
                "type": "WordPiece",
                "vocab": vocabulary,
                "unk_token": "[UNK]",
                "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 100,
            });
            let pieces: WordPiece = serde_json::from_str(&pieces.to_string())
                .map_err(|error| refuse(error.to_string()))?;
            let mut tokenizer = Tokenizer::new(pieces);
            tokenizer
                .with_normalizer(Some(BertNormalizer::default()))
                .map_err(|error| refuse(error.to_string()))?;
            tokenizer.with_pre_tokenizer(Some(BertPreTokenizer));
            let special: Vec<AddedToken> = SPECIAL
                .into_iter()
                .filter(|token| tokenizer.token_to_id(token).is_some())
                .map(|token| AddedToken::from(token, true))
                .collect();
            tokenizer
                .add_special_tokens(special)
                .map_err(|error| refuse(error.to_string()))?;
            tokenizer
        };
        tokenizer.with_decoder(Some(WordPieceDecoder::new("##".into(), true)));
        Ok(Self {
            tokenizer,
            clean_up,
        })
    }

    pub(crate) fn id(&self, piece: &str) -> Option<u32> {
        self.tokenizer.token_to_id(piece)
    }

    /// How many ids there are.
    pub(crate) fn len(&self) -> usize {
        self.tokenizer.get_vocab_size(true)
    }

    /// The ids of a text without special tokens.
    pub(crate) fn encode(&self, text: &str) -> Result<Vec<u32>> {
        check_length(text)?;
        encode(&self.tokenizer, text, false)
    }

    /// The text of ids: special and unknown ones left out, pieces joined, spaces before
    /// punctuation removed, no white space around it.
    pub(crate) fn decode(&self, ids: &[u32]) -> Result<String> {
        let text = self.tokenizer.decode(ids, true);
        let text = text.map_err(|error| ModelError::Tokenizer(error.to_string()))?;
        let text = if self.clean_up { cleaned(text) } else { text };
        Ok(text.trim().to_owned())
    }
}

/// `clean_up_tokenization` of transformers.
pub(crate) fn cleaned(text: String) -> String {
    [
        (" .", "."),
        (" ?", "?"),
        (" !", "!"),
        (" ,", ","),
        (" ' ", "'"),
        (" n't", "n't"),
        (" 'm", "'m"),
        (" 's", "'s"),
        (" 've", "'ve"),
        (" 're", "'re"),
    ]
    .into_iter()
    .fold(text, |text, (from, to)| text.replace(from, to))
}
