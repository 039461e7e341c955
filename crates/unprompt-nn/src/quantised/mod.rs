//! The product with weights of eight bits.
//!
//! Every [`groups::GROUP`] consecutive inner values share a scale. Those of an output's weights are
//! `scale * q`, `q` in [-127, 127]; those of a row of the input become `scale * (u - zero)`, `u` in
//! [0, 255], with the scale and the zero point that their own smallest and largest value ask for.
//! Inside a group `Σ (u - zero) q` is an exact integer; the groups' integers, times their two
//! scales, are added in one chain of fused multiply-adds. Every instruction set does the same.

mod groups;
mod kernel;

use crate::{
    matmul::{Cut, Epilogue, Piece, Product, share},
    output::Unwritten,
    panels::PANEL,
    prefetch::prefetch,
};
use candle_core::{Result, bail};
use groups::{
    GROUP, Range, TileGroups, WeightGroup, quantise_inputs, quantise_weights, whole_group,
};
use kernel::Kernel;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Rows of `x` in the largest tile.
const TILE_ROWS: usize = 12;

/// A weight of `n` output features by `k` inner values, quantised and packed.
#[derive(Clone, Debug)]
pub(crate) struct QuantisedPanels {
    // (panels, groups), zero beyond n and k
    groups: Vec<WeightGroup>,
    n: usize,
    k: usize,
    kernel: Kernel,
}

impl QuantisedPanels {
    /// Quantises `n` rows of `k` values.
    pub(crate) fn new(values: &[f32], n: usize, k: usize) -> Result<Self> {
        Self::for_kernel(values, n, k, Kernel::best())
    }

    fn for_kernel(values: &[f32], n: usize, k: usize, kernel: Kernel) -> Result<Self> {
        let (panels, count) = (n.div_ceil(PANEL), k.div_ceil(GROUP));
        let mut groups = vec![WeightGroup::ZERO; panels * count];
        if k > 0 {
            groups
                .par_chunks_mut(count)
                .zip(values.par_chunks(PANEL * k))
                .for_each(|(groups, values)| {
                    Arch::new().dispatch(PackWeights {
                        values,
                        k,
                        word: kernel.word(),
                        groups,
                    });
                });
        }
        let mut scales = groups.iter().flat_map(|group| &group.scales);
        if scales.any(|scale| !scale.is_finite()) {
            bail!("linear: int8 weights need finite values");
        }
        Ok(Self {
            groups,
            n,
            k,
            kernel,
        })
    }

    /// Output features.
    pub(crate) fn n(&self) -> usize {
        self.n
    }

    /// Inner dimension.
    pub(crate) fn k(&self) -> usize {
        self.k
    }

    fn panel(&self, index: usize) -> &[WeightGroup] {
        let count = self.k.div_ceil(GROUP);
        &self.groups[index * count..(index + 1) * count]
    }
}

/// Quantises and packs the outputs of one panel.
// This and the following are types, not closures, which might stay functions of their own without
// the vector instructions.
struct PackWeights<'a> {
    values: &'a [f32],
    k: usize,
    word: usize,
    groups: &'a mut [WeightGroup],
}

impl WithSimd for PackWeights<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (output, values) in self.values.chunks_exact(self.k).enumerate() {
            for (group, values) in self.groups.iter_mut().zip(values.chunks(GROUP)) {
                let (scale, quantised) = quantise_weights(&whole_group(values));
                let sum: i32 = quantised.iter().map(|q| i32::from(*q)).sum();
                group.scales[output] = scale;
                group.sums[output] = sum as f32;
                let targets = group.words.chunks_exact_mut(PANEL * self.word);
                for (target, values) in targets.zip(quantised.chunks_exact(self.word)) {
                    target[output * self.word..][..self.word].copy_from_slice(values);
                }
            }
        }
    }
}

/// The left-hand side: tiles of rows, quantised.
struct QuantisedTiles {
    // tile by tile: (groups, rows, GROUP / word)
    words: Vec<u32>,
    // tile by tile: (groups, rows)
    ranges: Vec<Range>,
    m: usize,
    k: usize,
    word: usize,
}

impl QuantisedTiles {
    fn new(x: &[f32], m: usize, weight: &QuantisedPanels) -> Self {
        let (k, word) = (weight.k, weight.kernel.word());
        let groups = k.div_ceil(GROUP);
        let full = m / TILE_ROWS * TILE_ROWS;
        let rows = full + tile_rows(m - full);
        let mut words = vec![0; rows * groups * GROUP / word];
        let mut ranges = vec![Range::default(); rows * groups];
        words
            .par_chunks_mut(TILE_ROWS * groups * GROUP / word)
            .zip(ranges.par_chunks_mut(TILE_ROWS * groups))
            .zip(x.par_chunks(TILE_ROWS * k))
            .with_min_len(4)
            .for_each(|((words, ranges), x)| {
                Arch::new().dispatch(PackRows {
                    x,
                    k,
                    word,
                    words,
                    ranges,
                });
            });
        Self {
            words,
            ranges,
            m,
            k,
            word,
        }
    }

