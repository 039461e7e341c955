//! From pictures to outputs, with everything kept that the way back needs.

use super::{Vit, VitFamily, VitShape};
use crate::{Result, TrainError};
use rayon::prelude::*;
use unprompt_nn::training::{
    Normalised, activate, attention, layer_norm, linear, linear_residual, recycle, single_attention,
};

/// What a forward pass leaves: the outputs, and the states on the way.
#[derive(Clone, Debug)]
pub struct Kept {
    /// (pictures, outputs)
    pub outputs: Vec<f32>,
    /// (pictures * patches, 3 * patch * patch)
    pub(super) patches: Vec<f32>,
    /// The tokens before the normalisation that is before the blocks, where there is one.
    pub(super) embedded: Vec<f32>,
    pub(super) blocks: Vec<KeptBlock>,
    /// The class tokens behind the blocks: (pictures, width).
    pub(super) class: Vec<f32>,
    /// The same, normalised.
    pub(super) normal: Vec<f32>,
}

/// The states of a block, each (tokens, its width). Those of the last block from `attended` on are of the
/// class tokens alone: no other is read behind it.
#[derive(Clone, Debug)]
pub(super) struct KeptBlock {
    pub(super) hidden: Vec<f32>,
    pub(super) attention_normal: Vec<f32>,
    /// Queries, keys and values; of the last block keys and values.
    pub(super) qkv: Vec<f32>,
    /// In the last block the queries of the class tokens, else nothing.
    pub(super) class_queries: Vec<f32>,
    pub(super) attended: Vec<f32>,
    pub(super) middle: Vec<f32>,
    pub(super) inner_normal: Vec<f32>,
    pub(super) inner: Vec<f32>,
    pub(super) active: Vec<f32>,
}

impl KeptBlock {
    pub(super) fn recycle(self) {
        for values in [
            self.hidden,
            self.attention_normal,
            self.qkv,
            self.class_queries,
            self.attended,
            self.middle,
            self.inner_normal,
            self.inner,
            self.active,
        ] {
            recycle(values);
        }
    }
}

impl Vit {
    /// The outputs of pictures that lie one after the other, each height * width * 3 normalised
    /// values, channels last.
    ///
    /// # Errors
    /// When there are no whole pictures.
    pub fn forward(&self, pictures: &[f32]) -> Result<Kept> {
        // Inside the pool: from outside, every product would be handed over to it and waited for.
        rayon::scope(|_| {
            let (embedded, patches) = self.embed(pictures)?;
            let (hidden, embedded) = self.before_blocks(embedded)?;
            let mut blocks = Vec::with_capacity(self.shape.depth);
            let class = self.through(hidden, |block| blocks.push(block))?;
            self.finish(class, patches, embedded, blocks)
        })
    }

    /// The same with what the way back to the head needs, and no more.
    ///
    /// # Errors
    /// As there.
    pub fn forward_for_head(&self, pictures: &[f32]) -> Result<Kept> {
        rayon::scope(|_| {
            let (embedded, _) = self.embed(pictures)?;
            let (hidden, _) = self.before_blocks(embedded)?;
            let class = self.through(hidden, KeptBlock::recycle)?;
            self.finish(class, Vec::new(), Vec::new(), Vec::new())
        })
    }

    /// The same without what the way back needs.
    ///
    /// # Errors
    /// As there.
    pub fn outputs(&self, pictures: &[f32]) -> Result<Vec<f32>> {
        Ok(self.forward_for_head(pictures)?.outputs)
    }

    /// The tokens as the first block takes them, and where they were normalised as they were before.
    fn before_blocks(&self, embedded: Vec<f32>) -> Result<(Vec<f32>, Vec<f32>)> {
        Ok(match self.shape.family {
            VitFamily::Plain => (embedded, Vec::new()),
            VitFamily::Clip { .. } => (layer_norm(&embedded, self.norm(3))?, embedded),
        })
    }

    /// The tokens of all pictures, and the patches that they were made of.
    fn embed(&self, pictures: &[f32]) -> Result<(Vec<f32>, Vec<f32>)> {
        let shape = &self.shape;
        let size = shape.picture();
        if pictures.is_empty() || !pictures.len().is_multiple_of(size) {
            let found = pictures.len();
            return Err(TrainError::Data(format!(
                "{found} values where pictures of {size} are needed"
            )));
        }
        let patches = patches_of(pictures, shape);
        let embedded = linear(
            &patches,
            self.values(2),
            (shape.family == VitFamily::Plain).then(|| self.values(3)),
            shape.embedding(),
        )?;
        let (width, tokens) = (shape.width, shape.tokens());
        let positions = self.values(1);
        let mut hidden = vec![0.0; pictures.len() / size * tokens * width];
        let pictures = hidden.par_chunks_exact_mut(tokens * width);
        let embedded = embedded.par_chunks_exact((tokens - 1) * width);
        pictures.zip(embedded).for_each(|(hidden, embedded)| {
            let (class, patches) = hidden.split_at_mut(width);
            class.copy_from_slice(self.values(0));
            patches.copy_from_slice(embedded);
            for (value, position) in hidden.iter_mut().zip(positions) {
                *value += position;
            }
        });
        Ok((hidden, patches))
    }

