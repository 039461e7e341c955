//! What whoever stores the prompts has to do: find the nearest, and say what they were embedded with.

use crate::{
    Result,
    manifest::{ModelIdentity, PromptCounts},
};
use std::fmt;

/// The two spaces in which prompts have a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Space {
    /// CLIP's, in which a picture is looked up.
    Clip,
    /// The sentence encoder's, in which another prediction is.
    Sentence,
}

/// A prompt that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Match {
    /// Its row: the order of first appearance in the list.
    pub row: u64,
    /// The prompt.
    pub prompt: String,
    /// Cosine of the query and its embedding in the space that was searched.
    pub similarity: f32,
    /// Its sentence embedding, of unit length up to the rounding of the store.
    pub embedding: Vec<f32>,
}

/// A store of prompts that finds the nearest ones. What builds on it ([`crate::Regression`]) does not
/// know how it does so.
pub trait NearestPrompts: Sync {
    /// The `count` prompts nearest to each query, or all where there are fewer: the largest cosine
    /// first, equal ones by row. Queries need not be of unit length.
    ///
    /// # Errors
    /// When a query is of another width or has no direction, or the store cannot be read.
    fn nearest(&self, space: Space, queries: &[Vec<f32>], count: usize) -> Result<Vec<Vec<Match>>>;
}

/// A store that knows what its embeddings were made with.
pub trait PromptStore: NearestPrompts + fmt::Debug + Send {
    /// The CLIP whose text tower embedded the prompts.
    fn clip(&self) -> &ModelIdentity;

    /// The sentence encoder.
    fn sentence(&self) -> &ModelIdentity;

    /// The prompts that went in.
    fn prompts(&self) -> &PromptCounts;

    /// Width of the embeddings of a space.
    fn width(&self, space: Space) -> u64;

    /// What it takes, and how it is kept.
    ///
    /// # Errors
    /// When the store cannot be asked.
    fn extent(&self) -> Result<Extent>;

    /// Reads what is stored and compares it with its digest; `progress` is called with the prompts of each
    /// piece.
    ///
    /// # Errors
    /// When something is not what was written, or cannot be read.
    fn check(&self, progress: &(dyn Fn(u64) + Sync)) -> Result<()>;
}

/// What a store takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Bytes, with all that belongs to it.
    pub bytes: u64,
    /// Where they are.
    pub kept: Kept,
}

/// How prompts are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// In files of a folder.
    Files {
        /// How many.
        count: usize,
        /// Prompts in each but the last.
        rows: u64,
    },
    /// In a table of a database.
    Table {
        /// Whether it has indexes that find most of the nearest rows only.
        approximate: bool,
    },
}
