//! Convolutions over large pictures laid out channels-last, whose patches never all lie in memory.
//!
//! What is under the kernel is gathered where the product uses it, a few rows at a time: at 512 x 512
//! pixels all patches of one layer of a decoder would be gigabytes.

use crate::{
    Activation,
    cpu::{is_fused, parameter, with_parameter, zeros},
    linear::Finish,
    matmul::{Epilogue, Gather, gathers_well, multiply, multiply_gathered},
    output::written,
    panels::{PANEL, Panels},
    reduction::add,
};
use candle_core::{DType, Device, Result, Tensor, bail};
use pulp::{Arch, Simd};
use rayon::prelude::*;

/// Values of patches that are laid out at once where there are too few rows to gather them in place.
const MOST_PATCHES: usize = 1 << 26;

/// A dense convolution for pictures of any size.
#[derive(Debug)]
pub struct SpatialConv2d {
    weights: Weights,
    kernel: (usize, usize),
    channels: usize,
    outputs: usize,
    stride: usize,
    pad: usize,
}

#[derive(Debug)]
enum Weights {
    Packed {
        weight: Panels,
        // by panel, zero beyond the outputs
        bias: Vec<f32>,
        arch: Arch,
    },
    Stored {
        // (out, in, height, width)
        weight: Tensor,
        bias: Tensor,
    },
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
        let weights = if is_fused(weight) {
            let k = height * width * channels;
            let by_pixel = weight.permute((0, 2, 3, 1))?.contiguous()?;
            let panels = |values: &[f32]| Panels::from_rows(values, outputs, k, k);
            let mut bias = parameter(bias)?;
            bias.resize(outputs.next_multiple_of(PANEL), 0.0);
            Weights::Packed {
                weight: with_parameter(&by_pixel, panels)?,
                bias,
                arch: Arch::new(),
            }
        } else {
            Weights::Stored {
                weight: weight.clone(),
                bias: bias.clone(),
            }
        };
        Ok(Self {
            weights,
            kernel: (height, width),
            channels,
            outputs,
            stride,
            pad,
        })
    }

    /// Channels of the input.
    pub fn inputs(&self) -> usize {
        self.channels
    }

    /// Channels of the output.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// `x` on the device of the weights and in their numbers.
    ///
    /// # Errors
    /// When the device does not take it.
    pub fn beside_weights(&self, x: &Tensor) -> Result<Tensor> {
        match &self.weights {
            Weights::Packed { .. } => Ok(x.clone()),
            Weights::Stored { weight, .. } => {
                x.to_device(weight.device())?.to_dtype(weight.dtype())
            }
        }
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
        let shape = [batch, rows, columns, self.outputs];
        if let Some(residual) = around.residual
            && residual.dims() != shape
        {
            bail!(
                "convolution: a residual of shape {:?}, not {shape:?}",
                residual.dims()
            );
        }
        if let Some(added) = around.bias
            && added.dims() != [batch, self.outputs]
        {
            bail!(
                "convolution: {:?} to be added to {batch} pictures of {} channels",
                added.dims(),
                self.outputs
            );
        }
        match &self.weights {
            Weights::Packed { weight, bias, arch } => {
                let packed = (weight, &bias[..], *arch);
                self.packed(x, packed, around, stretched, shape)
            }
            Weights::Stored { weight, bias } => self.composed(x, (weight, bias), around, stretched),
        }
    }

    /// By the one product, (batch, rows, columns, out) as `shape` says.
    fn packed(
        &self,
        x: &Tensor,
        (weight, bias, arch): (&Panels, &[f32], Arch),
        around: &Around,
        stretched: (usize, usize),
        shape: [usize; 4],
    ) -> Result<Tensor> {
        let (batch, height, width, _) = x.dims4()?;
        let [_, rows, columns, n] = shape;
        let pixels = rows * columns;
        let residual = match around.residual {
            Some(residual) => Some(residual.flatten_all()?.contiguous()?),
            None => None,
        };
        let biases = biases(bias, batch, around.bias)?;
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
            let (m, k) = (batch * pixels, weight.k());
            written(m * n, |out| {
                if gathers_well(arch, m) || m * k > MOST_PATCHES {
                    multiply_gathered(arch, &patches, m, weight, out, &finish);
                } else {
                    let mut all = zeros(m * k);
                    let gather =
                        |(row, values): (usize, &mut [f32])| patches.gather(row, 0, values);
                    all.par_chunks_exact_mut(k).enumerate().for_each(gather);
                    multiply(arch, &all, m, weight, out, &finish);
                }
            })
        };
        let out = with_parameter(x, |x| match &residual {
            Some(residual) => with_parameter(residual, |residual| compute(x, Some(residual)))?,
            None => compute(x, None),
        })??;
        Tensor::from_vec(out, &shape, &Device::Cpu)
    }

    /// The same from candle's operations, which want channels first.
    fn composed(
        &self,
        x: &Tensor,
        (weight, bias): (&Tensor, &Tensor),
        around: &Around,
        stretched: (usize, usize),
    ) -> Result<Tensor> {
        let (batch, height, width, _) = x.dims4()?;
        let mut x = x.clone();
        for (dim, size, target) in [(1, height, stretched.0), (2, width, stretched.1)] {
            if target != size {
                let places = nearest(size, target).into_iter().map(|place| place as u32);
                let places = Tensor::from_iter(places, x.device())?;
                x = x.contiguous()?.index_select(&places, dim)?;
            }
        }
        let first = x.permute((0, 3, 1, 2))?.contiguous()?;
        let convolve = |x: &Tensor, weight: &Tensor| x.conv2d(weight, self.pad, self.stride, 1, 1);
        let out = match (first.device().is_cpu(), first.dtype()) {
            // candle convolves in bf16 on cards alone, where sums are in f32 too.
            (true, DType::BF16) => {
                let (x, weight) = (first.to_dtype(DType::F32)?, weight.to_dtype(DType::F32)?);
                convolve(&x, &weight)?.to_dtype(DType::BF16)?
            }
            _ => convolve(&first, weight)?,
        };
        let mut out = out
            .permute((0, 2, 3, 1))?
            .contiguous()?
            .broadcast_add(bias)?;
        if let Some(added) = around.bias {
            out = out.broadcast_add(&added.reshape((batch, 1, 1, self.outputs))?)?;
        }
        match around.residual {
            Some(residual) => out + residual,
            None => Ok(out),
        }
    }
}

/// The bias of each picture by panel: what is `added`, (batch, out), beside the layer's own.
fn biases(own: &[f32], batch: usize, added: Option<&Tensor>) -> Result<Vec<[f32; PANEL]>> {
    let mut biases = own.repeat(batch);
    if let Some(added) = added {
        let outputs = added.dims2()?.1;
        let added = parameter(added)?;
        let pictures = biases.chunks_exact_mut(own.len());
        for (biases, added) in pictures.zip(added.chunks_exact(outputs)) {
            for (bias, added) in biases.iter_mut().zip(added) {
                *bias += added;
            }
        }
    }
    Ok(biases.as_chunks().0.to_vec())
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
mod tests;
