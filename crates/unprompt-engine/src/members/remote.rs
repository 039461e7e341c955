//! What a captioner on another server writes, and that text's embedding.

use crate::{
    encoders::networks::{Encoded, RemoteOf},
    error::{InputError, Result},
    members::{
        kind::{Before, Member, MemberKind},
        loader::Loader,
    },
};
use schemars::JsonSchema;
use serde::Deserialize;
use unprompt_remote::{Address, Question};

/// The fields.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RemoteMember {
    /// The captioner: `openai:MODEL@URL`.
    model: String,
    /// What it is asked.
    #[serde(default)]
    prompt: Option<String>,
    /// What is put behind every caption.
    #[serde(default)]
    suffix: String,
    /// Tokens of the answer at most.
    #[serde(default)]
    max_new_tokens: Option<usize>,
}

impl MemberKind for RemoteMember {
    fn check(&self, _: &Before<'_>) -> std::result::Result<(), String> {
        Address::parse(&self.model).map_err(|error| error.to_string())?;
        match self.max_new_tokens {
            Some(0) => Err("max_new_tokens must be at least 1".into()),
            _ => Ok(()),
        }
    }

    fn has_text(&self) -> bool {
        true
    }

    fn load(&self, loader: &mut Loader<'_>) -> Result<Box<dyn Member>> {
        let usual = Question::default();
        let question = Question {
            text: self.prompt.clone().unwrap_or(usual.text),
            max_tokens: self.max_new_tokens.unwrap_or(usual.max_tokens),
        };
        Ok(Box::new(Loaded {
            caption: loader.remote(&self.model, question)?,
            suffix: self.suffix.clone(),
        }))
    }
}

#[derive(Debug)]
struct Loaded {
    caption: RemoteOf,
    suffix: String,
}

impl Member for Loaded {
    fn texts(&self, pictures: &[&Encoded]) -> Vec<std::result::Result<Option<String>, InputError>> {
        let text =
            |encoded: &&Encoded| Ok(Some(encoded.remote(self.caption).to_owned() + &self.suffix));
        pictures.iter().map(text).collect()
    }
}
