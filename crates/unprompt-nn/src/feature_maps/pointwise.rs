//! Convolutions of one pixel by one: a product of the pixels' channels and the weights.

use super::{LANES, Lanes, relu6};
use crate::{
    cpu::with_parameter,
    panels::{CHUNK, PANEL, Panels},
    prefetch::prefetch,
};
use candle_core::{Result, Tensor, bail};
use pulp::Simd;

/// Blocks of channels in a panel of weights.
pub(super) const BLOCKS: usize = PANEL / LANES;

/// Pixels in a tile whose sums fit the registers where vectors have sixteen lanes; elsewhere it is
/// done in parts. Pictures of 224 by 224 have rows of 112, 56, 28, 14 and 7 pixels.
pub(super) const TILE: usize = 14;

/// Pixels in a low tile, for what a tile leaves.
const LOW_TILE: usize = 7;

/// A 1x1 convolution with a bias.
#[derive(Debug)]
pub(super) struct Pointwise {
    weight: Panels,
    // by panel, zeros beyond the outputs
    bias: Vec<[f32; PANEL]>,
}

/// Some pixels of all input channels: plane by plane, `stride` apart.
#[derive(Clone, Copy)]
pub(super) struct Pixels<'a> {
    pub(super) planes: &'a [Lanes],
    pub(super) stride: usize,
    pub(super) first: usize,
    pub(super) count: usize,
}

/// Where the finished sums of a tile go.
pub(super) trait Sink {
    /// `value` is the vector of this number in the panel's block of channels of this number.
    fn put<S: Simd>(&mut self, simd: S, pixel: usize, place: (usize, usize), value: S::f32s);
}

/// A panel's part of each of its planes, none where it has fewer.
pub(super) type Slots<'a> = [&'a mut [Lanes]; BLOCKS];

/// The first planes that there are.
pub(super) fn slots<'a>(planes: impl IntoIterator<Item = &'a mut [Lanes]>) -> Slots<'a> {
    let mut slots = Slots::default();
    for (slot, plane) in slots.iter_mut().zip(planes) {
        *slot = plane;
    }
    slots
}

/// Writes a tile, rectified, from `first` on.
pub(super) struct Rectified<'a, 'p> {
    pub(super) planes: &'a mut Slots<'p>,
    pub(super) first: usize,
}

impl Sink for Rectified<'_, '_> {
    #[inline(always)]
    fn put<S: Simd>(
        &mut self,
        simd: S,
        pixel: usize,
        (block, vector): (usize, usize),
        value: S::f32s,
    ) {
        let lanes = &mut self.planes[block][self.first + pixel];
        S::as_mut_simd_f32s(&mut lanes.0).0[vector] = relu6(simd, value);
    }
}

impl Pointwise {
    /// From a weight of shape (out, in) and a bias of (out).
    pub(super) fn new(weight: &Tensor, bias: &Tensor) -> Result<Self> {
        let (n, k) = weight.dims2()?;
        if bias.dims() != [n] || n == 0 {
            bail!(
                "pointwise convolution: weight {:?}, bias {:?}",
                weight.dims(),
                bias.dims()
            );
        }
        let mut bias = chain_starts(bias)?;
        bias.resize(n.next_multiple_of(PANEL), 0.0);
        Ok(Self {
            weight: with_parameter(weight, |values| Panels::from_rows(values, n, k, k))?,
            bias: bias.as_chunks().0.to_vec(),
        })
    }

    pub(super) fn outputs(&self) -> usize {
        self.weight.n()
    }

    pub(super) fn inputs(&self) -> usize {
        self.weight.k()
    }

    pub(super) fn panels(&self) -> usize {
        self.weight.count()
    }

    /// The tile to compute next where `done` of `count` pixels are: its first pixel and its height.
    /// It may compute again what is done, because a low tile is slower than its pixels.
    #[inline(always)]
    pub(super) fn tile(done: usize, count: usize) -> (usize, usize) {
        let left = count - done;
        let height = if left > LOW_TILE && count >= TILE {
            TILE
        } else if count >= LOW_TILE {
            LOW_TILE
        } else {
            1
        };
        (done - height.saturating_sub(left), height)
    }

    /// One panel of outputs for a tile of `x`, as [`Self::tile`] gives it.
    #[inline(always)]
    pub(super) fn multiply<S: Simd>(
        &self,
        simd: S,
        panel: usize,
        x: Pixels<'_>,
        (first, height): (usize, usize),
        sink: &mut impl Sink,
    ) {
        // Each tile brings a part of the next panel's weights nearer.
        let next = self.weight.panel((panel + 1) % self.panels());
        let part = next.len().div_ceil(x.count.div_ceil(TILE).max(1)).max(1);
        let tile = Tile {
            planes: x.planes,
            stride: x.stride,
            first: x.first + first,
            weights: self.weight.panel(panel),
            bias: &self.bias[panel],
            next: next.chunks(part).nth(first / TILE).unwrap_or_default(),
        };
        let blocks = (self.outputs() - panel * PANEL).div_ceil(LANES).min(BLOCKS);
        match height {
            TILE => tile.multiply_fourteen(simd, blocks, sink),
            LOW_TILE => tile.multiply_seven(simd, blocks, sink),
            _ => tile.multiply_one(simd, blocks, sink),
        }
    }
}

