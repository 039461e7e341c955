//! The one matrix product: `x · Wᵀ` with `W` packed once into panels.
//!
//! A panel holds [`PANEL`] rows of `W` (output features), interleaved so that the kernel reads them
//! as consecutive vectors; `x` is interleaved in tiles of a few rows. Each output is a single chain
//! of fused multiply-adds over the inner dimension, so neither the tile that a row falls into nor
//! the width of the machine's vectors changes a bit of the result. The chain is followed in blocks
//! that fit the first-level cache; between two blocks the sum waits in the output.

use crate::{
    panels::{PANEL, Panels, TILE_ROWS, Tiles},
    prefetch::prefetch,
};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Rows times output features times inner dimension below which a product is not worth sharing
/// between threads.
const PARALLEL_WORK: usize = 1 << 20;

/// Tiles in a block of rows: with a block of their inner dimension they stay in the second-level
/// cache while panels pass.
const BLOCK_TILES: usize = 36;

/// Panels in a piece of work at most: its sums stay in the second-level cache.
const MOST_PANELS: usize = 4;

/// Pieces of work for each thread, so that a slow one can be helped.
const PIECES: usize = 4;

/// One tile's outputs: rows by output features.
pub(crate) type Product = [[f32; PANEL]; TILE_ROWS];

/// What happens to finished outputs, inlined into the kernel.
pub(crate) trait Epilogue: Sync {
    /// Finishes `values`, the outputs of a row from `column` on. Beyond the row's end they are
    /// zeros that go nowhere.
    fn finish(&self, row: usize, column: usize, values: &mut [f32; PANEL]);
}

/// `out = x · Wᵀ`, shared between the threads of the current pool. `x` is `m` rows of `k` values,
/// `out` is `m` rows of `n` values.
pub(crate) fn multiply(
    arch: Arch,
    x: &[f32],
    m: usize,
    weight: &Panels,
    out: &mut [f32],
    epilogue: &impl Epilogue,
) {
    let (n, k) = (weight.n(), weight.k());
    if out.is_empty() {
        return;
    }
    let tiles = Tiles::new(x, m, k, k);
    share(m, n, k, out, |piece| {
        arch.dispatch(Block {
            tiles: &tiles,
            weight,
            piece,
            epilogue,
        });
    });
}

/// What one thread does at a time: a block of the outputs.
pub(crate) struct Piece<'a> {
    /// The first tile and the first panel.
    pub(crate) tile: usize,
    pub(crate) panel: usize,
    /// The block's part of each of its rows.
    pub(crate) rows: Vec<&'a mut [f32]>,
}

/// Divides `out`, (m, n), into blocks of whole tiles and panels and hands each to a thread.
pub(crate) fn share(
    m: usize,
    n: usize,
    k: usize,
    out: &mut [f32],
    work: impl Fn(Piece<'_>) + Sync,
) {
    let threads = if m * n * k < PARALLEL_WORK {
        1
    } else {
        rayon::current_num_threads()
    };
    let (tiles, panels) = (m.div_ceil(TILE_ROWS), n.div_ceil(PANEL));
    let row_blocks = tiles.div_ceil(BLOCK_TILES);
    let rows = tiles.div_ceil(row_blocks) * TILE_ROWS;
    let groups = match threads {
        1 => 1,
        _ => (PIECES * threads).div_ceil(row_blocks),
    };
    let groups = groups.max(panels.div_ceil(MOST_PANELS)).min(panels);
    let columns = panels.div_ceil(groups) * PANEL;
    let groups = n.div_ceil(columns);
    let mut pieces = Vec::with_capacity(row_blocks * groups);
    for (block, out) in out.chunks_mut(rows * n).enumerate() {
        let first = pieces.len();
        pieces.extend((0..groups).map(|group| Piece {
            tile: block * rows / TILE_ROWS,
            panel: group * columns / PANEL,
            rows: Vec::with_capacity(out.len() / n),
        }));
        for row in out.chunks_exact_mut(n) {
            for (piece, part) in pieces[first..].iter_mut().zip(row.chunks_mut(columns)) {
                piece.rows.push(part);
            }
        }
    }
    if threads == 1 {
        pieces.into_iter().for_each(work);
    } else {
        pieces.into_par_iter().with_max_len(1).for_each(&work);
    }
}

struct Block<'a, E> {
    tiles: &'a Tiles,
    weight: &'a Panels,
    piece: Piece<'a>,
    epilogue: &'a E,
}

impl<E: Epilogue> WithSimd for Block<'_, E> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            tiles,
            weight,
            mut piece,
            epilogue,
        } = self;
        let k = weight.k();
        // A panel's and a tile's part of a block of k fit the first-level cache: 32 KiB where
        // vectors have eight lanes, 48 KiB where they have sixteen.
        let longest = if S::F32_LANES >= 16 { 256 } else { 128 };
        let step = k.div_ceil(k.div_ceil(longest).max(1)).max(1);
        let panels = piece.rows[0].len().div_ceil(PANEL);
        let count = piece.rows.len().div_ceil(TILE_ROWS);
        // Between two blocks of k the sums wait here, close together.
        let mut products = vec![0.0; panels * count * TILE_ROWS * PANEL];
        let products = products.as_chunks_mut().0.as_chunks_mut().0;
        for start in (0..k.max(1)).step_by(step) {
            let end = k.min(start + step);
            for (index, products) in products.chunks_exact_mut(count).enumerate() {
                let panel = weight.panel(piece.panel + index);
                let panel = &panel[start * PANEL..end * PANEL];
                // What is multiplied next, brought nearer part by part while this one is busy.
                let next = if index + 1 < panels {
                    &weight.panel(piece.panel + index + 1)[start * PANEL..end * PANEL]
                } else {
                    &weight.panel(piece.panel)[end * PANEL..k.min(end + step) * PANEL]
                };
                let mut next = next.chunks(next.len().div_ceil(count).max(1));
                let rows = piece.rows.chunks_mut(TILE_ROWS);
                for (tile, (product, targets)) in products.iter_mut().zip(rows).enumerate() {
                    let (x, rows, _) = tiles.tile(piece.tile + tile);
                    let x = &x[start * rows..end * rows];
                    prefetch(next.next().unwrap_or_default());
                    if end == k {
                        for target in targets.iter() {
                            prefetch(&target[index * PANEL..target.len().min((index + 1) * PANEL)]);
                        }
                    }
                    accumulate_tile(simd, x, rows, panel, product);
                    if end == k {
                        let row = (piece.tile + tile) * TILE_ROWS;
                        let column = (piece.panel + index) * PANEL;
                        for (r, (product, target)) in product.iter_mut().zip(targets).enumerate() {
                            epilogue.finish(row + r, column, product);
                            write(&mut target[index * PANEL..], product);
                        }
                    }
                }
            }
        }
    }
}

