//! Both sides of a product in the order in which the kernel reads them.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;
use std::cell::Cell;

/// Output features in a panel: two AVX-512 vectors, four AVX2 vectors, eight of four lanes.
pub(crate) const PANEL: usize = 32;

/// Rows of `x` in the largest tile.
pub(crate) const TILE_ROWS: usize = 12;

/// Values above which packing is worth sharing between threads.
const PARALLEL_VALUES: usize = 1 << 16;

/// A right-hand side, packed: `n` output features by `k` inner values.
#[derive(Clone, Debug)]
pub(crate) struct Panels {
    // (ceil(n / PANEL), k, PANEL), zero beyond n
    data: Vec<f32>,
    n: usize,
    k: usize,
}

impl Panels {
    /// Packs `n` rows of `k` values that start `stride` apart: a weight as checkpoints store it.
    pub(crate) fn from_rows(values: &[f32], n: usize, k: usize, stride: usize) -> Self {
        Self::pack(n, k, |start, panel| {
            let (source, rows, width) = (&values[start * stride..], PANEL.min(n - start), PANEL);
            Arch::new().dispatch(Transpose {
                source,
                stride,
                rows,
                target: panel,
                width,
            });
        })
    }

    /// Packs `k` rows of `n` values that start `stride` apart: the transposed case.
    pub(crate) fn from_columns(values: &[f32], n: usize, k: usize, stride: usize) -> Self {
        Self::pack(n, k, |start, panel| {
            let width = PANEL.min(n - start);
            for (i, row) in panel.as_chunks_mut::<PANEL>().0.iter_mut().enumerate() {
                let source = &values[i * stride + start..];
                match source.first_chunk() {
                    Some(source) if width == PANEL => *row = *source,
                    _ => row[..width].copy_from_slice(&source[..width]),
                }
            }
        })
    }

    /// Fills each panel by its first feature.
    fn pack(n: usize, k: usize, fill: impl Fn(usize, &mut [f32]) + Sync) -> Self {
        let mut data = vec![0.0; n.div_ceil(PANEL) * k * PANEL];
        let length = (k * PANEL).max(1);
        let fill = |(panel, target): (usize, &mut [f32])| fill(panel * PANEL, target);
        if data.len() < PARALLEL_VALUES {
            data.chunks_exact_mut(length).enumerate().for_each(fill);
        } else {
            data.par_chunks_exact_mut(length).enumerate().for_each(fill);
        }
        Self { data, n, k }
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
    pub(crate) fn panel(&self, index: usize) -> &[f32] {
        &self.data[index * self.k * PANEL..(index + 1) * self.k * PANEL]
    }
}

/// A left-hand side, packed: tiles of [`TILE_ROWS`] rows, then one of those that are left.
pub(crate) struct Tiles {
    // one after the other: (k, rows), zero for rows that are not there
    data: Vec<f32>,
    m: usize,
    k: usize,
}

impl Tiles {
    /// Packs `m` rows of `k` values that start `stride` apart.
    pub(crate) fn new(x: &[f32], m: usize, k: usize, stride: usize) -> Self {
        let full = m / TILE_ROWS * TILE_ROWS;
        let rows = full + tile_rows(m - full);
        let mut data = SCRATCH.take();
        data.resize(rows * k, 0.0);
        let fill = |(tile, target): (usize, &mut [f32])| {
            let real = TILE_ROWS.min(m - tile * TILE_ROWS);
            let source = &x[tile * TILE_ROWS * stride..];
            if target.len() > real * k {
                target.fill(0.0);
            }
            let width = target.len() / k;
            Arch::new().dispatch(Transpose {
                source,
                stride,
                rows: real,
                target,
                width,
            });
        };
        let length = (TILE_ROWS * k).max(1);
        if data.len() < PARALLEL_VALUES {
            data.chunks_mut(length).enumerate().for_each(fill);
        } else {
            data.par_chunks_mut(length)
                .with_min_len(4)
                .enumerate()
                .for_each(fill);
        }
        Self { data, m, k }
    }

    /// One tile, (k, rows): its values, rows, and how many of the rows are real.
    pub(crate) fn tile(&self, index: usize) -> (&[f32], usize, usize) {
        let real = TILE_ROWS.min(self.m - index * TILE_ROWS);
        let rows = tile_rows(real);
        let start = index * TILE_ROWS * self.k;
        (&self.data[start..start + rows * self.k], rows, real)
    }
}

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

/// The smallest tile that takes `left` rows, of those that the kernel knows.
pub(crate) fn tile_rows(left: usize) -> usize {
    [0, 1, 2, 4, 6, 8]
        .into_iter()
        .find(|rows| left <= *rows)
        .unwrap_or(TILE_ROWS)
}

/// `target[i * width + r] = source[r * stride + i]` for `r` below `rows`; the rest stays.
// A type, not a closure, which might stay a function of its own without the vector instructions.
struct Transpose<'a> {
    source: &'a [f32],
    stride: usize,
    rows: usize,
    target: &'a mut [f32],
    width: usize,
}

impl WithSimd for Transpose<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self {
            source,
            stride,
            rows,
            target,
            width,
        } = self;
        // The two widths of nearly all, known to the compiler.
        match width {
            PANEL => transpose(source, stride, rows, target, PANEL),
            TILE_ROWS => transpose(source, stride, rows, target, TILE_ROWS),
            _ => transpose(source, stride, rows, target, width),
        }
    }
}

#[inline(always)]
fn transpose(source: &[f32], stride: usize, rows: usize, target: &mut [f32], width: usize) {
    const BLOCK: usize = 4;
    let k = target.len() / width;
    let mut first = 0;
    while first + BLOCK <= rows {
        let mut lines = [source; BLOCK];
        for (r, line) in lines.iter_mut().enumerate() {
            *line = &source[(first + r) * stride..(first + r) * stride + k];
        }
        // Blocks of four by four values, which the compiler turns round in registers.
        let (a, b) = (
            lines[0].as_chunks::<BLOCK>().0,
            lines[1].as_chunks::<BLOCK>().0,
        );
        let (c, d) = (
            lines[2].as_chunks::<BLOCK>().0,
            lines[3].as_chunks::<BLOCK>().0,
        );
        let blocks = a.iter().zip(b).zip(c).zip(d);
        for ((((a, b), c), d), target) in blocks.zip(target.chunks_exact_mut(BLOCK * width)) {
            for i in 0..BLOCK {
                let start = i * width + first;
                target[start..start + BLOCK].copy_from_slice(&[a[i], b[i], c[i], d[i]]);
            }
        }
        for i in k / BLOCK * BLOCK..k {
            for (r, line) in lines.iter().enumerate() {
                target[i * width + first + r] = line[i];
            }
        }
        first += BLOCK;
    }
    for r in first..rows {
        let line = &source[r * stride..r * stride + k];
        for (target, value) in target[r..].iter_mut().step_by(width).zip(line) {
            *target = *value;
        }
    }
}
