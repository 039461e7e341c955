//! Products of a few vectors with a great many rows of half precision: what an exact search costs.
//!
//! The vectors are packed once into panels, as a weight is; the rows pass by once, as they lie in
//! memory or in a mapped file, and are widened to f32 a tile at a time on their way.

use crate::{
    panels::{PANEL, Panels},
    prefetch::prefetch,
};
use pulp::{Arch, Simd, WithSimd};

/// Rows in a tile.
const TILE_ROWS: usize = 12;

/// One tile's sums: rows by vectors.
type Product = [[f32; PANEL]; TILE_ROWS];

/// Tiles of rows that wait, widened, in the second-level cache while the panels pass.
const BLOCK_TILES: usize = 8;

/// The vectors of one search, packed.
#[derive(Clone, Debug)]
pub struct Queries {
    panels: Panels,
}

impl Queries {
    /// Packs vectors of `width` values that lie one after the other.
    ///
    /// # Panics
    /// When `width` is 0 or `values` is no whole number of vectors.
    pub fn new(values: &[f32], width: usize) -> Self {
        assert!(width > 0 && values.len().is_multiple_of(width));
        let panels = Panels::from_rows(values, values.len() / width, width, width);
        Self { panels }
    }

    /// How many vectors there are.
    pub fn len(&self) -> usize {
        self.panels.n()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Products that [`Queries::multiply`] writes for each row: one for each vector, then some that
    /// mean nothing.
    pub fn stride(&self) -> usize {
        self.panels.count() * PANEL
    }

    /// The dot products of every row with every vector, in the calling thread.
    ///
    /// `rows` holds the bits of IEEE half-precision numbers, row after row, finite ones; `products`
    /// takes [`Queries::stride`] values a row. Each is one chain of fused multiply-adds in f32 in the
    /// order of the values.
    ///
    /// # Panics
    /// When the lengths do not fit each other.
    pub fn multiply(&self, rows: &[u16], products: &mut [f32]) {
        self.multiply_on(Arch::new(), rows, products);
    }

    fn multiply_on(&self, arch: Arch, rows: &[u16], products: &mut [f32]) {
        let (width, stride) = (self.panels.k(), self.stride());
        assert!(rows.len().is_multiple_of(width));
        assert_eq!(products.len(), rows.len() / width * stride);
        if !products.is_empty() {
            let panels = &self.panels;
            arch.dispatch(Multiply {
                panels,
                rows,
                products,
            });
        }
    }
}

struct Multiply<'a> {
    panels: &'a Panels,
    rows: &'a [u16],
    products: &'a mut [f32],
}

impl WithSimd for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // A panel's and a tile's part of a block of values fit the first-level cache.
        if S::F32_LANES >= 16 {
            self.blocks::<S, 256>(simd);
        } else {
            self.blocks::<S, 128>(simd);
        }
    }
}

impl Multiply<'_> {
    #[inline(always)]
    fn blocks<S: Simd, const STEP: usize>(self, simd: S) {
        let Self {
            panels,
            rows,
            products,
        } = self;
        let all = rows;
        let (width, stride) = (panels.k(), panels.count() * PANEL);
        let mut tiles = [[[0.0; STEP]; TILE_ROWS]; BLOCK_TILES];
        let mut sums: Vec<Product> = vec![[[0.0; PANEL]; TILE_ROWS]; BLOCK_TILES * panels.count()];
        let most = BLOCK_TILES * TILE_ROWS;
        let blocks = rows
            .chunks(most * width)
            .zip(products.chunks_mut(most * stride));
        for (block, (rows, products)) in blocks.enumerate() {
            sums.fill([[0.0; PANEL]; TILE_ROWS]);
            let count = (rows.len() / width).div_ceil(TILE_ROWS);
            for start in (0..width).step_by(STEP) {
                let end = width.min(start + STEP);
                // What is widened next.
                let (ahead, columns) = if end < width {
                    (rows, end..width.min(end + STEP))
                } else {
                    let next = all.get((block + 1) * most * width..);
                    (next.unwrap_or_default(), 0..width.min(STEP))
                };
                for (index, row) in rows.chunks_exact(width).enumerate() {
                    let target = &mut tiles[index / TILE_ROWS][index % TILE_ROWS];
                    widen(&row[start..end], &mut target[..end - start]);
                }
                for (part, sums) in sums.chunks_exact_mut(BLOCK_TILES).enumerate() {
                    let panel = &panels.panel(part)[start..end];
                    for (index, (tile, sums)) in tiles[..count].iter().zip(sums).enumerate() {
                        if part == 0 {
                            // Brought nearer while this tile is busy: a third less time.
                            let ahead = ahead.chunks_exact(width).skip(index * TILE_ROWS);
                            for row in ahead.take(TILE_ROWS) {
                                prefetch(&row[columns.clone()]);
                            }
                        }
                        accumulate_tile(simd, tile, panel, sums);
                    }
                }
            }
            for (index, products) in products.chunks_exact_mut(stride).enumerate() {
                let of_panels = sums.chunks_exact(BLOCK_TILES);
                for (products, sums) in products.as_chunks_mut().0.iter_mut().zip(of_panels) {
                    *products = sums[index / TILE_ROWS][index % TILE_ROWS];
                }
            }
        }
    }
}

