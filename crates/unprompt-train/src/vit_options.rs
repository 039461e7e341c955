//! What the training of a whole Vision Transformer is told.

use crate::{Augment, Result, TrainError};
use serde::{Deserialize, Serialize};

/// What is chosen by hand. A run is three stages, one after the other: the head alone, everything, and
/// everything without changes to the pictures. Each has a schedule and an optimiser of its own.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct VitOptions {
    /// Epochs of the head alone.
    pub head_epochs: u32,
    /// Their highest rate.
    pub head_rate: f64,
    /// Epochs of everything.
    pub epochs: u32,
    /// Their highest rate, that of the head; layers before it learn more slowly.
    pub rate: f64,
    /// Epochs of everything without changes to the pictures.
    pub last_epochs: u32,
    /// Their highest rate.
    pub last_rate: f64,
    /// How much more slowly each layer learns than the one behind it.
    pub layer_decay: f64,
    /// The weight decay of matrices.
    pub decay: f64,
    /// How slowly the average of the weights, which is kept in the end, follows them.
    pub average: f64,
    /// The share of a stage's steps during which the rate rises.
    pub warm_up: f64,
    /// Pictures that a step sees.
    pub batch: usize,
    /// How many of them go through the network at once.
    pub part: usize,
    /// What is done to pictures.
    pub augment: Augment,
    /// Whether the bias of the head is trained.
    pub head_bias: bool,
    /// From which every order and change follows.
    pub seed: u64,
}

/// A stage of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// The head alone.
    Head,
    /// Everything.
    All,
    /// Everything, on pictures as they are.
    Last,
}

impl VitOptions {
    /// Each stage with its epochs and its highest rate.
    pub(crate) fn stages(&self) -> [(Stage, u32, f64); 3] {
        [
            (Stage::Head, self.head_epochs, self.head_rate),
            (Stage::All, self.epochs, self.rate),
            (Stage::Last, self.last_epochs, self.last_rate),
        ]
    }

    /// An error unless every option is in its range.
    pub(crate) fn check(&self) -> Result<()> {
        self.augment.check()?;
        let rates = [self.head_rate, self.rate, self.last_rate];
        let fits = rates.iter().all(|rate| *rate > 0.0 && rate.is_finite())
            && self.layer_decay > 0.0
            && self.layer_decay <= 1.0
            && (0.0..1.0).contains(&self.decay)
            && (0.0..1.0).contains(&self.average)
            && (0.0..=1.0).contains(&self.warm_up)
            && self.batch > 0
            && self.part > 0;
        fits.then_some(()).ok_or_else(|| {
            TrainError::Data(
                "rates and the layer decay are above 0, the latter at most 1; decay, average and \
                 warm-up are shares; batches are not empty"
                    .into(),
            )
        })
    }
}
