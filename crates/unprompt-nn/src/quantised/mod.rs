//! The product with weights of eight bits.
//!
//! A weight is `scale * q`, `q` in [-127, 127], with one scale for each output. A row of the input
//! becomes `scale * (u - zero)`, `u` in [0, 255], with the scale and the zero point that its own
//! smallest and largest value ask for. `Σ u q` is an exact integer on every instruction set; what
//! follows it is the same few f32 operations for each output.

mod kernel;

use crate::{
    matmul::{Cut, Epilogue, Piece, share},
    output::Unwritten,
    panels::PANEL,
    prefetch::prefetch,
};
use candle_core::{Result, bail};
use kernel::{Kernel, Sums};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Rows of `x` in the largest tile.
const TILE_ROWS: usize = 12;

/// Inputs beyond which `Σ u q` and `zero * Σ q` might leave 32 bits: 255 * 127 * 2^16 < 2^31.
const MOST_INPUTS: usize = 1 << 16;

/// 1.5 * 2^23: added to a value below 2^22 in size, it leaves the value rounded to an integer, ties
/// to even, in the lowest bits.
const ROUND: f32 = 12_582_912.0;

/// A weight of `n` output features by `k` inner values, quantised and packed.
#[derive(Clone, Debug)]
pub(crate) struct QuantisedPanels {
    // (panels, words, PANEL * group): `group` values of an output side by side, zero beyond n and k
    data: Vec<i8>,
    // by panel
    scales: Vec<[f32; PANEL]>,
    sums: Vec<[i32; PANEL]>,
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
        if k > MOST_INPUTS {
            bail!("linear: {k} inputs where int8 weights allow {MOST_INPUTS}");
        }
        let panels = n.div_ceil(PANEL);
        let (group, words) = (kernel.group(), k.div_ceil(kernel.group()));
        let mut data = vec![0; panels * words * PANEL * group];
        let mut scales = vec![[0.0; PANEL]; panels];
        let mut sums = vec![[0; PANEL]; panels];
        if k > 0 {
            data.par_chunks_mut(words * PANEL * group)
                .zip(&mut scales)
                .zip(&mut sums)
                .zip(values.par_chunks(PANEL * k))
                .for_each(|(((data, scales), sums), values)| {
                    Arch::new().dispatch(PackWeights {
                        values,
                        k,
                        group,
                        data,
                        scales,
                        sums,
                    });
                });
        }
        if scales.as_flattened().iter().any(|scale| !scale.is_finite()) {
            bail!("linear: int8 weights need finite values");
        }
        Ok(Self {
            data,
            scales,
            sums,
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

    fn panel(&self, index: usize) -> &[i8] {
        let length = self.k.div_ceil(self.kernel.group()) * PANEL * self.kernel.group();
        &self.data[index * length..(index + 1) * length]
    }
}

/// Quantises and packs the outputs of one panel.
// This and the following are types, not closures, which might stay functions of their own without
// the vector instructions.
struct PackWeights<'a> {
    values: &'a [f32],
    k: usize,
    group: usize,
    data: &'a mut [i8],
    scales: &'a mut [f32; PANEL],
    sums: &'a mut [i32; PANEL],
}

impl WithSimd for PackWeights<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let group = self.group;
        let mut row = vec![0i8; self.k.next_multiple_of(group)];
        for (output, values) in self.values.chunks_exact(self.k).enumerate() {
            let (scale, sum) = quantise_weights(values, &mut row);
            (self.scales[output], self.sums[output]) = (scale, sum);
            for (word, values) in row.chunks_exact(group).enumerate() {
                let target = (word * PANEL + output) * group;
                self.data[target..target + group].copy_from_slice(values);
            }
        }
    }
}

/// One output's weights: their scale and the sum of the integers.
#[inline(always)]
fn quantise_weights(values: &[f32], row: &mut [i8]) -> (f32, i32) {
    let (low, high, not_finite) = range(values);
    let scale = high.max(-low) / 127.0 + not_finite;
    let factor = if scale > 0.0 { 1.0 / scale } else { 0.0 };
    // A scale so small that its inverse is infinite: the weights are as good as zero.
    let factor = if factor.is_finite() { factor } else { 0.0 };
    let mut sum = 0;
    for (target, value) in row.iter_mut().zip(values) {
        let bits = ((value * factor).clamp(-127.0, 127.0) + ROUND).to_bits();
        *target = bits as i8;
        sum += i32::from(bits as i8);
    }
    (scale, sum)
}

/// The smallest and the largest value, 0 among them, and 0 if all are finite, else NaN.
#[inline(always)]
fn range(values: &[f32]) -> (f32, f32, f32) {
    const CHAINS: usize = 64;
    let (mut low, mut high, mut rest) = ([0.0f32; CHAINS], [0.0f32; CHAINS], [0.0f32; CHAINS]);
    let (chunks, left) = values.as_chunks::<CHAINS>();
    let mut last = [0.0; CHAINS];
    last[..left.len()].copy_from_slice(left);
    for chunk in chunks.iter().chain([&last]) {
        for i in 0..CHAINS {
            let value = chunk[i];
            low[i] = if value < low[i] { value } else { low[i] };
            high[i] = if value > high[i] { value } else { high[i] };
            rest[i] += value * 0.0;
        }
    }
    (
        low.into_iter().fold(0.0, f32::min),
        high.into_iter().fold(0.0, f32::max),
        rest.into_iter().sum(),
    )
}

