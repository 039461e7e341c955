//! The last convolution and the mean over its pixels.

use super::{
    FeatureMaps, LANES, Lanes, for_each,
    memory::Memory,
    pointwise::{BLOCKS, Pixels, Pointwise, Rectified, slots},
};
use candle_core::{Result, Tensor, bail};
use pulp::{Arch, Simd, WithSimd};

/// A 1x1 convolution with a ReLU6, and of each channel the mean over a picture's pixels, added in
/// their order. On the CPU, in f32.
#[derive(Debug)]
pub struct PooledPointwise {
    convolution: Pointwise,
    arch: Arch,
}

impl PooledPointwise {
    /// A layer from a weight of shape (out, in) and a bias of (out).
    ///
    /// # Errors
    /// When the shapes do not fit each other.
    pub fn new(weight: &Tensor, bias: &Tensor) -> Result<Self> {
        Ok(Self {
            convolution: Pointwise::new(weight, bias)?,
            arch: Arch::new(),
        })
    }

    /// The means of each picture: (batch, out).
    ///
    /// # Errors
    /// When the input has another number of channels, or pictures without a pixel.
    pub fn forward(&self, x: &FeatureMaps) -> Result<Vec<Vec<f32>>> {
        self.forward_by(self.arch, x)
    }

    pub(super) fn forward_by(&self, arch: Arch, x: &FeatureMaps) -> Result<Vec<Vec<f32>>> {
        if x.channels != self.convolution.inputs() {
            bail!(
                "pooled convolution: {} channels where {} are needed",
                x.channels,
                self.convolution.inputs()
            );
        }
        if x.height * x.width == 0 {
            bail!("pooled convolution: a picture without a pixel");
        }
        let outputs = self.convolution.outputs();
        let mut means = vec![Lanes::ZERO; outputs.div_ceil(LANES) * x.batch];
        let panels = means.chunks_mut((BLOCKS * x.batch).max(1)).enumerate();
        for_each(panels.collect(), |(panel, target)| {
            arch.dispatch(Panel {
                convolution: &self.convolution,
                x,
                panel,
                target,
            });
        });
        let picture = |picture: usize| {
            let lanes = means.iter().skip(picture).step_by(x.batch);
            lanes.flat_map(|lanes| lanes.0).take(outputs).collect()
        };
        Ok((0..x.batch).map(picture).collect())
    }
}

/// The means of a panel of channels.
struct Panel<'a> {
    convolution: &'a Pointwise,
    x: &'a FeatureMaps,
    panel: usize,
    // (blocks, batch)
    target: &'a mut [Lanes],
}

impl WithSimd for Panel<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            convolution,
            x,
            panel,
            target,
        } = self;
        let plane = x.plane();
        let mut memory = Memory::new(target.len() / x.batch * plane);
        let mut planes = slots(memory.chunks_exact_mut(plane));
        let pixels = Pixels {
            planes: &x.values,
            stride: plane,
            first: 0,
            count: plane,
        };
        let mut done = 0;
        while done < plane {
            let (first, tile) = Pointwise::tile(done, plane);
            done = first + tile;
            let mut sink = Rectified {
                planes: &mut planes,
                first,
            };
            convolution.multiply(simd, panel, pixels, (first, tile), &mut sink);
        }
        let area = x.height * x.width;
        let count = simd.splat_f32s(area as f32);
        for (pictures, target) in planes.iter().zip(target.chunks_exact_mut(x.batch)) {
            for (picture, target) in pictures.chunks_exact(area).zip(target) {
                let (target, _) = S::as_mut_simd_f32s(&mut target.0);
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
