//! Group normalisation of pictures laid out channels-last, with the activation behind it fused in.

use crate::{
    Activation,
    cpu::{is_fused, parameter, sum_dtype, with_parameter},
    output::{Unwritten, written},
};
use candle_core::{Device, Result, Tensor, bail};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Pixels that are summed up together: fixed, so that the sums are the same bits on any machine.
const BLOCK: usize = 256;

/// `(x - mean) / sqrt(variance + epsilon) * weight + bias`, mean and variance over all pixels of a
/// group of neighbouring channels, as PyTorch computes it.
///
/// Sums run in double precision, channel by channel, over blocks of pixels; squares of single
/// precision are exact there, so that one pass is enough.
#[derive(Clone, Debug)]
pub struct GroupNorm {
    weight: Tensor,
    bias: Tensor,
    // the same as numbers
    weights: Vec<f32>,
    biases: Vec<f32>,
    groups: usize,
    epsilon: f64,
}

impl GroupNorm {
    /// A layer from weight and bias of shape (channels).
    ///
    /// # Errors
    /// When the two differ in shape or the groups do not divide the channels.
    pub fn new(weight: &Tensor, bias: &Tensor, groups: usize, epsilon: f64) -> Result<Self> {
        let channels = weight.dims1()?;
        if bias.dims1()? != channels || groups == 0 || !channels.is_multiple_of(groups) {
            bail!(
                "group norm: weight {:?} and bias {:?} for {groups} groups",
                weight.dims(),
                bias.dims()
            );
        }
        Ok(Self {
            weight: weight.clone(),
            bias: bias.clone(),
            weights: parameter(weight)?,
            biases: parameter(bias)?,
            groups,
            epsilon,
        })
    }

    /// `activation` of the normalised pictures: (batch, ..., channels) to the same shape.
    /// What a picture gives does not depend on the others.
    ///
    /// # Errors
    /// When the last dimension is not `channels`.
    pub fn forward(&self, x: &Tensor, activation: Activation) -> Result<Tensor> {
        let channels = self.weights.len();
        let (batch, rest) = match x.dims() {
            [batch, rest @ ..] if rest.last() == Some(&channels) => (*batch, rest),
            dims => bail!("group norm: {dims:?} where (batch, ..., {channels}) is needed"),
        };
        let length: usize = rest.iter().product();
        if length == 0 {
            return Ok(x.clone());
        }
        if !is_fused(x) {
            return self.composed(x, activation);
        }
        let arch = Arch::new();
        let out = with_parameter(x, |values| {
            let factors: Vec<_> = values
                .chunks_exact(length)
                .map(|picture| self.factors(arch, picture))
                .collect();
            written(batch * length, |mut out| {
                let block = BLOCK * channels;
                let mut parts = Vec::new();
                for (picture, factors) in values.chunks_exact(length).zip(&factors) {
                    for part in picture.chunks(block) {
                        parts.push((part, factors, out.take(part.len())));
                    }
                }
                let apply = |buffer: &mut Vec<f32>, part: (&[f32], &Factors, Unwritten<'_>)| {
                    let (values, factors, mut out) = part;
                    buffer.clear();
                    buffer.extend_from_slice(values);
                    arch.dispatch(Apply(buffer, factors, activation));
                    out.extend(buffer);
                };
                parts.into_par_iter().for_each_init(Vec::new, apply);
            })
        })??;
        Tensor::from_vec(out, x.dims(), &Device::Cpu)
    }

    /// The same from candle's operations.
    fn composed(&self, x: &Tensor, activation: Activation) -> Result<Tensor> {
        let dtype = sum_dtype(x.dtype());
        let size = self.weights.len() / self.groups;
        let values = x.to_dtype(dtype)?.contiguous()?;
        let values = values.reshape((x.dim(0)?, (), self.groups, size))?;
        let centred = values.broadcast_sub(&values.mean_keepdim((1, 3))?)?;
        let variance = centred.sqr()?.mean_keepdim((1, 3))?;
        let values = centred.broadcast_div(&(variance + self.epsilon)?.sqrt()?)?;
        let values = values
            .reshape(x.dims())?
            .broadcast_mul(&self.weight.to_dtype(dtype)?)?
            .broadcast_add(&self.bias.to_dtype(dtype)?)?;
        activation.composed(&values)?.to_dtype(x.dtype())
    }

    /// What each channel of a picture is multiplied with, and what is added.
    fn factors(&self, arch: Arch, picture: &[f32]) -> Factors {
        let channels = self.weights.len();
        // By channel: the sums, then those of the squares.
        let blocks: Vec<Vec<f64>> = picture
            .par_chunks(BLOCK * channels)
            .map(|values| {
                let mut sums = vec![0.0; 2 * channels];
                arch.dispatch(Sums(values, &mut sums));
                sums
            })
            .collect();
        let mut sums = vec![0.0; 2 * channels];
        for block in blocks {
            for (total, sum) in sums.iter_mut().zip(block) {
                *total += sum;
            }
        }
        let (sums, squares) = sums.split_at(channels);
        let size = channels / self.groups;
        let count = (picture.len() / channels * size) as f64;
        let mut scales = Vec::with_capacity(channels);
        let mut shifts = Vec::with_capacity(channels);
        for group in 0..self.groups {
            let channels = group * size..(group + 1) * size;
            let mean = sums[channels.clone()].iter().sum::<f64>() / count;
            let square = squares[channels.clone()].iter().sum::<f64>() / count;
            let variance = (square - mean * mean).max(0.0);
            let factor = 1.0 / (variance + self.epsilon).sqrt();
            for channel in channels {
                let scale = factor * f64::from(self.weights[channel]);
                scales.push(scale as f32);
                shifts.push((f64::from(self.biases[channel]) - mean * scale) as f32);
            }
        }
        Factors { scales, shifts }
    }
}

