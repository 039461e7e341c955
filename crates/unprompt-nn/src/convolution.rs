//! Convolutions over pictures laid out channels-last: (batch, height, width, channels).
//!
//! A 1x1 convolution is a [`Linear`].

use crate::{
    Activation, Linear,
    cpu::{contiguous, zeros},
};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

/// Values that one thread gathers at a time, at least.
const SHARE: usize = 1 << 14;

/// What surrounds the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// Nothing: `(size - kernel) / stride + 1` outputs, rounded down; rows and columns that fill no
    /// kernel are left out.
    None,
    /// TensorFlow's SAME: zeros for `ceil(size / stride)` outputs; where their number is odd the
    /// extra row and column are at the bottom and the right.
    Same,
    /// So many rows and columns of zeros on every side, as PyTorch counts them.
    Zeros(usize),
}

/// One axis of a convolution.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Axis {
    pub(crate) size: usize,
    pub(crate) outputs: usize,
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) pad_before: usize,
}

impl Axis {
    pub(crate) fn new(size: usize, kernel: usize, stride: usize, padding: Padding) -> Self {
        let outputs = match padding {
            Padding::None => (size + stride).saturating_sub(kernel) / stride,
            Padding::Same => size.div_ceil(stride),
            Padding::Zeros(pad) => (size + 2 * pad + stride).saturating_sub(kernel) / stride,
        };
        let pad_before = match padding {
            Padding::Zeros(pad) => pad,
            Padding::None | Padding::Same => {
                let needed = outputs.saturating_sub(1) * stride + kernel;
                needed.saturating_sub(size) / 2
            }
        };
        Self {
            size,
            outputs,
            kernel,
            stride,
            pad_before,
        }
    }

    /// The kernel's taps that fall inside the picture for one output: (tap, position).
    pub(crate) fn taps(self, output: usize) -> impl Iterator<Item = (usize, usize)> {
        let first = output * self.stride;
        (0..self.kernel).filter_map(move |tap| {
            let position = (first + tap).checked_sub(self.pad_before)?;
            (position < self.size).then_some((tap, position))
        })
    }
}

/// The picture's axes under a kernel, and its batch and channels.
fn axes(
    dims: &[usize],
    kernel: (usize, usize),
    stride: usize,
    padding: Padding,
) -> Result<(usize, Axis, Axis, usize)> {
    let &[batch, height, width, channels] = dims else {
        bail!("convolution: {dims:?} where (batch, height, width, channels) is needed");
    };
    Ok((
        batch,
        Axis::new(height, kernel.0, stride, padding),
        Axis::new(width, kernel.1, stride, padding),
        channels,
    ))
}

/// `x` for candle's own convolution: channels first, padded.
#[cfg(test)]
pub(crate) fn channels_first(x: &Tensor, rows: Axis, columns: Axis) -> Result<Tensor> {
    let after = |axis: Axis| {
        let needed = axis.outputs.saturating_sub(1) * axis.stride + axis.kernel;
        needed.saturating_sub(axis.pad_before + axis.size)
    };
    x.permute((0, 3, 1, 2))?
        .contiguous()?
        .pad_with_zeros(2, rows.pad_before, after(rows))?
        .pad_with_zeros(3, columns.pad_before, after(columns))
}

/// A dense convolution: each patch is gathered and multiplied by the weights as one matrix product.
#[derive(Debug)]
pub struct PatchConv2d {
    linear: Linear,
    kernel: (usize, usize),
    channels: usize,
    stride: usize,
    padding: Padding,
}

impl PatchConv2d {
    /// A layer from a weight of shape (out, in, height, width) and a bias of (out).
    ///
    /// # Errors
    /// When the shapes do not fit each other or the stride is 0.
    pub fn new(
        weight: &Tensor,
        bias: Option<&Tensor>,
        (stride, padding): (usize, Padding),
        activation: Activation,
    ) -> Result<Self> {
        let (outputs, channels, height, width) = weight.dims4()?;
        if stride == 0 {
            bail!("convolution: a stride of 0");
        }
        let by_pixel = weight.permute((0, 2, 3, 1))?.contiguous()?;
        let by_pixel = by_pixel.reshape((outputs, height * width * channels))?;
        let linear = Linear::new(&by_pixel, bias, activation)?;
        Ok(Self {
            linear,
            kernel: (height, width),
            channels,
            stride,
            padding,
        })
    }

    /// (batch, height, width, in) to (batch, rows, columns, out), as many as the padding gives. The
    /// input is f32 on the CPU, where patches are gathered; the output is where the weights are, in
    /// their numbers.
    ///
    /// # Errors
    /// When the input has another number of channels.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (.., channels) = axes(x.dims(), self.kernel, self.stride, self.padding)?;
        if channels != self.channels {
            bail!(
                "convolution: {channels} channels where {} are needed",
                self.channels
            );
        }
        let patches = x.contiguous()?.apply_op1_no_bwd(&Patches(self))?;
        self.linear.forward(&self.linear.beside_weights(patches)?)
    }
}

/// Gathers the patch under the kernel at every output position.
struct Patches<'a>(&'a PatchConv2d);

