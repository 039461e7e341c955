//! Sums of products of unsigned and signed bytes, by the best instructions that the machine has.
#![allow(unsafe_code)]

use super::groups::{GROUP, TileGroups, WeightGroup};
use crate::{matmul::Product, panels::PANEL};
use pulp::{Arch, Simd, WithSimd};

/// A way to compute the sums. All give the same integers, and the same bits of what they become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kernel(Instructions);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Instructions {
    /// Four byte products and their sum at once, sixteen sums side by side.
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
    /// The same, eight side by side.
    #[cfg(target_arch = "x86_64")]
    AvxVnni,
    /// Two products of 16 bits and their sum at once: bytes that are widened first cannot saturate.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

impl Kernel {
    /// The fastest one.
    pub(super) fn best() -> Self {
        Self::all()[0]
    }

    /// What this machine can run, the fastest first.
    pub(super) fn all() -> Vec<Self> {
        let mut all = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni") {
                all.push(Self(Instructions::Avx512Vnni));
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                if is_x86_feature_detected!("avxvnni") {
                    all.push(Self(Instructions::AvxVnni));
                }
                all.push(Self(Instructions::Avx2));
            }
        }
        all.push(Self(Instructions::Portable));
        all
    }

    /// Consecutive inner values that lie side by side: in a word of x, and for each output of a
    /// panel.
    pub(super) fn word(self) -> usize {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512Vnni | Instructions::AvxVnni => 4,
            _ => 2,
        }
    }

    /// The product of one tile with one panel. The tile's rows are one of [`super::tile_rows`].
    pub(super) fn multiply(self, x: TileGroups<'_>, panel: &[WeightGroup], product: &mut Product) {
        match self.0 {
            // SAFETY: this variant is made only by `all`, after it found the features.
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512Vnni => unsafe { x86::avx512_vnni(x, panel, product) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Instructions::AvxVnni => unsafe { x86::avx_vnni(x, panel, product) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2 => unsafe { x86::avx2(x, panel, product) },
            Instructions::Portable => Arch::new().dispatch(Portable { x, panel, product }),
        }
    }
}

struct Portable<'a> {
    x: TileGroups<'a>,
    panel: &'a [WeightGroup],
    product: &'a mut Product,
}

