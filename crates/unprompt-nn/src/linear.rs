//! The fully connected layer.

use crate::{
    Activation,
    cpu::{contiguous, parameter},
    matmul::{Panels, multiply_parallel},
};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use pulp::Arch;

/// `activation(x · Wᵀ + b)`, with the weight packed once for the CPU's kernel.
#[derive(Debug)]
pub struct Linear {
    weights: Weights,
    activation: Activation,
}

#[derive(Debug)]
enum Weights {
    Packed {
        weight: Panels,
        bias: Option<Vec<f32>>,
        arch: Arch,
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
        let (out_features, in_features) = weight.dims2()?;
        if let Some(bias) = bias
            && bias.dims() != [out_features]
        {
            bail!(
                "linear: a bias of shape {:?} beside {out_features} outputs",
                bias.dims()
            );
        }
        let weights = if weight.device().is_cpu() {
            Weights::Packed {
                weight: Panels::from_rows(
                    &parameter(weight)?,
                    out_features,
                    in_features,
                    in_features,
                ),
                bias: bias.map(parameter).transpose()?,
                arch: Arch::new(),
            }
        } else {
            Weights::Stored {
                weight: weight.clone(),
                bias: bias.cloned(),
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
            Weights::Packed { .. } => x.contiguous()?.apply_op1_no_bwd(self),
            Weights::Stored { weight, bias } => {
                let y = x.broadcast_matmul(&weight.t()?)?;
                let y = match bias {
                    Some(bias) => y.broadcast_add(bias)?,
                    None => y,
                };
                self.activation.composed(&y)
            }
        }
    }
}

impl CustomOp1 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let Weights::Packed { weight, bias, arch } = &self.weights else {
            bail!("linear: the weights are on another device than the input");
        };
        let x = contiguous(self.name(), storage, layout)?;
        let mut dims = layout.dims().to_vec();
        match dims.last_mut() {
            Some(last) if *last == weight.k() => *last = weight.n(),
            _ => bail!(
                "linear: an input of shape {dims:?} where (..., {}) is needed",
                weight.k()
            ),
        }
        let rows = x.len().checked_div(weight.k()).unwrap_or(0);
        let mut out = vec![0.0; rows * weight.n()];
        let epilogue = |start: usize, values: &mut [f32]| {
            if let Some(bias) = bias {
                values
                    .iter_mut()
                    .zip(&bias[start..])
                    .for_each(|(value, bias)| *value += bias);
            }
            self.activation.apply(*arch, values);
        };
        multiply_parallel(*arch, x, rows, weight, &mut out, epilogue);
        Ok((CpuStorage::F32(out), dims.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn equals_candle_with_every_activation() -> Result<()> {
        let weight = Tensor::randn(0f32, 0.2, (70, 33), &Device::Cpu)?;
        let bias = Tensor::randn(0f32, 1.0, 70, &Device::Cpu)?;
        let x = Tensor::randn(0f32, 1.0, (3, 5, 33), &Device::Cpu)?;
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
                let worst = (found - expected)?.abs()?.max_all()?.to_scalar::<f32>()?;
                assert!(worst < 1e-5, "{activation:?}: {worst}");
            }
        }
        Ok(())
    }

    #[test]
    fn shapes_that_do_not_fit_are_errors() -> Result<()> {
        let weight = Tensor::zeros((4, 3), candle_core::DType::F32, &Device::Cpu)?;
        assert!(Linear::new(&weight, Some(&weight), Activation::Identity).is_err());
        let linear = Linear::new(&weight, None, Activation::Identity)?;
        let wrong = Tensor::zeros((2, 4), candle_core::DType::F32, &Device::Cpu)?;
        assert!(linear.forward(&wrong).is_err());
        Ok(())
    }
}
