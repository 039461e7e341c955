//! Who answers.

use crate::task::{Answer, Input, InputFailure, Task};
use unprompt::Receipt;

/// The models behind a server.
pub trait Models: Send + Sync {
    /// What is loaded. It does not change.
    fn catalog(&self) -> &Catalog;

    /// Whether they are in memory, so that a request does not wait for them.
    fn is_loaded(&self) -> bool {
        true
    }

    /// One result for each input, in their order. `inputs` are of the kind that the task takes, and the
    /// task is one that the catalog allows.
    fn run(&self, task: &Task, inputs: &[Input]) -> Vec<Result<Answer, InputFailure>>;
}

/// What is loaded, by the names that it was asked for.
#[derive(Clone, Debug)]
pub struct Catalog {
    /// The preset that predicts.
    pub preset: String,
    /// What computes its records.
    pub receipt: Receipt,
    /// The sentence encoder whose space the preset's records are in.
    pub encoder: String,
    /// What embeds texts, or why nothing does and what to do about it.
    pub text_encoder: Result<String, String>,
    /// What classifies pictures.
    pub classifier: String,
    /// What embeds pictures.
    pub image_encoder: Option<String>,
    /// What captions pictures.
    pub captioner: Option<String>,
    /// The CLIP that interrogates pictures.
    pub clip: Option<String>,
}
