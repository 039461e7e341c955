//! Texts to the ids that CLIP's text tower reads.
//!
//! Two kinds, because the references differ: open_clip repairs a text (ftfy, HTML references),
//! collapses blanks and lower-cases before its byte pairs, and pads with 0; a folder of
//! transformers brings its own tokenizer. Reference: `SimpleTokenizer` of open_clip 3.3.0, and
//! `CLIPTokenizer` of transformers 5.24.

mod byte_pairs;
mod html;
mod text_repair;

use crate::{
    ModelError, Result,
    configuration::{read_json_optional, read_optional},
    folder_tokenizer::FolderTokenizer,
    tokenizers_within::{beginning, parse},
};
use byte_pairs::BytePairs;
use regex::Regex;
use serde_json::{Map, Value};
use std::{collections::HashMap, path::Path};
use tokenizers::{
    AddedToken, SplitDelimiterBehavior, Tokenizer,
    models::bpe::BPE,
    normalizers::{Lowercase, NFC, Replace, Sequence, replace::ReplacePattern},
    pre_tokenizers::{
        byte_level::ByteLevel,
        sequence::Sequence as PreTokenizers,
        split::{Split, SplitPattern},
    },
    processors::roberta::RobertaProcessing,
};

/// A text longer than this is no prompt, and would take long to clean.
const LONGEST_TEXT: usize = 1 << 20;

/// Refuses a text that is too long to be one.
pub(crate) fn check_length(text: &str) -> Result<()> {
    if text.len() <= LONGEST_TEXT {
        return Ok(());
    }
    Err(ModelError::Tokenizer(format!(
        "a text of {} bytes where at most {LONGEST_TEXT} are taken",
        text.len()
    )))
}

/// open_clip's words: names of the two special tokens, English endings, letters, single digits, and
/// runs of anything else. U+0345 is in none: as a letter's variant in another case it falls out of
/// the last class in the reference, which ignores case.
const WORDS: &str = r"(?i:<start_of_text>|<end_of_text>|'s|'t|'re|'ve|'m|'ll|'d)|\p{L}+|\p{N}|[^\s\p{L}\p{N}\x{345}]+";
/// Those of transformers.
const FOLDER_WORDS: &str =
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

/// A tokenizer of CLIP.
#[derive(Debug)]
pub struct ClipTokenizer {
    kind: Kind,
    context_length: usize,
    padding_id: u32,
}

#[derive(Debug)]
enum Kind {
    OpenClip { words: Regex, byte_pairs: BytePairs },
    Folder(Box<FolderTokenizer>),
}

impl ClipTokenizer {
    /// open_clip's own, from the file `bpe_simple_vocab_16e6.txt.gz`, for a text tower of this
    /// context length (77 in every published model of this kind).
    ///
    /// # Errors
    /// When the file is missing or not that vocabulary.
    pub fn open_clip(vocabulary: &Path, context_length: usize) -> Result<Self> {
        Self::of_byte_pairs(BytePairs::load(vocabulary)?, context_length)
    }

    /// The same with the byte pairs of a folder, `vocab.json` and `merges.txt`: open_clip's own rules
    /// for texts, whatever else the folder says of its tokenizer.
    ///
    /// # Errors
    /// When a file is missing or broken, or one gives other ids than the other.
    pub fn open_clip_of_folder(folder: &Path, context_length: usize) -> Result<Self> {
        Self::of_byte_pairs(BytePairs::of_folder(folder)?, context_length)
    }

    fn of_byte_pairs(byte_pairs: BytePairs, context_length: usize) -> Result<Self> {
        let words = Regex::new(WORDS).map_err(|error| ModelError::Tokenizer(error.to_string()))?;
        Ok(Self {
            kind: Kind::OpenClip { words, byte_pairs },
            context_length,
            padding_id: 0,
        })
    }

    /// That of a folder of transformers: `tokenizer.json`, or `vocab.json` and `merges.txt`.
    /// Texts are cut to `model_max_length` of `tokenizer_config.json`, never beyond the text
    /// tower's context length.
    ///
    /// # Errors
    /// Names the file that is missing or broken.
    pub fn from_folder(folder: &Path, context_length: usize) -> Result<Self> {
        let config_path = folder.join("tokenizer_config.json");
        let config: Option<Map<String, Value>> = read_json_optional(&config_path)?;
        let mut config = config.unwrap_or_default();
        // In folders from before there was `added_tokens_decoder` this file has the last word.
        if !config.contains_key("added_tokens_decoder") {
            let path = folder.join("special_tokens_map.json");
            let special: Option<Map<String, Value>> = read_json_optional(&path)?;
            config.extend(special.unwrap_or_default());
        }
        // 1e30 where nobody set it.
        let limit = config
            .get("model_max_length")
            .and_then(Value::as_u64)
            .map_or(context_length, |limit| context_length.min(limit as usize));
        let path = folder.join("tokenizer.json");
        let tokenizer = match read_optional(&path)? {
            Some(bytes) => parse(&path, &bytes)?,
            None => from_vocabulary_and_merges(folder)?,
        };
        let tokenizer = FolderTokenizer::new(tokenizer, limit)
            .map_err(|error| ModelError::configuration(&path, error.to_string()))?;
        let padding_id = tokenizer
            .padding_id(&config, "<|endoftext|>")
            .map_err(|message| ModelError::configuration(&config_path, message))?;
        Ok(Self {
            kind: Kind::Folder(Box::new(tokenizer)),
            context_length: limit,
            padding_id,
        })
    }

    /// Most ids of a text, start and end included.
    pub fn context_length(&self) -> usize {
        self.context_length
    }