/// What the sums of biases and products start with: never -0, which they might keep on one machine
/// only.
pub(super) fn chain_starts(bias: &Tensor) -> Result<Vec<f32>> {
    with_parameter(bias, |bias| bias.iter().map(|bias| bias + 0.0).collect())
}

#[derive(Clone, Copy)]
struct Tile<'a> {
    planes: &'a [Lanes],
    stride: usize,
    first: usize,
    weights: &'a [[f32; PANEL]],
    bias: &'a [f32; PANEL],
    next: &'a [[f32; PANEL]],
}

macro_rules! heights {
    ($($name:ident: $height:literal = $($first:literal: $count:literal),+;)+) => {
        impl Tile<'_> {
            $(
                #[inline(always)]
                fn $name<S: Simd>(self, simd: S, blocks: usize, sink: &mut impl Sink) {
                    // 16 lanes have 32 registers; 8 lanes have 16, so a large tile is done in parts.
                    if S::F32_LANES >= LANES {
                        if blocks == BLOCKS {
                            self.accumulate::<S, $height, 0, $height, 2>(simd, 0, sink);
                        } else {
                            self.accumulate::<S, $height, 0, $height, 1>(simd, 0, sink);
                        }
                    } else {
                        for vector in (0..blocks * LANES / S::F32_LANES).step_by(2) {
                            $(self.accumulate::<S, $count, $first, $height, 2>(simd, vector, sink);)+
                        }
                    }
                }
            )+
        }
    };
}

heights! {
    multiply_fourteen: 14 = 0: 5, 5: 5, 10: 4;
    multiply_seven: 7 = 0: 4, 4: 3;
    multiply_one: 1 = 0: 1;
}

impl Tile<'_> {
    /// `ROWS` pixels from `FIRST` on of a tile of `HEIGHT`, by `VECTORS` vectors.
    #[inline(always)]
    fn accumulate<
        S: Simd,
        const ROWS: usize,
        const FIRST: usize,
        const HEIGHT: usize,
        const VECTORS: usize,
    >(
        self,
        simd: S,
        vector: usize,
        sink: &mut impl Sink,
    ) {
        // Loops, no closures, and nothing but the products in the inner one: see `matmul.rs`.
        let (bias, _) = S::as_simd_f32s(self.bias);
        let mut starts = [simd.splat_f32s(0.0); VECTORS];
        starts.copy_from_slice(&bias[vector..vector + VECTORS]);
        let mut sums = [starts; ROWS];
        let (chunks, rest) = self.weights.as_chunks::<CHUNK>();
        let ahead = (self.next.len() * CHUNK).div_ceil(self.weights.len().max(1));
        let mut next = self.next.chunks(ahead.max(1));
        macro_rules! step {
            ($x:expr, $k:expr, $weights:expr) => {
                let (weights, _) = S::as_simd_f32s($weights);
                for r in 0..ROWS {
                    let value = simd.splat_f32s($x[FIRST + r].0[$k]);
                    for v in 0..VECTORS {
                        sums[r][v] = simd.mul_add_f32s(value, weights[vector + v], sums[r][v]);
                    }
                }
            };
        }
        let mut start = self.first;
        for weights in chunks {
            if FIRST == 0 && vector == 0 {
                prefetch(next.next().unwrap_or_default().as_flattened());
            }
            let x = &self.planes[start..start + HEIGHT];
            for k in 0..CHUNK {
                step!(x, k, &weights[k]);
            }
            start += self.stride;
        }
        if !rest.is_empty() {
            let x = &self.planes[start..start + HEIGHT];
            for (k, weights) in rest.iter().enumerate() {
                step!(x, k & (CHUNK - 1), weights);
            }
        }
        let vectors = LANES / S::F32_LANES;
        // Unrolled by hand: a loop that the compiler leaves one would keep the sums in memory.
        macro_rules! put {
            ($($r:literal)+) => {
                $(if $r < ROWS {
                    for v in 0..VECTORS {
                        let place = ((vector + v) / vectors, (vector + v) % vectors);
                        sink.put(simd, FIRST + $r, place, sums[$r % ROWS][v]);
                    }
                })+
            };
        }
        put!(0 1 2 3 4 5 6 7 8 9 10 11 12 13);
    }
}
