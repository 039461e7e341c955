//! The time, and what is told beside it, as vectors.

use super::configuration::{AddedTime, UNetConfig};
use crate::{Result, error::DiffusionError, noise::sine_and_cosine};
use candle_core::{Device, Tensor};
use unprompt_models::parts::Weights;
use unprompt_nn::{Activation, Linear};

/// The longest wave of a number's embedding, in radians of 2 pi.
const LONGEST: f64 = 10_000.0;

/// The time of a step as a vector.
#[derive(Debug)]
pub(crate) struct TimeEmbedding {
    waves: Waves,
    layers: [Linear; 2],
    width: usize,
}

/// The pooled text and some numbers as a vector beside the time's.
#[derive(Debug)]
pub(crate) struct AddedEmbedding {
    waves: Waves,
    layers: [Linear; 2],
    inputs: usize,
}

/// Sines and cosines of a number.
#[derive(Clone, Copy, Debug)]
struct Waves {
    width: usize,
    cosines_first: bool,
    shift: f64,
}

impl Waves {
    fn new(config: &UNetConfig, width: usize) -> Self {
        Self {
            width,
            cosines_first: config.cosines_first,
            shift: config.frequency_shift,
        }
    }

    /// Appends the waves of a number.
    fn append(self, number: f32, values: &mut Vec<f32>) {
        let half = self.width / 2;
        // In single precision, as the reference: a time of 999 magnifies what is rounded.
        let spread = -LONGEST.ln() as f32;
        let angles = (0..half).map(|index| {
            let exponent = spread * index as f32 / (half as f64 - self.shift) as f32;
            f64::from(number * f64::from(exponent).exp() as f32)
        });
        let (sines, cosines): (Vec<f32>, Vec<f32>) = angles
            .map(sine_and_cosine)
            .map(|(sine, cosine)| (sine as f32, cosine as f32))
            .unzip();
        let [first, second] = match self.cosines_first {
            true => [cosines, sines],
            false => [sines, cosines],
        };
        values.extend(first.into_iter().chain(second));
        values.extend((2 * half < self.width).then_some(0.0));
    }
}

fn two_layers(weights: &Weights, inputs: usize, width: usize) -> Result<[Linear; 2]> {
    Ok([
        weights
            .at("linear_1")
            .linear((width, inputs), Activation::Silu)?,
        weights
            .at("linear_2")
            .linear((width, width), Activation::Identity)?,
    ])
}

impl TimeEmbedding {
    pub(crate) fn new(root: &Weights, config: &UNetConfig, channels: usize) -> Result<Self> {
        let width = 4 * channels;
        Ok(Self {
            waves: Waves::new(config, channels),
            layers: two_layers(&root.at("time_embedding"), channels, width)?,
            width,
        })
    }

    /// Numbers of the vector.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// (1, width), not activated yet.
    pub(crate) fn forward(&self, time: f32) -> Result<Tensor> {
        let mut values = Vec::with_capacity(self.waves.width);
        self.waves.append(time, &mut values);
        forward(&self.layers, values)
    }
}

/// Both layers over one row of values.
fn forward(layers: &[Linear; 2], values: Vec<f32>) -> Result<Tensor> {
    let x = Tensor::from_vec(values, (1, ()), &Device::Cpu)?;
    let x = layers[0].beside_weights(x)?;
    Ok(layers[1].forward(&layers[0].forward(&x)?)?)
}

impl AddedEmbedding {
    pub(crate) fn new(
        root: &Weights,
        config: &UNetConfig,
        shape: &AddedTime,
        width: usize,
    ) -> Result<Self> {
        Ok(Self {
            waves: Waves::new(config, shape.number),
            layers: two_layers(&root.at("add_embedding"), shape.inputs, width)?,
            inputs: shape.inputs,
        })
    }

    /// (1, width) of the time's vector.
    pub(crate) fn forward(&self, pooled: &[f32], numbers: &[f32]) -> Result<Tensor> {
        let mut values = pooled.to_vec();
        for number in numbers {
            self.waves.append(*number, &mut values);
        }
        if values.len() != self.inputs {
            return Err(DiffusionError::Request(format!(
                "the UNet takes {} numbers beside the time, and the text encoder and {} sizes make {}; the \
                 parts of the folder do not belong together",
                self.inputs,
                numbers.len(),
                values.len()
            )));
        }
        forward(&self.layers, values)
    }
}