    /// The ids of a text from the start token to the end token, without padding. A longer text is
    /// cut so that the last id is the end token; no more than its first megabyte is looked at, of a
    /// folder's tokenizer than its first 64 KiB.
    ///
    /// # Errors
    /// When the folder's tokenizer cannot take the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        self.ids(text, true)
    }

    fn ids(&self, text: &str, cut: bool) -> Result<Vec<u32>> {
        let text = if cut {
            beginning(text, LONGEST_TEXT)
        } else {
            check_length(text)?;
            text
        };
        match &self.kind {
            Kind::OpenClip { words, byte_pairs } => {
                let start = byte_pairs.start_id();
                let end = start + 1;
                let mut ids = vec![start];
                for word in words.find_iter(&clean(text)).map(|word| word.as_str()) {
                    match word {
                        "<start_of_text>" => ids.push(start),
                        "<end_of_text>" => ids.push(end),
                        word => byte_pairs.encode(word.as_bytes(), &mut ids),
                    }
                    if cut && ids.len() >= self.context_length {
                        break;
                    }
                }
                if cut {
                    ids.truncate(self.context_length.saturating_sub(1));
                }
                ids.push(end);
                Ok(ids)
            }
            Kind::Folder(tokenizer) => tokenizer.ids(text, cut),
        }
    }

    /// Whether the ids of this text are the same whatever stands before and after it, as long as a
    /// blank is between: so for open_clip's tokenizer where no repair and no HTML reference can
    /// reach across the blank. `false` says only that it is not known.
    pub fn stands_alone(&self, text: &str) -> bool {
        let plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'&' && byte != b'<';
        matches!(self.kind, Kind::OpenClip { .. }) && text.bytes().all(plain)
    }

    /// How many ids a text has, start and end included, if it is not cut.
    ///
    /// # Errors
    /// As `encode`, and when the text is longer than a megabyte.
    pub fn count(&self, text: &str) -> Result<usize> {
        Ok(self.ids(text, false)?.len())
    }

    /// As [`encode`](Self::encode), padded to [`context_length`](Self::context_length) as the
    /// reference does.
    ///
    /// # Errors
    /// As `encode`.
    pub fn encode_padded(&self, text: &str) -> Result<Vec<u32>> {
        let mut ids = self.encode(text)?;
        ids.resize(self.context_length.max(ids.len()), self.padding_id);
        Ok(ids)
    }
}

/// open_clip's cleaning for its own tokenizer.
fn clean(text: &str) -> String {
    collapse_blanks(&repaired(text)).to_lowercase()
}

/// A text repaired, with HTML references replaced twice.
pub(crate) fn repaired(text: &str) -> String {
    let text = text_repair::repair(text);
    html::unescape(&html::unescape(&text))
}

/// Words with one blank between them, and none at the ends.
pub(crate) fn collapse_blanks(text: &str) -> String {
    let words = text.split(is_blank).filter(|word| !word.is_empty());
    words.collect::<Vec<&str>>().join(" ")
}

/// What Python splits at: Unicode's blanks and the four separators of ASCII.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}')
}

/// The tokenizer that transformers builds from `vocab.json` and `merges.txt`.
fn from_vocabulary_and_merges(folder: &Path) -> Result<Tokenizer> {
    let vocabulary_path = folder.join("vocab.json");
    let merges_path = folder.join("merges.txt");
    let failed =
        |error: tokenizers::Error| ModelError::configuration(&vocabulary_path, error.to_string());
    let vocabulary: Option<HashMap<String, u32>> = read_json_optional(&vocabulary_path)?;
    let vocabulary = vocabulary.ok_or_else(|| {
        ModelError::configuration(
            &folder.join("tokenizer.json"),
            "no such file, and no `vocab.json` beside it",
        )
    })?;
    // Read here for the check of its size; the library reads it again.
    if read_optional(&merges_path)?.is_none() {
        return Err(ModelError::configuration(&merges_path, "no such file"));
    }
    let special = ["<|startoftext|>", "<|endoftext|>"];
    let [start, end] = special.map(|token| vocabulary.get(token).copied());
    let (Some(start), Some(end)) = (start, end) else {
        return Err(ModelError::configuration(
            &vocabulary_path,
            "`<|startoftext|>` and `<|endoftext|>` are not both in it",
        ));
    };
    let (vocabulary_name, merges_name) = (
        vocabulary_path.to_string_lossy(),
        merges_path.to_string_lossy(),
    );
    let model = BPE::from_file(&vocabulary_name, &merges_name)
        .continuing_subword_prefix(String::new())
        .end_of_word_suffix("</w>".into())
        .unk_token(special[1].into())
        .build()
        .map_err(failed)?;
    let mut tokenizer = Tokenizer::new(model);
    let blanks = Replace::new(ReplacePattern::Regex(r"\s+".into()), " ").map_err(failed)?;
    let normalizer = Sequence::new(vec![NFC.into(), blanks.into(), Lowercase.into()]);
    tokenizer
        .with_normalizer(Some(normalizer))
        .map_err(failed)?;
    let split = Split::new(
        SplitPattern::Regex(FOLDER_WORDS.into()),
        SplitDelimiterBehavior::Removed,
        true,
    )
    .map_err(failed)?;
    tokenizer.with_pre_tokenizer(Some(PreTokenizers::new(vec![
        split.into(),
        ByteLevel::new(false, true, true).into(),
    ])));
    let post = RobertaProcessing::new((special[1].into(), end), (special[0].into(), start))
        .trim_offsets(false)
        .add_prefix_space(false);
    tokenizer.with_post_processor(Some(post));
    tokenizer
        .add_special_tokens(special.map(|token| AddedToken::from(token, true)))
        .map_err(failed)?;
    Ok(tokenizer)
}
