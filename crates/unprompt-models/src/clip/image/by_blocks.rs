//! The image tower for uses that need it once: a block is in memory while pictures go through it.

use super::{ClipImageTower, PICTURES_AT_ONCE, blocks, finite};
use crate::{
    Compute, Result,
    clip::config::{BUFFERS, ClipLayout, ImageConfig},
    transformer::Transformer,
    weights::Weights,
};
use std::{cell::RefCell, collections::HashSet};
use unprompt_checkpoint::Checkpoint;

/// Pictures that a block serves before it is dropped; bounds the memory of their tokens.
const PICTURES_A_PASS: usize = 64;

/// As [`ClipImageTower`], with the same bits, but the blocks are read from the file for every
/// [`forward`](Self::forward) and dropped one by one: of a tower of 24 blocks one is in memory.
#[derive(Debug)]
pub struct ClipImageTowerByBlocks {
    checkpoint: Checkpoint,
    compute: Compute,
    config: ImageConfig,
    layout: ClipLayout,
    /// All but the blocks.
    tower: ClipImageTower,
    /// The tensors that it was made of.
    used: HashSet<String>,
    /// How the names begin that belong to the text tower.
    others: &'static [&'static str],
}

impl ClipImageTowerByBlocks {
    pub(in crate::clip) fn new(
        checkpoint: Checkpoint,
        compute: Compute,
        config: ImageConfig,
        layout: ClipLayout,
    ) -> Result<Self> {
        let used = RefCell::default();
        let root = Weights::new(&checkpoint, &used).computed(&compute);
        let around = ImageConfig {
            layers: 0,
            ..config.clone()
        };
        let (tower, others) = ClipImageTower::new(&around, layout, &root)?;
        Ok(Self {
            used: used.take(),
            checkpoint,
            compute,
            config,
            layout,
            tower,
            others,
        })
    }

    /// Numbers per picture.
    pub fn width(&self) -> usize {
        self.tower.width()
    }

    /// Height and width of the pictures that [`forward`](Self::forward) takes.
    pub fn image_size(&self) -> (usize, usize) {
        self.tower.image_size()
    }

    /// As [`ClipImageTower::forward`]. Many pictures together cost one reading.
    ///
    /// # Errors
    /// As there, and when a block's tensor is not there or has another shape, or one belongs to
    /// nothing.
    pub fn forward<P: AsRef<[f32]>>(&self, pictures: &[P]) -> Result<Vec<Vec<f32>>> {
        let mut outputs = Vec::with_capacity(pictures.len());
        for pictures in pictures.chunks(PICTURES_A_PASS) {
            outputs.extend(self.pass(pictures)?);
        }
        finite(outputs)
    }

    fn pass<P: AsRef<[f32]>>(&self, pictures: &[P]) -> Result<Vec<Vec<f32>>> {
        let used = RefCell::new(self.used.clone());
        let root = Weights::new(&self.checkpoint, &used).computed(&self.compute);
        let (blocks, names) = blocks(self.layout, &root);
        let mut batches = Vec::new();
        for pictures in pictures.chunks(PICTURES_AT_ONCE) {
            let lengths = vec![self.tower.tokens(); pictures.len()];
            batches.push((self.tower.embedded(pictures)?, lengths));
        }
        let block = |index| Transformer::only(&blocks, index, &self.config.shape, names);
        let last = self.config.layers.checked_sub(1);
        for index in 0..last.unwrap_or(0) {
            let block = block(index)?;
            for (hidden, lengths) in &mut batches {
                *hidden = block.forward(hidden.clone(), lengths)?;
            }
        }
        let last = last.map(block).transpose()?;
        root.check_all_used_but(self.others, BUFFERS)?;
        let mut outputs = Vec::with_capacity(pictures.len());
        // The tower around the blocks has none.
        let last = last.as_ref().unwrap_or(&self.tower.transformer);
        for (hidden, _) in batches {
            outputs.extend(self.tower.finished(last, hidden)?);
        }
        Ok(outputs)
    }
}
