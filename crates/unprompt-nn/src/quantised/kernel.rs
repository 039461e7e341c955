//! Sums of products of unsigned and signed bytes, by the best instructions that the machine has.
#![allow(unsafe_code)]

use super::TILE_ROWS;
use crate::panels::PANEL;
use pulp::{Arch, Simd, WithSimd};

/// One tile's sums: rows by output features.
pub(super) type Sums = [[i32; PANEL]; TILE_ROWS];

/// A way to compute the sums. All give the same integers.
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
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("avxvnni") {
                all.push(Self(Instructions::AvxVnni));
            }
            if is_x86_feature_detected!("avx2") {
                all.push(Self(Instructions::Avx2));
            }
        }
        all.push(Self(Instructions::Portable));
        all
    }

    /// Consecutive inner values that lie side by side: in a word of x, and for each output of a
    /// panel.
    pub(super) fn group(self) -> usize {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512Vnni | Instructions::AvxVnni => 4,
            _ => 2,
        }
    }

    /// The sums of one tile, (words, rows), with one panel, (words, PANEL * group). `rows` is one
    /// of [`super::tile_rows`].
    pub(super) fn multiply(self, x: &[u32], rows: usize, panel: &[i8], sums: &mut Sums) {
        match self.0 {
            // SAFETY: this variant is made only by `all`, after it found the features.
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512Vnni => unsafe { x86::avx512_vnni(x, rows, panel, sums) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Instructions::AvxVnni => unsafe { x86::avx_vnni(x, rows, panel, sums) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2 => unsafe { x86::avx2(x, rows, panel, sums) },
            Instructions::Portable => Arch::new().dispatch(Portable {
                x,
                rows,
                panel,
                sums,
            }),
        }
    }
}

struct Portable<'a> {
    x: &'a [u32],
    rows: usize,
    panel: &'a [i8],
    sums: &'a mut Sums,
}

impl WithSimd for Portable<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (r, sums) in self.sums.iter_mut().take(self.rows).enumerate() {
            *sums = [0; PANEL];
            let words = self.x.iter().skip(r).step_by(self.rows);
            for (word, weights) in words.zip(self.panel.as_chunks::<{ 2 * PANEL }>().0) {
                let (low, high) = ((word & 0xffff) as i32, (word >> 16) as i32);
                for (sum, [first, second]) in sums.iter_mut().zip(weights.as_chunks().0) {
                    *sum += low * i32::from(*first) + high * i32::from(*second);
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{PANEL, Sums};
    use pulp::bytemuck::cast;
    use std::arch::x86_64::*;

    /// The kernel's loop: the tile's `$rows` rows, `$at_once` of them by `$vectors` vectors of
    /// `$lanes` sums at a time. `$load` takes one vector's weights, `$step` adds to its sums.
    macro_rules! tile {
        ($x:ident, $panel:ident, $sums:ident, $group:literal, $lanes:literal, $zero:expr, $splat:expr, $load:expr, $step:expr, $rows:literal, $at_once:literal) => {{
            const BYTES: usize = $lanes * $group;
            let (x, _) = $x.as_chunks::<$rows>();
            let (panel, _) = $panel.as_chunks::<{ PANEL * $group }>();
            for first in (0..$rows).step_by($at_once) {
                for column in (0..PANEL).step_by(2 * $lanes) {
                    let mut sums = [[$zero; 2]; $at_once];
                    for (x, weights) in x.iter().zip(panel) {
                        let (weights, _) = weights[column * $group..].as_chunks::<BYTES>();
                        let weights = [$load(weights[0]), $load(weights[1])];
                        for r in 0..$at_once {
                            let x = $splat(x[first + r] as i32);
                            sums[r][0] = $step(sums[r][0], x, weights[0]);
                            sums[r][1] = $step(sums[r][1], x, weights[1]);
                        }
                    }
                    for (r, sums) in sums.into_iter().enumerate() {
                        for (v, sums) in sums.into_iter().enumerate() {
                            let start = column + v * $lanes;
                            let sums: [i32; $lanes] = cast(sums);
                            $sums[first + r][start..start + $lanes].copy_from_slice(&sums);
                        }
                    }
                }
            }
        }};
    }

    #[target_feature(enable = "avx512f,avx512vnni")]
    pub(super) fn avx512_vnni(x: &[u32], rows: usize, panel: &[i8], sums: &mut Sums) {
        macro_rules! rows {
            ($rows:literal) => {
                tile!(
                    x,
                    panel,
                    sums,
                    4,
                    16,
                    _mm512_setzero_si512(),
                    _mm512_set1_epi32,
                    cast::<[i8; 64], __m512i>,
                    _mm512_dpbusd_epi32,
                    $rows,
                    $rows
                )
            };
        }
        match rows {
            1 => rows!(1),
            2 => rows!(2),
            4 => rows!(4),
            6 => rows!(6),
            8 => rows!(8),
            _ => rows!(12),
        }
    }

    #[target_feature(enable = "avx2,avxvnni")]
    pub(super) fn avx_vnni(x: &[u32], rows: usize, panel: &[i8], sums: &mut Sums) {
        macro_rules! rows {
            ($rows:literal, $at_once:literal) => {
                tile!(
                    x,
                    panel,
                    sums,
                    4,
                    8,
                    _mm256_setzero_si256(),
                    _mm256_set1_epi32,
                    cast::<[i8; 32], __m256i>,
                    _mm256_dpbusd_avx_epi32,
                    $rows,
                    $at_once
                )
            };
        }
        match rows {
            1 => rows!(1, 1),
            2 => rows!(2, 2),
            4 => rows!(4, 4),
            6 => rows!(6, 6),
            8 => rows!(8, 4),
            _ => rows!(12, 6),
        }
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn avx2(x: &[u32], rows: usize, panel: &[i8], sums: &mut Sums) {
        // Closures inherit the features of the function that they are in.
        let load = |weights: [i8; 16]| _mm256_cvtepi8_epi16(cast::<[i8; 16], __m128i>(weights));
        let step = |sum, x, weights| _mm256_add_epi32(sum, _mm256_madd_epi16(x, weights));
        macro_rules! rows {
            ($rows:literal, $at_once:literal) => {
                tile!(
                    x,
                    panel,
                    sums,
                    2,
                    8,
                    _mm256_setzero_si256(),
                    _mm256_set1_epi32,
                    load,
                    step,
                    $rows,
                    $at_once
                )
            };
        }
        match rows {
            1 => rows!(1, 1),
            2 => rows!(2, 2),
            4 => rows!(4, 4),
            6 => rows!(6, 6),
            8 => rows!(8, 4),
            _ => rows!(12, 6),
        }
    }
}