impl WithSimd for Portable<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let TileGroups {
            words,
            ranges,
            rows,
        } = self.x;
        let (words, _) = words.as_chunks::<{ GROUP / 2 }>();
        for (r, product) in self.product.iter_mut().take(rows).enumerate() {
            *product = [0.0; PANEL];
            let row = words[r..].iter().zip(&ranges[r..]).step_by(rows);
            for ((words, range), weights) in row.zip(self.panel) {
                let mut sums = [0; PANEL];
                let (weight_words, _) = weights.words.as_chunks::<{ 2 * PANEL }>();
                for (word, weights) in words.iter().zip(weight_words) {
                    let (low, high) = ((word & 0xffff) as i32, (word >> 16) as i32);
                    for (sum, [first, second]) in sums.iter_mut().zip(weights.as_chunks().0) {
                        *sum += low * i32::from(*first) + high * i32::from(*second);
                    }
                }
                for (c, product) in product.iter_mut().enumerate() {
                    let sum = (-range.zero).mul_add(weights.sums[c], sums[c] as f32);
                    *product = (sum * weights.scales[c]).mul_add(range.scale, *product);
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{super::groups::Range, GROUP, PANEL, Product, TileGroups, WeightGroup};
    use pulp::bytemuck::cast;
    use std::arch::x86_64::*;

    /// The kernel's loop: the tile's `$rows` rows, `$at_once` of them by two vectors of `$lanes`
    /// sums at a time. The product waits in memory while a group is summed: the registers are for
    /// the integers, and there is time to load and to store beside the products.
    macro_rules! tile {
        ($x:ident, $panel:ident, $product:ident, $instructions:ident, $rows:literal, $at_once:literal) => {{
            const LANES: usize = $instructions::LANES;
            const WORD: usize = $instructions::WORD;
            let (words, _) = $x.words.as_chunks::<{ GROUP / WORD }>();
            let (words, _) = words.as_chunks::<$rows>();
            let (ranges, _) = $x.ranges.as_chunks::<$rows>();
            let groups = words.iter().zip(ranges).zip($panel);
            for (group, ((words, ranges), weights)) in groups.enumerate() {
                let (weight_sums, _) = weights.sums.as_chunks::<LANES>();
                let (scales, _) = weights.scales.as_chunks::<LANES>();
                let (weight_words, _) = weights.words.as_chunks::<{ LANES * WORD }>();
                let (weight_words, _) = weight_words.as_chunks::<{ PANEL / LANES }>();
                for first in (0..$rows).step_by($at_once) {
                    for vector in (0..PANEL / LANES).step_by(2) {
                        let mut sums = [[$instructions::zero(); 2]; $at_once];
                        for (w, weights) in weight_words.iter().enumerate() {
                            let weights = [
                                $instructions::load(weights[vector]),
                                $instructions::load(weights[vector + 1]),
                            ];
                            for r in 0..$at_once {
                                let x = $instructions::splat(words[first + r][w]);
                                sums[r][0] = $instructions::step(sums[r][0], x, weights[0]);
                                sums[r][1] = $instructions::step(sums[r][1], x, weights[1]);
                            }
                        }
                        for r in 0..$at_once {
                            let (product, _) = $product[first + r].as_chunks_mut::<LANES>();
                            for v in 0..2 {
                                let place = vector + v;
                                let weights = (cast(weight_sums[place]), cast(scales[place]));
                                // Clearing them beforehand is a call for every tile, which takes time.
                                let before = match group {
                                    0 => [0.0; LANES],
                                    _ => product[place],
                                };
                                product[place] = cast($instructions::add(
                                    cast(before),
                                    sums[r][v],
                                    weights,
                                    ranges[first + r],
                                ));
                            }
                        }
                    }
                }
            }
        }};
    }

    /// AVX-512 with VNNI.
    mod sixteen {
        use super::*;

        pub(super) const LANES: usize = 16;
        pub(super) const WORD: usize = 4;

        #[inline]
        #[target_feature(enable = "avx512f,avx512vnni")]
        pub(super) fn zero() -> __m512i {
            _mm512_setzero_si512()
        }

        #[inline]
        #[target_feature(enable = "avx512f,avx512vnni")]
        pub(super) fn load(weights: [i8; LANES * WORD]) -> __m512i {
            cast(weights)
        }

        #[inline]
        #[target_feature(enable = "avx512f,avx512vnni")]
        pub(super) fn splat(word: u32) -> __m512i {
            _mm512_set1_epi32(word as i32)
        }

        #[inline]
        #[target_feature(enable = "avx512f,avx512vnni")]
        pub(super) fn step(sum: __m512i, x: __m512i, weights: __m512i) -> __m512i {
            _mm512_dpbusd_epi32(sum, x, weights)
        }

        #[inline]
        #[target_feature(enable = "avx512f,avx512vnni")]
        pub(super) fn add(
            product: __m512,
            sum: __m512i,
            (weight_sum, scale): (__m512, __m512),
            range: Range,
        ) -> __m512 {
            let zero = _mm512_set1_ps(range.zero);
            let sum = _mm512_fnmadd_ps(zero, weight_sum, _mm512_cvtepi32_ps(sum));
            _mm512_fmadd_ps(
                _mm512_mul_ps(sum, scale),
                _mm512_set1_ps(range.scale),
                product,
            )
        }
    }

    /// AVX2 with VNNI: all but the products is that of AVX2 alone.
    mod eight {
        use super::*;

        pub(super) use widened::{LANES, add, splat, zero};
        pub(super) const WORD: usize = 4;

        #[inline]
        #[target_feature(enable = "avx2,fma,avxvnni")]
        pub(super) fn load(weights: [i8; LANES * WORD]) -> __m256i {
            cast(weights)
        }

        #[inline]
        #[target_feature(enable = "avx2,fma,avxvnni")]
        pub(super) fn step(sum: __m256i, x: __m256i, weights: __m256i) -> __m256i {
            _mm256_dpbusd_avx_epi32(sum, x, weights)
        }
    }

    /// AVX2 with words of 16 bits.
    mod widened {
        use super::*;

        pub(super) const LANES: usize = 8;
        pub(super) const WORD: usize = 2;

        #[inline]
        #[target_feature(enable = "avx2,fma")]
        pub(super) fn zero() -> __m256i {
            _mm256_setzero_si256()
        }

        #[inline]
        #[target_feature(enable = "avx2,fma")]
        pub(super) fn load(weights: [i8; LANES * WORD]) -> __m256i {
            _mm256_cvtepi8_epi16(cast::<[i8; 16], __m128i>(weights))
        }

        #[inline]
        #[target_feature(enable = "avx2,fma")]
        pub(super) fn splat(word: u32) -> __m256i {
            _mm256_set1_epi32(word as i32)
        }

        #[inline]
        #[target_feature(enable = "avx2,fma")]
        pub(super) fn step(sum: __m256i, x: __m256i, weights: __m256i) -> __m256i {
            _mm256_add_epi32(sum, _mm256_madd_epi16(x, weights))
        }

        #[inline]
        #[target_feature(enable = "avx2,fma")]
        pub(super) fn add(
            product: __m256,
            sum: __m256i,
            (weight_sum, scale): (__m256, __m256),
            range: Range,
        ) -> __m256 {
            let zero = _mm256_set1_ps(range.zero);
            let sum = _mm256_fnmadd_ps(zero, weight_sum, _mm256_cvtepi32_ps(sum));
            _mm256_fmadd_ps(
                _mm256_mul_ps(sum, scale),
                _mm256_set1_ps(range.scale),
                product,
            )
        }
    }

    #[target_feature(enable = "avx512f,avx512vnni")]
    pub(super) fn avx512_vnni(x: TileGroups<'_>, panel: &[WeightGroup], product: &mut Product) {
        macro_rules! rows {
            ($rows:literal) => {
                tile!(x, panel, product, sixteen, $rows, $rows)
            };
        }
        match x.rows {
            1 => rows!(1),
            2 => rows!(2),
            4 => rows!(4),
            6 => rows!(6),
            8 => rows!(8),
            _ => rows!(12),
        }
    }

    #[target_feature(enable = "avx2,fma,avxvnni")]
    pub(super) fn avx_vnni(x: TileGroups<'_>, panel: &[WeightGroup], product: &mut Product) {
        macro_rules! rows {
            ($rows:literal, $at_once:literal) => {
                tile!(x, panel, product, eight, $rows, $at_once)
            };
        }
        match x.rows {
            1 => rows!(1, 1),
            2 => rows!(2, 2),
            4 => rows!(4, 4),
            6 => rows!(6, 6),
            8 => rows!(8, 4),
            _ => rows!(12, 6),
        }
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn avx2(x: TileGroups<'_>, panel: &[WeightGroup], product: &mut Product) {
        macro_rules! rows {
            ($rows:literal, $at_once:literal) => {
                tile!(x, panel, product, widened, $rows, $at_once)
            };
        }
        match x.rows {
            1 => rows!(1, 1),
            2 => rows!(2, 2),
            4 => rows!(4, 4),
            6 => rows!(6, 6),
            8 => rows!(8, 4),
            _ => rows!(12, 6),
        }
    }
}
