//! Both sides of a product in the order in which the kernel reads them.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;
use std::{
    cell::Cell,
    ops::{Deref, Range},
};

/// Output features in a panel: two AVX-512 vectors, four AVX2 vectors, eight of four lanes.
pub(crate) const PANEL: usize = 32;

/// Inner values of a row that lie side by side in a tile: a line of the caches.
pub(crate) const CHUNK: usize = 16;

/// Rows of `x` in the largest tile that any machine has.
pub(crate) const TILE_ROWS: usize = 14;

/// Panels of columns that one thread packs together.
const PANELS_OF_COLUMNS: usize = 4;

/// Tiles of columns that one thread packs together.
const TILES_OF_COLUMNS: usize = 8;

/// Values above which packing is worth sharing between threads.
const PARALLEL_VALUES: usize = 1 << 16;

/// A right-hand side, packed: `n` output features by `k` inner values.
#[derive(Clone, Debug)]
pub(crate) struct Panels {
    // from `offset` on: (ceil(n / PANEL), k, PANEL), zero beyond n; then anything
    data: Vec<f32>,
    // where a cache line starts: a vector that lies in two of them is read twice; only a clone may
    // lie otherwise
    offset: usize,
    n: usize,
    k: usize,
}

impl Panels {
    /// Packs `n` rows of `k` values that start `stride` apart: a weight as checkpoints store it.
    pub(crate) fn from_rows(values: &[f32], n: usize, k: usize, stride: usize) -> Self {
        Self::rows_in(Vec::new(), values, (n, k), stride)
    }

    fn rows_in(data: Vec<f32>, values: &[f32], (n, k): (usize, usize), stride: usize) -> Self {
        Self::pack(data, n, k, 1, |start, panel| {
            Arch::new().dispatch(Transpose {
                source: &values[start * stride..],
                stride,
                rows: PANEL.min(n - start),
                target: panel,
            });
        })
    }

    /// Packs `k` rows of `n` values that start `stride` apart: the transposed case.
    pub(crate) fn from_columns(values: &[f32], n: usize, k: usize, stride: usize) -> Self {
        Self::columns_in(Vec::new(), values, (n, k), stride)
    }

    fn columns_in(data: Vec<f32>, values: &[f32], (n, k): (usize, usize), stride: usize) -> Self {
        Self::pack(data, n, k, PANELS_OF_COLUMNS, |start, panels| {
            // All panels take from a row before the next is read: its lines lie side by side.
            for i in 0..k {
                let source = &values[i * stride + start..];
                let width = source.len().min(n - start);
                for (source, panel) in source[..width]
                    .chunks(PANEL)
                    .zip(panels.chunks_exact_mut(k))
                {
                    let row = &mut panel[i];
                    match source.first_chunk() {
                        Some(source) => *row = *source,
                        None => row[..source.len()].copy_from_slice(source),
                    }
                }
            }
        })
    }

    /// Fills so many panels at a time by the first feature of the first, in memory that may hold anything.
    fn pack(
        mut data: Vec<f32>,
        n: usize,
        k: usize,
        together: usize,
        fill: impl Fn(usize, &mut [[f32; PANEL]]) + Sync,
    ) -> Self {
        let length = n.div_ceil(PANEL) * k;
        if data.len() < length * PANEL + CHUNK {
            // New pages are zeros already.
            data = vec![0.0; length * PANEL + CHUNK];
        }
        let offset = data.as_ptr().align_offset(CHUNK * size_of::<f32>()) % CHUNK;
        let panels = &mut data[offset..].as_chunks_mut().0[..length];
        if !n.is_multiple_of(PANEL) {
            panels[n / PANEL * k..].fill([0.0; PANEL]);
        }
        let fill = |(group, panels): (usize, &mut [_])| fill(group * together * PANEL, panels);
        let lines = (together * k).max(1);
        if length * PANEL < PARALLEL_VALUES {
            panels.chunks_mut(lines).enumerate().for_each(fill);
        } else {
            panels.par_chunks_mut(lines).enumerate().for_each(fill);
        }
        Self { data, offset, n, k }
    }

    /// Output features.
    pub(crate) fn n(&self) -> usize {
        self.n
    }

    /// Inner dimension.
    pub(crate) fn k(&self) -> usize {
        self.k
    }

    /// How many panels there are.
    pub(crate) fn count(&self) -> usize {
        self.n.div_ceil(PANEL)
    }

    /// One panel: (k, PANEL).
    pub(crate) fn panel(&self, index: usize) -> &[[f32; PANEL]] {
        let lines = self.data[self.offset..].as_chunks().0;
        &lines[index * self.k..(index + 1) * self.k]
    }
}

/// A right-hand side of a single product, in the memory of the one that the thread packed before: pages
/// are cleared once, and not for every product of a step of training.
pub(crate) struct PassingPanels(Panels);

