//! Images by prompt: two pictures of one prompt are alike, so that they belong on the same side of a
//! split and count as one draw of a resample.

use crate::answers::Answer;
use std::collections::HashMap;

/// Images numbered by prompt.
#[derive(Clone, Debug)]
pub struct PromptGroups {
    /// How many different prompts.
    pub count: usize,
    /// The prompt's number of each image; numbers in the order in which prompts first appear.
    pub of_image: Vec<usize>,
}

impl PromptGroups {
    /// Prompts are the same when they differ in white space and case only; embeddings are those of
    /// the same prompt where every number is the same.
    pub fn new<'a>(answers: impl Iterator<Item = &'a Answer>) -> Self {
        let mut numbers = HashMap::new();
        let of_image = answers
            .map(|answer| {
                let next = numbers.len();
                *numbers.entry(prompt_key(answer)).or_insert(next)
            })
            .collect();
        Self {
            count: numbers.len(),
            of_image,
        }
    }
}

/// What tells whether two images have the same prompt.
fn prompt_key(answer: &Answer) -> String {
    match answer {
        Answer::Prompt(prompt) => {
            let words: Vec<&str> = prompt.split_whitespace().collect();
            words.join(" ").to_lowercase()
        }
        Answer::Embedding(numbers) => numbers
            .iter()
            .map(|number| format!("{:x} ", number.to_bits()))
            .collect(),
    }
}
