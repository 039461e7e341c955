//! Who answers.

use crate::task::{Answer, Input, InputFailure, Task};
use unprompt::{PreparedPicture, Receipt};

/// The models behind a server.
pub trait Models: Send + Sync {
    /// What is loaded. It does not change.
    fn catalog(&self) -> &Catalog;

    /// Whether they are in memory, so that a request does not wait for them.
    fn is_loaded(&self) -> bool {
        true
    }

    /// Whether a part of the task looks at each input alone, and may be done before those that are
    /// answered together are known.
    fn prepares(&self, _: &Task) -> bool {
        false
    }

    /// Does that part, on any thread.
    fn prepare(&self, _: &Task, input: Input) -> Ready {
        Ready::Given(input)
    }

    /// One result for each input, in their order. `inputs` are of the kind that the task takes, prepared
    /// or not, and the task is one that the catalog allows.
    fn run(&self, task: &Task, inputs: Vec<Ready>) -> Vec<Result<Answer, InputFailure>>;
}

/// An input that a batch may be made of.
#[derive(Debug)]
pub enum Ready {
    /// As it was sent.
    Given(Input),
    /// Looked at alone: only what is done together is left.
    Prepared(Box<PreparedPicture>),
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
