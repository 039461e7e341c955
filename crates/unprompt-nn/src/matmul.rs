//! The one matrix product: `x · Wᵀ` with `W` packed once into panels.
//!
//! A panel holds [`PANEL`] rows of `W` (output features), interleaved so that the kernel reads them
//! as consecutive vectors; `x` is interleaved in tiles of a few rows. Each output is a single chain
//! of fused multiply-adds over the inner dimension, so neither the tile that a row falls into nor
//! the width of the machine's vectors changes a bit of the result. The chain is followed in blocks
//! that fit the first-level cache; between two blocks the sum waits in the output.

use crate::{
    output::Unwritten,
    panels::{CHUNK, PANEL, Panels, TILE_ROWS, Tiles, tile_starts},
    prefetch::prefetch,
};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;
use std::ops::{Deref, DerefMut};

/// Rows times output features times inner dimension below which a product is not worth sharing
/// between threads.
const PARALLEL_WORK: usize = 1 << 20;

/// Values of `x` in a block of rows by a block of k: they stay in the second-level cache while
/// panels pass.
const BLOCK_VALUES: usize = 9 << 15;

/// Panels in a piece of work at most: where k has several blocks, the piece's sums wait in the
/// second-level cache.
const MOST_PANELS: usize = 12;

/// Pieces of work for each thread, so that a slow one can be helped.
const PIECES: usize = 4;

/// Tiles from which on a piece's share of the weights is worth fetching for it alone.
const LEAST_TILES: usize = 8;

/// Tiles in such a piece at most: with its sums they stay in the second-level cache.
const MOST_TILES: usize = 10;

/// Values of k in a block where vectors have sixteen lanes: they read a panel from the second-level
/// cache as fast as they compute.
const DEEP: usize = 1024;

/// The same where vectors are shorter: of a panel's part of a block, half of which is read at a time, and a
/// tile's most stays in the first-level cache.
const SHALLOW: usize = 256;

/// One tile's outputs, rows by output features, where cache lines start: a vector that lies in two
/// of them waits long before it can be read again.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(crate) struct Product([[f32; PANEL]; TILE_ROWS]);

impl Product {
    pub(crate) const ZERO: Self = Self([[0.0; PANEL]; TILE_ROWS]);
}

impl Deref for Product {
    type Target = [[f32; PANEL]; TILE_ROWS];

