//! Texts to the ids that SigLIP's text tower reads.
//!
//! References: `HFTokenizer` of open_clip 3.3.0, which cleans a text before the folder's tokenizer,
//! and `SiglipTokenizer` of transformers 5.24, which takes away case and punctuation within it.

use crate::{
    ModelError, Result,
    clip_tokenizer::{check_length, collapse_blanks, repaired},
    configuration::{read_json_optional, read_optional},
    folder_tokenizer::FolderTokenizer,
    tokenizers_within::{LONGEST_CUT, beginning, parse},
};
use serde_json::{Map, Value};
use std::path::Path;
use tokenizers::{
    NormalizerWrapper,
    normalizers::{Lowercase, Prepend, Replace, Sequence, Strip, replace::ReplacePattern},
};

/// What happens to a text before the folder's tokenizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cleaning {
    /// open_clip's `canonicalize`: repaired, no punctuation, lower case, single blanks.
    Canonical,
    /// open_clip's `lower`: repaired, lower case, single blanks.
    Lower,
    /// open_clip's `whitespace`: repaired, single blanks.
    Blanks,
    /// That of transformers, which depends on the class that `tokenizer_config.json` names.
    Folder,
    /// The same for a class that takes away case: before the folder's tokenizer, because the
    /// last sigma of a word has a lower case of its own.
    FolderLower,
}

/// A tokenizer of SigLIP.
#[derive(Debug)]
pub struct SiglipTokenizer {
    tokenizer: FolderTokenizer,
    cleaning: Cleaning,
    context_length: usize,
    padding_id: u32,
    pads_left: bool,
}

impl SiglipTokenizer {
    /// Reads `tokenizer.json` and `tokenizer_config.json`.
    ///
    /// # Errors
    /// Names the file that is missing or broken.
    pub(super) fn from_folder(
        folder: &Path,
        context_length: usize,
        cleaning: Cleaning,
    ) -> Result<Self> {
        let config_path = folder.join("tokenizer_config.json");
        let config: Option<Map<String, Value>> = read_json_optional(&config_path)?;
        let config = config.unwrap_or_default();
        let path = folder.join("tokenizer.json");
        let bytes = read_optional(&path)?.ok_or_else(|| {
            let message = if folder.join("spiece.model").is_file() {
                "no such file in the model's folder; `spiece.model` alone is not read: save the \
                 tokenizer with its fast variant"
            } else {
                "no such file in the model's folder"
            };
            ModelError::configuration(&path, message)
        })?;
        let broken = |error: tokenizers::Error| ModelError::configuration(&path, error.to_string());
        let mut tokenizer = parse(&path, &bytes)?;
        let class = config.get("tokenizer_class").and_then(Value::as_str);
        let class = class.unwrap_or_default().trim_end_matches("Fast");
        let is_open_clip = cleaning != Cleaning::Folder;
        let mut cleaning = cleaning;
        if cleaning == Cleaning::Folder {
            let (before, after) = steps_of(class).map_err(broken)?;
            let own = tokenizer.get_normalizer().cloned();
            let steps = Sequence::new(before.into_iter().chain(own).chain(after).collect());
            tokenizer.with_normalizer(Some(steps)).map_err(broken)?;
            if class == "SiglipTokenizer" && config.get("do_lower_case") != Some(&false.into()) {
                cleaning = Cleaning::FolderLower;
            }
        }
        // 1e30 where nobody set it; open_clip does not ask.
        let limit = config.get("model_max_length").and_then(Value::as_u64);
        let limit = limit.filter(|_| !is_open_clip);
        let max_length = limit.map_or(context_length, |limit| context_length.min(limit as usize));
        let tokenizer = FolderTokenizer::new(tokenizer, max_length).map_err(broken)?;
        let padding = if class == "SiglipTokenizer" {
            "</s>"
        } else {
            "<pad>"
        };
        let padding_id = tokenizer
            .padding_id(&config, padding)
            .map_err(|message| ModelError::configuration(&config_path, message))?;
        let pads_left = match config.get("padding_side").and_then(Value::as_str) {
            Some(side) => side == "left",
            None => matches!(class, "GemmaTokenizer" | "Siglip2Tokenizer"),
        };
        Ok(Self {
            tokenizer,
            cleaning,
            context_length,
            padding_id,
            pads_left,
        })
    }

    /// Ids of every text, padding included.
    pub fn context_length(&self) -> usize {
        self.context_length
    }

    /// The ids of a text, cut and padded to [`context_length`](Self::context_length). No more than its
    /// first 64 KiB are looked at.
    ///
    /// # Errors
    /// When the folder's tokenizer cannot take the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let ids = self.ids(text, true)?;
        let missing = self.context_length.saturating_sub(ids.len());
        let padding = std::iter::repeat_n(self.padding_id, missing);
        Ok(match self.pads_left {
            true => padding.chain(ids).collect(),
            false => ids.into_iter().chain(padding).collect(),
        })
    }

    /// How many ids a text has, special tokens included, if it is neither cut nor padded.
    ///
    /// # Errors
    /// As `encode`, and when the text is longer than a megabyte.
    pub fn count(&self, text: &str) -> Result<usize> {
        Ok(self.ids(text, false)?.len())
    }

    fn ids(&self, text: &str, cut: bool) -> Result<Vec<u32>> {
        let text = if cut {
            beginning(text, LONGEST_CUT)
        } else {
            check_length(text)?;
            text
        };
        let cleaned = match self.cleaning {
            Cleaning::Folder => text.to_owned(),
            Cleaning::FolderLower => text.to_lowercase(),
            Cleaning::Blanks => collapse_blanks(&repaired(text)),
            Cleaning::Lower => collapse_blanks(&repaired(text)).to_lowercase(),
            Cleaning::Canonical => {
                let text = repaired(text).replace('_', " ");
                let text: String = text.chars().filter(|c| !c.is_ascii_punctuation()).collect();
                collapse_blanks(&text.to_lowercase())
            }
        };
        self.tokenizer.ids(&cleaned, cut)
    }
}

/// What a class of transformers does to a text between its special tokens, before and after what
/// the file says. Blanks are those of Python.
fn steps_of(
    class: &str,
) -> tokenizers::Result<(Vec<NormalizerWrapper>, Option<NormalizerWrapper>)> {
    let replace = |pattern: &str, with: &str| {
        Replace::new(ReplacePattern::Regex(pattern.into()), with).map(NormalizerWrapper::from)
    };
    Ok(match class {
        // The punctuation of ASCII goes, and blanks but one. A blank before the first word stays,
        // after the mark that every text begins with; what ends in blanks is cut.
        "SiglipTokenizer" => {
            let before = vec![
                replace("\u{2581}", " ")?,
                replace(r"[!-/:-@\[-`{-~]", "")?,
                replace(r"[\s\x1c-\x1f]+", " ")?,
                Strip::new(false, true).into(),
                Prepend::new("\u{2581}".into()).into(),
            ];
            (before, Some(replace("[ \u{2581}]+\\z", "")?))
        }
        "Siglip2Tokenizer" => (vec![Lowercase.into()], None),
        _ => (Vec::new(), None),
    })
}
