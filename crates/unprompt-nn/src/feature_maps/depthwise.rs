//! Convolutions of each channel by itself, over rows that have their padding.

use super::{LANES, Lanes, pointwise::chain_starts, relu6};
use crate::cpu::with_parameter;
use candle_core::{Result, Tensor, bail};
use pulp::Simd;

/// Outputs whose sums run at once: pictures of 224 by 224 have rows of 7 or a multiple.
const GROUP: usize = 7;

/// Taps and biases of all channels.
#[derive(Debug)]
pub(super) struct Depthwise {
    // (blocks, kernel, kernel)
    taps: Vec<Lanes>,
    // (blocks)
    bias: Vec<Lanes>,
    pub(super) kernel: usize,
    pub(super) stride: usize,
}

impl Depthwise {
    /// From a weight of shape (channels, 1, kernel, kernel) and a bias of (channels).
    pub(super) fn new(weight: &Tensor, bias: &Tensor, stride: usize) -> Result<Self> {
        let (channels, one, kernel, width) = weight.dims4()?;
        if one != 1
            || kernel != width
            || kernel * channels * stride == 0
            || bias.dims() != [channels]
        {
            bail!(
                "depthwise convolution: weight {:?}, bias {:?}, stride {stride}",
                weight.dims(),
                bias.dims()
            );
        }
        let area = kernel * kernel;
        let blocks = channels.div_ceil(LANES);
        let mut taps = vec![Lanes::ZERO; blocks * area];
        with_parameter(weight, |weight| {
            for (channel, weight) in weight.chunks_exact(area).enumerate() {
                for (tap, weight) in weight.iter().enumerate() {
                    taps[channel / LANES * area + tap].0[channel % LANES] = *weight;
                }
            }
        })?;
        let mut biases = vec![Lanes::ZERO; blocks];
        for (channel, bias) in chain_starts(bias)?.into_iter().enumerate() {
            biases[channel / LANES].0[channel % LANES] = bias;
        }
        Ok(Self {
            taps,
            bias: biases,
            kernel,
            stride,
        })
    }

    /// One row of outputs of a block of channels. `x` is as many rows of inputs as the kernel has,
    /// `width` apart, of which an output's first is `stride` from its neighbour's.
    #[inline(always)]
    pub(super) fn row<S: Simd>(
        &self,
        simd: S,
        block: usize,
        (x, width): (&[Lanes], usize),
        out: &mut [Lanes],
    ) {
        match (self.kernel, self.stride) {
            (3, 1) => self.groups::<S, 3, 1>(simd, block, x, width, out),
            (3, 2) => self.groups::<S, 3, 2>(simd, block, x, width, out),
            (5, 1) => self.groups::<S, 5, 1>(simd, block, x, width, out),
            (5, 2) => self.groups::<S, 5, 2>(simd, block, x, width, out),
            _ => {
                for (column, out) in out.iter_mut().enumerate() {
                    self.single(simd, block, x, width, column, out);
                }
            }
        }
    }

    #[inline(always)]
    fn groups<S: Simd, const KERNEL: usize, const STRIDE: usize>(
        &self,
        simd: S,
        block: usize,
        x: &[Lanes],
        width: usize,
        out: &mut [Lanes],
    ) {
        let taps = &self.taps[block * KERNEL * KERNEL..(block + 1) * KERNEL * KERNEL];
        let bias = &self.bias[block];
        let (groups, rest) = out.as_chunks_mut::<GROUP>();
        let done = groups.len() * GROUP;
        for (group, out) in groups.iter_mut().enumerate() {
            let start = group * GROUP * STRIDE;
            for vector in 0..LANES / S::F32_LANES {
                let mut sums = [S::as_simd_f32s(&bias.0).0[vector]; GROUP];
                for i in 0..KERNEL {
                    let first = i * width + start;
                    let x = &x[first..first + (GROUP - 1) * STRIDE + KERNEL];
                    for j in 0..KERNEL {
                        let tap = S::as_simd_f32s(&taps[i * KERNEL + j].0).0[vector];
                        for p in 0..GROUP {
                            let x = S::as_simd_f32s(&x[p * STRIDE + j].0).0[vector];
                            sums[p] = simd.mul_add_f32s(x, tap, sums[p]);
                        }
                    }
                }
                for p in 0..GROUP {
                    S::as_mut_simd_f32s(&mut out[p].0).0[vector] = relu6(simd, sums[p]);
                }
            }
        }
        for (column, out) in rest.iter_mut().enumerate() {
            self.single(simd, block, x, width, done + column, out);
        }
    }

    #[inline(always)]
    fn single<S: Simd>(
        &self,
        simd: S,
        block: usize,
        x: &[Lanes],
        width: usize,
        column: usize,
        out: &mut Lanes,
    ) {
        let area = self.kernel * self.kernel;
        let taps = &self.taps[block * area..(block + 1) * area];
        for vector in 0..LANES / S::F32_LANES {
            let mut sum = S::as_simd_f32s(&self.bias[block].0).0[vector];
            for (i, taps) in taps.chunks_exact(self.kernel).enumerate() {
                let first = i * width + column * self.stride;
                for (x, tap) in x[first..first + self.kernel].iter().zip(taps) {
                    let x = S::as_simd_f32s(&x.0).0[vector];
                    let tap = S::as_simd_f32s(&tap.0).0[vector];
                    sum = simd.mul_add_f32s(x, tap, sum);
                }
            }
            S::as_mut_simd_f32s(&mut out.0).0[vector] = relu6(simd, sum);
        }
    }
}
