//! The fully connected layer.

use crate::{
    Activation,
    cpu::{contiguous, is_fused, parameter, with_parameter},
    matmul::{Epilogue, multiply},
    output::written,
    panels::{PANEL, Panels},
    prefetch::prefetch_soon,
    quantised::{self, QuantisedPanels},
    reduction::add,
};
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor, bail};
use pulp::{Arch, Simd};

/// `activation(x · Wᵀ + b)`, with the weight packed once for the CPU's kernel.
#[derive(Debug)]
pub struct Linear {
    weights: Weights,
    activation: Activation,
}

/// How a [`Linear`] holds its weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// Single precision: the reference.
    F32,
    /// Eight bits, with a scale for every 64 consecutive inputs of an output. On the fly each row of
    /// the input becomes eight bits too, with a scale and a zero point for the same 64 values; their
    /// sums are exact integers, which are added up in one order, so that results are again the same
    /// bits in any batch and on any machine. On the CPU only.
    Int8,
}

#[derive(Debug)]
enum Weights {
    Packed {
        weight: Panels,
        // by panel, zero beyond the outputs
        bias: Option<Vec<[f32; PANEL]>>,
        arch: Arch,
    },
    Quantised {
        weight: QuantisedPanels,
        // as above
        bias: Option<Vec<[f32; PANEL]>>,
    },
    Stored {
        weight: Tensor,
        bias: Option<Tensor>,
    },
}

impl Linear {
    /// A layer from a weight of shape (out, in), as checkpoints store it, and a bias of (out).
    ///
    /// # Errors
    /// When the shapes do not fit each other.
    pub fn new(weight: &Tensor, bias: Option<&Tensor>, activation: Activation) -> Result<Self> {
        Self::with_precision(weight, bias, activation, Precision::F32)
    }

    /// As [`Linear::new`], with the weights in the precision named.
    ///
    /// # Errors
    /// When the shapes do not fit each other; for [`Precision::Int8`] also when the device is not
    /// the CPU, a weight is not finite or there are more than 65 536 inputs.
    pub fn with_precision(
        weight: &Tensor,
        bias: Option<&Tensor>,
        activation: Activation,
        precision: Precision,
    ) -> Result<Self> {
        let (n, k) = weight.dims2()?;
        if let Some(bias) = bias
            && bias.dims() != [n]
        {
            bail!(
                "linear: a bias of shape {:?} beside {n} outputs",
                bias.dims()
            );
        }
        let padded = |bias: &Tensor| -> Result<Vec<[f32; PANEL]>> {
            let mut bias = parameter(bias)?;
            bias.resize(n.next_multiple_of(PANEL), 0.0);
            Ok(bias.as_chunks().0.to_vec())
        };
        let weights = match (precision, is_fused(weight)) {
            (Precision::F32, true) => Weights::Packed {
                weight: with_parameter(weight, |values| Panels::from_rows(values, n, k, k))?,
                bias: bias.map(padded).transpose()?,
                arch: Arch::new(),
            },
            (Precision::Int8, true) => Weights::Quantised {
                weight: with_parameter(weight, |values| QuantisedPanels::new(values, n, k))??,
                bias: bias.map(padded).transpose()?,
            },
            (Precision::F32, false) => Weights::Stored {
                weight: weight.clone(),
                bias: bias.cloned(),
            },
            (Precision::Int8, false) => {
                bail!("linear: int8 weights are for the cpu only, and made of f32")
            }
        };
        Ok(Self {
            weights,
            activation,
        })
    }

