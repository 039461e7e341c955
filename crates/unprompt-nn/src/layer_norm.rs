//! Layer normalisation over the last dimension, with the residual addition before it fused in.

use crate::{
    cpu::{contiguous, is_fused, parameter, sum_dtype},
    output::{Unwritten, written},
    reduction::{CHAINS, join},
};
use candle_core::{CpuStorage, CustomOp1, CustomOp2, D, Layout, Result, Shape, Tensor, bail};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// `(x - mean) / sqrt(variance + epsilon) * weight + bias`, the variance without Bessel's
/// correction, as PyTorch computes it.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    epsilon: f64,
    values: Vec<f32>,
    biases: Vec<f32>,
}

impl LayerNorm {
    /// A layer from weight and bias of shape (width).
    ///
    /// # Errors
    /// When the two differ in shape or are empty.
    pub fn new(weight: Tensor, bias: Tensor, epsilon: f64) -> Result<Self> {
        if weight.dims1()? != bias.dims1()? || weight.dims1()? == 0 {
            bail!(
                "layer norm: weight {:?} and bias {:?}",
                weight.dims(),
                bias.dims()
            );
        }
        let (values, biases) = (parameter(&weight)?, parameter(&bias)?);
        Ok(Self {
            weight,
            bias,
            epsilon,
            values,
            biases,
        })
    }

    /// Normalises `x`, (..., width).
    ///
    /// # Errors
    /// When the last dimension is not `width`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if is_fused(x) {
            x.contiguous()?.apply_op1_no_bwd(self)
        } else {
            self.composed(x)
        }
    }

    /// Normalises `x + residual`, both (..., width).
    ///
    /// # Errors
    /// When the shapes differ or the last dimension is not `width`.
    pub fn forward_residual(&self, x: &Tensor, residual: &Tensor) -> Result<Tensor> {
        if is_fused(x) {
            x.contiguous()?
                .apply_op2_no_bwd(&residual.contiguous()?, self)
        } else {
            self.composed(&(x + residual)?)
        }
    }

    /// Normalises all rows of `x`, of `x + residual` where there is one.
    fn rows(&self, x: &[f32], residual: Option<&[f32]>) -> Result<Vec<f32>> {
        let width = self.values.len();
        let arch = Arch::new();
        written(x.len(), |mut out| {
            let rows: Vec<_> = (0..x.len() / width).map(|_| out.take(width)).collect();
            let normalise = |buffer: &mut Vec<f32>, (index, mut out): (usize, Unwritten<'_>)| {
                let place = index * width..(index + 1) * width;
                let residual = residual.map(|residual| &residual[place.clone()]);
                arch.dispatch(Row(self, buffer, &x[place], residual));
                out.extend(buffer);
            };
            rows.into_par_iter()
                .with_min_len(32)
                .enumerate()
                .for_each_init(|| vec![0.0; width], normalise);
        })
    }

    fn composed(&self, x: &Tensor) -> Result<Tensor> {
        let dtype = sum_dtype(x.dtype());
        let values = x.to_dtype(dtype)?;
        let centred = values.broadcast_sub(&values.mean_keepdim(D::Minus1)?)?;
        let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
        centred
            .broadcast_div(&(variance + self.epsilon)?.sqrt()?)?
            .broadcast_mul(&self.weight.to_dtype(dtype)?)?
            .broadcast_add(&self.bias.to_dtype(dtype)?)?
            .to_dtype(x.dtype())
    }
}

impl CustomOp1 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer norm"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let width = self.values.len();
        if layout.dims().last() != Some(&width) {
            bail!(
                "layer norm: {:?} where (..., {width}) is needed",
                layout.dims()
            );
        }
        let x = contiguous("layer norm", x, layout)?;
        Ok((CpuStorage::F32(self.rows(x, None)?), layout.shape().clone()))
    }
}

