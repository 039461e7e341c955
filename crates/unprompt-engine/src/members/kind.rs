//! What a kind of member is: what a preset says of it, and what it does once it is loaded.

use crate::{
    encoders::networks::Encoded,
    error::{InputError, Result},
    members::loader::Loader,
    record::Evidence,
    text::Candidate,
};
use std::{fmt, path::Path};

/// The fields of one kind of member, as a preset has them.
///
/// A kind is one file beside this one: a struct that is deserialised from the member's table, without
/// `name`, `weight` and `kind`; this trait for it; and its [`Member`].
pub(crate) trait MemberKind: fmt::Debug + Send + Sync {
    /// What is wrong with the fields, given the members that stand before.
    fn check(&self, _before: &Before<'_>) -> std::result::Result<(), String> {
        Ok(())
    }

    /// The models it runs, as the preset names them.
    fn models(&self) -> Vec<&str> {
        Vec::new()
    }

    /// The prompt index that it needs and that somebody has to build.
    fn index(&self) -> Option<NamedIndex<'_>> {
        None
    }

    /// The list of prompts whose sentence embeddings it needs.
    fn prompts(&self) -> Option<&str> {
        None
    }

    /// Every list of prompts that it looks at, whatever of them it needs.
    fn lists(&self) -> Vec<&str> {
        self.prompts().into_iter().collect()
    }

    /// Whether it gives texts.
    fn has_text(&self) -> bool {
        false
    }

    /// Whether its embedding says what is in the picture, so that prompts can be looked up by it.
    fn is_query(&self) -> bool {
        false
    }

    /// Whether it is loaded after all that are not: it takes a network that another member may bring.
    fn is_loaded_last(&self) -> bool {
        false
    }

    /// Loads what it needs, and asks for what it wants to know of each picture.
    fn load(&self, loader: &mut Loader<'_>) -> Result<Box<dyn Member>>;
}

/// The members that stand before one in a preset.
pub(crate) struct Before<'a> {
    /// By name, each with what the preset says of it.
    pub(crate) members: Vec<(&'a str, &'a dyn MemberKind)>,
}

impl Before<'_> {
    /// The place of the member of a name.
    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.members.iter().position(|(member, _)| *member == name)
    }
}

/// A prompt index that a member names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NamedIndex<'a> {
    /// The folder, or the address of a table.
    pub(crate) place: &'a Path,
    /// The CLIP that it is made with, if the member says so.
    pub(crate) clip: Option<&'a str>,
}

/// A member with all that it needs. Each method has one answer for each picture, in their order; an
/// error costs its picture and no other.
pub(crate) trait Member: fmt::Debug + Send + Sync {
    /// Its own text of each picture, which is embedded before [`results`](Self::results) is asked.
    fn texts(&self, pictures: &[&Encoded]) -> Vec<std::result::Result<Option<String>, InputError>> {
        pictures.iter().map(|_| Ok(None)).collect()
    }

    /// What it makes of each picture: its own text, unless the kind has more to say.
    fn results(&self, pictures: &[Seen<'_>]) -> Vec<std::result::Result<MemberResult, InputError>> {
        let pictures = pictures.iter();
        pictures
            .map(|seen| Ok(MemberResult::of_text(seen)))
            .collect()
    }
}

/// One picture, as a member looks at it.
#[derive(Debug)]
pub(crate) struct Seen<'a> {
    /// What the networks answered.
    pub(crate) encoded: &'a Encoded,
    /// The member's own text.
    pub(crate) text: Option<Candidate>,
    /// The results of the members that stand before it, in the order of the preset.
    pub(crate) before: &'a [MemberResult],
}

/// What one member makes of a picture.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemberResult {
    /// Not normalised.
    pub(crate) embedding: Vec<f64>,
    /// The member's own text is the first.
    pub(crate) texts: Vec<Candidate>,
    /// Real prompts that it found.
    pub(crate) evidence: Vec<Evidence>,
}

impl MemberResult {
    /// Of a member that is its embedding alone.
    pub(crate) fn of_embedding(embedding: Vec<f64>) -> Self {
        Self {
            embedding,
            ..Self::default()
        }
    }

    /// Of a member that is its own text.
    pub(crate) fn of_text(seen: &Seen<'_>) -> Self {
        let texts: Vec<Candidate> = seen.text.iter().cloned().collect();
        let embedding = texts.first().map(|text| text.embedding.iter());
        Self {
            embedding: embedding.map_or(Vec::new(), |row| row.copied().map(f64::from).collect()),
            texts,
            evidence: Vec::new(),
        }
    }
}
