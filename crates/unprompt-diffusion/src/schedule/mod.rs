//! The steps from noise to a picture: the schedulers of diffusers, with its semantics.
//!
//! Reference: diffusers 0.42.1. Numbers that decide where a step lies are computed in the precision of
//! the reference, in single precision where it does.

mod betas;
mod configuration;
mod pndm;
mod spacing;

pub use configuration::SchedulerKind;
pub(crate) use configuration::{SchedulerConfig, Stated};

use crate::{DiffusionError, Result};
use configuration::{FinalSigma, Prediction, Solver};
use pndm::{Evaluation, Past};
use spacing::{karras, time_of_sigma, times};

/// The steps of one picture.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    /// The time of each evaluation of the UNet, as it is told it: one a step, but for PNDM.
    pub(crate) times: Vec<f32>,
    /// What the starting noise is multiplied with.
    pub(crate) start: f32,
    prediction: Prediction,
    method: Method,
}

#[derive(Clone, Debug)]
enum Method {
    /// The products of alphas before and after each step.
    Ddim {
        alphas: Vec<(f32, f32)>,
        /// The largest absolute value of a predicted picture.
        clip: Option<f32>,
    },
    /// The sigmas, one more than there are steps.
    Euler {
        sigmas: Vec<f32>,
        ancestral: bool,
    },
    /// The same, and how many steps a step looks back.
    DpmSolver {
        sigmas: Vec<f32>,
        solver: Solver,
    },
    Pndm(Vec<Evaluation>),
}

/// What a picture remembers from step to step.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// The picture that the last step predicted.
    predicted: Option<Vec<f32>>,
    /// What PNDM looks back at.
    past: Past,
}

impl Schedule {
    /// So many steps.
    pub(crate) fn new(config: &SchedulerConfig, steps: usize) -> Result<Self> {
        let trained = config.alphas.len();
        if steps == 0 || steps > trained {
            return Err(DiffusionError::Request(format!(
                "{steps} steps: this model takes from 1 to {trained}"
            )));
        }
        let sigmas: Vec<f32> = config
            .alphas
            .iter()
            .map(|alpha| ((1.0 - alpha) / alpha).sqrt())
            .collect();
        let times = times(config, steps)?;
        let last = match config.final_sigma {
            FinalSigma::Zero => 0.0,
            FinalSigma::Smallest => sigmas[0],
        };
        match config.kind {
            SchedulerKind::Ddim => Self::ddim(config, times, steps),
            SchedulerKind::Pndm => {
                let (times, evaluations) = pndm::evaluations(config, &times)?;
                Ok(Self {
                    times,
                    start: 1.0,
                    prediction: config.prediction,
                    method: Method::Pndm(evaluations),
                })
            }
            SchedulerKind::Euler | SchedulerKind::EulerAncestral => {
                let mut at = at_times(&times, &sigmas);
                let mut times: Vec<f32> = times.iter().map(|time| *time as f32).collect();
                if config.karras {
                    at = karras(config, at[0], at[at.len() - 1], steps);
                    let to_time = |sigma: &f64| time_of_sigma(*sigma, &sigmas) as f32;
                    times = at.iter().map(to_time).collect();
                }
                let mut sigmas: Vec<f32> = at.into_iter().map(|sigma| sigma as f32).collect();
                sigmas.push(last);
                let largest = sigmas.iter().copied().fold(0.0, f32::max);
                Ok(Self {
                    times,
                    start: match config.is_leading() {
                        true => (largest * largest + 1.0).sqrt(),
                        false => largest,
                    },
                    prediction: config.prediction,
                    method: Method::Euler {
                        sigmas,
                        ancestral: config.kind == SchedulerKind::EulerAncestral,
                    },
                })
            }
            SchedulerKind::Dpm2M | SchedulerKind::Dpm2MKarras => {
                let (mut at, mut times) = (at_times(&times, &sigmas), times);
                if config.karras {
                    let largest = f64::from(sigmas[trained - 1]);
                    at = karras(config, largest, f64::from(sigmas[0]), steps);
                    let to_time = |sigma: &f64| time_of_sigma(*sigma, &sigmas);
                    times = at.iter().map(to_time).collect();
                    if config.rounds_times {
                        times = times.iter().map(|time| time.round_ties_even()).collect();
                    }
                }
                let mut sigmas: Vec<f32> = at.into_iter().map(|sigma| sigma as f32).collect();
                sigmas.push(last);
                Ok(Self {
                    times: times.iter().map(|time| time.trunc() as f32).collect(),
                    start: 1.0,
                    prediction: config.prediction,
                    method: Method::DpmSolver {
                        sigmas,
                        solver: config.solver,
                    },
                })
            }
        }
    }

    fn ddim(config: &SchedulerConfig, times: Vec<f64>, steps: usize) -> Result<Self> {
        let trained = config.alphas.len();
        let apart = (trained / steps) as i64;
        let mut alphas = Vec::with_capacity(steps);
        for time in &times {
            let time = *time as i64;
            let at = |time: i64| {
                usize::try_from(time)
                    .ok()
                    .and_then(|time| config.alphas.get(time))
            };
            let Some(now) = at(time) else {
                return Err(DiffusionError::Request(format!(
                    "{steps} steps: the scheduler's `steps_offset` puts one beyond the {trained} of training; \
                     ask for fewer"
                )));
            };
            let next = at(time - apart).copied().unwrap_or(config.last_alpha);
            alphas.push((*now, next));
        }
        Ok(Self {
            times: times.iter().map(|time| *time as f32).collect(),
            start: 1.0,
            prediction: config.prediction,
            method: Method::Ddim {
                alphas,
                clip: config.clip,
            },
        })
    }

