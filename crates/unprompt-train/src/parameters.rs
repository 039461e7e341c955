//! The numbers that are trained.

use crate::{Result, TrainError};

/// A tensor that is trained, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// As checkpoints call it.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// As many values as the shape has.
    pub values: Vec<f32>,
}

/// Derivatives by each parameter, in the parameters' order; an empty one counts as zeros.
pub type Gradients = Vec<Vec<f32>>;

/// How a parameter is trained.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Treatment {
    /// By which the rate of the step is multiplied: 0 leaves the parameter as it is.
    pub rate: f64,
    /// The weight decay.
    pub decay: f64,
}

/// Brings tensors into the order of `expected`, names with shapes, and refuses others.
pub(crate) fn in_order(
    mut tensors: Vec<Parameter>,
    expected: &[(String, Vec<usize>)],
) -> Result<Vec<Parameter>> {
    let ordered = expected.iter().map(|(name, shape)| {
        let place = tensors.iter().position(|tensor| tensor.name == *name);
        let Some(place) = place else {
            return Err(TrainError::Data(format!("no tensor `{name}`")));
        };
        let tensor = tensors.swap_remove(place);
        let length = shape.iter().product::<usize>();
        if tensor.shape != *shape || tensor.values.len() != length {
            let found = &tensor.shape;
            return Err(TrainError::Data(format!(
                "tensor `{name}`: expected shape {shape:?}, found {found:?}"
            )));
        }
        Ok(tensor)
    });
    let ordered: Vec<Parameter> = ordered.collect::<Result<_>>()?;
    match tensors.first() {
        None => Ok(ordered),
        Some(other) => Err(TrainError::Data(format!(
            "tensor `{}` is of no use here",
            other.name
        ))),
    }
}