impl CustomOp1 for Patches<'_> {
    fn name(&self) -> &'static str {
        "patches"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = contiguous(self.name(), storage, layout)?;
        let PatchConv2d {
            kernel,
            stride,
            padding,
            ..
        } = *self.0;
        let (batch, rows, columns, channels) = axes(layout.dims(), kernel, stride, padding)?;
        let patch = kernel.0 * kernel.1 * channels;
        let mut out = zeros(batch * rows.outputs * columns.outputs * patch);
        let gather = |(index, out): (usize, &mut [f32])| {
            let (column, row) = (
                index % columns.outputs,
                index / columns.outputs % rows.outputs,
            );
            let picture = index / (columns.outputs * rows.outputs);
            for (i, y) in rows.taps(row) {
                for (j, x_position) in columns.taps(column) {
                    let source = ((picture * rows.size + y) * columns.size + x_position) * channels;
                    let target = (i * kernel.1 + j) * channels;
                    out[target..target + channels].copy_from_slice(&x[source..source + channels]);
                }
            }
        };
        out.par_chunks_exact_mut(patch.max(1))
            .with_min_len((SHARE / patch.max(1)).max(1))
            .enumerate()
            .for_each(gather);
        Ok((
            CpuStorage::F32(out),
            (batch, rows.outputs, columns.outputs, patch).into(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Draws;
    use candle_core::Device;

    fn difference(a: &Tensor, b: &Tensor) -> Result<f32> {
        (a - b)?.abs()?.max_all()?.to_scalar::<f32>()
    }

    #[test]
    fn equal_candle_with_tensorflow_padding() -> Result<()> {
        let mut draws = Draws::new(1);
        for (height, width, kernel, stride) in [
            (8, 8, 3, 2),
            (7, 10, 3, 2),
            (9, 5, 5, 1),
            (6, 6, 5, 2),
            (1, 1, 5, 2),
            (4, 3, 1, 2),
        ] {
            let x = draws.normal(0.0, 1.0, (2, height, width, 6))?;
            let rows = Axis::new(height, kernel, stride, Padding::Same);
            let columns = Axis::new(width, kernel, stride, Padding::Same);

            let weight = draws.normal(0.0, 1.0, (5, 6, kernel, kernel))?;
            let bias = draws.normal(0.0, 1.0, 5)?;
            let layer = PatchConv2d::new(
                &weight,
                Some(&bias),
                (stride, Padding::Same),
                Activation::Identity,
            )?;
            let expected = channels_first(&x, rows, columns)?.conv2d(&weight, 0, stride, 1, 1)?;
            let expected = expected.permute((0, 2, 3, 1))?.broadcast_add(&bias)?;
            let worst = difference(&layer.forward(&x)?, &expected)?;
            assert!(
                worst < 1e-4,
                "dense {height} x {width}, {kernel}/{stride}: {worst}"
            );
        }
        Ok(())
    }

    #[test]
    fn patches_with_zeros_around_or_nothing_equal_candle() -> Result<()> {
        let mut draws = Draws::new(2);
        let cpu = Device::Cpu;
        for (height, width, kernel, stride) in [
            (8, 8, 4, 4),
            (28, 14, 14, 14),
            (9, 11, 4, 4),
            (9, 11, 3, 2),
            (5, 5, 5, 1),
        ] {
            let x = draws.normal(0.0, 1.0, (2, height, width, 3))?;
            let weight = draws.normal(0.0, 0.3, (7, 3, kernel, kernel))?;
            let bias = draws.normal(0.0, 1.0, 7)?;
            for (bias, pad) in [(None, 0), (Some(&bias), 0), (Some(&bias), 1), (None, 3)] {
                let padding = if pad == 0 {
                    Padding::None
                } else {
                    Padding::Zeros(pad)
                };
                let placement = (stride, padding);
                let layer = PatchConv2d::new(&weight, bias, placement, Activation::Identity)?;
                let expected = x.permute((0, 3, 1, 2))?.contiguous()?;
                let expected = expected.conv2d(&weight, pad, stride, 1, 1)?;
                let mut expected = expected.permute((0, 2, 3, 1))?;
                if let Some(bias) = bias {
                    expected = expected.broadcast_add(bias)?;
                }
                let worst = difference(&layer.forward(&x)?, &expected)?;
                assert!(
                    worst < 1e-4,
                    "{height} x {width}, {kernel}/{stride}: {worst}"
                );
            }
        }
        // A picture smaller than the kernel has no patch.
        let weight = Tensor::zeros((7, 3, 4, 4), candle_core::DType::F32, &cpu)?;
        let layer = PatchConv2d::new(&weight, None, (4, Padding::None), Activation::Identity)?;
        let small = Tensor::zeros((1, 3, 8, 3), candle_core::DType::F32, &cpu)?;
        assert_eq!(layer.forward(&small)?.dims(), [1, 0, 2, 7]);
        Ok(())
    }

    #[test]
    fn shapes_that_do_not_fit_are_errors() -> Result<()> {
        let zeros = |dims: &[usize]| Tensor::zeros(dims, candle_core::DType::F32, &Device::Cpu);
        let weight = zeros(&[4, 1, 3, 3])?;
        assert!(PatchConv2d::new(&weight, None, (0, Padding::Same), Activation::Identity).is_err());
        let layer = PatchConv2d::new(&weight, None, (1, Padding::Same), Activation::Identity)?;
        assert!(layer.forward(&zeros(&[1, 8, 8, 4])?).is_err());
        Ok(())
    }
}
