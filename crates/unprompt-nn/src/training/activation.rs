//! Element-wise non-linearities and their derivatives.

use super::{LayerResult, expect, memory::written};
use crate::{
    Activation,
    activation::{QUICK_GELU_SLOPE, erf, exp},
    output::Unwritten,
};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Values that one thread takes at a time.
const SHARE: usize = 1 << 14;

/// Values that are computed before they are written: they stay in the first-level cache.
const AT_ONCE: usize = 1 << 10;

const LAYER: &str = "activation";

/// The function of each value.
///
/// # Errors
/// When a value was not written, which would be a fault of this function.
pub fn activate(activation: Activation, x: &[f32]) -> LayerResult<Vec<f32>> {
    let arch = Arch::new();
    written(LAYER, x.len(), |mut out| {
        let parts: Vec<_> = x.chunks(SHARE).map(|x| (x, out.take(x.len()))).collect();
        parts
            .into_par_iter()
            .for_each(|(x, out)| arch.dispatch(Forward { activation, x, out }));
    })
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
    expect(LAYER, "an input", x, upstream.len())?;
    let arch = Arch::new();
    upstream
        .par_chunks_mut(SHARE)
        .zip(x.par_chunks(SHARE))
        .for_each(|(upstream, x)| arch.dispatch(Backward(activation, x, upstream)));
    Ok(())
}

struct Forward<'a> {
    activation: Activation,
    x: &'a [f32],
    out: Unwritten<'a>,
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self {
            activation,
            x,
            mut out,
        } = self;
        let mut values = [0.0; AT_ONCE];
        for x in x.chunks(AT_ONCE) {
            let values = &mut values[..x.len()];
            values.copy_from_slice(x);
            activation.apply_inlined(values);
            out.extend(values);
        }
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
