//! Layers with their gradients, over flat rows of f32 on the CPU.
//!
//! What a layer computes and what its gradients need are the same products as everywhere in this
//! crate: a weight's gradient is the product of two transposed sides. So a step of training has the
//! same bits with any number of threads, and costs what its products cost.
//!
//! A layer is two plain functions, forward and backward, and keeps nothing between them: the caller
//! hands the input in again, and decides what is kept and what is frozen. `upstream` is the
//! derivative of the loss by the layer's output. Gradients of parameters are added to what is in
//! them, so that several small batches make a large one; an empty vector counts as zeros.

mod activation;
mod attention;
mod batch_norm;
mod layer_norm;
mod linear;
mod memory;
mod single_attention;
mod small_product;

pub use activation::{activate, activate_backward};
pub use attention::{AttentionShape, attention, attention_backward};
pub use batch_norm::{BatchStatistics, batch_norm, batch_norm_backward};
pub use layer_norm::{Normalised, layer_norm, layer_norm_backward};
pub use linear::{
    LinearShape, bias_backward, input_backward, linear, linear_residual, weight_backward,
};
pub use memory::{Workspace, recycle};
pub use single_attention::{single_attention, single_attention_backward};

/// What these functions return.
pub type LayerResult<T> = std::result::Result<T, LayerError>;

/// Rows that do not fit a layer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{layer}: {message}")]
pub struct LayerError {
    layer: &'static str,
    message: String,
}

impl LayerError {
    fn new(layer: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { layer, message }
    }
}

/// How many rows of `width` values there are.
fn rows_of(layer: &'static str, values: &[f32], width: usize) -> LayerResult<usize> {
    if width == 0 || !values.len().is_multiple_of(width) {
        let length = values.len();
        let message = format!("{length} values are no rows of {width}");
        return Err(LayerError::new(layer, message));
    }
    Ok(values.len() / width)
}

/// An error unless there are `expected` values.
fn expect(layer: &'static str, what: &str, values: &[f32], expected: usize) -> LayerResult<()> {
    match values.len() {
        found if found == expected => Ok(()),
        found => {
            let message = format!("{what}: {found} values where {expected} are needed");
            Err(LayerError::new(layer, message))
        }
    }
}

/// Makes an empty gradient one of zeros, and refuses one of another length.
fn begin(layer: &'static str, gradient: &mut Vec<f32>, expected: usize) -> LayerResult<()> {
    if gradient.is_empty() {
        gradient.resize(expected, 0.0);
    }
    expect(layer, "a gradient", gradient, expected)
}

#[cfg(test)]
mod tests;
