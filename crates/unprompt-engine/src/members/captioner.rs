//! What a captioner writes, and that text's embedding.

use crate::{
    encoders::{
        captioner::CaptionOptions,
        networks::{CaptionOf, Encoded},
    },
    error::{InputError, Result},
    members::{
        kind::{Member, MemberKind},
        loader::Loader,
    },
};
use schemars::JsonSchema;
use serde::Deserialize;

/// The fields.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CaptionerMember {
    /// The captioner: a hub id or a path.
    model: String,
    /// What is put behind every caption.
    #[serde(default)]
    suffix: String,
    /// Beams; without it the model's own number, as for the next two.
    #[serde(default)]
    beams: Option<usize>,
    /// No run of this many tokens comes twice.
    #[serde(default)]
    no_repeat_ngram: Option<usize>,
    /// Tokens generated at most.
    #[serde(default)]
    max_new_tokens: Option<usize>,
}

impl MemberKind for CaptionerMember {
    fn models(&self) -> Vec<&str> {
        vec![&self.model]
    }

    fn has_text(&self) -> bool {
        true
    }

    fn load(&self, loader: &mut Loader<'_>) -> Result<Box<dyn Member>> {
        let options = CaptionOptions {
            beams: self.beams,
            no_repeat_ngram: self.no_repeat_ngram,
            max_new_tokens: self.max_new_tokens,
            ..CaptionOptions::default()
        };
        Ok(Box::new(Loaded {
            caption: loader.caption(&self.model, options)?,
            suffix: self.suffix.clone(),
        }))
    }
}

#[derive(Debug)]
struct Loaded {
    caption: CaptionOf,
    suffix: String,
}

impl Member for Loaded {
    fn texts(&self, pictures: &[&Encoded]) -> Vec<std::result::Result<Option<String>, InputError>> {
        let text = |encoded: &&Encoded| {
            Ok(Some(
                encoded.caption(self.caption).to_owned() + &self.suffix,
            ))
        };
        pictures.iter().map(text).collect()
    }
}
