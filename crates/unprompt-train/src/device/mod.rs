//! Training on a device of candle, such as a graphics card: weights, gradients, the optimiser's memory
//! and the average stay there from step to step.
//!
//! The same code computes on candle's CPU device, where it is compared with the layers of
//! [`unprompt_nn::training`] and with PyTorch. What it computes has no fixed bits.

mod network;
#[cfg(test)]
mod tests;

use crate::{
    AdamW, AdamWOptions, Part, Result, TrainError, Treatment, Vit, VitBatch, VitShape, cosine_loss,
};
use candle_core::{DType, Device, Tensor, Var};
use network::Network;

/// The numbers that products are computed in, forward and backward. Weights, their gradients and
/// everything that is kept are f32 in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Numbers {
    /// Single precision.
    #[default]
    F32,
    /// Half precision with the range of f32.
    Bf16,
}

impl Numbers {
    fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::Bf16 => DType::BF16,
        }
    }
}

/// A run's weights and all that belongs to them, on a device.
#[derive(Debug)]
pub(crate) struct OnDevice {
    device: Device,
    numbers: Numbers,
    shape: VitShape,
    weights: Vec<Var>,
    means: Vec<Tensor>,
    squares: Vec<Tensor>,
    average: Vec<Tensor>,
    /// What the parts of a step have come to so far; none counts as zeros.
    gradients: Vec<Option<Tensor>>,
}

impl OnDevice {
    pub(crate) fn new(
        device: &Device,
        numbers: Numbers,
        vit: &Vit,
        optimiser: &AdamW,
        average: &[Vec<f32>],
    ) -> Result<Self> {
        check_numbers(device, numbers.dtype())?;
        let there = |values: &[Vec<f32>]| -> Result<Vec<Tensor>> {
            let tensors = values.iter().zip(vit.parameters());
            let tensors = tensors.map(|(values, parameter)| {
                Ok(Tensor::from_slice(
                    values,
                    parameter.shape.as_slice(),
                    device,
                )?)
            });
            tensors.collect()
        };
        let weights = vit.parameters().iter().map(|parameter| {
            let shape = parameter.shape.as_slice();
            Ok(Var::from_slice(&parameter.values, shape, device)?)
        });
        Ok(Self {
            device: device.clone(),
            numbers,
            shape: *vit.shape(),
            weights: weights.collect::<Result<_>>()?,
            means: there(&optimiser.means)?,
            squares: there(&optimiser.squares)?,
            average: there(average)?,
            gradients: vec![None; vit.parameters().len()],
        })
    }

    /// Brings everything here: weights, the optimiser's memory, the average.
    pub(crate) fn pull(
        &self,
        vit: &mut Vit,
        optimiser: &mut AdamW,
        average: &mut [Vec<f32>],
    ) -> Result<()> {
        for (index, parameter) in vit.parameters_mut().iter_mut().enumerate() {
            parameter.values = values(self.weights[index].as_tensor())?;
            optimiser.means[index] = values(&self.means[index])?;
            optimiser.squares[index] = values(&self.squares[index])?;
            average[index] = values(&self.average[index])?;
        }
        Ok(())
    }

    /// Takes everything anew from where it is kept on the processor.
    pub(crate) fn push(
        &mut self,
        vit: &Vit,
        optimiser: &AdamW,
        average: &[Vec<f32>],
    ) -> Result<()> {
        *self = Self::new(&self.device, self.numbers, vit, optimiser, average)?;
        Ok(())
    }

    /// Forgets the gradients of a step that was not made.
    pub(crate) fn clear(&mut self) {
        self.gradients.iter_mut().for_each(|sum| *sum = None);
    }

