//! The fully connected layer.

use super::{
    LayerResult, begin, expect,
    memory::{recycle, written},
    rows_of,
};
use crate::{
    Activation,
    linear::Finish,
    matmul::{multiply, multiply_transposed},
    output::Unwritten,
    panels::{PANEL, Panels, PassingPanels},
    reduction::{CHAINS, join},
};
use pulp::Arch;
use rayon::prelude::*;

const LAYER: &str = "linear";

/// Columns that one thread sums up at a time.
const SHARE: usize = 128;

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
    let columns = PassingPanels::from_columns(weight, inputs, outputs, inputs);
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
    if !gradient.is_empty() {
        expect(LAYER, "a gradient", gradient, outputs * inputs)?;
    }
    let before = (!gradient.is_empty()).then_some(gradient.as_slice());
    let columns = PassingPanels::from_columns(x, inputs, rows, inputs);
    let sum = finished(outputs, &columns, None, before, |out, finish| {
        multiply_transposed(Arch::new(), upstream, outputs, &columns, out, finish);
    })?;
    recycle(std::mem::replace(gradient, sum));
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
    let panels = PassingPanels::from_rows(weight, outputs, inputs, inputs);
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
    finished(rows, panels, bias, residual, |out, finish| {
        multiply(Arch::new(), x, rows, panels, out, finish);
    })
}

/// The rows that `multiply` writes, and what is added to them.
fn finished(
    rows: usize,
    panels: &Panels,
    bias: Option<&[f32]>,
    residual: Option<&[f32]>,
    multiply: impl FnOnce(Unwritten<'_>, &Finish<'_>),
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
    written(LAYER, rows * n, |out| multiply(out, &finish))
}
