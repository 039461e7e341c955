//! The training of a whole Vision Transformer, step by step.

use crate::{
    AdamW, AdamWOptions, Gradients, Part, Result, Schedule, SourceItems, Stage, TrainError, Vit,
    VitOptions, VitShape, average_weights, cosine_loss,
    device::{Numbers, OnDevice},
    mixture::{Mixture, Seen},
    random::Random,
};
use candle_core::Device;
use unprompt_nn::training::{Workspace, recycle};

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
#[derive(Debug)]
pub struct VitTraining {
    pub(crate) vit: Vit,
    pub(crate) optimiser: AdamW,
    /// The average of the weights since the head's stage ended; before that the weights themselves.
    pub(crate) average: Vec<Vec<f32>>,
    /// Steps that are done.
    pub(crate) step: u64,
    options: VitOptions,
    mixture: Mixture,
    /// Where the run computes, if that is not the processor. Network, optimiser and average are then
    /// there, and here only after [`pull`](Self::pull).
    device: Option<OnDevice>,
    /// A step's memory is taken again by the next.
    _workspace: Workspace,
}

impl VitTraining {
    /// A run at its beginning over the items of some sources; of an item's pictures one is seen at a
    /// time.
    ///
    /// # Errors
    /// When there are no items, one has no picture, or a weight or an option is out of its range.
    pub fn new(vit: Vit, options: VitOptions, sources: Vec<SourceItems>) -> Result<Self> {
        options.check()?;
        let mixture = Mixture::new(sources, options.seed)?;
        let optimiser = AdamW::new(vit.parameters(), AdamWOptions::default());
        let average = values_of(&vit);
        Ok(Self {
            vit,
            optimiser,
            average,
            step: 0,
            options,
            mixture,
            device: None,
            _workspace: Workspace::new(),
        })
    }

    /// Goes on on a device, with products in these numbers. What it computes there is near to what it
    /// computes on the processor, and has other bits.
    ///
    /// # Errors
    /// When the device has no room for the network, or does not compute in these numbers.
    pub fn on_device(&mut self, device: &Device, numbers: Numbers) -> Result<()> {
        self.pull()?;
        let there = OnDevice::new(device, numbers, &self.vit, &self.optimiser, &self.average)?;
        self.device = Some(there);
        Ok(())
    }

    /// Brings here what is on a device.
    pub(crate) fn pull(&mut self) -> Result<()> {
        match &self.device {
            None => Ok(()),
            Some(there) => there.pull(&mut self.vit, &mut self.optimiser, &mut self.average),
        }
    }

    /// Brings what is here to where the run computes.
    pub(crate) fn push(&mut self) -> Result<()> {
        match &mut self.device {
            None => Ok(()),
            Some(there) => there.push(&self.vit, &self.optimiser, &self.average),
        }
    }

    /// What the network looks like.
    pub fn shape(&self) -> &VitShape {
        self.vit.shape()
    }

    /// The network as it is.
    ///
    /// # Errors
    /// When it cannot be brought from its device.
    pub fn vit(&mut self) -> Result<&Vit> {
        self.pull()?;
        Ok(&self.vit)
    }

    /// The network with the average of its weights: what is kept in the end.
    ///
    /// # Errors
    /// As [`vit`](Self::vit).
    pub fn averaged(&mut self) -> Result<Vit> {
        self.pull()?;
        let mut vit = self.vit.clone();
        for (parameter, average) in vit.parameters_mut().iter_mut().zip(&self.average) {
            parameter.values.clone_from(average);
        }
        Ok(vit)
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
        let seen = self.mixture.epoch(epoch);
        let order = Random::of(&[seed, epoch, 1]).order(seen.len());
        let (batch, batches) = (position.batch as usize, self.batches() as usize);
        let places = batch * order.len() / batches..(batch + 1) * order.len() / batches;
        let draw = |place: &usize| {
            let Seen {
                item,
                before,
                pictures,
            } = seen[*place];
            // What is seen again in an epoch is seen otherwise.
            let epoch = epoch | before << 32;
            Draw {
                item,
                picture: Random::of(&[seed, epoch, 2, item as u64]).below(pictures),
                keys: (position.stage != Stage::Last).then_some([seed, epoch, item as u64]),
            }
        };
        order[places].iter().map(draw).collect()
    }

