//! A head from a frozen tower's features to the space of a sentence encoder.
//!
//! `unprompt train head` makes them: `head.safetensors` with `weight` (outputs, inputs), `bias`
//! (outputs) and `target_mean` (outputs), and a `config.json` that says what it belongs to. One with a
//! hidden layer has `hidden.weight` (hidden, inputs) and `hidden.bias` too, and its `weight` is
//! (outputs, hidden); between the two is a ReLU.

use crate::{ModelError, Result, configuration::read_json, weights::Weights};
use candle_core::{Device, Tensor};
use serde::Deserialize;
use std::{cell::RefCell, path::Path};
use unprompt_checkpoint::{Checkpoint, Pickle};
use unprompt_nn::{Activation, Linear};

/// What a head belongs to.
#[derive(Clone, Debug, Deserialize)]
pub struct HeadConfig {
    /// The tower whose features it takes, as it was named.
    pub tower: String,
    /// The SHA-256 of the tower's weights.
    pub tower_sha256: String,
    /// What it takes of the tower.
    #[serde(default)]
    pub features: Features,
    /// Further towers, whose features follow those of the first.
    #[serde(default)]
    pub more_towers: Vec<FurtherTower>,
    /// The sentence encoder whose space it leads to.
    pub encoder: String,
}

/// A tower besides the first.
#[derive(Clone, Debug, Deserialize)]
pub struct FurtherTower {
    /// As it was named.
    pub tower: String,
    /// What the head takes of it.
    pub features: Features,
}

/// What a head takes of its tower.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Features {
    /// What the last layer of a classifier takes.
    #[default]
    Pooled,
    /// The vector of a picture, of length 1.
    Vector,
}

/// A head that is loaded.
#[derive(Debug)]
pub struct Head {
    hidden: Option<Linear>,
    linear: Linear,
    inputs: usize,
    target_mean: Vec<f32>,
}

impl HeadConfig {
    /// Reads the configuration in a head's folder.
    ///
    /// # Errors
    /// Names the file.
    pub fn load(folder: &Path) -> Result<Self> {
        read_json(&folder.join("config.json"))
    }
}

impl Head {
    /// Reads the weights in a head's folder.
    ///
    /// # Errors
    /// Names the file, or the tensor with the expected and the found shape.
    pub fn load(folder: &Path) -> Result<Self> {
        Self::new(&Checkpoint::open(
            folder.join("head.safetensors"),
            Pickle::Deny,
        )?)
    }

    /// A head that the program carries.
    ///
    /// # Errors
    /// As for a file of these bytes.
    pub fn carried(bytes: &'static [u8]) -> Result<Self> {
        Self::new(&Checkpoint::carried("head.safetensors", bytes)?)
    }

    fn new(checkpoint: &Checkpoint) -> Result<Self> {
        let used = RefCell::default();
        let weights = Weights::new(checkpoint, &used);
        let shape = weights.shape("weight").unwrap_or_default();
        let &[outputs, width] = shape else {
            return Err(ModelError::configuration(
                checkpoint.path(),
                format!("a head's weight has a shape (outputs, inputs), found {shape:?}"),
            ));
        };
        let hidden = weights.at("hidden");
        let (hidden, inputs) = match hidden.shape("weight") {
            None => (None, width),
            Some(shape) => {
                let inputs = shape.last().copied().unwrap_or(0);
                (
                    Some(hidden.linear((width, inputs), Activation::Relu)?),
                    inputs,
                )
            }
        };
        let linear = weights.linear((outputs, width), Activation::Identity)?;
        let target_mean = weights.values("target_mean", &[outputs])?;
        weights.check_all_used(|_| false)?;
        Ok(Self {
            hidden,
            linear,
            inputs,
            target_mean,
        })
    }

    /// Features that it takes.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Numbers that it gives.
    pub fn outputs(&self) -> usize {
        self.target_mean.len()
    }

    /// The weighted mean of what it was trained to give: the answer without a picture.
    pub fn target_mean(&self) -> &[f32] {
        &self.target_mean
    }

    /// What a picture says beyond the mean of all, short where little is to be told; of a head that was
    /// trained by gradient the embedding itself.
    ///
    /// # Errors
    /// When the features are not as many as the head takes, or the result is not finite.
    pub fn forward(&self, features: &[f32]) -> Result<Vec<f32>> {
        let features = Tensor::from_slice(features, (1, features.len()), &Device::Cpu)?;
        let features = match &self.hidden {
            Some(hidden) => hidden.forward(&features)?,
            None => features,
        };
        let output = self.linear.forward(&features)?;
        let output = output.flatten_all()?.to_vec1::<f32>()?;
        if output.iter().any(|value| !value.is_finite()) {
            return Err(ModelError::NotFinite { model: "head" });
        }
        Ok(output)
    }
}
