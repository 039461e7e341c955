//! Convolutions over large pictures laid out channels-last, whose patches never all lie in memory.
//!
//! What is under the kernel is gathered where the product uses it, a few rows at a time: at 512 x 512
//! pixels all patches of one layer of a decoder would be gigabytes.

use crate::{
    Activation,
    cpu::{parameter, with_parameter, zeros},
    linear::Finish,
    matmul::{Epilogue, Gather, gathers_well, multiply, multiply_gathered},
    output::written,
    panels::{PANEL, Panels},
    reduction::add,
};
use candle_core::{Device, Result, Tensor, bail};
use pulp::{Arch, Simd};
use rayon::prelude::*;

/// Values of patches that are laid out at once where there are too few rows to gather them in place.
const MOST_PATCHES: usize = 1 << 26;

/// A dense convolution on the CPU, in f32, for pictures of any size.
#[derive(Debug)]
pub struct SpatialConv2d {
    weight: Panels,
    // by panel, zero beyond the outputs
    bias: Vec<f32>,
    kernel: (usize, usize),
    channels: usize,
    stride: usize,
    pad: usize,
    arch: Arch,
}

/// What is done to the input and the output of a [`SpatialConv2d`] on the way.
#[derive(Clone, Copy, Debug, Default)]
pub struct Around<'a> {
    /// Rows and columns that the input has been stretched to, each pixel the nearest one as PyTorch
    /// finds it; the stretched picture is never made.
    pub stretched_to: Option<(usize, usize)>,
    /// Added to every pixel of a picture: (batch, out).
    pub bias: Option<&'a Tensor>,
    /// Added to the output, of its shape.
    pub residual: Option<&'a Tensor>,
}

impl SpatialConv2d {
    /// A layer from a weight of shape (out, in, height, width), a bias of (out), a stride and the rows
    /// and columns of zeros on every side.
    ///
    /// # Errors
    /// When the shapes do not fit each other or the stride is 0.
    pub fn new(weight: &Tensor, bias: &Tensor, stride: usize, pad: usize) -> Result<Self> {
        let (outputs, channels, height, width) = weight.dims4()?;
        if stride == 0 || channels == 0 || height * width == 0 || bias.dims() != [outputs] {
            bail!(
                "convolution: a stride of {stride}, a weight of {:?} and a bias of {:?}",
                weight.dims(),
                bias.dims()
            );
        }
        let k = height * width * channels;
        let by_pixel = weight.permute((0, 2, 3, 1))?.contiguous()?;
        let weight = with_parameter(&by_pixel, |values| Panels::from_rows(values, outputs, k, k))?;
        let mut bias = parameter(bias)?;
        bias.resize(outputs.next_multiple_of(PANEL), 0.0);
        Ok(Self {
            weight,
            bias,
            kernel: (height, width),
            channels,
            stride,
            pad,
            arch: Arch::new(),
        })
    }

    /// Channels of the input.
    pub fn inputs(&self) -> usize {
        self.channels
    }

    /// Channels of the output.
    pub fn outputs(&self) -> usize {
        self.weight.n()
    }

    /// Rows and columns of the output for so many of the input, stretched already.
    pub fn output_size(&self, (rows, columns): (usize, usize)) -> (usize, usize) {
        let outputs = |size: usize, kernel: usize| {
            (size + 2 * self.pad + self.stride).saturating_sub(kernel) / self.stride
        };
        (
            outputs(rows, self.kernel.0),
            outputs(columns, self.kernel.1),
        )
    }

