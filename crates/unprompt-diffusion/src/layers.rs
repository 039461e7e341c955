//! Layers out of a checkpoint's place, as diffusers names them.

use crate::Result;
use candle_core::Tensor;
use unprompt_models::parts::Weights;
use unprompt_nn::{Activation, GroupNorm, Linear, SpatialConv2d};

/// A convolution of 3 x 3 with one row and column of zeros around.
pub(crate) fn convolution(
    weights: &Weights,
    (outputs, inputs): (usize, usize),
    stride: usize,
) -> Result<SpatialConv2d> {
    let weight = weights.tensor("weight", &[outputs, inputs, 3, 3])?;
    let bias = weights.tensor("bias", &[outputs])?;
    Ok(SpatialConv2d::new(&weight, &bias, stride, 1)?)
}

/// A layer over each pixel by itself, stored as a convolution of 1 x 1 or as a linear layer.
pub(crate) fn pointwise(weights: &Weights, (outputs, inputs): (usize, usize)) -> Result<Linear> {
    let weight = match weights.shape("weight") {
        Some([_, _, _, _]) => weights
            .tensor("weight", &[outputs, inputs, 1, 1])?
            .reshape((outputs, inputs))?,
        _ => weights.tensor("weight", &[outputs, inputs])?,
    };
    let bias = weights.tensor("bias", &[outputs])?;
    Ok(Linear::new(&weight, Some(&bias), Activation::Identity)?)
}

/// Several linear layers over the same input as one, their outputs side by side. They have biases or
/// they have none.
pub(crate) fn side_by_side(
    places: &[Weights],
    (outputs, inputs): (usize, usize),
) -> Result<Linear> {
    let read = |place: &Weights| place.tensor("weight", &[outputs, inputs]);
    let weights = places
        .iter()
        .map(read)
        .collect::<unprompt_models::Result<Vec<_>>>()?;
    let biases = match places.iter().any(|place| place.contains("bias")) {
        true => {
            let read = |place: &Weights| place.tensor("bias", &[outputs]);
            let biases = places.iter().map(read);
            let biases = biases.collect::<unprompt_models::Result<Vec<_>>>()?;
            Some(Tensor::cat(&biases, 0)?)
        }
        false => None,
    };
    let weights = Tensor::cat(&weights, 0)?;
    Ok(Linear::new(
        &weights,
        biases.as_ref(),
        Activation::Identity,
    )?)
}

/// A group normalisation of so many channels.
pub(crate) fn group_norm(
    weights: &Weights,
    channels: usize,
    groups: usize,
    epsilon: f64,
) -> Result<GroupNorm> {
    let weight = weights.tensor("weight", &[channels])?;
    let bias = weights.tensor("bias", &[channels])?;
    Ok(GroupNorm::new(&weight, &bias, groups, epsilon)?)
}