    #[inline(always)]
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Product {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

/// What happens to finished outputs, inlined into the kernel.
pub(crate) trait Epilogue: Sync {
    /// Finishes `values`, the outputs of a row from `column` on. Beyond the row's end they are
    /// zeros that go nowhere.
    fn finish<S: Simd>(&self, simd: S, row: usize, column: usize, values: &mut [f32; PANEL]);

    /// Starts to bring nearer what [`Self::finish`] will read.
    #[inline(always)]
    fn prefetch(&self, _row: usize, _column: usize) {}
}

/// `out = x · Wᵀ`, shared between the threads of the current pool. `x` is `m` rows of `k` values,
/// `out` is `m` rows of `n` values.
pub(crate) fn multiply(
    arch: Arch,
    x: &[f32],
    m: usize,
    weight: &Panels,
    out: Unwritten<'_>,
    epilogue: &impl Epilogue,
) {
    let (height, k) = (tile_height(arch), weight.k());
    let packed = || Tiles::in_parallel(x, (m, k), k, height);
    multiply_unpacked(arch, Left::Rows(x), packed, m, weight, out, epilogue);
}

/// `out = xᵀ · Wᵀ`: as [`multiply`], of `k` rows of `m` values.
pub(crate) fn multiply_transposed(
    arch: Arch,
    x: &[f32],
    m: usize,
    weight: &Panels,
    out: Unwritten<'_>,
    epilogue: &impl Epilogue,
) {
    let (height, k) = (tile_height(arch), weight.k());
    let packed = || Tiles::of_columns_in_parallel(x, (m, k), m, height);
    let left = Left::Columns { x, stride: m };
    multiply_unpacked(arch, left, packed, m, weight, out, epilogue);
}

/// With a block of rows for each piece, the rows of `left` are packed where they are used, in memory that
/// the thread's cache still holds; else all at once by `packed`.
fn multiply_unpacked(
    arch: Arch,
    left: Left<'_>,
    packed: impl FnOnce() -> Tiles,
    m: usize,
    weight: &Panels,
    out: Unwritten<'_>,
    epilogue: &impl Epilogue,
) {
    let (n, k) = (weight.n(), weight.k());
    if out.len() == 0 {
        return;
    }
    let height = tile_height(arch);
    let run = |left: Left<'_>, piece: Piece<'_>| {
        arch.dispatch(Block {
            left,
            height,
            weight,
            piece,
            epilogue,
        });
    };
    let starts = tile_starts(m, height);
    let cut = Cut::new(starts.len() - 1, (m, n, k));
    if cut.has_rows_for_each_piece((n, k)) {
        share(&starts, n, cut.by_rows(), out, |piece| run(left, piece));
    } else {
        let tiles = packed();
        share(&starts, n, cut, out, |piece| {
            run(Left::Packed(&tiles), piece);
        });
    }
}

/// A left-hand side whose rows are put together where they are used: as a whole they would be many
/// times the size of what they are made of.
pub(crate) trait Gather: Sync {
    /// Writes the values of a row from `start` on, as many as there is room for.
    fn gather(&self, row: usize, start: usize, values: &mut [f32]);
}

/// Whether `m` rows are so many that each thread may gather its own; with fewer it is faster to lay
/// them out once.
pub(crate) fn gathers_well(arch: Arch, m: usize) -> bool {
    m.div_ceil(tile_height(arch)) >= LEAST_TILES * PIECES * rayon::current_num_threads()
}

/// As [`multiply`], the rows of `x` gathered: the same bits as if they lay in memory.
pub(crate) fn multiply_gathered(
    arch: Arch,
    x: &dyn Gather,
    m: usize,
    weight: &Panels,
    out: Unwritten<'_>,
    epilogue: &impl Epilogue,
) {
    let (n, k) = (weight.n(), weight.k());
    if out.len() == 0 {
        return;
    }
    let height = tile_height(arch);
    let starts = tile_starts(m, height);
    let cut = Cut::new(starts.len() - 1, (m, n, k)).by_rows();
    share(&starts, n, cut, out, |piece| {
        arch.dispatch(Block {
            left: Left::Gathered(x),
            height,
            weight,
            piece,
            epilogue,
        });
    });
}

/// Rows of the largest tile whose sums fit the machine's registers, the smaller ones two at once.
pub(crate) fn tile_height(arch: Arch) -> usize {
    match arch {
        #[cfg(target_arch = "x86_64")]
        Arch::V4(_) => 14,
        _ => 12,
    }
}

/// What one thread does at a time: a block of the outputs.
pub(crate) struct Piece<'a> {
    /// The first row, tile and panel.
    pub(crate) row: usize,
    pub(crate) tile: usize,
    pub(crate) panel: usize,
    /// The block's part of each of its rows.
    pub(crate) rows: Vec<Unwritten<'a>>,
}

/// How a product is divided between threads.
#[derive(Clone, Copy)]
pub(crate) struct Cut {
    threads: usize,
    tiles: usize,
    row_blocks: usize,
    panels: usize,
    /// Groups of panels.
    groups: usize,
}

impl Cut {
    /// For `m` rows in so many tiles, `n` output features and an inner dimension of `k`.
    pub(crate) fn new(tiles: usize, (m, n, k): (usize, usize, usize)) -> Self {
        let threads = if m * n * k < PARALLEL_WORK {
            1
        } else {
            rayon::current_num_threads()
        };
        let panels = n.div_ceil(PANEL);
        let row_blocks = (m * k.min(DEEP)).div_ceil(BLOCK_VALUES).clamp(1, tiles);
        let least = match threads {
            1 => 1,
            _ => (PIECES * threads).div_ceil(row_blocks),
        };
        let least = least.max(panels.div_ceil(MOST_PANELS)).min(panels);
        // The pieces are alike, so the threads end together only if each has as many: the panels
        // that pass through the busiest one are to be few.
        let longest =
            |groups: &usize| (row_blocks * groups).div_ceil(threads) * panels.div_ceil(*groups);
        let groups = (least..=panels.min(2 * least)).min_by_key(longest);
        Self {
            threads,
            tiles,
            row_blocks,
            panels,
            groups: groups.unwrap_or(least),
        }
    }

    /// Whether there are enough rows to divide them only, and the sums between two blocks of k
    /// fit the second-level cache.
    fn has_rows_for_each_piece(self, (n, k): (usize, usize)) -> bool {
        self.tiles >= LEAST_TILES * PIECES * self.threads && (k <= DEEP || n <= DEEP + DEEP / 4)
    }

