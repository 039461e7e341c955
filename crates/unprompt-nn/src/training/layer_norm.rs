//! Layer normalisation over rows.

use super::{LayerError, LayerResult, begin, expect, memory::written, rows_of};
use crate::{
    output::Unwritten,
    reduction::{CHAINS, join},
};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

const LAYER: &str = "layer norm";

/// Rows whose sums are one sum: the same whatever the number of threads.
const BLOCK: usize = 32;

/// A normalisation: weight and bias, both (width), and what is added to the variance.
#[derive(Clone, Copy, Debug)]
pub struct Normalised<'a> {
    /// By which each value is multiplied.
    pub weight: &'a [f32],
    /// What is added then.
    pub bias: &'a [f32],
    /// Added to the variance.
    pub epsilon: f32,
}

/// `(x - mean) / sqrt(variance + epsilon) * weight + bias` of each row.
///
/// # Errors
/// When the lengths do not fit.
pub fn layer_norm(x: &[f32], norm: Normalised<'_>) -> LayerResult<Vec<f32>> {
    let width = width_of(x, norm)?;
    let arch = Arch::new();
    written(LAYER, x.len(), |mut out| {
        let blocks: Vec<_> = x
            .chunks(BLOCK * width)
            .map(|x| (x, out.take(x.len())))
            .collect();
        blocks
            .into_par_iter()
            .for_each(|(x, out)| arch.dispatch(Forward { norm, x, out }));
    })
}

/// Adds the derivative by the input to `input`, and those by weight and bias to `gradients`, in
/// this order. `x` is the input of the layer.
///
/// # Errors
/// When the lengths do not fit.
pub fn layer_norm_backward(
    x: &[f32],
    upstream: &[f32],
    norm: Normalised<'_>,
    gradients: [&mut Vec<f32>; 2],
    input: &mut [f32],
) -> LayerResult<()> {
    let width = width_of(x, norm)?;
    expect(LAYER, "a derivative", upstream, x.len())?;
    expect(LAYER, "a derivative", input, x.len())?;
    let arch = Arch::new();
    // Each block's sums, (weight, bias).
    let blocks = input
        .par_chunks_mut(BLOCK * width)
        .zip(x.par_chunks(BLOCK * width))
        .zip(upstream.par_chunks(BLOCK * width));
    let sums: Vec<Vec<f32>> = blocks
        .map(|((input, x), upstream)| {
            let mut sums = vec![0.0; 2 * width];
            let (weight, bias) = sums.split_at_mut(width);
            arch.dispatch(Backward {
                norm,
                x,
                upstream,
                input,
                weight,
                bias,
            });
            sums
        })
        .collect();
    let [weight, bias] = gradients;
    begin(LAYER, weight, width)?;
    begin(LAYER, bias, width)?;
    for sums in sums {
        let (weights, biases) = sums.split_at(width);
        for (sum, value) in weight.iter_mut().zip(weights) {
            *sum += value;
        }
        for (sum, value) in bias.iter_mut().zip(biases) {
            *sum += value;
        }
    }
    Ok(())
}

fn width_of(x: &[f32], norm: Normalised<'_>) -> LayerResult<usize> {
    let width = norm.weight.len();
    if norm.bias.len() != width {
        return Err(LayerError::new(LAYER, "weight and bias differ in length"));
    }
    rows_of(LAYER, x, width)?;
    Ok(width)
}

struct Forward<'a> {
    norm: Normalised<'a>,
    x: &'a [f32],
    out: Unwritten<'a>,
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { norm, x, mut out } = self;
        let width = norm.weight.len();
        let mut row = vec![0.0; width];
        for x in x.chunks_exact(width) {
            let scale = standardise(x, &mut row, norm.epsilon);
            for ((value, weight), bias) in row.iter_mut().zip(norm.weight).zip(norm.bias) {
                *value = (*value * scale).mul_add(*weight, *bias);
            }
            out.extend(&row);
        }
    }
}

struct Backward<'a> {
    norm: Normalised<'a>,
    x: &'a [f32],
    upstream: &'a [f32],
    input: &'a mut [f32],
    weight: &'a mut [f32],
    bias: &'a mut [f32],
}

impl WithSimd for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self {
            norm,
            x,
            upstream,
            input,
            weight,
            bias,
        } = self;
        let width = norm.weight.len();
        let mut standard = vec![0.0; width];
        let mut weighted = vec![0.0; width];
        let rows = x.chunks_exact(width).zip(upstream.chunks_exact(width));
        for ((x, upstream), input) in rows.zip(input.chunks_exact_mut(width)) {
            let scale = standardise(x, &mut standard, norm.epsilon);
            for value in &mut standard {
                *value *= scale;
            }
            for ((sum, value), standard) in weight.iter_mut().zip(upstream).zip(&standard) {
                *sum = value.mul_add(*standard, *sum);
            }
            for (sum, value) in bias.iter_mut().zip(upstream) {
                *sum += value;
            }
            for ((weighted, value), weight) in weighted.iter_mut().zip(upstream).zip(norm.weight) {
                *weighted = value * weight;
            }
            // dx = scale * (g - mean(g) - x̂ mean(g x̂))
            let mean = sum(&weighted, None) / width as f32;
            let along = sum(&weighted, Some(&standard)) / width as f32;
            for ((input, weighted), standard) in input.iter_mut().zip(&weighted).zip(&standard) {
                *input += scale * (-along).mul_add(*standard, weighted - mean);
            }
        }
    }
}

/// Writes `x` less its mean, and returns what brings it to a deviation of 1.
#[inline(always)]
fn standardise(x: &[f32], out: &mut [f32], epsilon: f32) -> f32 {
    let width = x.len() as f32;
    let mean = sum(x, None) / width;
    for (out, x) in out.iter_mut().zip(x) {
        *out = x - mean;
    }
    let variance = sum(out, Some(out)) / width;
    1.0 / (variance + epsilon).sqrt()
}

/// The sum of the values, times others where there are any, in sixteen chains.
#[inline(always)]
fn sum(values: &[f32], others: Option<&[f32]>) -> f32 {
    let mut chains = [0.0f32; CHAINS];
    let (chunks, rest) = values.as_chunks::<CHAINS>();
    match others {
        None => {
            for chunk in chunks {
                for (chain, value) in chains.iter_mut().zip(chunk) {
                    *chain += value;
                }
            }
            for (chain, value) in chains.iter_mut().zip(rest) {
                *chain += value;
            }
        }
        Some(others) => {
            let (other_chunks, other_rest) = others.as_chunks::<CHAINS>();
            for (chunk, others) in chunks.iter().zip(other_chunks) {
                for ((chain, value), other) in chains.iter_mut().zip(chunk).zip(others) {
                    *chain = value.mul_add(*other, *chain);
                }
            }
            for ((chain, value), other) in chains.iter_mut().zip(rest).zip(other_rest) {
                *chain = value.mul_add(*other, *chain);
            }
        }
    }
    join(chains)
}
