//! Element-wise non-linearities and their derivatives.

use super::{LayerResult, expect};
use crate::{
    Activation,
    activation::{QUICK_GELU_SLOPE, erf, exp},
};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Values that one thread takes at a time.
const SHARE: usize = 1 << 14;

/// The function of each value.
pub fn activate(activation: Activation, x: &[f32]) -> Vec<f32> {
    let mut out = x.to_vec();
    let arch = Arch::new();
    out.par_chunks_mut(SHARE)
        .for_each(|values| arch.dispatch(Forward(activation, values)));
    out
}

/// Multiplies `upstream` by the derivative at `x`, the function's input. Where there is none, at the
/// corners of a ReLU, it is 0, as in PyTorch.
///
/// # Errors
/// When there are not as many values of both.
pub fn activate_backward(
    activation: Activation,
    x: &[f32],
    upstream: &mut [f32],
) -> LayerResult<()> {
    expect("activation", "an input", x, upstream.len())?;
    let arch = Arch::new();
    upstream
        .par_chunks_mut(SHARE)
        .zip(x.par_chunks(SHARE))
        .for_each(|(upstream, x)| arch.dispatch(Backward(activation, x, upstream)));
    Ok(())
}

struct Forward<'a>(Activation, &'a mut [f32]);

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        self.0.apply_inlined(self.1);
    }
}

struct Backward<'a>(Activation, &'a [f32], &'a mut [f32]);

impl WithSimd for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self(activation, x, upstream) = self;
        macro_rules! each {
            ($derivative:expr) => {
                for (upstream, x) in upstream.iter_mut().zip(x) {
                    *upstream *= $derivative(*x);
                }
            };
        }
        match activation {
            Activation::Identity => {}
            Activation::Relu => each!(|x: f32| if x > 0.0 { 1.0 } else { 0.0 }),
            Activation::Relu6 => each!(|x: f32| if x > 0.0 && x < 6.0 { 1.0 } else { 0.0 }),
            Activation::Gelu => each!(gelu),
            Activation::GeluTanh => each!(gelu_tanh),
            Activation::QuickGelu => each!(quick_gelu),
            Activation::Silu => each!(silu),
        }
    }
}

/// `Φ(x) + x φ(x)`
#[inline(always)]
fn gelu(x: f32) -> f32 {
    const ONE_OVER_SQRT_2_PI: f32 = 0.398_942_3;
    let distribution = 0.5 * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2));
    let density = ONE_OVER_SQRT_2_PI * exp(-0.5 * x * x);
    x.mul_add(density, distribution)
}

/// With s the logistic function of 2 y: `s + x s (1 - s) 2 y'`
#[inline(always)]
fn gelu_tanh(x: f32) -> f32 {
    const SQRT_2_OVER_PI: f32 = 0.797_884_6;
    let y = SQRT_2_OVER_PI * (x * x * x).mul_add(0.044_715, x);
    let slope = SQRT_2_OVER_PI * (x * x).mul_add(3.0 * 0.044_715, 1.0);
    let s = 1.0 / (1.0 + exp(-2.0 * y));
    (2.0 * x * slope * s).mul_add(1.0 - s, s)
}

/// With s the logistic function of a x: `s + a x s (1 - s)`
#[inline(always)]
fn quick_gelu(x: f32) -> f32 {
    let scaled = x * QUICK_GELU_SLOPE as f32;
    let s = 1.0 / (1.0 + exp(-scaled));
    (scaled * s).mul_add(1.0 - s, s)
}

/// With s the logistic function: `s + x s (1 - s)`
#[inline(always)]
fn silu(x: f32) -> f32 {
    let s = 1.0 / (1.0 + exp(-x));
    (x * s).mul_add(1.0 - s, s)
}
