//! The last convolution and the mean over the pixels.

use super::{
    maps::{FeatureMaps, LANES, Lanes, Memory},
    pointwise::{BLOCKS, Pixels, Pointwise, TILE},
    stem::Rectified,
};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

#[derive(Debug)]
pub struct PooledPointwise(pub(super) Pointwise);

impl PooledPointwise {
    /// (batch, channels)
    pub fn forward_maps(&self, arch: Arch, x: &FeatureMaps) -> Vec<f32> {
        let channels = self.0.outputs();
        let mut sums = vec![Lanes::ZERO; channels.div_ceil(LANES) * x.batch];
        let work = |(panel, target): (usize, &mut [Lanes])| {
            arch.dispatch(Panel { layer: &self.0, x, panel, target });
        };
        if rayon::current_num_threads() == 1 {
            sums.chunks_mut(BLOCKS * x.batch).enumerate().for_each(work);
        } else {
            sums.par_chunks_mut(BLOCKS * x.batch).enumerate().with_max_len(1).for_each(work);
        }
        let mut out = Vec::with_capacity(x.batch * channels);
        for picture in 0..x.batch {
            let lanes = sums.iter().skip(picture).step_by(x.batch);
            out.extend(lanes.flat_map(|lanes| lanes.0).take(channels));
        }
        out
    }
}

struct Panel<'a> {
    layer: &'a Pointwise,
    x: &'a FeatureMaps,
    panel: usize,
    // (blocks, batch)
    target: &'a mut [Lanes],
}

impl WithSimd for Panel<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { layer, x, panel, target } = self;
        let pixels = x.height * x.width;
        let plane = x.plane();
        let blocks = target.len() / x.batch;
        let mut memory = Memory::new(blocks * plane);
        let mut slots: [&mut [Lanes]; BLOCKS] = Default::default();
        for (slot, plane) in slots.iter_mut().zip(memory.chunks_exact_mut(plane)) {
            *slot = plane;
        }
        let mut done = 0;
        while done < plane {
            let (tile, back) = Pointwise::tile(plane - done, plane);
            let first = done - back;
            layer.multiply(
                simd,
                panel,
                Pixels { planes: &x.values, stride: plane },
                (first, tile),
                (first / TILE, plane.div_ceil(TILE)),
                &mut Rectified { planes: &mut slots, first },
            );
            done = first + tile;
        }
        let count = simd.splat_f32s(pixels as f32);
        for (pictures, target) in slots.iter().zip(target.chunks_exact_mut(x.batch)) {
            for (picture, target) in pictures.chunks_exact(pixels).zip(target) {
                let target = S::as_mut_simd_f32s(&mut target.0).0;
                for (vector, target) in target.iter_mut().enumerate() {
                    let mut sum = simd.splat_f32s(0.0);
                    for lanes in picture {
                        sum = simd.add_f32s(sum, S::as_simd_f32s(&lanes.0).0[vector]);
                    }
                    *target = simd.div_f32s(sum, count);
                }
            }
        }
    }
}
impl PooledPointwise { pub fn new(w:&[f32],b:&[f32],s:(usize,usize))->Self{Self(Pointwise::new(w,b,s))}}