/// For each channel.
struct Factors {
    scales: Vec<f32>,
    shifts: Vec<f32>,
}

/// The sums of the values and of their squares by channel.
// Types, not closures, which might stay functions of their own without the vector instructions.
struct Sums<'a>(&'a [f32], &'a mut [f64]);

impl WithSimd for Sums<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self(values, sums) = self;
        let (sums, squares) = sums.split_at_mut(sums.len() / 2);
        for pixel in values.chunks_exact(sums.len()) {
            for ((sum, square), value) in sums.iter_mut().zip(squares.iter_mut()).zip(pixel) {
                let value = f64::from(*value);
                *sum += value;
                *square += value * value;
            }
        }
    }
}

/// Scales, shifts and activates whole pixels in place.
struct Apply<'a>(&'a mut [f32], &'a Factors, Activation);

impl WithSimd for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self(values, factors, activation) = self;
        for pixel in values.chunks_exact_mut(factors.scales.len()) {
            let channels = pixel.iter_mut().zip(&factors.scales).zip(&factors.shifts);
            for ((value, scale), shift) in channels {
                *value = value.mul_add(*scale, *shift);
            }
            activation.apply_inlined(pixel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Draws;
    use candle_core::DType;

    /// In double precision, by the definition; and each value's size in
    /// deviations of its group, by which its rounding is stretched.
    fn exact(
        x: &[f32],
        shape: (usize, usize, usize),
        groups: usize,
        eps: f64,
    ) -> (Vec<f64>, Vec<f64>) {
        let (batch, pixels, channels) = shape;
        let size = channels / groups;
        let (mut out, mut stretched) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        for picture in 0..batch {
            for group in 0..groups {
                let places: Vec<usize> = (0..pixels * size)
                    .map(|i| (picture * pixels + i / size) * channels + group * size + i % size)
                    .collect();
                let count = places.len() as f64;
                let mean = places.iter().map(|p| f64::from(x[*p])).sum::<f64>() / count;
                let squares = places.iter().map(|p| (f64::from(x[*p]) - mean).powi(2));
                let deviation = (squares.sum::<f64>() / count + eps).sqrt();
                for place in places {
                    out[place] = (f64::from(x[place]) - mean) / deviation;
                    stretched[place] = f64::from(x[place]).abs() / deviation;
                }
            }
        }
        (out, stretched)
    }

    #[test]
    fn equals_double_precision_and_mixes_no_pictures() -> Result<()> {
        let mut draws = Draws::new(1);
        // The smaller the deviation, the more of a group's digits cancel out.
        for (deviation, height, width, channels, groups) in [
            (2.0, 1, 1, 4, 2),
            (2.0, 5, 7, 24, 8),
            (2.0, 33, 20, 40, 4),
            (0.01, 1, 1, 4, 2),
            (0.0, 3, 2, 8, 4),
        ] {
            let x = draws.normal(3.0, deviation, (2, height, width, channels))?;
            let weight = draws.normal(1.0, 0.2, channels)?;
            let bias = draws.normal(0.0, 1.0, channels)?;
            let norm = GroupNorm::new(&weight, &bias, groups, 1e-5)?;
            let flat = |x: &Tensor| x.flatten_all()?.to_vec1::<f32>();
            let found = norm.forward(&x, Activation::Identity)?;
            let active = flat(&norm.forward(&x, Activation::Silu)?)?;
            let composed = norm.forward(&x.to_dtype(DType::F64)?, Activation::Silu)?;
            let composed = flat(&composed.to_dtype(DType::F32)?)?;
            let silu = flat(&found.silu()?)?;
            let (expected, stretched) =
                exact(&flat(&x)?, (2, height * width, channels), groups, 1e-5);
            let (weight, bias) = (weight.to_vec1::<f32>()?, bias.to_vec1::<f32>()?);
            for (i, found) in flat(&found)?.iter().enumerate() {
                let channel = i % channels;
                let factor = f64::from(weight[channel]);
                let expected = expected[i] * factor + f64::from(bias[channel]);
                let bound = 1e-6 * (5.0 + stretched[i] * factor.abs());
                let wrong = (f64::from(*found) - expected).abs();
                assert!(wrong < bound, "{i}: {wrong} of {bound}");
                assert!((active[i] - silu[i]).abs() < 1e-5, "{i}");
                let wrong = f64::from((active[i] - composed[i]).abs());
                assert!(wrong < 2.0 * bound, "{i}: {wrong} of {bound}");
            }
            let alone = norm.forward(&x.narrow(0, 1, 1)?, Activation::Identity)?;
            assert_eq!(flat(&alone)?, flat(&found.narrow(0, 1, 1)?)?);
        }
        Ok(())
    }

    #[test]
    fn shapes_that_do_not_fit_are_errors() -> Result<()> {
        let ones = |dims: &[usize]| Tensor::ones(dims, DType::F32, &Device::Cpu);
        assert!(GroupNorm::new(&ones(&[4])?, &ones(&[3])?, 1, 1e-5).is_err());
        assert!(GroupNorm::new(&ones(&[4])?, &ones(&[4])?, 3, 1e-5).is_err());
        assert!(GroupNorm::new(&ones(&[4])?, &ones(&[4])?, 0, 1e-5).is_err());
        let norm = GroupNorm::new(&ones(&[4])?, &ones(&[4])?, 2, 1e-5)?;
        assert!(
            norm.forward(&ones(&[1, 2, 3])?, Activation::Identity)
                .is_err()
        );
        Ok(())
    }
}