    /// Makes a step: `load` brings the pictures of some draws at a time. Nothing changes where it fails,
    /// but where a device does.
    ///
    /// # Errors
    /// Those of `load`; [`TrainError::NotFinite`] with the items of the step when the loss is no number,
    /// or a run that is done.
    pub fn advance<E: From<TrainError> + Send>(
        &mut self,
        mut load: impl FnMut(&[Draw]) -> std::result::Result<VitBatch, E> + Send,
    ) -> std::result::Result<StepReport, E> {
        let Some(position) = self.position() else {
            return Err(TrainError::Data("the run is done".into()).into());
        };
        let part = match position.stage {
            Stage::Head => Part::Head,
            Stage::All | Stage::Last => Part::All,
        };
        let draws = self.draws(&position);
        let shape = *self.vit.shape();
        let mut gradients: Gradients = vec![Vec::new(); self.vit.parameters().len()];
        if let Some(there) = &mut self.device {
            there.clear();
        }
        let share = 1.0 / draws.len() as f64;
        let mut loss = 0.0;
        let mut parts = draws.chunks(self.options.part);
        let mut next = parts.next().map(|some| (some.len(), load(some)));
        while let Some((count, batch)) = next {
            let batch = batch?;
            let found = (batch.pictures.len(), batch.targets.len());
            let expected = (count * shape.picture(), count * shape.outputs);
            if found != expected {
                let message = format!("a batch of {found:?} values where {expected:?} are needed");
                return Err(TrainError::Data(message).into());
            }
            let shares = vec![share; count];
            let (vit, device) = (&self.vit, &mut self.device);
            let learn = || match device {
                Some(there) => there.learn(&batch, &shares, part),
                None => learn(vit, &batch, &shares, part, &mut gradients),
            };
            // A device works while the pictures of the next part are made.
            let (learnt, loaded) =
                rayon::join(learn, || parts.next().map(|some| (some.len(), load(some))));
            loss += learnt?;
            if !loss.is_finite() {
                let items = draws.iter().map(|draw| (draw.item, draw.picture)).collect();
                return Err(TrainError::NotFinite {
                    step: self.step,
                    items,
                }
                .into());
            }
            next = loaded;
        }
        self.apply(&position, part, &gradients)?;
        gradients.into_iter().for_each(recycle);
        Ok(StepReport {
            step: self.step,
            loss,
            rate: position.rate,
        })
    }

    /// Makes the step. Gradients that were computed on a device are still there.
    fn apply(&mut self, position: &Position, part: Part, gradients: &Gradients) -> Result<()> {
        let VitOptions {
            layer_decay,
            decay,
            average,
            head_bias,
            ..
        } = self.options;
        let treatments = self.vit.treatments(part, layer_decay, decay, head_bias);
        let rate = position.schedule.rate(position.local);
        let begins = position.local == 0;
        match &mut self.device {
            Some(there) => {
                if begins {
                    there.forget()?;
                    self.optimiser.steps = 0;
                }
                self.optimiser.steps += 1;
                let AdamW { steps, options, .. } = self.optimiser;
                there.step(steps, options, &treatments, rate)?;
            }
            None => {
                if begins {
                    self.optimiser = AdamW::new(self.vit.parameters(), self.optimiser.options);
                }
                let parameters = self.vit.parameters_mut();
                self.optimiser
                    .step(parameters, gradients, &treatments, rate);
            }
        }
        self.step += 1;
        let steps = self.averaged_steps();
        // Early on there is little to average.
        let early = (1.0 + steps as f64) / (10.0 + steps as f64);
        let kept = average.min(early);
        match (steps, &mut self.device) {
            (0, Some(there)) => there.begin_average(&treatments)?,
            (0, None) => {
                let averages = self.average.iter_mut().zip(self.vit.parameters());
                for ((average, parameter), treatment) in averages.zip(&treatments) {
                    if treatment.rate > 0.0 {
                        average.clone_from(&parameter.values);
                    }
                }
            }
            (_, Some(there)) => there.move_average(kept)?,
            (_, None) => average_weights(&mut self.average, self.vit.parameters(), kept),
        }
        Ok(())
    }

    /// Steps that were made since the head's stage ended.
    fn averaged_steps(&self) -> u64 {
        let head = u64::from(self.options.head_epochs) * self.batches();
        self.step.saturating_sub(head)
    }

    /// Steps of an epoch.
    fn batches(&self) -> u64 {
        self.mixture.len().div_ceil(self.options.batch).max(1) as u64
    }
}

/// The loss of some pictures on the processor, whose gradients are added to those before; not where the
/// loss is no number.
fn learn(
    vit: &Vit,
    batch: &VitBatch,
    shares: &[f64],
    part: Part,
    gradients: &mut Gradients,
) -> Result<f64> {
    let kept = match part {
        Part::All => vit.forward(&batch.pictures)?,
        Part::Head => vit.forward_for_head(&batch.pictures)?,
    };
    let outputs = vit.shape().outputs;
    let loss = cosine_loss(&kept.outputs, &batch.targets, outputs, shares);
    if loss.value.is_finite() {
        vit.backward(kept, &loss.gradient, part, gradients)?;
    }
    Ok(loss.value)
}

fn values_of(vit: &Vit) -> Vec<Vec<f32>> {
    let parameters = vit.parameters().iter();
    parameters
        .map(|parameter| parameter.values.clone())
        .collect()
}