    /// The loss of some pictures, whose gradients are added to those before; not where the loss is no
    /// number.
    pub(crate) fn learn(&mut self, batch: &VitBatch, shares: &[f64], part: Part) -> Result<f64> {
        let (height, width) = self.shape.image;
        let size = (shares.len(), height, width, 3);
        let pictures = Tensor::from_slice(&batch.pictures, size, &self.device)?;
        let head = self.weights.len() - 2;
        let weights = self.weights.iter().enumerate();
        let weights = weights.map(|(index, weight)| match part {
            // What has no gradient leaves no states behind.
            Part::Head if index < head => weight.as_detached_tensor(),
            Part::Head | Part::All => weight.as_tensor().clone(),
        });
        let network = Network {
            shape: &self.shape,
            weights: weights.collect(),
            numbers: self.numbers.dtype(),
        };
        let outputs = network.forward(&pictures)?;
        let given = values(&outputs)?;
        let loss = cosine_loss(&given, &batch.targets, self.shape.outputs, shares);
        if !loss.value.is_finite() {
            return Ok(loss.value);
        }
        // The derivative by the outputs is known: that of their product with it by the weights is that
        // of the loss.
        let upstream = Tensor::from_slice(&loss.gradient, outputs.shape(), &self.device)?;
        let mut found = (outputs * upstream)?.sum_all()?.backward()?;
        for (sum, weight) in self.gradients.iter_mut().zip(&self.weights) {
            let Some(gradient) = found.remove(weight.as_tensor()) else {
                continue;
            };
            *sum = Some(match sum.take() {
                None => gradient,
                Some(sum) => (sum + gradient)?,
            });
        }
        Ok(loss.value)
    }

    /// Forgets the optimiser's memory.
    pub(crate) fn forget(&mut self) -> Result<()> {
        for memory in self.means.iter_mut().chain(&mut self.squares) {
            *memory = memory.zeros_like()?;
        }
        Ok(())
    }

    /// The `steps`th step of [`AdamW`], counted from 1, by the gradients that were gathered.
    pub(crate) fn step(
        &mut self,
        steps: u64,
        options: AdamWOptions,
        treatments: &[Treatment],
        rate: f64,
    ) -> Result<()> {
        let AdamWOptions {
            first,
            second,
            epsilon,
        } = options;
        let steps = steps.min(i32::MAX as u64) as i32;
        let first_correction = 1.0 - first.powi(steps);
        let second_correction = (1.0 - second.powi(steps)).sqrt();
        for (index, treatment) in treatments.iter().enumerate() {
            let gradient = self.gradients[index].take();
            let Some(gradient) = gradient.filter(|_| treatment.rate != 0.0) else {
                continue;
            };
            let rate = rate * treatment.rate;
            let (mean, square) = (&self.means[index], &self.squares[index]);
            let mean = (mean + ((&gradient - mean)? * (1.0 - first))?)?;
            let square = ((square * second)? + (gradient.sqr()? * (1.0 - second))?)?;
            let length = square.sqrt()?.affine(1.0 / second_correction, epsilon)?;
            let change = ((&mean / length)? * (rate / first_correction))?;
            let weight = &self.weights[index];
            let kept = (weight.as_detached_tensor() * (1.0 - rate * treatment.decay))?;
            weight.set(&(kept - change)?)?;
            self.means[index] = mean;
            self.squares[index] = square;
        }
        Ok(())
    }

    /// Moves each average towards its weight, as [`crate::average_weights`].
    pub(crate) fn move_average(&mut self, decay: f64) -> Result<()> {
        for (average, weight) in self.average.iter_mut().zip(&self.weights) {
            let away = (weight.as_detached_tensor() - &*average)?;
            *average = (&*average + (away * (1.0 - decay))?)?;
        }
        Ok(())
    }

    /// Takes the weights that are trained for their average.
    pub(crate) fn begin_average(&mut self, treatments: &[Treatment]) -> Result<()> {
        let all = self.average.iter_mut().zip(&self.weights).zip(treatments);
        for ((average, weight), treatment) in all {
            if treatment.rate > 0.0 {
                *average = weight.as_tensor().copy()?.detach();
            }
        }
        Ok(())
    }
}

/// The values of a tensor, here.
fn values(tensor: &Tensor) -> Result<Vec<f32>> {
    Ok(tensor.flatten_all()?.to_vec1()?)
}

/// An error where a device does not multiply in these numbers.
fn check_numbers(device: &Device, numbers: DType) -> Result<()> {
    let works = || {
        let one = Tensor::ones((1, 1), numbers, device)?;
        one.matmul(&one)?.to_dtype(DType::F32)
    };
    works().map(drop).map_err(|error| {
        let numbers = numbers.as_str();
        TrainError::Data(format!(
            "this device does not compute in {numbers}; ask for f32: {error}"
        ))
    })
}
