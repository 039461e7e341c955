//! A checkpoint's tensors under a prefix, as a model's layers ask for them.

use crate::{Compute, Result};
use candle_core::{Device, Tensor};
use std::{cell::RefCell, collections::HashSet};
use unprompt_checkpoint::Checkpoint;
use unprompt_nn::{Activation, LayerNorm, Linear};

/// A place in a checkpoint's tree of names.
///
/// What has been read is remembered, so that a loader can say at its end which tensors the model
/// has no use for.
#[derive(Clone)]
pub struct Weights<'c> {
    checkpoint: &'c Checkpoint,
    used: &'c RefCell<HashSet<String>>,
    compute: Compute,
    prefix: String,
}

impl<'c> Weights<'c> {
    /// The tensors of a checkpoint, for a network in f32 on the CPU.
    pub fn new(checkpoint: &'c Checkpoint, used: &'c RefCell<HashSet<String>>) -> Self {
        Self {
            checkpoint,
            used,
            compute: Compute::default(),
            prefix: String::new(),
        }
    }

    /// The same for a network that computes elsewhere or in other numbers.
    pub fn computed(self, compute: &Compute) -> Self {
        Self {
            compute: compute.clone(),
            ..self
        }
    }

    /// The place `name` below this one; names are joined by dots.
    pub fn at(&self, name: impl std::fmt::Display) -> Self {
        Self {
            prefix: format!("{}{name}.", self.prefix),
            ..self.clone()
        }
    }

    /// Whether a tensor of this name is here.
    pub fn contains(&self, name: &str) -> bool {
        self.checkpoint.contains(&format!("{}{name}", self.prefix))
    }

    /// The names of all tensors here.
    pub(crate) fn names(&self) -> Vec<String> {
        let names = self.checkpoint.names();
        let below = names.filter_map(|name| name.strip_prefix(&self.prefix));
        below.map(String::from).collect()
    }

    /// The shape of a tensor, or `None` if there is none of this name.
    pub fn shape(&self, name: &str) -> Option<&'c [usize]> {
        Some(
            self.checkpoint
                .tensor(&format!("{}{name}", self.prefix))?
                .shape,
        )
    }

    /// The values of a tensor of exactly this shape, as f32.
    pub(crate) fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let name = format!("{}{name}", self.prefix);
        let values = self.checkpoint.tensor_f32(&name, shape)?;
        self.used.borrow_mut().insert(name);
        Ok(values)
    }

    /// A tensor of exactly this shape, where and in the numbers that the network computes.
    ///
    /// # Errors
    /// When there is none of this name, or it has another shape; names the nearest, or both shapes.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let tensor = Tensor::from_vec(self.values(name, shape)?, shape, &Device::Cpu)?;
        let tensor = tensor.to_device(self.compute.device())?;
        Ok(tensor.to_dtype(self.compute.tensor_dtype())?)
    }

    /// As [`tensor`](Self::tensor), or `None` if there is none of this name.
    ///
    /// # Errors
    /// When it has another shape.
    pub fn optional_tensor(&self, name: &str, shape: &[usize]) -> Result<Option<Tensor>> {
        let there = self.contains(name);
        there.then(|| self.tensor(name, shape)).transpose()
    }

    /// A linear layer from `weight` (outputs, inputs) and `bias` (outputs).
    ///
    /// # Errors
    /// As [`tensor`](Self::tensor).
    pub fn linear(&self, shape: (usize, usize), activation: Activation) -> Result<Linear> {
        let (weight, bias) = self.weight_and_bias(shape)?;
        Ok(Linear::new(&weight, Some(&bias), activation)?)
    }

    /// As [`linear`](Self::linear) for a layer inside a block: with weights of eight bits where
    /// these are asked for.
    pub(crate) fn block_linear(
        &self,
        shape: (usize, usize),
        activation: Activation,
    ) -> Result<Linear> {
        let (weight, bias) = self.weight_and_bias(shape)?;
        self.block_linear_of(&weight, Some(&bias), activation)
    }

    fn weight_and_bias(&self, (outputs, inputs): (usize, usize)) -> Result<(Tensor, Tensor)> {
        let weight = self.tensor("weight", &[outputs, inputs])?;
        Ok((weight, self.tensor("bias", &[outputs])?))
    }

    /// A layer inside a block from what was read and put together.
    pub(crate) fn block_linear_of(
        &self,
        weight: &Tensor,
        bias: Option<&Tensor>,
        activation: Activation,
    ) -> Result<Linear> {
        let precision = self.compute.precision();
        let named = |error| {
            let place = self.prefix.trim_end_matches('.');
            candle_core::Error::Msg(format!("{place}: {error}"))
        };
        let linear = Linear::with_precision(weight, bias, activation, precision);
        Ok(linear.map_err(named)?)
    }

    /// A layer normalisation from `weight` and `bias`, both (width).
    ///
    /// # Errors
    /// As [`tensor`](Self::tensor).
    pub fn layer_norm(&self, width: usize, epsilon: f64) -> Result<LayerNorm> {
        let (weight, bias) = (
            self.tensor("weight", &[width])?,
            self.tensor("bias", &[width])?,
        );
        Ok(LayerNorm::new(weight, bias, epsilon)?)
    }

    /// Whether every tensor was read or is `expected` to be left.
    ///
    /// # Errors
    /// Lists those that are neither.
    pub fn check_all_used(&self, expected: impl Fn(&str) -> bool) -> Result<()> {
        let used = self.used.borrow();
        let left = self.checkpoint.names().filter(|name| expected(name));
        self.checkpoint
            .check_all_used(used.iter().map(String::as_str).chain(left))?;
        Ok(())
    }

    /// An error that lists the tensors that were not read and are neither of the other tower, whose
    /// names begin as the `others` do, nor of none: the scale of logits, positions counted up, and
    /// `buffers`.
    pub(crate) fn check_all_used_but(&self, others: &[&str], buffers: &[&str]) -> Result<()> {
        self.check_all_used(|name| {
            others.iter().any(|prefix| name.starts_with(prefix))
                || name.starts_with("logit_")
                || name.ends_with(".position_ids")
                || buffers.contains(&name)
        })
    }
}
