//! The one matrix product: `x · Wᵀ` with `W` packed once into panels.
//!
//! A panel holds [`PANEL`] rows of `W` (output features), interleaved so that the kernel reads them
//! as consecutive vectors; `x` is interleaved in tiles of a few rows. Each output is a single chain
//! of fused multiply-adds over the inner dimension, so neither the tile that a row falls into nor
//! the width of the machine's vectors changes a bit of the result.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Output features in a panel: two AVX-512 vectors, four AVX2 vectors, eight of four lanes.
pub(crate) const PANEL: usize = 32;

/// Rows of `x` in the largest tile.
const TILE_ROWS: usize = 12;

/// Rows times output features below which a product is not worth sharing between threads.
const PARALLEL_WORK: usize = 1 << 20;

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
        let mut data = vec![0.0; n.div_ceil(PANEL) * k * PANEL];
        for (row, panel) in (0..n).map(|row| (row, row / PANEL * k * PANEL + row % PANEL)) {
            let source = &values[row * stride..row * stride + k];
            for (i, value) in source.iter().enumerate() {
                data[panel + i * PANEL] = *value;
            }
        }
        Self { data, n, k }
    }

    /// Packs `k` rows of `n` values that start `stride` apart: the transposed case.
    pub(crate) fn from_columns(values: &[f32], n: usize, k: usize, stride: usize) -> Self {
        let mut data = vec![0.0; n.div_ceil(PANEL) * k * PANEL];
        for (panel, target) in data.chunks_exact_mut(k * PANEL).enumerate() {
            let start = panel * PANEL;
            let width = PANEL.min(n - start);
            for (i, row) in target.chunks_exact_mut(PANEL).enumerate() {
                let source = i * stride + start;
                row[..width].copy_from_slice(&values[source..source + width]);
            }
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

    fn panel(&self, index: usize) -> &[f32] {
        &self.data[index * self.k * PANEL..(index + 1) * self.k * PANEL]
    }

    fn panel_count(&self) -> usize {
        self.n.div_ceil(PANEL)
    }
}

/// What happens to a finished stretch of one output row: the first feature's index and its values.
pub(crate) trait Epilogue: Fn(usize, &mut [f32]) + Sync {}
impl<F: Fn(usize, &mut [f32]) + Sync> Epilogue for F {}

/// `out = x · Wᵀ` on the calling thread. `x` is `m` rows of `k` values, `x_stride` apart; `out` is
/// `m` rows of `n` values, `out_stride` apart.
pub(crate) fn multiply(
    arch: Arch,
    (x, x_stride): (&[f32], usize),
    m: usize,
    weight: &Panels,
    (out, out_stride): (&mut [f32], usize),
    epilogue: impl Epilogue,
) {
    let k = weight.k;
    let mut tile = vec![0.0; k * TILE_ROWS];
    let mut product = [0.0; TILE_ROWS * PANEL];
    let mut row = 0;
    while row < m {
        let rows = tile_rows(m - row);
        let real = rows.min(m - row);
        interleave(
            &mut tile[..k * rows],
            rows,
            &x[row * x_stride..],
            x_stride,
            real,
        );
        for panel in 0..weight.panel_count() {
            let start = panel * PANEL;
            let width = PANEL.min(weight.n - start);
            arch.dispatch(Tile {
                rows,
                x: &tile[..k * rows],
                panel: weight.panel(panel),
                product: &mut product,
            });
            for (i, source) in product.chunks_exact(PANEL).take(real).enumerate() {
                let target = (row + i) * out_stride + start;
                let target = &mut out[target..target + width];
                target.copy_from_slice(&source[..width]);
                epilogue(start, target);
            }
        }
        row += real;
    }
}

/// As [`multiply`] with contiguous rows, shared between the threads of the current pool.
pub(crate) fn multiply_parallel(
    arch: Arch,
    x: &[f32],
    m: usize,
    weight: &Panels,
    out: &mut [f32],
    epilogue: impl Epilogue,
) {
    let (n, k) = (weight.n, weight.k);
    let threads = rayon::current_num_threads();
    if threads == 1 || m * n * k < PARALLEL_WORK {
        return multiply(arch, (x, k), m, weight, (out, n), epilogue);
    }
    if m >= threads * TILE_ROWS {
        // Whole tiles for each thread, four pieces each so that a slow thread can be helped.
        let rows = m.div_ceil(threads * 4).next_multiple_of(TILE_ROWS);
        out.par_chunks_mut(rows * n)
            .zip(x.par_chunks(rows * k))
            .for_each(|(out, x)| {
                multiply(arch, (x, k), out.len() / n, weight, (out, n), &epilogue);
            });
        return;
    }
    // Few rows: share the panels instead, each into a piece of its own, then lay them out.
    let mut pieces = vec![0.0; weight.panel_count() * m * PANEL];
    pieces
        .par_chunks_mut(m * PANEL)
        .enumerate()
        .for_each(|(panel, piece)| {
            let mut tile = vec![0.0; k * TILE_ROWS];
            let mut product = [0.0; TILE_ROWS * PANEL];
            let mut row = 0;
            while row < m {
                let rows = tile_rows(m - row);
                let real = rows.min(m - row);
                interleave(&mut tile[..k * rows], rows, &x[row * k..], k, real);
                arch.dispatch(Tile {
                    rows,
                    x: &tile[..k * rows],
                    panel: weight.panel(panel),
                    product: &mut product,
                });
                piece[row * PANEL..(row + real) * PANEL].copy_from_slice(&product[..real * PANEL]);
                row += real;
            }
        });
    for (row, out) in out.chunks_exact_mut(n).enumerate() {
        for (panel, target) in out.chunks_mut(PANEL).enumerate() {
            let source = (panel * m + row) * PANEL;
            target.copy_from_slice(&pieces[source..source + target.len()]);
            epilogue(panel * PANEL, target);
        }
    }
}

/// The smallest tile that takes `left` rows, or the largest there is.
fn tile_rows(left: usize) -> usize {
    [1, 2, 4, 6, 8]
        .into_iter()
        .find(|rows| left <= *rows)
        .unwrap_or(TILE_ROWS)
}

/// `tile[i * rows + r] = x[r][i]`, zero for rows that are not there.
fn interleave(tile: &mut [f32], rows: usize, x: &[f32], stride: usize, real: usize) {
    for r in 0..rows {
        if r < real {
            let source = &x[r * stride..r * stride + tile.len() / rows];
            for (target, value) in tile.iter_mut().skip(r).step_by(rows).zip(source) {
                *target = *value;
            }
        } else {
            tile.iter_mut()
                .skip(r)
                .step_by(rows)
                .for_each(|target| *target = 0.0);
        }
    }
}

/// One tile of `x` (k, rows) by one panel (k, PANEL): product (rows, PANEL).
struct Tile<'a> {
    rows: usize,
    x: &'a [f32],
    panel: &'a [f32],
    product: &'a mut [f32; TILE_ROWS * PANEL],
}

