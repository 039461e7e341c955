//! The training of a whole Vision Transformer, step by step.

use crate::{
    AdamW, AdamWOptions, Augment, Gradients, Part, Result, Schedule, TrainError, Vit,
    average_weights, cosine_loss, random::Random,
};
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

/// Where a run is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Position {
    /// The stage.
    pub stage: Stage,
    /// Epochs of all stages that are done.
    pub epoch: u32,
    /// The rate of the step to come.
    pub rate: f64,
    /// The step of the stage, and of the epoch.
    local: u64,
    batch: u64,
    schedule: Schedule,
}

/// A picture of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    /// Which item it is of.
    pub item: usize,
    /// Which of the item's pictures.
    pub picture: usize,
    /// On what its changes depend; none for a picture as it is.
    pub keys: Option<[u64; 3]>,
}

/// Pictures as the network takes them, with what it is to give for them.
#[derive(Clone, Debug, Default)]
pub struct VitBatch {
    /// (pictures, height, width, 3)
    pub pictures: Vec<f32>,
    /// (pictures, outputs)
    pub targets: Vec<f32>,
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// Steps that are done.
    pub step: u64,
    /// The mean of one less the cosine.
    pub loss: f64,
    /// The rate.
    pub rate: f64,
}

/// A run that can stop after any step and go on from what was kept of it.
#[derive(Clone, Debug)]
pub struct VitTraining {
    pub(crate) vit: Vit,
    pub(crate) optimiser: AdamW,
    /// The average of the weights since the head's stage ended; before that the weights themselves.
    pub(crate) average: Vec<Vec<f32>>,
    /// Steps that are done.
    pub(crate) step: u64,
    options: VitOptions,
    /// Pictures of each item.
    items: Vec<usize>,
}

impl VitTraining {
    /// A run at its beginning over items that have so many pictures each, of which an epoch sees one.
    ///
    /// # Errors
    /// When there are no items, one has no picture, or an option is out of its range.
    pub fn new(vit: Vit, options: VitOptions, items: Vec<usize>) -> Result<Self> {
        options.check()?;
        if items.is_empty() || items.contains(&0) {
            return Err(TrainError::Data("there is no picture to train on".into()));
        }
        let optimiser = AdamW::new(vit.parameters(), AdamWOptions::default());
        let average = values_of(&vit);
        Ok(Self {
            vit,
            optimiser,
            average,
            step: 0,
            options,
            items,
        })
    }

    /// The network as it is.
    pub fn vit(&self) -> &Vit {
        &self.vit
    }

    /// The network with the average of its weights: what is kept in the end.
    pub fn averaged(&self) -> Vit {
        let mut vit = self.vit.clone();
        for (parameter, average) in vit.parameters_mut().iter_mut().zip(&self.average) {
            parameter.values.clone_from(average);
        }
        vit
    }

    /// Steps that are done.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Steps of the whole run.
    pub fn steps(&self) -> u64 {
        let stages = self.options.stages();
        stages
            .iter()
            .map(|(_, epochs, _)| u64::from(*epochs) * self.batches())
            .sum()
    }

    /// Where the run is; none when it is done.
    pub fn position(&self) -> Option<Position> {
        let batches = self.batches();
        let (mut start, mut epochs_before) = (0, 0);
        for (stage, epochs, rate) in self.options.stages() {
            let steps = u64::from(epochs) * batches;
            let local = self.step - start;
            if local < steps {
                let schedule = Schedule {
                    warm_up: (self.options.warm_up * steps as f64) as u64,
                    first: rate / 100.0,
                    peak: rate,
                    last: rate / 100.0,
                    steps,
                };
                return Some(Position {
                    stage,
                    epoch: epochs_before + (local / batches) as u32,
                    rate: schedule.rate(local),
                    local,
                    batch: local % batches,
                    schedule,
                });
            }
            start += steps;
            epochs_before += epochs;
        }
        None
    }

    /// The pictures of the step to come, in their order. They depend on the seed and on the number of the
    /// step alone.
    pub fn draws(&self, position: &Position) -> Vec<Draw> {
        let (seed, epoch) = (self.options.seed, u64::from(position.epoch));
        let order = Random::of(&[seed, epoch, 1]).order(self.items.len());
        let (batch, batches) = (position.batch as usize, self.batches() as usize);
        let places = batch * order.len() / batches..(batch + 1) * order.len() / batches;
        let draw = |item: &usize| Draw {
            item: *item,
            picture: Random::of(&[seed, epoch, 2, *item as u64]).below(self.items[*item]),
            keys: (position.stage != Stage::Last).then_some([seed, epoch, *item as u64]),
        };
        order[places].iter().map(draw).collect()
    }

