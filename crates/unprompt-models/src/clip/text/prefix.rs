//! Many texts that begin alike: what they share is computed once.

use super::ClipTextTower;
use crate::{ModelError, Result, compute::rows};
use candle_core::Tensor;
use unprompt_nn::{KeysValues, TokenTree};

/// Tokens that go through the network at once, bounding the memory of a long list.
const TOKENS_AT_ONCE: usize = 2048;

/// The beginning of a text, with what the text tower has computed of it.
#[derive(Clone, Debug)]
pub struct ClipTextPrefix {
    ids: Vec<u32>,
    blocks: Vec<KeysValues>,
}

impl ClipTextPrefix {
    /// The ids from the start token on, without an end token.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }
}

impl ClipTextTower {
    /// A prefix without tokens, to be set by [`set_prefix`](Self::set_prefix).
    pub fn empty_prefix(&self) -> ClipTextPrefix {
        ClipTextPrefix {
            ids: Vec::new(),
            blocks: self.transformer.empty_prefix(),
        }
    }

    /// Makes `prefix` that of `ids`, which are a start token and what follows it, without the end
    /// token. Tokens that it begins with already are not computed again.
    ///
    /// # Errors
    /// When there are more ids than [`context_length`](Self::context_length), or one of them is
    /// outside the vocabulary.
    pub fn set_prefix(&self, prefix: &mut ClipTextPrefix, ids: &[u32]) -> Result<()> {
        if ids.len() > self.context_length {
            return Err(self.too_long(ids.len()));
        }
        let same = prefix.ids.iter().zip(ids).take_while(|(a, b)| a == b);
        let same = same.count();
        for block in &mut prefix.blocks {
            block.truncate(same, self.transformer.width());
        }
        prefix.ids.truncate(same);
        let new = &ids[same..];
        if !new.is_empty() {
            let positions: Vec<u32> = (same as u32..ids.len() as u32).collect();
            let hidden = self.embedded(new, &positions)?;
            self.transformer.extend_prefix(hidden, &mut prefix.blocks)?;
            prefix.ids.extend_from_slice(new);
        }
        Ok(())
    }

    /// The vector of each text that begins with `prefix` and goes on with one of `continuations`,
    /// the end token included: the same bits as [`forward`](Self::forward) of the whole text, not
    /// normalised. Continuations that begin alike share the work for it, and only end tokens go
    /// through the last layer.
    ///
    /// # Errors
    /// When a text is empty or longer than [`context_length`](Self::context_length), an id is
    /// outside the vocabulary, or a result is not finite.
    pub fn forward_after<I: AsRef<[u32]>>(
        &self,
        prefix: &ClipTextPrefix,
        continuations: &[I],
    ) -> Result<Vec<Vec<f32>>> {
        let mut outputs = vec![Vec::new(); continuations.len()];
        let mut texts = Vec::with_capacity(continuations.len());
        let mut whole = prefix.ids.clone();
        for (index, continuation) in continuations.iter().enumerate() {
            whole.truncate(prefix.ids.len());
            whole.extend_from_slice(continuation.as_ref());
            let length = self.real_tokens(&whole)?.len();
            match length.checked_sub(prefix.ids.len()) {
                Some(own) if own > 0 => texts.push((&continuation.as_ref()[..own], index)),
                // The token that stands for the text is in the prefix.
                _ => outputs[index] = self.forward(&[&whole])?.swap_remove(0),
            }
        }
        // In this order texts that begin alike are neighbours.
        texts.sort_unstable();
        let mut batch = Batch::default();
        for (text, index) in texts {
            batch.add(text, index, prefix.ids.len());
            if batch.tree.len() >= TOKENS_AT_ONCE {
                self.run(prefix, std::mem::take(&mut batch), &mut outputs)?;
            }
        }
        self.run(prefix, batch, &mut outputs)?;
        if outputs.iter().flatten().any(|value| !value.is_finite()) {
            return Err(ModelError::NotFinite {
                model: "clip text tower",
            });
        }
        Ok(outputs)
    }

    fn run(&self, prefix: &ClipTextPrefix, batch: Batch, outputs: &mut [Vec<f32>]) -> Result<()> {
        if batch.ends.is_empty() {
            return Ok(());
        }
        let hidden = self.embedded(&batch.ids, &batch.positions)?;
        let ends: Vec<u32> = batch.ends.iter().map(|(end, _)| *end).collect();
        let blocks = &prefix.blocks;
        let hidden = self
            .transformer
            .forward_after(hidden, blocks, &batch.tree, &ends)?;
        let rows = rows(&self.finished(&hidden)?)?;
        for ((_, index), row) in batch.ends.into_iter().zip(rows) {
            outputs[index] = row;
        }
        Ok(())
    }

    /// (ids, width): tokens and their positions.
    pub(super) fn embedded(&self, ids: &[u32], positions: &[u32]) -> Result<Tensor> {
        let tokens = self.token_embedding.forward(ids)?;
        Ok((tokens + self.position_embedding.forward(positions)?)?)
    }
}

/// The tokens of sorted texts as a tree.
#[derive(Default)]
struct Batch {
    tree: TokenTree,
    ids: Vec<u32>,
    positions: Vec<u32>,
    /// The last token of each text, and which text it is.
    ends: Vec<(u32, usize)>,
    /// The tokens of the text before.
    path: Vec<usize>,
}

impl Batch {
    fn add(&mut self, text: &[u32], index: usize, first_position: usize) {
        let same = self.path.iter().zip(text);
        let same = same.take_while(|(token, id)| self.ids[**token] == **id);
        self.path.truncate(same.count());
        for id in &text[self.path.len()..] {
            let token = self.tree.push(self.path.last().copied());
            self.ids.push(*id);
            self.positions
                .push((first_position + self.path.len()) as u32);
            self.path.push(token);
        }
        if let Some(end) = self.path.last() {
            self.ends.push((*end as u32, index));
        }
    }
}