    /// Whether every step adds noise of its own.
    pub(crate) fn is_ancestral(&self) -> bool {
        matches!(
            self.method,
            Method::Euler {
                ancestral: true,
                ..
            }
        )
    }

    /// What the picture is divided by before the UNet sees it at an evaluation.
    pub(crate) fn divisor(&self, step: usize) -> f32 {
        match &self.method {
            Method::Euler { sigmas, .. } => (sigmas[step] * sigmas[step] + 1.0).sqrt(),
            Method::Ddim { .. } | Method::DpmSolver { .. } | Method::Pndm(_) => 1.0,
        }
    }

    /// Takes a picture one evaluation further, from what the UNet said of it. `noise` is the step's own,
    /// for those that are [ancestral](Self::is_ancestral).
    pub(crate) fn advance(
        &self,
        step: usize,
        picture: &mut [f32],
        output: &[f32],
        noise: Option<&[f32]>,
        history: &mut History,
    ) {
        match &self.method {
            Method::Ddim { alphas, clip } => {
                let (now, next) = alphas[step];
                let (signal, rest) = (now.sqrt(), (1.0 - now).sqrt());
                let (next_signal, next_rest) = (next.sqrt(), (1.0 - next).sqrt());
                for (x, output) in picture.iter_mut().zip(output) {
                    let (mut predicted, noise) = match self.prediction {
                        Prediction::Noise => ((*x - rest * output) / signal, *output),
                        Prediction::Picture => (*output, (*x - signal * output) / rest),
                        Prediction::Velocity => {
                            (signal * *x - rest * output, signal * output + rest * *x)
                        }
                    };
                    if let Some(most) = clip {
                        predicted = predicted.clamp(-most, *most);
                    }
                    *x = next_signal * predicted + next_rest * noise;
                }
            }
            Method::Euler { sigmas, ancestral } => {
                let (sigma, next) = (sigmas[step], sigmas[step + 1]);
                let square = sigma * sigma;
                let (down, up) = match ancestral {
                    true => {
                        let up = (next * next * (square - next * next) / square).sqrt();
                        ((next * next - up * up).sqrt(), up)
                    }
                    false => (next, 0.0),
                };
                for (index, (x, output)) in picture.iter_mut().zip(output).enumerate() {
                    let predicted = match self.prediction {
                        Prediction::Noise => *x - sigma * output,
                        Prediction::Picture => *output,
                        Prediction::Velocity => {
                            output * (-sigma / (square + 1.0).sqrt()) + *x / (square + 1.0)
                        }
                    };
                    *x += (*x - predicted) / sigma * (down - sigma);
                    if let Some(noise) = noise.filter(|_| *ancestral) {
                        *x += noise[index] * up;
                    }
                }
            }
            Method::DpmSolver { sigmas, solver } => {
                let alpha = |sigma: f32| 1.0 / (sigma * sigma + 1.0).sqrt();
                let (now, next) = (sigmas[step], sigmas[step + 1]);
                let (signal, next_signal) = (alpha(now), alpha(next));
                let (rest, next_rest) = (now * signal, next * next_signal);
                let predict = |(x, output): (&f32, &f32)| match self.prediction {
                    Prediction::Noise => (x - rest * output) / signal,
                    Prediction::Picture => *output,
                    Prediction::Velocity => signal * x - rest * output,
                };
                let predicted: Vec<f32> = picture.iter().zip(output).map(predict).collect();
                let log_ratio = |signal: f32, rest: f32| signal.ln() - rest.ln();
                let lambda = log_ratio(signal, rest);
                let apart = log_ratio(next_signal, next_rest) - lambda;
                let factor = next_signal * ((-apart).exp() - 1.0);
                let ratio = next_rest / rest;
                let looks_back = solver.looks_back(step, sigmas.len() - 1, next == 0.0);
                match history.predicted.take().filter(|_| looks_back) {
                    Some(before) => {
                        let last = alpha(sigmas[step - 1]);
                        let before_apart = lambda - log_ratio(last, sigmas[step - 1] * last);
                        let inverse = 1.0 / (before_apart / apart);
                        let second = solver.second(factor, next_signal, apart);
                        for (index, x) in picture.iter_mut().enumerate() {
                            let slope = inverse * (predicted[index] - before[index]);
                            *x = ratio * *x - factor * predicted[index] + second * slope;
                        }
                    }
                    None => {
                        for (x, predicted) in picture.iter_mut().zip(&predicted) {
                            *x = ratio * *x - factor * predicted;
                        }
                    }
                }
                history.predicted = Some(predicted);
            }
            Method::Pndm(evaluations) => {
                let is_velocity = self.prediction == Prediction::Velocity;
                evaluations[step].advance(picture, output, is_velocity, &mut history.past);
            }
        }
    }
}

/// Sigmas at times between those of training, in double precision.
fn at_times(times: &[f64], sigmas: &[f32]) -> Vec<f64> {
    let at = |time: &f64| {
        let place = time.clamp(0.0, (sigmas.len() - 1) as f64);
        let low = place.floor() as usize;
        let high = (low + 1).min(sigmas.len() - 1);
        let (first, second) = (f64::from(sigmas[low]), f64::from(sigmas[high]));
        first + (second - first) * (place - low as f64)
    };
    times.iter().map(at).collect()
}

#[cfg(test)]
mod tests;