/// Half precision to f32, exactly, for every finite number.
///
/// The exponent and the fraction move to their places in an f32, and the exponent's bias is changed.
/// Subnormal halves have no leading one, so one is added before and subtracted after. No subnormal
/// f32 is ever met, which would cost the processor a hundred cycles. Plain arithmetic, which the
/// compiler turns into vectors of any width.
#[inline(always)]
fn widen(source: &[u16], target: &mut [f32]) {
    const BIAS: u32 = (127 - 15) << 23;
    const ONE: u32 = 1 << 23;
    for (target, half) in target.iter_mut().zip(source) {
        let half = u32::from(*half);
        let normal = ((half & 0x7fff) << 13) + BIAS;
        let subnormal = f32::from_bits(normal + ONE) - f32::from_bits(BIAS + ONE);
        let magnitude = if half & 0x7c00 == 0 {
            subnormal.to_bits()
        } else {
            normal
        };
        *target = f32::from_bits(magnitude | (half & 0x8000) << 16);
    }
}

/// Adds one tile, (rows, values), times one panel, (values, PANEL).
#[inline(always)]
fn accumulate_tile<S: Simd, const STEP: usize>(
    simd: S,
    tile: &[[f32; STEP]; TILE_ROWS],
    panel: &[[f32; PANEL]],
    sums: &mut Product,
) {
    // 16 lanes have 32 registers; 8 lanes have 16, so a tile is done as two.
    for vector in (0..PANEL / S::F32_LANES).step_by(2) {
        if S::F32_LANES < 16 {
            accumulate::<S, 6, 0, STEP>(simd, tile, panel, vector, sums);
            accumulate::<S, 6, 6, STEP>(simd, tile, panel, vector, sums);
        } else {
            accumulate::<S, TILE_ROWS, 0, STEP>(simd, tile, panel, vector, sums);
        }
    }
}

/// `ROWS` rows from `FIRST` on, by two vectors.
#[inline(always)]
fn accumulate<S: Simd, const ROWS: usize, const FIRST: usize, const STEP: usize>(
    simd: S,
    tile: &[[f32; STEP]; TILE_ROWS],
    panel: &[[f32; PANEL]],
    vector: usize,
    products: &mut Product,
) {
    // Loops, no closures, and nothing but the products in the inner one: see `matmul.rs`.
    let mut sums = [[simd.splat_f32s(0.0); 2]; ROWS];
    for r in 0..ROWS {
        let (product, _) = S::as_simd_f32s(&products[FIRST + r]);
        sums[r] = [product[vector], product[vector + 1]];
    }
    for i in 0..panel.len().min(STEP) {
        let (weights, _) = S::as_simd_f32s(&panel[i]);
        let weights = [weights[vector], weights[vector + 1]];
        for r in 0..ROWS {
            let value = simd.splat_f32s(tile[FIRST + r][i]);
            sums[r][0] = simd.mul_add_f32s(value, weights[0], sums[r][0]);
            sums[r][1] = simd.mul_add_f32s(value, weights[1], sums[r][1]);
        }
    }
    for r in 0..ROWS {
        let (product, _) = S::as_mut_simd_f32s(&mut products[FIRST + r]);
        [product[vector], product[vector + 1]] = sums[r];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Half precision to f32 by its definition.
    fn value(half: u16) -> f32 {
        let (exponent, fraction) = (i32::from(half >> 10 & 31), f64::from(half & 1023) / 1024.0);
        let magnitude = match exponent {
            0 => fraction * 2f64.powi(-14),
            _ => (1.0 + fraction) * 2f64.powi(exponent - 15),
        };
        (if half >> 15 == 1 {
            -magnitude
        } else {
            magnitude
        }) as f32
    }

    #[test]
    fn every_finite_half_is_widened_exactly() {
        let halves: Vec<u16> = (0..=u16::MAX)
            .filter(|half| half >> 10 & 31 != 31)
            .collect();
        let mut widened = vec![0.0; halves.len()];
        widen(&halves, &mut widened);
        for (half, widened) in halves.iter().zip(&widened) {
            assert_eq!(widened.to_bits(), value(*half).to_bits(), "{half:#06x}");
        }
    }

    fn architectures() -> Vec<Arch> {
        let mut all = vec![Arch::Scalar, Arch::new()];
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        all.extend(pulp::x86::V3::try_new().map(Arch::V3));
        all
    }

    #[test]
    fn every_product_is_one_chain_whatever_lies_beside_it() {
        // Around every edge: a tile, a block, a panel, a step.
        for (count, width, vectors) in [
            (1, 1, 1),
            (11, 7, 2),
            (13, 127, 31),
            (95, 129, 32),
            (97, 256, 33),
            (200, 257, 64),
            (96, 520, 65),
        ] {
            let mut state = 1u32;
            let mut next = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                state >> 16
            };
            let rows: Vec<u16> = (0..count * width)
                .map(|_| (next() as u16) & 0xbfff)
                .collect();
            let queries: Vec<f32> = (0..vectors * width)
                .map(|_| next() as f32 / 65536.0 - 0.5)
                .collect();
            let packed = Queries::new(&queries, width);
            let stride = packed.stride();
            for arch in architectures() {
                let mut products = vec![f32::NAN; count * stride];
                packed.multiply_on(arch, &rows, &mut products);
                let rows = rows.chunks_exact(width);
                for (row, products) in rows.zip(products.chunks_exact(stride)) {
                    for (query, product) in queries.chunks_exact(width).zip(products) {
                        let pairs = row.iter().zip(query);
                        let chain = pairs.fold(0f32, |sum, (x, y)| value(*x).mul_add(*y, sum));
                        let case = format!("{arch:?} {count} {width} {vectors}");
                        assert_eq!(chain.to_bits(), product.to_bits(), "{case}");
                    }
                }
            }
        }
    }

    #[test]
    fn nothing_times_something_is_nothing() {
        let none = Queries::new(&[], 3);
        assert!(none.is_empty());
        none.multiply(&[0; 6], &mut []);
        let one = Queries::new(&[1.0, 2.0, 3.0], 3);
        assert_eq!(one.len(), 1);
        one.multiply(&[], &mut []);
    }
}