    fn by_rows(self) -> Self {
        let row_blocks = self.tiles.div_ceil(MOST_TILES).max(PIECES * self.threads);
        Self {
            // Pieces are alike: each thread is to have as many.
            row_blocks: row_blocks.next_multiple_of(self.threads).min(self.tiles),
            groups: 1,
            ..self
        }
    }
}

/// Divides `out`, (rows, n), into blocks of whole tiles and panels and hands each to a thread.
/// `starts` are those of the tiles, as [`tile_starts`].
pub(crate) fn share(
    starts: &[usize],
    n: usize,
    cut: Cut,
    mut out: Unwritten<'_>,
    work: impl Fn(Piece<'_>) + Sync,
) {
    let columns = cut.panels.div_ceil(cut.groups) * PANEL;
    let groups = n.div_ceil(columns);
    let mut pieces = Vec::with_capacity(cut.row_blocks * groups);
    for block in 0..cut.row_blocks {
        let tile = block * cut.tiles / cut.row_blocks;
        let rows = starts[tile]..starts[(block + 1) * cut.tiles / cut.row_blocks];
        let first = pieces.len();
        pieces.extend((0..groups).map(|group| Piece {
            row: rows.start,
            tile,
            panel: group * columns / PANEL,
            rows: Vec::with_capacity(rows.len()),
        }));
        for _ in rows {
            let mut row = out.take(n);
            for piece in &mut pieces[first..] {
                piece.rows.push(row.take(columns));
            }
        }
    }
    if cut.threads == 1 {
        pieces.into_iter().for_each(work);
    } else {
        pieces.into_par_iter().with_max_len(1).for_each(&work);
    }
}

/// The left-hand side of a block.
#[derive(Clone, Copy)]
enum Left<'a> {
    /// Packed once for all pieces.
    Packed(&'a Tiles),
    /// As it is: all rows, of k values.
    Rows(&'a [f32]),
    /// Its transpose as it is: rows of k that start `stride` apart.
    Columns { x: &'a [f32], stride: usize },
    /// To be gathered.
    Gathered(&'a dyn Gather),
}

struct Block<'a, E> {
    left: Left<'a>,
    /// Rows in a tile.
    height: usize,
    weight: &'a Panels,
    piece: Piece<'a>,
    epilogue: &'a E,
}

impl<E: Epilogue> WithSimd for Block<'_, E> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            left,
            height: tile_rows,
            weight,
            mut piece,
            epilogue,
        } = self;
        let k = weight.k();
        let longest = if S::F32_LANES >= 16 { DEEP } else { SHALLOW };
        let step = k
            .div_ceil(k.div_ceil(longest).max(1))
            .next_multiple_of(CHUNK)
            .max(CHUNK);
        let panels = piece.rows[0].len().div_ceil(PANEL);
        let tiles = match left {
            Left::Packed(tiles) => tiles.starts()[piece.tile..]
                .iter()
                .take_while(|start| **start < piece.row + piece.rows.len())
                .count(),
            _ => piece.rows.len().div_ceil(tile_rows),
        };
        // Between two blocks of k the sums wait here, close together.
        let waiting = if step < k { panels * tiles } else { 1 };
        let mut products = vec![Product::ZERO; waiting];
        for start in (0..k.max(1)).step_by(step) {
            let end = k.min(start + step);
            let packed = match left {
                Left::Packed(_) => None,
                Left::Rows(x) => Some(Tiles::new(
                    &x[piece.row * k + start..],
                    (piece.rows.len(), end - start),
                    k,
                    tile_rows,
                )),
                Left::Columns { x, stride } => Some(Tiles::of_columns(
                    &x[start * stride + piece.row..],
                    (piece.rows.len(), end - start),
                    stride,
                    tile_rows,
                )),
                Left::Gathered(x) => Some(Tiles::gathered(
                    (piece.rows.len(), end - start),
                    tile_rows,
                    |row, values| x.gather(piece.row + row, start, values),
                )),
            };
            for index in 0..panels {
                let panel = &weight.panel(piece.panel + index)[start..end];
                // What is multiplied next, brought nearer part by part while this one is busy.
                let (next_panel, next_start) = match (index + 1 < panels, end < k) {
                    (true, _) => (piece.panel + index + 1, start),
                    (false, true) => (piece.panel, end),
                    (false, false) => ((piece.panel + panels) % weight.count(), 0),
                };
                let next = &weight.panel(next_panel)[next_start..k.min(next_start + step)];
                let mut next = next.chunks(next.len().div_ceil(tiles).max(1));
                let mut row = 0;
                for tile in 0..tiles {
                    let (x, height) = match (&packed, left) {
                        (None, Left::Packed(tiles)) => {
                            let (x, height) = tiles.tile(piece.tile + tile);
                            let chunks = start / CHUNK * height..end.div_ceil(CHUNK) * height;
                            (&x[chunks], height)
                        }
                        (Some(tiles), _) => tiles.tile(tile),
                        (None, _) => continue,
                    };
                    let product = &mut products[(index * tiles + tile) % waiting];
                    let sides = Sides {
                        x,
                        panel,
                        next: next.next().unwrap_or_default(),
                    };
                    let (first, column) = (piece.row + row, (piece.panel + index) * PANEL);
                    if end == k {
                        // They come while the sums run.
                        for (r, target) in piece.rows[row..row + height].iter().enumerate() {
                            target.prefetch(PANEL);
                            epilogue.prefetch(first + r, column);
                        }
                    }
                    accumulate_tile(simd, sides, height, product, start > 0);
                    if end == k {
                        let targets = &mut piece.rows[row..row + height];
                        for (r, (product, target)) in product.iter_mut().zip(targets).enumerate() {
                            epilogue.finish(simd, first + r, column, product);
                            target.push(product);
                        }
                    }
                    row += height;
                }
            }
        }
    }
}

/// The two sides of a product of a tile and a panel, and what is prefetched meanwhile.
#[derive(Clone, Copy)]
pub(crate) struct Sides<'a> {
    /// (chunks, rows, CHUNK)
    pub(crate) x: &'a [[f32; CHUNK]],
    /// (k, PANEL)
    pub(crate) panel: &'a [[f32; PANEL]],
    /// As much as is multiplied next.
    pub(crate) next: &'a [[f32; PANEL]],
}

