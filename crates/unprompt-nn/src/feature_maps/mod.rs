//! Mobile networks' convolutions over pictures in planes of sixteen channels.
//!
//! Sixteen channels of a pixel are a cache line, and the pixels of a plane follow each other. So a
//! 1x1 convolution reads its tiles where they are, and a depthwise one is plain arithmetic on
//! vectors. Every sum is one chain of fused multiply-adds that starts with the bias: over the input
//! channels, or over the taps row by row, zeros around the picture included.

mod band;
mod bottleneck;
mod depthwise;
mod memory;
mod pointwise;
mod pooled;
mod stem;

pub use bottleneck::{InvertedBottleneck, Parameters};
pub use pooled::PooledPointwise;
pub use stem::StemConv2d;

use memory::Memory;
use pulp::Simd;
use rayon::prelude::*;

/// Channels that lie side by side: one AVX-512 vector, two AVX2 vectors, four of four lanes.
const LANES: usize = 16;

/// One pixel's values of sixteen channels, in a cache line of their own.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Lanes([f32; LANES]);

impl Lanes {
    const ZERO: Self = Self([0.0; LANES]);
}

/// Values of a batch of pictures: (blocks of sixteen channels, batch, height, width, 16). Channels
/// beyond the last are zeros.
#[derive(Debug)]
pub struct FeatureMaps {
    values: Memory,
    batch: usize,
    height: usize,
    width: usize,
    channels: usize,
}

impl FeatureMaps {
    /// Maps with anything in them.
    fn unwritten((batch, height, width): (usize, usize, usize), channels: usize) -> Self {
        Self {
            values: Memory::new(channels.div_ceil(LANES) * batch * height * width),
            batch,
            height,
            width,
            channels,
        }
    }

    /// Pixels of a plane: those of all pictures.
    fn plane(&self) -> usize {
        self.batch * self.height * self.width
    }

    /// The parts of so many pixels that follow each other, each as its slices of all planes.
    fn parts(&mut self, lengths: impl Iterator<Item = usize> + Clone) -> Vec<Vec<&mut [Lanes]>> {
        let plane = self.plane();
        let mut parts: Vec<Vec<&mut [Lanes]>> = lengths.clone().map(|_| Vec::new()).collect();
        for mut rest in self.values.chunks_exact_mut(plane.max(1)) {
            for (length, part) in lengths.clone().zip(&mut parts) {
                let first;
                (first, rest) = rest.split_at_mut(length);
                part.push(first);
            }
        }
        parts
    }

    /// The same values as (batch, height, width, channels).
    pub fn channels_last(&self) -> Vec<f32> {
        let plane = self.plane();
        let pixel = |pixel: usize| {
            let lanes = self.values.iter().skip(pixel).step_by(plane.max(1));
            lanes.flat_map(|lanes| lanes.0).take(self.channels)
        };
        (0..plane).flat_map(pixel).collect()
    }
}

/// Hands each item to `work`, shared between the threads of the current pool.
fn for_each<T: Send>(items: Vec<T>, work: impl Fn(T) + Sync + Send) {
    if rayon::current_num_threads() == 1 {
        items.into_iter().for_each(work);
    } else {
        items.into_par_iter().with_max_len(1).for_each(work);
    }
}

/// `min(max(x, 0), 6)`. What is no number stays so.
#[inline(always)]
fn relu6<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let (zero, six) = (simd.splat_f32s(0.0), simd.splat_f32s(6.0));
    if S::F32_LANES >= 8 {
        // Vectors of this length are x86's, whose instructions give the second of two values that
        // do not compare.
        simd.min_f32s(six, simd.max_f32s(zero, x))
    } else {
        let x = simd.select_f32s(simd.less_than_f32s(x, zero), zero, x);
        simd.select_f32s(simd.less_than_f32s(six, x), six, x)
    }
}

#[cfg(test)]
mod tests;