impl CustomOp2 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        residual: &CpuStorage,
        residual_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let width = self.values.len();
        if x_layout.dims() != residual_layout.dims() || x_layout.dims().last() != Some(&width) {
            bail!(
                "layer norm: {:?} and {:?} where (..., {width}) is needed",
                x_layout.dims(),
                residual_layout.dims()
            );
        }
        let x = contiguous("layer norm", x, x_layout)?;
        let residual = contiguous("layer norm", residual, residual_layout)?;
        Ok((
            CpuStorage::F32(self.rows(x, Some(residual))?),
            x_layout.shape().clone(),
        ))
    }
}

/// One row: its output, `x` and the residual.
// A type, not a closure, which might stay a function of its own without the vector instructions.
struct Row<'a>(&'a LayerNorm, &'a mut [f32], &'a [f32], Option<&'a [f32]>);

impl WithSimd for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self(norm, out, x, residual) = self;
        match residual {
            None => out.copy_from_slice(x),
            Some(residual) => {
                for ((out, x), residual) in out.iter_mut().zip(x).zip(residual) {
                    *out = x + residual;
                }
            }
        }
        let width = out.len() as f32;
        let mean = sum::<false>(out) / width;
        for value in out.iter_mut() {
            *value -= mean;
        }
        let variance = sum::<true>(out) / width;
        let scale = 1.0 / (variance + norm.epsilon as f32).sqrt();
        for ((value, weight), bias) in out.iter_mut().zip(&norm.values).zip(&norm.biases) {
            *value = (*value * scale).mul_add(*weight, *bias);
        }
    }
}

/// The sum of the values or of their squares, in sixteen interleaved chains, joined in a fixed
/// order: the same bits on every machine.
#[inline(always)]
fn sum<const SQUARES: bool>(values: &[f32]) -> f32 {
    let mut chains = [0.0f32; CHAINS];
    let (chunks, rest) = values.as_chunks::<CHAINS>();
    let mut last = [0.0; CHAINS];
    last[..rest.len()].copy_from_slice(rest);
    for chunk in chunks.iter().chain([&last]) {
        for (chain, value) in chains.iter_mut().zip(chunk) {
            *chain += if SQUARES { value * value } else { *value };
        }
    }
    join(chains)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Draws;
    use candle_core::Device;

    #[test]
    fn equals_candle() -> Result<()> {
        let mut draws = Draws::new(1);
        for (rows, width) in [(1, 1), (3, 16), (65, 384), (2, 401)] {
            let weight = draws.normal(1.0, 0.2, width)?;
            let bias = draws.normal(0.0, 1.0, width)?;
            let x = draws.normal(3.0, 2.0, (rows, width))?;
            let residual = draws.normal(-1.0, 0.3, (rows, width))?;
            let norm = LayerNorm::new(weight, bias, 1e-5)?;
            let found = norm.forward_residual(&x, &residual)?;
            let sum = (x + residual)?;
            let expected = norm.composed(&sum)?;
            let worst = (&found - expected)?.abs()?.max_all()?.to_scalar::<f32>()?;
            assert!(worst < 1e-5, "{rows} x {width}: {worst}");
            let alone = norm.forward(&sum)?;
            assert_eq!(alone.to_vec2::<f32>()?, found.to_vec2::<f32>()?);
        }
        Ok(())
    }

    #[test]
    fn shapes_that_do_not_fit_are_errors() -> Result<()> {
        let ones = |dims: &[usize]| Tensor::ones(dims, candle_core::DType::F32, &Device::Cpu);
        assert!(LayerNorm::new(ones(&[4])?, ones(&[3])?, 1e-5).is_err());
        assert!(LayerNorm::new(ones(&[0])?, ones(&[0])?, 1e-5).is_err());
        let norm = LayerNorm::new(ones(&[4])?, ones(&[4])?, 1e-5)?;
        assert!(
            norm.forward_residual(&ones(&[2, 4])?, &ones(&[1, 4])?)
                .is_err()
        );
        assert!(
            norm.forward_residual(&ones(&[2, 3])?, &ones(&[2, 3])?)
                .is_err()
        );
        assert!(norm.forward(&ones(&[2, 3])?).is_err());
        Ok(())
    }
}