impl PassingPanels {
    /// As [`Panels::from_rows`].
    pub(crate) fn from_rows(values: &[f32], n: usize, k: usize, stride: usize) -> Self {
        Self(Panels::rows_in(PASSING.take(), values, (n, k), stride))
    }

    /// As [`Panels::from_columns`].
    pub(crate) fn from_columns(values: &[f32], n: usize, k: usize, stride: usize) -> Self {
        Self(Panels::columns_in(PASSING.take(), values, (n, k), stride))
    }
}

impl Deref for PassingPanels {
    type Target = Panels;

    fn deref(&self) -> &Panels {
        &self.0
    }
}

impl Drop for PassingPanels {
    fn drop(&mut self) {
        if self.0.data.capacity() <= MOST_PASSING {
            PASSING.set(std::mem::take(&mut self.0.data));
        }
    }
}

/// Where the tiles of `rows` rows start, the end of the last behind them: tiles of `height` rows,
/// and two at the end that share what is left, because a low tile is slower than its rows.
pub(crate) fn tile_starts(rows: usize, height: usize) -> Vec<usize> {
    let count = rows.div_ceil(height);
    let even = count.saturating_sub(2);
    let mut starts: Vec<usize> = (0..=even).map(|tile| tile * height).collect();
    let left = rows - even * height;
    if left > height {
        starts.push(even * height + left.div_ceil(2));
    }
    if left > 0 {
        starts.push(rows);
    }
    starts
}

/// A left-hand side, packed in tiles of rows.
pub(crate) struct Tiles {
    // one after the other: (ceil(k / CHUNK), rows, CHUNK), anything beyond k
    data: Vec<f32>,
    starts: Vec<usize>,
    // k in whole chunks
    padded: usize,
}

impl Tiles {
    /// Packs `m` rows of `k` values that start `stride` apart, `height` in a tile.
    pub(crate) fn new(x: &[f32], (m, k): (usize, usize), stride: usize, height: usize) -> Self {
        Self::pack(m, k, height, |tiles| {
            tiles.into_iter().for_each(|(rows, target)| {
                pack(&x[rows.start * stride..], rows.len(), k, stride, target);
            });
        })
    }

    /// Packs `m` rows of `k` values that `read` writes, `height` in a tile.
    pub(crate) fn gathered(
        (m, k): (usize, usize),
        height: usize,
        read: impl Fn(usize, &mut [f32]),
    ) -> Self {
        let mut row = vec![0.0; k];
        Self::pack(m, k, height, |tiles| {
            for (rows, target) in tiles {
                let target = target.as_chunks_mut::<CHUNK>().0;
                let count = rows.len();
                for (r, index) in rows.enumerate() {
                    read(index, &mut row);
                    let (chunks, rest) = row.as_chunks();
                    let mut targets = target[r..].iter_mut().step_by(count);
                    for (chunk, target) in chunks.iter().zip(targets.by_ref()) {
                        *target = *chunk;
                    }
                    if let Some(target) = targets.next() {
                        target[..rest.len()].copy_from_slice(rest);
                    }
                }
            }
        })
    }

    /// Packs the transpose of `k` rows of values that start `stride` apart, `m` of each; `height` in a tile.
    pub(crate) fn of_columns(
        x: &[f32],
        (m, k): (usize, usize),
        stride: usize,
        height: usize,
    ) -> Self {
        Self::pack(m, k, height, |mut tiles| {
            pack_columns(x, k, stride, &mut tiles);
        })
    }

    /// The same by all threads of the current pool.
    pub(crate) fn of_columns_in_parallel(
        x: &[f32],
        (m, k): (usize, usize),
        stride: usize,
        height: usize,
    ) -> Self {
        if m * k < PARALLEL_VALUES {
            return Self::of_columns(x, (m, k), stride, height);
        }
        Self::pack(m, k, height, |mut tiles| {
            let groups = tiles.par_chunks_mut(TILES_OF_COLUMNS);
            groups.for_each(|tiles| pack_columns(x, k, stride, tiles));
        })
    }

    /// As [`Self::new`], by all threads of the current pool.
    pub(crate) fn in_parallel(
        x: &[f32],
        (m, k): (usize, usize),
        stride: usize,
        height: usize,
    ) -> Self {
        if m * k < PARALLEL_VALUES {
            return Self::new(x, (m, k), stride, height);
        }
        Self::pack(m, k, height, |tiles| {
            let tiles = tiles.into_par_iter().with_min_len(4);
            tiles.for_each(|(rows, target)| {
                pack(&x[rows.start * stride..], rows.len(), k, stride, target);
            });
        })
    }