    /// (batch, height, width, in) to (batch, rows, columns, out). What a picture gives does not depend
    /// on the others.
    ///
    /// # Errors
    /// When the input has another number of channels or what is added another shape.
    pub fn forward(&self, x: &Tensor, around: &Around) -> Result<Tensor> {
        let (batch, height, width, channels) = x.dims4()?;
        if channels != self.channels {
            bail!(
                "convolution: {channels} channels where {} are needed",
                self.channels
            );
        }
        let stretched = around.stretched_to.unwrap_or((height, width));
        let (rows, columns) = self.output_size(stretched);
        let (pixels, n) = (rows * columns, self.outputs());
        let shape = (batch, rows, columns, n);
        let residual = match around.residual {
            Some(residual) if residual.dims() != [batch, rows, columns, n] => bail!(
                "convolution: a residual of shape {:?}, not {shape:?}",
                residual.dims()
            ),
            Some(residual) => Some(residual.flatten_all()?.contiguous()?),
            None => None,
        };
        let biases = self.biases(batch, around.bias)?;
        let compute = |x: &[f32], residual: Option<&[f32]>| {
            let patches = Patches {
                layer: self,
                x,
                size: (height, width),
                outputs: (rows, columns),
                source_rows: nearest(height, stretched.0),
                source_columns: nearest(width, stretched.1),
            };
            let finish = FinishPicture {
                biases: &biases,
                panels: n.div_ceil(PANEL),
                pixels,
                rest: Finish {
                    bias: None,
                    activation: Activation::Identity,
                    residual,
                    n,
                },
            };
            let (m, k) = (batch * pixels, self.weight.k());
            written(m * n, |out| {
                if gathers_well(self.arch, m) || m * k > MOST_PATCHES {
                    multiply_gathered(self.arch, &patches, m, &self.weight, out, &finish);
                } else {
                    let mut all = zeros(m * k);
                    let gather =
                        |(row, values): (usize, &mut [f32])| patches.gather(row, 0, values);
                    all.par_chunks_exact_mut(k).enumerate().for_each(gather);
                    multiply(self.arch, &all, m, &self.weight, out, &finish);
                }
            })
        };
        let out = with_parameter(x, |x| match &residual {
            Some(residual) => with_parameter(residual, |residual| compute(x, Some(residual)))?,
            None => compute(x, None),
        })??;
        Tensor::from_vec(out, shape, &Device::Cpu)
    }

    /// The bias of each picture by panel.
    fn biases(&self, batch: usize, added: Option<&Tensor>) -> Result<Vec<[f32; PANEL]>> {
        let mut biases = self.bias.repeat(batch);
        if let Some(added) = added {
            let (pictures, outputs) = added.dims2()?;
            if (pictures, outputs) != (batch, self.outputs()) {
                bail!(
                    "convolution: {:?} to be added to {batch} pictures of {} channels",
                    added.dims(),
                    self.outputs()
                );
            }
            let added = parameter(added)?;
            let pictures = biases.chunks_exact_mut(self.bias.len());
            for (biases, added) in pictures.zip(added.chunks_exact(outputs)) {
                for (bias, added) in biases.iter_mut().zip(added) {
                    *bias += added;
                }
            }
        }
        Ok(biases.as_chunks().0.to_vec())
    }
}

/// For each place of `size` stretched to `target` the nearest one, as PyTorch's `nearest` rounds.
fn nearest(size: usize, target: usize) -> Vec<usize> {
    let scale = size as f32 / target as f32;
    let place = |index: usize| {
        if target == 2 * size {
            index / 2
        } else {
            ((index as f32 * scale) as usize).min(size.saturating_sub(1))
        }
    };
    (0..target).map(place).collect()
}

/// The patches under the kernel, by output pixel.
struct Patches<'a> {
    layer: &'a SpatialConv2d,
    x: &'a [f32],
    /// Of a picture before it is stretched.
    size: (usize, usize),
    outputs: (usize, usize),
    /// Of each row and column of the stretched picture where it comes from.
    source_rows: Vec<usize>,
    source_columns: Vec<usize>,
}

impl Gather for Patches<'_> {
    fn gather(&self, row: usize, start: usize, values: &mut [f32]) {
        let SpatialConv2d {
            kernel,
            channels,
            stride,
            pad,
            ..
        } = *self.layer;
        let (column, line) = (row % self.outputs.1, row / self.outputs.1);
        let (line, picture) = (line % self.outputs.0, line / self.outputs.0);
        let (mut at, mut rest) = (start, values);
        while !rest.is_empty() {
            let (tap, channel) = (at / channels, at % channels);
            let length = rest.len().min(channels - channel);
            let (target, left) = rest.split_at_mut(length);
            let y = (line * stride + tap / kernel.1).checked_sub(pad);
            let x = (column * stride + tap % kernel.1).checked_sub(pad);
            let y = y.and_then(|y| self.source_rows.get(y));
            let x = x.and_then(|x| self.source_columns.get(x));
            match (y, x) {
                (Some(y), Some(x)) => {
                    let pixel = (picture * self.size.0 + y) * self.size.1 + x;
                    let source = pixel * channels + channel;
                    target.copy_from_slice(&self.x[source..source + length]);
                }
                _ => target.fill(0.0),
            }
            at += length;
            rest = left;
        }
    }
}