    /// From the tokens before the blocks to the class tokens behind them, (pictures, width).
    fn through(&self, mut hidden: Vec<f32>, mut keep: impl FnMut(KeptBlock)) -> Result<Vec<f32>> {
        let &VitShape { width, inner, .. } = &self.shape;
        let shape = VitShape::linear;
        for block in 0..self.shape.depth {
            let first = self.shape.first_of(block);
            let value = |index: usize| self.values(first + index);
            let attention_normal = layer_norm(&hidden, self.norm(first))?;
            let (weight, bias) = (value(2), value(3));
            let (class, class_queries, qkv, attended);
            let residual = if block + 1 == self.shape.depth {
                // Of the last states only the class tokens are read.
                class = self.class_rows(&hidden);
                let (of_queries, weight) = weight.split_at(width * width);
                let (bias_of_queries, bias) = bias.split_at(width);
                class_queries = linear(
                    &self.class_rows(&attention_normal),
                    of_queries,
                    Some(bias_of_queries),
                    shape(width, width),
                )?;
                qkv = linear(
                    &attention_normal,
                    weight,
                    Some(bias),
                    shape(2 * width, width),
                )?;
                attended = single_attention(&class_queries, &qkv, self.shape.attention())?;
                &class
            } else {
                class_queries = Vec::new();
                qkv = linear(
                    &attention_normal,
                    weight,
                    Some(bias),
                    shape(3 * width, width),
                )?;
                attended = attention(&qkv, self.shape.attention())?;
                &hidden
            };
            let middle = linear_residual(
                &attended,
                value(4),
                Some(value(5)),
                residual,
                shape(width, width),
            )?;
            let inner_normal = layer_norm(&middle, self.norm(first + 6))?;
            let inner_state = linear(&inner_normal, value(8), Some(value(9)), shape(inner, width))?;
            let active = activate(self.shape.family.activation(), &inner_state)?;
            let next = linear_residual(
                &active,
                value(10),
                Some(value(11)),
                &middle,
                shape(width, inner),
            )?;
            keep(KeptBlock {
                hidden,
                attention_normal,
                qkv,
                class_queries,
                attended,
                middle,
                inner_normal,
                inner: inner_state,
                active,
            });
            hidden = next;
        }
        Ok(hidden)
    }

    fn finish(
        &self,
        class: Vec<f32>,
        patches: Vec<f32>,
        embedded: Vec<f32>,
        blocks: Vec<KeptBlock>,
    ) -> Result<Kept> {
        let &VitShape { width, outputs, .. } = &self.shape;
        let last = self.shape.first_of(self.shape.depth);
        let normal = layer_norm(&class, self.norm(last))?;
        let outputs = linear(
            &normal,
            self.values(last + 2),
            Some(self.values(last + 3)),
            VitShape::linear(outputs, width),
        )?;
        Ok(Kept {
            outputs,
            patches,
            embedded,
            blocks,
            class,
            normal,
        })
    }

    /// The class tokens of all tokens.
    pub(super) fn class_rows(&self, tokens: &[f32]) -> Vec<f32> {
        let width = self.shape.width;
        let pictures = tokens.chunks_exact(self.shape.tokens() * width);
        pictures
            .flat_map(|tokens| &tokens[..width])
            .copied()
            .collect()
    }

    /// The normalisation whose weight is the parameter `index`, its bias the next.
    pub(super) fn norm(&self, index: usize) -> Normalised<'_> {
        Normalised {
            weight: self.values(index),
            bias: self.values(index + 1),
            epsilon: self.shape.family.epsilon(),
        }
    }
}

/// The patches of all pictures, each as a convolution's weight lies: (3, patch, patch).
fn patches_of(pictures: &[f32], shape: &VitShape) -> Vec<f32> {
    let &VitShape {
        image: (_, width),
        patch,
        ..
    } = shape;
    let columns = width / patch;
    let mut patches = vec![0.0; pictures.len()];
    let targets = patches.par_chunks_exact_mut(shape.picture());
    let work = targets.zip(pictures.par_chunks_exact(shape.picture()));
    work.for_each(|(target, picture)| {
        for (index, target) in target.chunks_exact_mut(3 * patch * patch).enumerate() {
            let (top, left) = (index / columns * patch, index % columns * patch);
            for y in 0..patch {
                let row = &picture[((top + y) * width + left) * 3..];
                for (x, pixel) in row.chunks_exact(3).take(patch).enumerate() {
                    for (channel, value) in pixel.iter().enumerate() {
                        target[(channel * patch + y) * patch + x] = *value;
                    }
                }
            }
        }
    });
    patches
}