    /// (..., in) to (..., out).
    ///
    /// # Errors
    /// When the last dimension is not `in`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match &self.weights {
            Weights::Packed { .. } | Weights::Quantised { .. } => {
                x.contiguous()?.apply_op1_no_bwd(self)
            }
            Weights::Stored { weight, bias } => self.composed(x, weight, bias.as_ref()),
        }
    }

    /// `residual + activation(x · Wᵀ + b)`: (..., in) and (..., out) to (..., out).
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn forward_residual(&self, x: &Tensor, residual: &Tensor) -> Result<Tensor> {
        match &self.weights {
            Weights::Packed { .. } | Weights::Quantised { .. } => x
                .contiguous()?
                .apply_op2_no_bwd(&residual.contiguous()?, self),
            Weights::Stored { weight, bias } => {
                residual + self.composed(x, weight, bias.as_ref())?
            }
        }
    }

    /// `x` on the device of the weights and in their numbers.
    ///
    /// # Errors
    /// When the device does not take it.
    pub fn beside_weights(&self, x: Tensor) -> Result<Tensor> {
        match &self.weights {
            Weights::Packed { .. } | Weights::Quantised { .. } => Ok(x),
            Weights::Stored { weight, .. } => {
                x.to_device(weight.device())?.to_dtype(weight.dtype())
            }
        }
    }

    /// The same from candle's operations.
    fn composed(&self, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
        let mut y = x.broadcast_matmul(&weight.t()?)?;
        if let Some(bias) = bias {
            y = y.broadcast_add(bias)?;
        }
        self.activation.composed(&y)
    }

    fn compute(
        &self,
        x: (&CpuStorage, &Layout),
        residual: Option<(&CpuStorage, &Layout)>,
    ) -> Result<(CpuStorage, Shape)> {
        let (n, k, bias) = match &self.weights {
            Weights::Packed { weight, bias, .. } => (weight.n(), weight.k(), bias),
            Weights::Quantised { weight, bias } => (weight.n(), weight.k(), bias),
            Weights::Stored { .. } => bail!("linear: the input is not on the weights' device"),
        };
        let mut dims = x.1.dims().to_vec();
        match dims.last_mut() {
            Some(last) if *last == k => *last = n,
            _ => bail!("linear: an input of shape {dims:?} where (..., {k}) is needed"),
        }
        let residual = match residual {
            Some((_, layout)) if layout.dims() != dims => {
                bail!(
                    "linear: a residual of shape {:?}, not {dims:?}",
                    layout.dims()
                )
            }
            Some((storage, layout)) => Some(contiguous("linear", storage, layout)?),
            None => None,
        };
        let x = contiguous("linear", x.0, x.1)?;
        let rows = x.len().checked_div(k).unwrap_or(0);
        let finish = Finish {
            bias: bias.as_deref(),
            activation: self.activation,
            residual,
            n,
        };
        let out = written(rows * n, |out| match &self.weights {
            Weights::Packed { weight, arch, .. } => multiply(*arch, x, rows, weight, out, &finish),
            Weights::Quantised { weight, .. } => {
                quantised::multiply(x, rows, weight, out, &finish);
            }
            Weights::Stored { .. } => {}
        })?;
        Ok((CpuStorage::F32(out), dims.into()))
    }
}

/// Bias, activation and residual, in this order.
pub(crate) struct Finish<'a> {
    /// By panel.
    pub(crate) bias: Option<&'a [[f32; PANEL]]>,
    pub(crate) activation: Activation,
    /// Rows of as many values as the output's.
    pub(crate) residual: Option<&'a [f32]>,
    /// Output features.
    pub(crate) n: usize,
}

impl Epilogue for Finish<'_> {
    #[inline(always)]
    fn prefetch(&self, row: usize, column: usize) {
        if let Some(residual) = self.residual {
            let row = &residual[row * self.n..(row + 1) * self.n];
            prefetch_soon(&row[column..self.n.min(column + PANEL)]);
        }
    }

    #[inline(always)]
    fn finish<S: Simd>(&self, simd: S, row: usize, column: usize, values: &mut [f32; PANEL]) {
        if let Some(bias) = self.bias {
            add(simd, values, &bias[column / PANEL]);
        }
        self.activation.apply_inlined(values);
        if let Some(residual) = self.residual {
            let residual = &residual[row * self.n + column..(row + 1) * self.n];
            match residual.first_chunk() {
                Some(residual) => add(simd, values, residual),
                None => {
                    let mut padded = [0.0; PANEL];
                    padded[..residual.len()].copy_from_slice(residual);
                    add(simd, values, &padded);
                }
            }
        }
    }
}

