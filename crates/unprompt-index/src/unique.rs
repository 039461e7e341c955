//! Every prompt once, in the order of first appearance.

use crate::{Result, prompts::PromptIterator};
use sha2::{Digest, Sha256};
use std::collections::HashSet;

/// Trims prompts, and passes over those that are empty or were there before. It keeps 32 bytes a
/// prompt, however long they are.
pub(crate) struct Unique {
    prompts: PromptIterator,
    seen: HashSet<[u8; 32]>,
    duplicates: u64,
    empty: u64,
}

impl Unique {
    pub(crate) fn new(prompts: PromptIterator) -> Self {
        Self {
            prompts,
            seen: HashSet::new(),
            duplicates: 0,
            empty: 0,
        }
    }

    pub(crate) fn duplicates(&self) -> u64 {
        self.duplicates
    }

    pub(crate) fn empty(&self) -> u64 {
        self.empty
    }
}

impl Iterator for Unique {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let prompt = match self.prompts.next()? {
                Ok(prompt) => prompt,
                Err(error) => return Some(Err(error)),
            };
            let trimmed = prompt.trim();
            if trimmed.is_empty() {
                self.empty += 1;
            } else if self.seen.insert(Sha256::digest(trimmed).into()) {
                return Some(Ok(trimmed.to_owned()));
            } else {
                self.duplicates += 1;
            }
        }
    }
}
