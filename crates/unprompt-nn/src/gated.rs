//! The gate between the two linear layers of a diffusion model's feed-forward part.

use crate::{
    activation::gelu,
    cpu::{is_fused, with_parameter},
    output::{Unwritten, written},
};
use candle_core::{Device, Result, Tensor, bail};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// `a * gelu(b)` of rows that are `a` and `b` side by side: (rows, 2 * width) to (rows, width). `GEGLU`
/// of diffusers.
///
/// # Errors
/// When a row has no two halves.
pub fn gated_gelu(x: &Tensor) -> Result<Tensor> {
    let (rows, double) = x.dims2()?;
    if !double.is_multiple_of(2) || double == 0 {
        bail!("gate: rows of {double} values have no two halves");
    }
    let width = double / 2;
    if !is_fused(x) {
        let gate = x.narrow(1, width, width)?.contiguous()?.gelu_erf()?;
        return x.narrow(1, 0, width)? * gate;
    }
    let arch = Arch::new();
    let out = with_parameter(x, |values| {
        written(rows * width, |mut out| {
            let parts: Vec<_> = (0..rows).map(|_| out.take(width)).collect();
            let gate = |buffer: &mut Vec<f32>, (row, mut out): (usize, Unwritten<'_>)| {
                let (value, gate) = values[row * double..(row + 1) * double].split_at(width);
                arch.dispatch(Row(buffer, value, gate));
                out.extend(buffer);
            };
            parts
                .into_par_iter()
                .with_min_len(16)
                .enumerate()
                .for_each_init(|| vec![0.0; width], gate);
        })
    })??;
    Tensor::from_vec(out, (rows, width), &Device::Cpu)
}

/// One row: its output, its values and their gates.
// A type, not a closure, which might stay a function of its own without the vector instructions.
struct Row<'a>(&'a mut [f32], &'a [f32], &'a [f32]);

impl WithSimd for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self(out, values, gates) = self;
        for ((out, value), gate) in out.iter_mut().zip(values).zip(gates) {
            *out = value * gelu(*gate);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Draws;
    use candle_core::DType;

    #[test]
    fn equals_candle() -> Result<()> {
        let mut draws = Draws::new(1);
        let x = draws.normal(0.0, 2.0, (37, 2 * 19))?;
        let found = gated_gelu(&x)?;
        let expected = (x.narrow(1, 0, 19)? * x.narrow(1, 19, 19)?.contiguous()?.gelu_erf()?)?;
        let composed = gated_gelu(&x.to_dtype(DType::F64)?)?.to_dtype(DType::F32)?;
        for expected in [expected, composed] {
            let worst = (&found - expected)?.abs()?.max_all()?.to_scalar::<f32>()?;
            assert!(worst < 1e-5, "{worst}");
        }
        assert!(gated_gelu(&Tensor::zeros((2, 3), x.dtype(), &Device::Cpu)?).is_err());
        Ok(())
    }
}
