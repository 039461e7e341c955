//! The fully connected layer.

use super::{LayerError, LayerResult, begin, expect, rows_of};
use crate::{
    Activation,
    cpu::zeros,
    linear::Finish,
    matmul::multiply,
    output::written,
    panels::{PANEL, Panels},
    reduction::{CHAINS, join},
};
use pulp::Arch;
use rayon::prelude::*;

const LAYER: &str = "linear";

/// Columns that are turned round together: a line of the caches.
const BLOCK: usize = 16;

/// Columns that one thread sums up at a time.
const SHARE: usize = 64;

/// The numbers of a layer's outputs and inputs; its weight is (outputs, inputs).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinearShape {
    /// Numbers that it gives.
    pub outputs: usize,
    /// Numbers that it takes.
    pub inputs: usize,
}

/// `x · Wᵀ + b`: (rows, inputs) to (rows, outputs).
///
/// # Errors
/// When the lengths do not fit the shape.
pub fn linear(
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    shape: LinearShape,
) -> LayerResult<Vec<f32>> {
    forward(x, weight, bias, None, shape)
}

/// `residual + x · Wᵀ + b`: (rows, inputs) and (rows, outputs) to (rows, outputs).
///
/// # Errors
/// When the lengths do not fit the shape.
pub fn linear_residual(
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    residual: &[f32],
    shape: LinearShape,
) -> LayerResult<Vec<f32>> {
    forward(x, weight, bias, Some(residual), shape)
}

/// The derivative by the input, `upstream · W`: (rows, outputs) to (rows, inputs).
///
/// # Errors
/// When the lengths do not fit the shape.
pub fn input_backward(
    upstream: &[f32],
    weight: &[f32],
    shape: LinearShape,
) -> LayerResult<Vec<f32>> {
    let LinearShape { outputs, inputs } = shape;
    let rows = rows_of(LAYER, upstream, outputs)?;
    expect(LAYER, "a weight", weight, outputs * inputs)?;
    let columns = Panels::from_columns(weight, inputs, outputs, inputs);
    product(upstream, rows, &columns, None, None)
}

/// Adds the derivative by the weight, `upstreamᵀ · x`, to `gradient`, (outputs, inputs).
///
/// # Errors
/// When the lengths do not fit the shape.
pub fn weight_backward(
    x: &[f32],
    upstream: &[f32],
    shape: LinearShape,
    gradient: &mut Vec<f32>,
) -> LayerResult<()> {
    let LinearShape { outputs, inputs } = shape;
    let rows = rows_of(LAYER, upstream, outputs)?;
    expect(LAYER, "an input", x, rows * inputs)?;
    let before = std::mem::take(gradient);
    if !before.is_empty() {
        expect(LAYER, "a gradient", &before, outputs * inputs)?;
    }
    let before = (!before.is_empty()).then_some(before.as_slice());
    let turned = transposed(upstream, rows, outputs);
    let columns = Panels::from_columns(x, inputs, rows, inputs);
    *gradient = product(&turned, outputs, &columns, None, before)?;
    Ok(())
}

/// Adds the derivative by the bias, the sum over all rows, to `gradient`, (outputs).
///
/// # Errors
/// When the lengths do not fit.
pub fn bias_backward(upstream: &[f32], outputs: usize, gradient: &mut Vec<f32>) -> LayerResult<()> {
    rows_of(LAYER, upstream, outputs)?;
    begin(LAYER, gradient, outputs)?;
    let blocks = gradient.par_chunks_mut(SHARE).enumerate();
    blocks.for_each(|(block, gradient)| {
        let (first, width) = (block * SHARE, gradient.len());
        // (chains, width)
        let mut chains = vec![0.0f32; CHAINS * width];
        for (index, row) in upstream.chunks_exact(outputs).enumerate() {
            let chain = &mut chains[index % CHAINS * width..][..width];
            for (sum, value) in chain.iter_mut().zip(&row[first..first + width]) {
                *sum += value;
            }
        }
        for (column, sum) in gradient.iter_mut().enumerate() {
            *sum += join(std::array::from_fn(|chain| chains[chain * width + column]));
        }
    });
    Ok(())
}

fn forward(
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    residual: Option<&[f32]>,
    shape: LinearShape,
) -> LayerResult<Vec<f32>> {
    let LinearShape { outputs, inputs } = shape;
    let rows = rows_of(LAYER, x, inputs)?;
    expect(LAYER, "a weight", weight, outputs * inputs)?;
    if let Some(bias) = bias {
        expect(LAYER, "a bias", bias, outputs)?;
    }
    if let Some(residual) = residual {
        expect(LAYER, "a residual", residual, rows * outputs)?;
    }
    let panels = Panels::from_rows(weight, outputs, inputs, inputs);
    product(x, rows, &panels, bias, residual)
}

/// `x` of so many rows times the packed side, and what is added to it.
fn product(
    x: &[f32],
    rows: usize,
    panels: &Panels,
    bias: Option<&[f32]>,
    residual: Option<&[f32]>,
) -> LayerResult<Vec<f32>> {
    let n = panels.n();
    let bias: Option<Vec<[f32; PANEL]>> = bias.map(|bias| {
        let mut bias = bias.to_vec();
        bias.resize(n.next_multiple_of(PANEL), 0.0);
        bias.as_chunks().0.to_vec()
    });
    let finish = Finish {
        bias: bias.as_deref(),
        activation: Activation::Identity,
        residual,
        n,
    };
    let out = written(rows * n, |out| {
        multiply(Arch::new(), x, rows, panels, out, &finish);
    });
    out.map_err(|error| LayerError::new(LAYER, error.to_string()))
}

/// (rows, columns) to (columns, rows).
pub(super) fn transposed(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut turned = zeros(values.len());
    let blocks = turned.par_chunks_mut((BLOCK * rows).max(1)).enumerate();
    blocks.for_each(|(block, turned)| {
        let first = block * BLOCK;
        let width = BLOCK.min(columns - first);
        for (row, line) in values.chunks_exact(columns).enumerate() {
            let targets = turned.iter_mut().skip(row).step_by(rows);
            for (target, value) in targets.zip(&line[first..first + width]) {
                *target = *value;
            }
        }
    });
    turned
}
