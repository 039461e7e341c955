//! Images by prompt: two pictures of one prompt in different folds would let the weights see what
//! they are tested on.

use super::prompt_key;
use crate::answers::Answers;
use std::collections::HashMap;

/// Images numbered by prompt.
pub(super) struct Groups {
    /// How many different prompts.
    pub(super) count: usize,
    /// The prompt's number of each image; numbers in the order in which prompts first appear.
    pub(super) of_image: Vec<usize>,
}

/// Prompts are the same when they differ in white space and case only; a truth of embeddings has
/// the same prompt where every number is the same.
pub(super) fn by_prompt(truth: &Answers) -> Groups {
    let mut numbers = HashMap::new();
    let of_image = truth
        .entries()
        .iter()
        .map(|entry| {
            let next = numbers.len();
            *numbers.entry(prompt_key(&entry.answer)).or_insert(next)
        })
        .collect();
    Groups {
        count: numbers.len(),
        of_image,
    }
}