/// The bias of the picture, then the residual.
struct FinishPicture<'a> {
    /// By picture and panel.
    biases: &'a [[f32; PANEL]],
    panels: usize,
    /// Rows of a picture.
    pixels: usize,
    rest: Finish<'a>,
}

impl Epilogue for FinishPicture<'_> {
    #[inline(always)]
    fn prefetch(&self, row: usize, column: usize) {
        self.rest.prefetch(row, column);
    }

    #[inline(always)]
    fn finish<S: Simd>(&self, simd: S, row: usize, column: usize, values: &mut [f32; PANEL]) {
        let bias = row / self.pixels * self.panels + column / PANEL;
        add(simd, values, &self.biases[bias]);
        self.rest.finish(simd, row, column, values);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channels_first(x: &Tensor) -> Result<Tensor> {
        x.permute((0, 3, 1, 2))?.contiguous()
    }

    fn worst(a: &Tensor, b: &Tensor) -> Result<f32> {
        (a - b)?.abs()?.max_all()?.to_scalar()
    }

    #[test]
    fn equals_candle_stretched_or_not() -> Result<()> {
        let cpu = Device::Cpu;
        // The last is large enough to be gathered in place.
        for (height, width, kernel, stride, stretched) in [
            (1, 1, 3, 1, None),
            (7, 10, 3, 2, None),
            (6, 5, 1, 1, None),
            (4, 3, 3, 1, Some((8, 6))),
            (4, 5, 3, 1, Some((7, 10))),
            (65, 70, 3, 1, None),
        ] {
            let x = Tensor::randn(0f32, 1.0, (2, height, width, 20), &cpu)?;
            let weight = Tensor::randn(0f32, 0.2, (40, 20, kernel, kernel), &cpu)?;
            let bias = Tensor::randn(0f32, 1.0, 40, &cpu)?;
            let pad = kernel / 2;
            let layer = SpatialConv2d::new(&weight, &bias, stride, pad)?;
            let mut first = channels_first(&x)?;
            if let Some((rows, columns)) = stretched {
                first = first.upsample_nearest2d(rows, columns)?;
            }
            let expected = first.conv2d(&weight, pad, stride, 1, 1)?;
            let expected = expected.permute((0, 2, 3, 1))?.broadcast_add(&bias)?;
            let around = Around {
                stretched_to: stretched,
                ..Around::default()
            };
            let found = layer.forward(&x, &around)?;
            assert_eq!(found.dims(), expected.dims());
            let difference = worst(&found, &expected)?;
            assert!(difference < 1e-4, "{height} x {width}: {difference}");

            let residual = Tensor::randn(0f32, 1.0, found.dims(), &cpu)?;
            let added = Tensor::randn(0f32, 1.0, (2, 40), &cpu)?;
            let around = Around {
                bias: Some(&added),
                residual: Some(&residual),
                ..around
            };
            let whole = layer.forward(&x, &around)?;
            let added = added.reshape((2, 1, 1, 40))?;
            let expected = (expected.broadcast_add(&added)? + &residual)?;
            assert!(worst(&whole, &expected)? < 1e-4);

            let alone = layer.forward(
                &x.narrow(0, 1, 1)?,
                &Around {
                    bias: None,
                    residual: None,
                    ..around
                },
            )?;
            assert_eq!(
                alone.flatten_all()?.to_vec1::<f32>()?,
                found.narrow(0, 1, 1)?.flatten_all()?.to_vec1::<f32>()?
            );
        }
        Ok(())
    }

    #[test]
    fn shapes_that_do_not_fit_are_errors() -> Result<()> {
        let zeros = |dims: &[usize]| Tensor::zeros(dims, candle_core::DType::F32, &Device::Cpu);
        let weight = zeros(&[4, 2, 3, 3])?;
        assert!(SpatialConv2d::new(&weight, &zeros(&[4])?, 0, 1).is_err());
        assert!(SpatialConv2d::new(&weight, &zeros(&[3])?, 1, 1).is_err());
        let layer = SpatialConv2d::new(&weight, &zeros(&[4])?, 1, 1)?;
        let x = zeros(&[1, 5, 5, 2])?;
        assert!(
            layer
                .forward(&zeros(&[1, 5, 5, 3])?, &Around::default())
                .is_err()
        );
        let two = zeros(&[2, 4])?;
        let around = |bias, residual| Around {
            bias,
            residual,
            stretched_to: None,
        };
        assert!(layer.forward(&x, &around(Some(&two), None)).is_err());
        assert!(layer.forward(&x, &around(None, Some(&x))).is_err());
        Ok(())
    }
}