impl WithSimd for Tile<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            rows,
            x,
            panel,
            product,
        } = self;
        // 16 lanes have 32 registers; 8 lanes have 16, so the large tile is done as two.
        match rows {
            1 => accumulate::<S, 1, 1>(simd, x, panel, product),
            2 => accumulate::<S, 2, 2>(simd, x, panel, product),
            4 => accumulate::<S, 4, 4>(simd, x, panel, product),
            6 => accumulate::<S, 6, 6>(simd, x, panel, product),
            8 if S::F32_LANES >= 16 => accumulate::<S, 8, 8>(simd, x, panel, product),
            8 => accumulate::<S, 4, 8>(simd, x, panel, product),
            _ if S::F32_LANES >= 16 => accumulate::<S, 12, 12>(simd, x, panel, product),
            _ => accumulate::<S, 6, 12>(simd, x, panel, product),
        }
    }
}

/// Accumulates `AT_ONCE` of the tile's `ROWS` rows by two vectors at a time.
#[inline(always)]
fn accumulate<S: Simd, const AT_ONCE: usize, const ROWS: usize>(
    simd: S,
    x: &[f32],
    panel: &[f32],
    product: &mut [f32; TILE_ROWS * PANEL],
) {
    let (x, _) = x.as_chunks::<ROWS>();
    let (panel, _) = panel.as_chunks::<PANEL>();
    let lanes = S::F32_LANES;
    for first in (0..ROWS).step_by(AT_ONCE) {
        for column in (0..PANEL).step_by(2 * lanes) {
            let mut sums = [[simd.splat_f32s(0.0); 2]; AT_ONCE];
            for (x, weights) in x.iter().zip(panel) {
                let (weights, _) = S::as_simd_f32s(&weights[column..column + 2 * lanes]);
                for r in 0..AT_ONCE {
                    let value = simd.splat_f32s(x[first + r]);
                    sums[r][0] = simd.mul_add_f32s(value, weights[0], sums[r][0]);
                    sums[r][1] = simd.mul_add_f32s(value, weights[1], sums[r][1]);
                }
            }
            for (r, sum) in sums.iter().enumerate() {
                let target = (first + r) * PANEL + column;
                let (target, _) = S::as_mut_simd_f32s(&mut product[target..target + 2 * lanes]);
                target.copy_from_slice(sum);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        (0..count)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / (1 << 23) as f32 - 1.0
            })
            .collect()
    }

    /// The definition: one chain of fused multiply-adds.
    fn naive(x: &[f32], w: &[f32], m: usize, n: usize, k: usize) -> Vec<f32> {
        let mut out = Vec::with_capacity(m * n);
        for row in 0..m {
            for column in 0..n {
                let mut sum = 0.0f32;
                for i in 0..k {
                    sum = x[row * k + i].mul_add(w[column * k + i], sum);
                }
                out.push(sum);
            }
        }
        out
    }

    #[test]
    fn equals_the_definition_bit_for_bit() {
        let scalar = Arch::Scalar;
        for (m, n, k) in [
            (1, 1, 1),
            (3, 31, 7),
            (5, 33, 64),
            (12, 32, 48),
            (29, 100, 130),
            (64, 40, 9),
        ] {
            let (x, w) = (values(m * k, 1), values(n * k, 2));
            let expected = naive(&x, &w, m, n, k);
            let mut transposed = vec![0.0; n * k];
            for row in 0..n {
                for i in 0..k {
                    transposed[i * n + row] = w[row * k + i];
                }
            }
            let packed = [
                Panels::from_rows(&w, n, k, k),
                Panels::from_columns(&transposed, n, k, n),
            ];
            for (panels, arch) in packed.iter().flat_map(|p| [(p, Arch::new()), (p, scalar)]) {
                let mut out = vec![f32::NAN; m * n];
                multiply(arch, (&x, k), m, panels, (&mut out, n), |_, _| {});
                assert_eq!(out, expected, "{m} x {n} x {k}");
            }
        }
    }

    #[test]
    fn threads_and_batch_change_no_bit() {
        for (m, n, k) in [(2, 1000, 1280), (197, 96, 768), (500, 300, 77)] {
            let (x, w) = (values(m * k, 3), values(n * k, 4));
            let panels = Panels::from_rows(&w, n, k, k);
            let mut expected = vec![0.0; m * n];
            let scale = |_: usize, row: &mut [f32]| row.iter_mut().for_each(|value| *value *= 0.5);
            multiply(Arch::new(), (&x, k), m, &panels, (&mut expected, n), scale);
            for threads in [1, 2, 5, 64] {
                let pool = rayon::ThreadPoolBuilder::new()
                    .num_threads(threads)
                    .build()
                    .unwrap();
                let mut out = vec![0.0; m * n];
                pool.install(|| multiply_parallel(Arch::new(), &x, m, &panels, &mut out, scale));
                assert_eq!(out, expected, "{threads} threads");
            }
            let last = &x[(m - 1) * k..];
            let mut alone = vec![0.0; n];
            multiply_parallel(Arch::new(), last, 1, &panels, &mut alone, scale);
            assert_eq!(alone, expected[(m - 1) * n..]);
        }
    }
}