    fn tile(&self, index: usize) -> TileGroups<'_> {
        let groups = self.k.div_ceil(GROUP);
        let first = index * TILE_ROWS;
        let rows = tile_rows(self.m - first);
        let groups = first * groups..(first + rows) * groups;
        let words = GROUP / self.word;
        TileGroups {
            words: &self.words[groups.start * words..groups.end * words],
            ranges: &self.ranges[groups],
            rows,
        }
    }
}

/// Quantises and packs the rows of one tile.
struct PackRows<'a> {
    x: &'a [f32],
    k: usize,
    word: usize,
    words: &'a mut [u32],
    ranges: &'a mut [Range],
}

impl WithSimd for PackRows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let rows = self.ranges.len() / self.k.div_ceil(GROUP);
        for (r, x) in self.x.chunks_exact(self.k).enumerate() {
            let words = self.words.chunks_exact_mut(GROUP / self.word);
            let targets = words.zip(self.ranges.iter_mut()).skip(r).step_by(rows);
            for ((words, target), values) in targets.zip(x.chunks(GROUP)) {
                let (range, bytes) = quantise_inputs(&whole_group(values));
                *target = range;
                if self.word == 4 {
                    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
                        *word = u32::from_le_bytes(*bytes);
                    }
                } else {
                    for (word, [low, high]) in words.iter_mut().zip(bytes.as_chunks::<2>().0) {
                        *word = u32::from(*low) | u32::from(*high) << 16;
                    }
                }
            }
        }
    }
}

/// The smallest tile that takes `left` rows, of those that the kernel knows.
fn tile_rows(left: usize) -> usize {
    [0, 1, 2, 4, 6, 8]
        .into_iter()
        .find(|rows| left <= *rows)
        .unwrap_or(TILE_ROWS)
}

/// `out = x · Wᵀ` as [`crate::matmul::multiply`], in integers.
pub(crate) fn multiply(
    x: &[f32],
    m: usize,
    weight: &QuantisedPanels,
    out: Unwritten<'_>,
    epilogue: &impl Epilogue,
) {
    if out.len() == 0 || weight.k == 0 {
        return;
    }
    let tiles = QuantisedTiles::new(x, m, weight);
    let arch = Arch::new();
    let starts: Vec<usize> = (0..m).step_by(TILE_ROWS).chain([m]).collect();
    let cut = Cut::new(starts.len() - 1, (m, weight.n, weight.k));
    share(&starts, weight.n, cut, out, |piece| {
        arch.dispatch(Block {
            tiles: &tiles,
            weight,
            piece,
            epilogue,
        });
    });
}

struct Block<'a, E> {
    tiles: &'a QuantisedTiles,
    weight: &'a QuantisedPanels,
    piece: Piece<'a>,
    epilogue: &'a E,
}

impl<E: Epilogue> WithSimd for Block<'_, E> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let width = self.piece.rows[0].len();
        let count = self.weight.n.div_ceil(PANEL);
        let mut product = Product::ZERO;
        for first in (0..width).step_by(PANEL) {
            let index = self.piece.panel + first / PANEL;
            let panel = self.weight.panel(index);
            let column = index * PANEL;
            let next = match index + 1 < count {
                true => self.weight.panel(index + 1),
                false => &[],
            };
            let tiles = self.piece.rows.len().div_ceil(TILE_ROWS);
            let mut next = next.chunks(next.len().div_ceil(tiles).max(1));
            for (tile, targets) in self.piece.rows.chunks_mut(TILE_ROWS).enumerate() {
                let x = self.tiles.tile(self.piece.tile + tile);
                for group in next.next().unwrap_or_default() {
                    prefetch(&group.words);
                    prefetch(&group.scales);
                    prefetch(&group.sums);
                }
                let first_row = (self.piece.tile + tile) * TILE_ROWS;
                // They come while the sums run.
                for (r, target) in targets.iter().enumerate() {
                    target.prefetch(PANEL);
                    self.epilogue.prefetch(first_row + r, column);
                }
                self.weight.kernel.multiply(x, panel, &mut product);
                for (r, (product, target)) in product.iter_mut().zip(targets).enumerate() {
                    self.epilogue.finish(simd, first_row + r, column, product);
                    target.push(product);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