    /// Makes a step: `load` brings the pictures of some draws at a time. Nothing changes where it fails.
    ///
    /// # Errors
    /// Those of `load`; [`TrainError::NotFinite`] with the items of the step when the loss is no number,
    /// or a run that is done.
    pub fn advance<E: From<TrainError>>(
        &mut self,
        mut load: impl FnMut(&[Draw]) -> std::result::Result<VitBatch, E>,
    ) -> std::result::Result<StepReport, E> {
        let Some(position) = self.position() else {
            return Err(TrainError::Data("the run is done".into()).into());
        };
        let part = match position.stage {
            Stage::Head => Part::Head,
            Stage::All | Stage::Last => Part::All,
        };
        let draws = self.draws(&position);
        let outputs = self.vit.shape().outputs;
        let mut gradients: Gradients = vec![Vec::new(); self.vit.parameters().len()];
        let mut loss = 0.0;
        for some in draws.chunks(self.options.part) {
            let batch = load(some)?;
            let shares = vec![1.0 / draws.len() as f64; some.len()];
            let found = (batch.pictures.len(), batch.targets.len());
            let expected = (
                some.len() * self.vit.shape().picture(),
                some.len() * outputs,
            );
            if found != expected {
                let message = format!("a batch of {found:?} values where {expected:?} are needed");
                return Err(TrainError::Data(message).into());
            }
            let kept = match part {
                Part::All => self.vit.forward(&batch.pictures)?,
                Part::Head => self.vit.forward_for_head(&batch.pictures)?,
            };
            let piece = cosine_loss(&kept.outputs, &batch.targets, outputs, &shares);
            loss += piece.value;
            if !loss.is_finite() {
                let items = draws.iter().map(|draw| (draw.item, draw.picture)).collect();
                return Err(TrainError::NotFinite {
                    step: self.step,
                    items,
                }
                .into());
            }
            self.vit
                .backward(kept, &piece.gradient, part, &mut gradients)?;
        }
        self.apply(&position, part, &gradients);
        Ok(StepReport {
            step: self.step,
            loss,
            rate: position.rate,
        })
    }

    fn apply(&mut self, position: &Position, part: Part, gradients: &Gradients) {
        if position.local == 0 {
            self.optimiser = AdamW::new(self.vit.parameters(), self.optimiser.options);
        }
        let VitOptions {
            layer_decay,
            decay,
            average,
            head_bias,
            ..
        } = self.options;
        let treatments = self.vit.treatments(part, layer_decay, decay, head_bias);
        let rate = position.schedule.rate(position.local);
        self.optimiser
            .step(self.vit.parameters_mut(), gradients, &treatments, rate);
        self.step += 1;
        match self.averaged_steps() {
            0 => {
                let averages = self.average.iter_mut().zip(self.vit.parameters());
                for ((average, parameter), treatment) in averages.zip(&treatments) {
                    if treatment.rate > 0.0 {
                        average.clone_from(&parameter.values);
                    }
                }
            }
            // Early on there is little to average.
            steps => {
                let early = (1.0 + steps as f64) / (10.0 + steps as f64);
                average_weights(&mut self.average, self.vit.parameters(), average.min(early));
            }
        }
    }

    /// Steps that were made since the head's stage ended.
    fn averaged_steps(&self) -> u64 {
        let head = u64::from(self.options.head_epochs) * self.batches();
        self.step.saturating_sub(head)
    }

    /// Steps of an epoch.
    fn batches(&self) -> u64 {
        self.items.len().div_ceil(self.options.batch).max(1) as u64
    }
}

impl VitOptions {
    fn stages(&self) -> [(Stage, u32, f64); 3] {
        [
            (Stage::Head, self.head_epochs, self.head_rate),
            (Stage::All, self.epochs, self.rate),
            (Stage::Last, self.last_epochs, self.last_rate),
        ]
    }

    fn check(&self) -> Result<()> {
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

fn values_of(vit: &Vit) -> Vec<Vec<f32>> {
    let parameters = vit.parameters().iter();
    parameters
        .map(|parameter| parameter.values.clone())
        .collect()
}
