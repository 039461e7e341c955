//! Multi-head self-attention over sequences of one length.

use super::{
    LayerError, LayerResult, expect, memory::written, rows_of, small_product::small_product,
};
use crate::{
    attention::{Mask, attend, scale_of},
    matmul::tile_height,
    panels::{Panels, PassingPanels, Tiles},
    reduction::{CHAINS, join},
    row_softmax::softmax,
};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

const LAYER: &str = "attention";

/// How the tokens of a batch attend to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionShape {
    /// Tokens of each sequence.
    pub length: usize,
    /// Heads, which divide the width.
    pub heads: usize,
    /// Width of a token's vector.
    pub width: usize,
}

impl AttentionShape {
    /// An error unless there may be such a shape.
    pub(super) fn check(self) -> LayerResult<()> {
        if self.heads == 0 || self.length == 0 || !self.width.is_multiple_of(self.heads) {
            let message = format!("{self:?}: heads divide the width, and sequences have tokens");
            return Err(LayerError::new(LAYER, message));
        }
        Ok(())
    }

    /// How many sequences there are.
    fn sequences(self, qkv: &[f32]) -> LayerResult<usize> {
        self.check()?;
        rows_of(LAYER, qkv, 3 * self.width * self.length)
    }

    fn head_width(self) -> usize {
        self.width / self.heads
    }

    pub(super) fn scale(self) -> f32 {
        scale_of(self.head_width())
    }
}

/// `softmax(q · kᵀ / sqrt(head width)) · v` within each sequence: (tokens, 3 * width), each token's
/// query, key and value, to (tokens, width).
///
/// # Errors
/// When the lengths do not fit the shape.
pub fn attention(qkv: &[f32], shape: AttentionShape) -> LayerResult<Vec<f32>> {
    let lengths = vec![shape.length; shape.sequences(qkv)?];
    let out = attend(qkv, &lengths, (shape.heads, shape.width), Mask::None);
    out.map_err(|error| LayerError::new(LAYER, error.to_string()))
}

/// The derivative by queries, keys and values, (tokens, 3 * width). The probabilities are computed
/// again: to keep them would cost more memory than time.
///
/// # Errors
/// When the lengths do not fit the shape.
pub fn attention_backward(
    qkv: &[f32],
    upstream: &[f32],
    shape: AttentionShape,
) -> LayerResult<Vec<f32>> {
    let sequences = shape.sequences(qkv)?;
    let AttentionShape {
        length,
        heads,
        width,
    } = shape;
    expect(LAYER, "a derivative", upstream, sequences * length * width)?;
    let head_width = shape.head_width();
    let parts: Vec<[Vec<f32>; 3]> = (0..sequences * heads)
        .into_par_iter()
        .map(|task| {
            let (start, head) = (task / heads * length, task % heads);
            let first = start * 3 * width + head * head_width;
            let upstream = &upstream[start * width + head * head_width..];
            Head {
                query: &qkv[first..],
                key: &qkv[first + width..],
                value: &qkv[first + 2 * width..],
                upstream,
                shape,
            }
            .backward()
        })
        .collect();
    written(LAYER, qkv.len(), |mut gradient| {
        let rows: Vec<_> = (0..sequences * length)
            .map(|_| gradient.take(3 * width))
            .collect();
        let rows = rows.into_par_iter().enumerate();
        rows.for_each(|(token, mut row)| {
            let first = token / length * heads;
            let place = token % length * head_width..(token % length + 1) * head_width;
            for index in 0..3 * heads {
                let part = &parts[first + index % heads][index / heads];
                row.extend(&part[place.clone()]);
            }
        });
    })
}

/// One head of one sequence: rows that start a token apart.
struct Head<'a> {
    query: &'a [f32],
    key: &'a [f32],
    value: &'a [f32],
    upstream: &'a [f32],
    shape: AttentionShape,
}

impl Head<'_> {
    /// The derivatives by queries, keys and values, each (length, head width).
    fn backward(self) -> [Vec<f32>; 3] {
        let arch = Arch::new();
        let (length, width) = (self.shape.length, self.shape.width);
        let (head_width, height) = (self.shape.head_width(), tile_height(arch));
        let tiles = |x: &[f32], k, stride| Tiles::new(x, (length, k), stride, height);
        let turned = |x: &[f32]| Tiles::of_columns(x, (length, length), length, height);
        let columns =
            |x: &[f32], stride| PassingPanels::from_columns(x, head_width, length, stride);
        let product = |left: &Tiles, right: &Panels| small_product(arch, left, right, length);

        let keys = PassingPanels::from_rows(self.key, length, head_width, 3 * width);
        let mut probabilities = product(&tiles(self.query, head_width, 3 * width), &keys);
        drop(keys);
        let values = PassingPanels::from_rows(self.value, length, head_width, 3 * width);
        let mut scores = product(&tiles(self.upstream, head_width, width), &values);
        drop(values);
        arch.dispatch(Scores {
            probabilities: &mut probabilities,
            scores: &mut scores,
            length,
            scale: self.shape.scale(),
        });
        let value = product(&turned(&probabilities), &columns(self.upstream, width));
        let query = product(
            &tiles(&scores, length, length),
            &columns(self.key, 3 * width),
        );
        let key = product(&turned(&scores), &columns(self.query, 3 * width));
        [query, key, value]
    }
}

/// From scores to probabilities, and from the derivative by these to that by the scores.
// A type, not a closure, which might stay a function of its own without the vector instructions.
struct Scores<'a> {
    /// (length, length), scores on the way in.
    probabilities: &'a mut [f32],
    /// (length, length), the derivative by the probabilities on the way in.
    scores: &'a mut [f32],
    length: usize,
    scale: f32,
}

impl WithSimd for Scores<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let rows = self.probabilities.chunks_exact_mut(self.length);
        for (probabilities, scores) in rows.zip(self.scores.chunks_exact_mut(self.length)) {
            softmax(probabilities, self.scale, None);
            // scale * p * (d - Σ p d)
            let mut chains = [0.0f32; CHAINS];
            for (p, d) in probabilities.chunks(CHAINS).zip(scores.chunks(CHAINS)) {
                for ((chain, p), d) in chains.iter_mut().zip(p).zip(d) {
                    *chain = p.mul_add(*d, *chain);
                }
            }
            let mean = join(chains);
            for (score, probability) in scores.iter_mut().zip(probabilities) {
                *score = self.scale * *probability * (*score - mean);
            }
        }
    }
}