/// The left-hand side: tiles of rows, quantised.
struct QuantisedTiles {
    // tile by tile: (words, rows), `group` values in each
    data: Vec<u32>,
    rows: Vec<Row>,
    words: usize,
}

/// `x = scale * (u - zero)`.
#[derive(Clone, Copy, Default)]
struct Row {
    scale: f32,
    zero: i32,
}

impl QuantisedTiles {
    fn new(x: &[f32], m: usize, k: usize, kernel: Kernel) -> Self {
        let words = k.div_ceil(kernel.group());
        let full = m / TILE_ROWS * TILE_ROWS;
        let mut data = vec![0; (full + tile_rows(m - full)) * words];
        let mut rows = vec![Row::default(); m];
        data.par_chunks_mut(TILE_ROWS * words)
            .zip(rows.par_chunks_mut(TILE_ROWS))
            .zip(x.par_chunks(TILE_ROWS * k))
            .with_min_len(4)
            .for_each(|((data, rows), x)| {
                Arch::new().dispatch(PackRows {
                    x,
                    k,
                    group: kernel.group(),
                    data,
                    rows,
                });
            });
        Self { data, rows, words }
    }

    fn tile(&self, index: usize) -> (&[u32], &[Row]) {
        let rows = &self.rows[index * TILE_ROWS..];
        let rows = &rows[..rows.len().min(TILE_ROWS)];
        let start = index * TILE_ROWS * self.words;
        (
            &self.data[start..start + tile_rows(rows.len()) * self.words],
            rows,
        )
    }
}

/// Quantises and packs the rows of one tile.
struct PackRows<'a> {
    x: &'a [f32],
    k: usize,
    group: usize,
    data: &'a mut [u32],
    rows: &'a mut [Row],
}

impl WithSimd for PackRows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let words = self.k.div_ceil(self.group);
        let mut bytes = vec![0u8; words * self.group];
        let width = self.data.len() / words;
        for (r, (row, x)) in self
            .rows
            .iter_mut()
            .zip(self.x.chunks_exact(self.k))
            .enumerate()
        {
            *row = quantise_row(x, &mut bytes);
            let targets = self.data[r..].iter_mut().step_by(width);
            if self.group == 4 {
                for (target, bytes) in targets.zip(bytes.as_chunks::<4>().0) {
                    *target = u32::from_le_bytes(*bytes);
                }
            } else {
                for (target, [low, high]) in targets.zip(bytes.as_chunks::<2>().0) {
                    *target = u32::from(*low) | u32::from(*high) << 16;
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

#[inline(always)]
fn quantise_row(x: &[f32], bytes: &mut [u8]) -> Row {
    let (low, high, not_finite) = range(x);
    let scale = (high - low) / 255.0;
    let factor = if scale > 0.0 { 1.0 / scale } else { 0.0 };
    let factor = if factor.is_finite() { factor } else { 0.0 };
    let zero = (-low * factor).round_ties_even().clamp(0.0, 255.0);
    for (byte, x) in bytes.iter_mut().zip(x) {
        let value = x.mul_add(factor, zero).clamp(0.0, 255.0);
        *byte = (value + ROUND).to_bits() as u8;
    }
    Row {
        scale: scale + not_finite,
        zero: zero as i32,
    }
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
    let tiles = QuantisedTiles::new(x, m, weight.k, weight.kernel);
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
    fn with_simd<S: Simd>(mut self, _: S) {
        let width = self.piece.rows[0].len();
        let mut sums: Sums = [[0; PANEL]; TILE_ROWS];
        for first in (0..width).step_by(PANEL) {
            let index = self.piece.panel + first / PANEL;
            let panel = self.weight.panel(index);
            let column = index * PANEL;
            let next = match index + 1 < self.weight.scales.len() {
                true => self.weight.panel(index + 1),
                false => &[],
            };
            let tiles = self.piece.rows.len().div_ceil(TILE_ROWS);
            let mut next = next.chunks(next.len().div_ceil(tiles).max(1));
            let (scales, weight_sums) = (self.weight.scales[index], self.weight.sums[index]);
            for (tile, targets) in self.piece.rows.chunks_mut(TILE_ROWS).enumerate() {
                let (x, rows) = self.tiles.tile(self.piece.tile + tile);
                prefetch(next.next().unwrap_or_default());
                let kernel = self.weight.kernel;
                kernel.multiply(x, tile_rows(rows.len()), panel, &mut sums);
                let first_row = (self.piece.tile + tile) * TILE_ROWS;
                for (r, ((row, sums), target)) in rows.iter().zip(&sums).zip(targets).enumerate() {
                    let mut values = [0.0; PANEL];
                    for c in 0..PANEL {
                        let sum = sums[c] - row.zero * weight_sums[c];
                        values[c] = sum as f32 * (row.scale * scales[c]);
                    }
                    self.epilogue.finish(first_row + r, column, &mut values);
                    target.push(&values);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
