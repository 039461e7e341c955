//! The rows of an index as they are stored, one after the other, for another store.

use crate::{PromptIndex, Result, Space};

/// A row as it is stored.
#[derive(Clone, Copy, Debug)]
pub struct StoredRow<'a> {
    /// Its number, from 0 on: the order of first appearance in the list.
    pub row: u64,
    /// The prompt.
    pub prompt: &'a str,
    /// Its CLIP embedding: the bits of IEEE half-precision numbers, of unit length up to their rounding.
    pub clip: &'a [u16],
    /// Its sentence embedding, likewise.
    pub sentence: &'a [u16],
}

impl PromptIndex {
    /// Passes every row to a function, in their order, until it fails. A file is compared with its
    /// digest before its first row.
    ///
    /// # Errors
    /// When a file of the index is damaged, or as the function does.
    pub fn read_rows(&self, take: &mut dyn FnMut(StoredRow<'_>) -> Result<()>) -> Result<()> {
        let mut number = 0;
        for segment in self.segments() {
            segment.check()?;
            let rows = |space| {
                let width = segment.width(space);
                segment.embeddings(space).chunks_exact(width)
            };
            let both = rows(Space::Clip).zip(rows(Space::Sentence));
            for (row, (clip, sentence)) in both.enumerate() {
                take(StoredRow {
                    row: number,
                    prompt: segment.prompt(row),
                    clip,
                    sentence,
                })?;
                number += 1;
            }
            segment.release();
        }
        Ok(())
    }
}