    fn pack(
        m: usize,
        k: usize,
        height: usize,
        fill: impl FnOnce(Vec<(Range<usize>, &mut [f32])>),
    ) -> Self {
        let padded = k.next_multiple_of(CHUNK);
        let mut data = SCRATCH.take();
        if data.len() < m * padded {
            data.resize(m * padded, 0.0);
        }
        let starts = tile_starts(m, height);
        let mut rest = &mut data[..m * padded];
        let mut tiles = Vec::with_capacity(starts.len());
        for tile in starts.windows(2) {
            let target;
            (target, rest) = rest.split_at_mut((tile[1] - tile[0]) * padded);
            tiles.push((tile[0]..tile[1], target));
        }
        fill(tiles);
        Self {
            data,
            starts,
            padded,
        }
    }

    /// Where the tiles start, as [`tile_starts`].
    pub(crate) fn starts(&self) -> &[usize] {
        &self.starts
    }

    /// One tile, (chunks, rows, CHUNK), and its rows.
    pub(crate) fn tile(&self, index: usize) -> (&[[f32; CHUNK]], usize) {
        let (start, end) = (self.starts[index], self.starts[index + 1]);
        let values = &self.data[start * self.padded..end * self.padded];
        (values.as_chunks().0, end - start)
    }
}

/// Packs one tile of rows of `k` values that start `stride` apart.
fn pack(x: &[f32], rows: usize, k: usize, stride: usize, target: &mut [f32]) {
    let target = target.as_chunks_mut::<CHUNK>().0;
    for r in 0..rows {
        let (chunks, rest) = x[r * stride..r * stride + k].as_chunks();
        let mut targets = target[r..].iter_mut().step_by(rows);
        for (chunk, target) in chunks.iter().zip(targets.by_ref()) {
            *target = *chunk;
        }
        if let Some(target) = targets.next() {
            target[..rest.len()].copy_from_slice(rest);
        }
    }
}

/// Packs tiles of columns, each with the columns that are its rows. All tiles take from a few rows before
/// the next are read: their parts of a row lie side by side.
fn pack_columns(x: &[f32], k: usize, stride: usize, tiles: &mut [(Range<usize>, &mut [f32])]) {
    let arch = Arch::new();
    for first in (0..k).step_by(CHUNK) {
        let rows = CHUNK.min(k - first);
        for (columns, target) in &mut *tiles {
            let target = &mut target[first * columns.len()..];
            arch.dispatch(Transpose {
                source: &x[first * stride + columns.start..],
                stride,
                rows,
                target: &mut target.as_chunks_mut::<CHUNK>().0[..columns.len()],
            });
        }
    }
}

thread_local! {
    /// The memory of the last [`PassingPanels`].
    static PASSING: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

/// Values in the largest such memory that is kept.
const MOST_PASSING: usize = 1 << 25;

thread_local! {
    /// The memory of the last left-hand side that this thread packed: to have the system clear new
    /// pages each time would cost as much as to fill them.
    static SCRATCH: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

/// Values in the largest scratch memory that is kept.
const MOST_SCRATCH: usize = 1 << 23;

impl Drop for Tiles {
    fn drop(&mut self) {
        if self.data.capacity() <= MOST_SCRATCH {
            SCRATCH.set(std::mem::take(&mut self.data));
        }
    }
}

/// `target[i][r] = source[r * stride + i]` for `r` below `rows`; the rest stays.
// A type, not a closure, which might stay a function of its own without the vector instructions.
struct Transpose<'a, const WIDTH: usize> {
    source: &'a [f32],
    stride: usize,
    rows: usize,
    target: &'a mut [[f32; WIDTH]],
}

impl<const WIDTH: usize> WithSimd for Transpose<'_, WIDTH> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        const BLOCK: usize = 4;
        let Self {
            source,
            stride,
            rows,
            target,
        } = self;
        let length = target.len();
        let line = |r: usize| &source[r * stride..][..length];
        let even = rows / BLOCK * BLOCK;
        for r in (0..even).step_by(BLOCK) {
            // Blocks of four by four values, which the compiler turns round in registers.
            let [a, b, c, d] =
                [line(r), line(r + 1), line(r + 2), line(r + 3)].map(<[f32]>::as_chunks::<BLOCK>);
            let blocks = a.0.iter().zip(b.0).zip(c.0).zip(d.0);
            let (whole, rest) = target.as_chunks_mut::<BLOCK>();
            for ((((a, b), c), d), target) in blocks.zip(whole) {
                for i in 0..BLOCK {
                    target[i][r..r + BLOCK].copy_from_slice(&[a[i], b[i], c[i], d[i]]);
                }
            }
            for (i, target) in rest.iter_mut().enumerate() {
                target[r..r + BLOCK].copy_from_slice(&[a.1[i], b.1[i], c.1[i], d.1[i]]);
            }
        }
        for r in even..rows {
            for (target, value) in target.iter_mut().zip(line(r)) {
                target[r] = *value;
            }
        }
    }
}
