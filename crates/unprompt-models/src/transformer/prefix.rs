//! The transformer over continuations of a prefix whose keys and values are kept.

use super::Transformer;
use crate::Result;
use candle_core::Tensor;
use unprompt_nn::{KeysValues, TokenTree, prefix_attention};

impl Transformer {
    /// A prefix of no tokens.
    pub(crate) fn empty_prefix(&self) -> Vec<KeysValues> {
        vec![KeysValues::default(); self.blocks.len()]
    }

    /// Appends tokens, `hidden` (tokens, width) before the first block, to a prefix.
    pub(crate) fn extend_prefix(&self, hidden: Tensor, prefix: &mut [KeysValues]) -> Result<()> {
        let mut chain = TokenTree::new();
        for token in 0..hidden.dim(0)? {
            chain.push(token.checked_sub(1));
        }
        let all: Vec<u32> = (0..chain.len() as u32).collect();
        let mut hidden = hidden;
        for (index, block) in self.blocks.iter().enumerate() {
            let qkv = block.query_key_value(&hidden)?;
            // Nothing reads what the last block makes of a prefix.
            if index + 1 < self.blocks.len() {
                let attended = prefix_attention(&qkv, &prefix[index], &chain, &all, self.heads)?;
                hidden = block.after_attention(&hidden, &attended)?;
            }
            prefix[index].extend(&qkv)?;
        }
        Ok(())
    }

    /// The output at some tokens of a tree that continues a prefix: (tokens of the tree, width) to
    /// (ends, width), the same bits as from [`forward`](Self::forward) over each whole text. The
    /// last block computes the ends only.
    pub(crate) fn forward_after(
        &self,
        hidden: Tensor,
        prefix: &[KeysValues],
        tree: &TokenTree,
        ends: &[u32],
    ) -> Result<Tensor> {
        let all: Vec<u32> = (0..tree.len() as u32).collect();
        let rows = Tensor::new(ends, hidden.device())?;
        let Some(last) = self.blocks.len().checked_sub(1) else {
            return Ok(hidden.index_select(&rows, 0)?);
        };
        let mut hidden = hidden;
        for (index, block) in self.blocks.iter().enumerate() {
            let qkv = block.query_key_value(&hidden)?;
            let queries = if index == last { ends } else { &all };
            let attended = prefix_attention(&qkv, &prefix[index], tree, queries, self.heads)?;
            if index == last {
                hidden = hidden.index_select(&rows, 0)?;
            }
            hidden = block.after_attention(&hidden, &attended)?;
        }
        Ok(hidden)
    }
}
