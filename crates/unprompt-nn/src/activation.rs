//! Element-wise non-linearities, in a form that compilers turn into vector code.

use crate::cpu::{is_fused, parameter};
use candle_core::{Result, Tensor};
use pulp::{Arch, Simd, WithSimd};

/// What is applied to each output of a [`crate::Linear`] or a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// The value itself.
    Identity,
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`, as MobileNet and EfficientNet-Lite use.
    Relu6,
    /// `x * Φ(x)`, with the error function itself: PyTorch's default GELU.
    Gelu,
    /// GELU by its tanh approximation: `gelu_new` and `gelu_pytorch_tanh` of transformers.
    GeluTanh,
    /// `x * sigmoid(1.702 x)`, the approximation that OpenAI's CLIP was trained with.
    QuickGelu,
    /// `x * sigmoid(x)`, between the convolutions of diffusion models.
    Silu,
}

impl Activation {
    /// Applies the function in place, compiled into the instruction set of the caller.
    #[inline(always)]
    pub(crate) fn apply_inlined(self, values: &mut [f32]) {
        // A loop, not `for_each`: a closure may stay a function of its own, without the caller's
        // instructions.
        macro_rules! each {
            ($function:expr) => {
                for x in values.iter_mut() {
                    *x = $function(*x);
                }
            };
        }
        match self {
            Self::Identity => {}
            Self::Relu => each!(relu),
            Self::Relu6 => each!(relu6),
            Self::Gelu => each!(gelu),
            Self::GeluTanh => each!(gelu_tanh),
            Self::QuickGelu => each!(quick_gelu),
            Self::Silu => each!(silu),
        }
    }

    /// The function of every value, as the layers apply it: on the CPU the same bits on any machine.
    ///
    /// # Errors
    /// When the tensor cannot be computed with.
    pub fn forward(self, x: &Tensor) -> Result<Tensor> {
        if !is_fused(x) {
            return self.composed(x);
        }
        let mut values = parameter(x)?;
        Arch::new().dispatch(Apply(self, &mut values));
        Tensor::from_vec(values, x.dims(), x.device())
    }

    /// The same from candle's operations, for devices other than the CPU.
    pub(crate) fn composed(self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Identity => Ok(x.clone()),
            Self::Relu => x.relu(),
            Self::Relu6 => x.clamp(0f32, 6f32),
            Self::Gelu => x.gelu_erf(),
            Self::GeluTanh => x.gelu(),
            // x * sigmoid(a x) = x / (1 + exp(-a x))
            Self::QuickGelu => x / ((x * -QUICK_GELU_SLOPE)?.exp()? + 1.0)?,
            Self::Silu => x.silu(),
        }
    }
}

// A type, not a closure, which might stay a function of its own without the vector instructions.
struct Apply<'a>(Activation, &'a mut [f32]);

impl WithSimd for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        self.0.apply_inlined(self.1);
    }
}

#[inline(always)]
fn relu(x: f32) -> f32 {
    // Not `max`, which would make 0 of what is no number.
    if x < 0.0 { 0.0 } else { x }
}

#[inline(always)]
fn relu6(x: f32) -> f32 {
    x.clamp(0.0, 6.0)
}

#[inline(always)]
pub(crate) fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

#[inline(always)]
fn gelu_tanh(x: f32) -> f32 {
    const SQRT_2_OVER_PI: f32 = 0.797_884_6;
    // 1 + tanh(y) = 2 / (1 + exp(-2 y))
    let y = SQRT_2_OVER_PI * (x * x * x).mul_add(0.044_715, x);
    x / (1.0 + exp(-2.0 * y))
}

pub(crate) const QUICK_GELU_SLOPE: f64 = 1.702;

#[inline(always)]
fn quick_gelu(x: f32) -> f32 {
    x / (1.0 + exp(x * -QUICK_GELU_SLOPE as f32))
}

#[inline(always)]
fn silu(x: f32) -> f32 {
    x / (1.0 + exp(-x))
}

/// The error function as a rational function of x², within 4e-7 of the true value. The
/// coefficients are the ones that Eigen (MPL-2.0) publishes for single precision.
#[inline(always)]
pub(crate) fn erf(x: f32) -> f32 {
    // Beyond 4 the result is ±1 in single precision.
    let x = x.clamp(-4.0, 4.0);
    let x2 = x * x;
    let p = -2.726_142_3e-10_f32;
    let p = p.mul_add(x2, 2.770_681_5e-8);
    let p = p.mul_add(x2, -2.101_024e-6);
    let p = p.mul_add(x2, -5.692_506_4e-5);
    let p = p.mul_add(x2, -7.349_906_3e-4);
    let p = p.mul_add(x2, -2.954_6e-3);
    let p = p.mul_add(x2, -1.609_603_3e-2);
    let q = -1.456_607_1e-5_f32;
    let q = q.mul_add(x2, -2.133_740_5e-4);
    let q = q.mul_add(x2, -1.682_827e-3);
    let q = q.mul_add(x2, -7.373_329_4e-3);
    let q = q.mul_add(x2, -1.426_473_9e-2);
    x * p / q
}

/// `e^x` within 2 units in the last place, by the Cephes library's reduction and polynomial.
/// Inputs below -87 give the smallest normal number's neighbourhood, never a denormal.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.3, 88.3);
    let n = x.mul_add(std::f32::consts::LOG2_E, 0.5).floor();
    let r = n.mul_add(-LN2_HIGH, x);
    let r = n.mul_add(-LN2_LOW, r);
    let p = 1.987_569_1e-4_f32;
    let p = p.mul_add(r, 1.398_2e-3);
    let p = p.mul_add(r, 8.333_452e-3);
    let p = p.mul_add(r, 4.166_579_6e-2);
    let p = p.mul_add(r, 1.666_666_5e-1);
    let p = p.mul_add(r, 5e-1);
    let e = p.mul_add(r * r, r) + 1.0;
    // Added to 1.5 * 2^23, n is in the lowest bits. A cast would test for values that cannot occur.
    let exponent = (n + 12_582_912.0).to_bits().wrapping_add(127);
    e * f32::from_bits(exponent << 23)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn every_activation_equals_candle() -> Result<()> {
        let mut inputs: Vec<f32> = (-2000..=2000).map(|i| i as f32 * 0.005).collect();
        inputs.extend([0.0, -0.0, 1e-20, -1e-20, 50.0, -50.0, 1e4, -1e4]);
        for activation in [
            Activation::Identity,
            Activation::Relu,
            Activation::Relu6,
            Activation::Gelu,
            Activation::GeluTanh,
            Activation::QuickGelu,
            Activation::Silu,
        ] {
            let expected = activation
                .composed(&Tensor::new(inputs.as_slice(), &Device::Cpu)?)?
                .to_vec1::<f32>()?;
            let mut found = inputs.clone();
            Arch::new().dispatch(Apply(activation, &mut found));
            for ((x, e), f) in inputs.iter().zip(expected).zip(found) {
                let tolerance = 1e-6 * e.abs().max(1.0);
                assert!(
                    (e - f).abs() <= tolerance,
                    "{activation:?}({x}): {e} and {f}"
                );
            }
        }
        Ok(())
    }

    #[test]
    fn not_a_number_stays_visible() {
        for activation in [
            Activation::Identity,
            Activation::Gelu,
            Activation::GeluTanh,
            Activation::QuickGelu,
            Activation::Silu,
        ] {
            let mut values = [f32::NAN];
            Arch::new().dispatch(Apply(activation, &mut values));
            assert!(values[0].is_nan(), "{activation:?}");
        }
    }

    #[test]
    fn exp_is_within_two_units_in_the_last_place() {
        for i in -8700..=8800 {
            let x = i as f32 * 0.01;
            let expected = f64::from(x).exp();
            let error = (f64::from(exp(x)) - expected).abs() / expected;
            assert!(error <= 2.5e-7, "exp({x}): relative error {error:e}");
        }
    }
}
