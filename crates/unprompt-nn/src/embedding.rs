//! The table of learned vectors.

use candle_core::{Result, Tensor};

/// Rows of a (vocabulary, width) table, by index.
#[derive(Debug)]
pub struct Embedding {
    table: Tensor,
}

impl Embedding {
    /// An embedding over a table of shape (vocabulary, width).
    pub fn new(table: Tensor) -> Self {
        Self { table }
    }

    /// The rows of `ids`: (ids, width).
    ///
    /// # Errors
    /// When an id is outside the table.
    pub fn forward(&self, ids: &[u32]) -> Result<Tensor> {
        let ids = Tensor::new(ids, self.table.device())?;
        self.table.index_select(&ids, 0)
    }
}