impl CustomOp1 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        self.compute((x, layout), None)
    }
}

impl CustomOp2 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        residual: &CpuStorage,
        layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.compute((x, x_layout), Some((residual, layout)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Draws;
    use candle_core::Device;

    #[test]
    fn equals_candle_with_every_activation() -> Result<()> {
        let mut draws = Draws::new(1);
        let weight = draws.normal(0.0, 0.2, (70, 33))?;
        let bias = draws.normal(0.0, 1.0, 70)?;
        let x = draws.normal(0.0, 1.0, (3, 5, 33))?;
        for activation in [Activation::Identity, Activation::Gelu, Activation::Relu6] {
            for bias in [None, Some(&bias)] {
                let found = Linear::new(&weight, bias, activation)?.forward(&x)?;
                assert_eq!(found.dims(), [3, 5, 70]);
                let product = x.broadcast_matmul(&weight.t()?)?;
                let product = match bias {
                    Some(bias) => product.broadcast_add(bias)?,
                    None => product,
                };
                let expected = activation.composed(&product)?;
                let worst = (&found - expected)?.abs()?.max_all()?.to_scalar::<f32>()?;
                assert!(worst < 1e-5, "{activation:?}: {worst}");

                let residual = draws.normal(0.0, 1.0, (3, 5, 70))?;
                let linear = Linear::new(&weight, bias, activation)?;
                let added = linear.forward_residual(&x, &residual)?;
                let expected = (found + residual)?;
                assert_eq!(added.to_vec3::<f32>()?, expected.to_vec3::<f32>()?);
            }
        }
        Ok(())
    }

    #[test]
    fn int8_weights_are_close_and_change_no_bit_with_the_batch() -> Result<()> {
        let mut draws = Draws::new(2);
        let weight = draws.normal(0.0, 0.1, (70, 333))?;
        let bias = draws.normal(0.0, 1.0, 70)?;
        let x = draws.normal(0.5, 1.0, (150, 333))?;
        let activation = Activation::Gelu;
        let exact = Linear::new(&weight, Some(&bias), activation)?.forward(&x)?;
        let int8 = Linear::with_precision(&weight, Some(&bias), activation, Precision::Int8)?;
        let found = int8.forward(&x)?;
        let error = (&found - &exact)?.sqr()?.mean_all()?.to_scalar::<f32>()?;
        let size = exact.sqr()?.mean_all()?.to_scalar::<f32>()?;
        assert!(error < 3e-4 * size, "{error} beside {size}");
        for (row, rows) in [(0, 1), (7, 13), (149, 1)] {
            let alone = int8.forward(&x.narrow(0, row, rows)?)?;
            let together = found.narrow(0, row, rows)?;
            assert_eq!(alone.to_vec2::<f32>()?, together.to_vec2::<f32>()?);
        }
        let infinite = (weight * f64::INFINITY)?;
        assert!(Linear::with_precision(&infinite, None, activation, Precision::Int8).is_err());
        Ok(())
    }

    #[test]
    fn shapes_that_do_not_fit_are_errors() -> Result<()> {
        let weight = Tensor::zeros((4, 3), candle_core::DType::F32, &Device::Cpu)?;
        assert!(Linear::new(&weight, Some(&weight), Activation::Identity).is_err());
        let linear = Linear::new(&weight, None, Activation::Identity)?;
        let wrong = Tensor::zeros((2, 4), candle_core::DType::F32, &Device::Cpu)?;
        assert!(linear.forward(&wrong).is_err());
        let x = Tensor::zeros((2, 3), candle_core::DType::F32, &Device::Cpu)?;
        assert!(linear.forward_residual(&x, &wrong).is_ok());
        assert!(linear.forward_residual(&x, &x).is_err());
        Ok(())
    }
}