/// `values`, as many as `target` takes.
#[inline(always)]
pub(crate) fn write(target: &mut [f32], values: &[f32; PANEL]) {
    // Nearly always a whole panel, which the compiler then copies as a few vectors.
    match target.first_chunk_mut() {
        Some(target) => *target = *values,
        None => target.copy_from_slice(&values[..target.len()]),
    }
}

/// Adds one tile of `x`, (k, rows), times one panel, (k, PANEL), to `product`. `rows` is one of
/// [`crate::panels::tile_rows`].
#[inline(always)]
pub(crate) fn accumulate_tile<S: Simd>(
    simd: S,
    x: &[f32],
    rows: usize,
    panel: &[f32],
    product: &mut Product,
) {
    match rows {
        1 => accumulate::<S, 1, 1>(simd, x, panel, product),
        2 => accumulate::<S, 2, 2>(simd, x, panel, product),
        4 => accumulate::<S, 4, 4>(simd, x, panel, product),
        6 => accumulate::<S, 6, 6>(simd, x, panel, product),
        8 => accumulate::<S, 8, 8>(simd, x, panel, product),
        _ => accumulate::<S, 12, 12>(simd, x, panel, product),
    }
}

/// The same for a tile that is the beginning of each row of (k, PANEL).
#[inline(always)]
pub(crate) fn accumulate_columns<S: Simd>(
    simd: S,
    x: &[f32],
    rows: usize,
    panel: &[f32],
    product: &mut Product,
) {
    match rows {
        1 => accumulate::<S, 1, PANEL>(simd, x, panel, product),
        2 => accumulate::<S, 2, PANEL>(simd, x, panel, product),
        4 => accumulate::<S, 4, PANEL>(simd, x, panel, product),
        6 => accumulate::<S, 6, PANEL>(simd, x, panel, product),
        8 => accumulate::<S, 8, PANEL>(simd, x, panel, product),
        _ => accumulate::<S, 12, PANEL>(simd, x, panel, product),
    }
}

/// The first `ROWS` values of each `STRIDE` of `x`.
#[inline(always)]
fn accumulate<S: Simd, const ROWS: usize, const STRIDE: usize>(
    simd: S,
    x: &[f32],
    panel: &[f32],
    product: &mut Product,
) {
    let (x, panel) = (x.as_chunks::<STRIDE>().0, panel.as_chunks::<PANEL>().0);
    // 16 lanes have 32 registers; 8 lanes have 16, so a large tile is done as two.
    for vector in (0..PANEL / S::F32_LANES).step_by(2) {
        match ROWS {
            8 if S::F32_LANES < 16 => {
                accumulate_rows::<S, 4, 0, STRIDE>(simd, x, panel, vector, product);
                accumulate_rows::<S, 4, 4, STRIDE>(simd, x, panel, vector, product);
            }
            12 if S::F32_LANES < 16 => {
                accumulate_rows::<S, 6, 0, STRIDE>(simd, x, panel, vector, product);
                accumulate_rows::<S, 6, 6, STRIDE>(simd, x, panel, vector, product);
            }
            _ => accumulate_rows::<S, ROWS, 0, STRIDE>(simd, x, panel, vector, product),
        }
    }
}

/// `ROWS` rows from `FIRST` on, by two vectors.
#[inline(always)]
fn accumulate_rows<S: Simd, const ROWS: usize, const FIRST: usize, const STRIDE: usize>(
    simd: S,
    x: &[[f32; STRIDE]],
    panel: &[[f32; PANEL]],
    vector: usize,
    product: &mut Product,
) {
    // Loops, no closures: a closure may stay a function of its own, without the instructions of
    // `S`. And nothing but the products in the inner loop: any other instruction may take one of
    // the two ports that they need.
    let mut sums = [[simd.splat_f32s(0.0); 2]; ROWS];
    for r in 0..ROWS {
        let (product, _) = S::as_simd_f32s(&product[FIRST + r]);
        sums[r] = [product[vector], product[vector + 1]];
    }
    for (x, weights) in x.iter().zip(panel) {
        let (weights, _) = S::as_simd_f32s(weights);
        let weights = [weights[vector], weights[vector + 1]];
        for r in 0..ROWS {
            let value = simd.splat_f32s(x[FIRST + r]);
            sums[r][0] = simd.mul_add_f32s(value, weights[0], sums[r][0]);
            sums[r][1] = simd.mul_add_f32s(value, weights[1], sums[r][1]);
        }
    }
    for r in 0..ROWS {
        let (product, _) = S::as_mut_simd_f32s(&mut product[FIRST + r]);
        [product[vector], product[vector + 1]] = sums[r];
    }
}

#[cfg(test)]
mod tests;
