//! Products so small that one thread computes them, inside a task that has its own.

use crate::{
    matmul::{Product, Sides, accumulate_tile},
    panels::{PANEL, Panels, Tiles},
};
use pulp::{Arch, Simd, WithSimd};

/// `left · rightᵀ` of both packed sides: `rows` rows of as many values as `right` has features.
pub(super) fn small_product(arch: Arch, left: &Tiles, right: &Panels, rows: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(rows * right.n());
    arch.dispatch(Small {
        left,
        right,
        out: &mut out,
    });
    out
}

// A type, not a closure, which might stay a function of its own without the vector instructions.
struct Small<'a> {
    left: &'a Tiles,
    right: &'a Panels,
    out: &'a mut Vec<f32>,
}

impl WithSimd for Small<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { left, right, out } = self;
        let n = right.n();
        let mut row = 0;
        for tile in 0..left.starts().len().saturating_sub(1) {
            let (x, height) = left.tile(tile);
            // Cleared where it is written next: it is near then.
            out.resize((row + height) * n, 0.0);
            for panel in 0..right.count() {
                let sides = Sides {
                    x,
                    panel: right.panel(panel),
                    next: &[],
                };
                let mut product = Product::ZERO;
                accumulate_tile(simd, sides, height, &mut product, false);
                let first = panel * PANEL;
                let width = PANEL.min(n - first);
                for (r, product) in product[..height].iter().enumerate() {
                    let start = (row + r) * n + first;
                    out[start..start + width].copy_from_slice(&product[..width]);
                }
            }
            row += height;
        }
    }
}