/// Multiplies a tile of `rows` rows by a panel and, if it is to `resume`, adds to `product`.
#[inline(always)]
pub(crate) fn accumulate_tile<S: Simd>(
    simd: S,
    sides: Sides<'_>,
    rows: usize,
    product: &mut Product,
    resume: bool,
) {
    // 16 lanes have 32 registers; 8 lanes have 16, so a large tile is done in parts.
    macro_rules! rows {
        ($rows:literal, $($first:literal: $count:literal),+) => {{
            if S::F32_LANES >= 16 {
                accumulate::<S, $rows, 0, $rows>(simd, sides, 0, product, resume);
            } else {
                for vector in (0..PANEL / S::F32_LANES).step_by(2) {
                    $(accumulate::<S, $count, $first, $rows>(simd, sides, vector, product, resume);)+
                }
            }
        }};
    }
    match rows {
        1 => rows!(1, 0: 1),
        2 => rows!(2, 0: 2),
        3 => rows!(3, 0: 3),
        4 => rows!(4, 0: 4),
        5 => rows!(5, 0: 5),
        6 => rows!(6, 0: 6),
        7 => rows!(7, 0: 4, 4: 3),
        8 => rows!(8, 0: 4, 4: 4),
        9 => rows!(9, 0: 5, 5: 4),
        10 => rows!(10, 0: 5, 5: 5),
        11 => rows!(11, 0: 6, 6: 5),
        12 => rows!(12, 0: 6, 6: 6),
        13 => rows!(13, 0: 5, 5: 4, 9: 4),
        _ => rows!(14, 0: 5, 5: 5, 10: 4),
    }
}

/// `ROWS` rows from `FIRST` on of a tile of `HEIGHT`, by two vectors.
#[inline(always)]
fn accumulate<S: Simd, const ROWS: usize, const FIRST: usize, const HEIGHT: usize>(
    simd: S,
    sides: Sides<'_>,
    vector: usize,
    product: &mut Product,
    resume: bool,
) {
    // Loops, no closures: a closure may stay a function of its own, without the instructions of
    // `S`. And nothing but the products in the inner loop: any other instruction may take one of
    // the two ports that they need.
    let mut sums = [[simd.splat_f32s(0.0); 2]; ROWS];
    if resume {
        for r in 0..ROWS {
            let (product, _) = S::as_simd_f32s(&product[FIRST + r]);
            sums[r] = [product[vector], product[vector + 1]];
        }
    }
    let (tile, _) = sides.x.as_chunks::<HEIGHT>();
    let (chunks, rest) = sides.panel.as_chunks::<CHUNK>();
    // A few lines at a time: more would hold up the loads that the sums wait for.
    let ahead = (sides.next.len() * CHUNK).div_ceil(sides.panel.len().max(1));
    let mut next = sides.next.chunks(ahead.max(1));
    macro_rules! step {
        ($x:expr, $k:expr, $weights:expr) => {
            let (weights, _) = S::as_simd_f32s($weights);
            let weights = [weights[vector], weights[vector + 1]];
            for r in 0..ROWS {
                let value = simd.splat_f32s($x[FIRST + r][$k]);
                sums[r][0] = simd.mul_add_f32s(value, weights[0], sums[r][0]);
                sums[r][1] = simd.mul_add_f32s(value, weights[1], sums[r][1]);
            }
        };
    }
    for (x, weights) in tile.iter().zip(chunks) {
        if FIRST == 0 && vector == 0 {
            prefetch(next.next().unwrap_or_default().as_flattened());
        }
        for k in 0..CHUNK {
            step!(x, k, &weights[k]);
        }
    }
    if let Some(x) = tile.get(chunks.len()) {
        for (k, weights) in rest.iter().enumerate() {
            step!(x, k, weights);
        }
    }
    for r in 0..ROWS {
        let (product, _) = S::as_mut_simd_f32s(&mut product[FIRST + r]);
        [product[vector], product[vector + 1]] = sums[r];
    }
}

#[cfg(test)]
mod tests;
