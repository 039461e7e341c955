//! Liu et al., "Pseudo Numerical Methods for Diffusion Models on Manifolds" (2022): each step looks back at
//! what the network said at the four before it.
//!
//! A step may take several evaluations of the network. Without Runge-Kutta steps, as the published Stable
//! Diffusion 1 has it, the second one corrects the first: one evaluation more than there are steps. With
//! them the first three steps take four evaluations each.

use super::configuration::SchedulerConfig;
use crate::{DiffusionError, Result};

/// Evaluations that a step looks back at, and those of one Runge-Kutta step.
const ORDER: usize = 4;

/// What is done with one evaluation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Evaluation {
    /// The products of alphas at the beginning and at the end of the way that it goes.
    alphas: (f32, f32),
    rule: Rule,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// The first of all without Runge-Kutta steps: what follows begins there once more.
    First,
    /// The mean of the first two.
    Second,
    /// As many of the last four as there are.
    Multistep,
    /// One of the four of a Runge-Kutta step, counted from 0.
    RungeKutta(usize),
}

/// What a picture remembers.
#[derive(Clone, Debug, Default)]
pub(super) struct Past {
    /// What the network said, the last last, at most four.
    outputs: Vec<Vec<f32>>,
    /// The picture that a step of several evaluations began with.
    begin: Vec<f32>,
    /// The weighted sum of a Runge-Kutta step so far.
    sum: Vec<f32>,
}

/// The time of each evaluation, and what is done with it, for the times of the steps, the noisiest first.
pub(super) fn evaluations(
    config: &SchedulerConfig,
    times: &[f64],
) -> Result<(Vec<f32>, Vec<Evaluation>)> {
    let (steps, trained) = (times.len(), config.alphas.len());
    let times: Vec<i64> = times.iter().map(|time| *time as i64).collect();
    let apart = (trained / steps) as i64;
    // (evaluated at, begins at, ends at, rule)
    let mut ways: Vec<(i64, i64, i64, Rule)> = Vec::new();
    let rest = match config.skips_runge_kutta {
        true => {
            for (index, &time) in times.iter().enumerate() {
                let rule = if index == 0 {
                    Rule::First
                } else {
                    Rule::Multistep
                };
                if index == 1 {
                    ways.push((time, time + apart, time, Rule::Second));
                }
                ways.push((time, time, time - apart, rule));
            }
            &[][..]
        }
        false => {
            if steps < ORDER {
                return Err(DiffusionError::Request(format!(
                    "{steps} steps: pndm with Runge-Kutta steps takes {ORDER} or more"
                )));
            }
            let half = apart / 2;
            for pair in times[..ORDER].windows(2) {
                let (begin, middle, end) = (pair[0], pair[1] + half, pair[1]);
                let at = [begin, middle, middle, end];
                for (place, time) in at.into_iter().enumerate() {
                    // The first two go half of the way.
                    let to = if place % 2 == 0 { time - half } else { time };
                    ways.push((time, begin, to, Rule::RungeKutta(place)));
                }
            }
            &times[ORDER - 1..]
        }
    };
    ways.extend(
        rest.iter()
            .map(|&time| (time, time, time - apart, Rule::Multistep)),
    );
    let alpha = |time: i64| {
        match usize::try_from(time) {
        Ok(time) => config.alphas.get(time).copied().ok_or_else(|| {
            DiffusionError::Request(format!(
                "{steps} steps: the scheduler's `steps_offset` puts one beyond the {trained} of training; \
                 ask for fewer"
            ))
        }),
        Err(_) => Ok(config.last_alpha),
    }
    };
    let mut evaluations = Vec::with_capacity(ways.len());
    for &(_, begin, end, rule) in &ways {
        evaluations.push(Evaluation {
            alphas: (alpha(begin)?, alpha(end)?),
            rule,
        });
    }
    let told = ways.iter().map(|(time, ..)| *time as f32).collect();
    Ok((told, evaluations))
}

impl Evaluation {
    /// Takes the picture along; `is_velocity` says what the network's answer is.
    pub(super) fn advance(
        &self,
        picture: &mut [f32],
        output: &[f32],
        is_velocity: bool,
        past: &mut Past,
    ) {
        let Past {
            outputs,
            begin,
            sum,
        } = past;
        let said = match self.rule {
            Rule::First | Rule::Multistep => {
                if outputs.len() == ORDER {
                    outputs.remove(0);
                }
                outputs.push(output.to_vec());
                *begin = picture.to_vec();
                multistep(outputs)
            }
            Rule::Second => {
                let both = output.iter().zip(&outputs[0]);
                both.map(|(now, before)| (now + before) / 2.0).collect()
            }
            Rule::RungeKutta(place) => {
                if place == 0 {
                    outputs.push(output.to_vec());
                    *begin = picture.to_vec();
                    *sum = vec![0.0; output.len()];
                }
                let weight = if matches!(place, 0 | 3) { 6.0 } else { 3.0 };
                for (sum, output) in sum.iter_mut().zip(output) {
                    *sum += (1.0 / weight) as f32 * output;
                }
                match place {
                    3 => std::mem::take(sum),
                    _ => output.to_vec(),
                }
            }
        };
        let (now, next) = self.alphas;
        let (signal, rest) = (now.sqrt(), (1.0 - now).sqrt());
        let kept = (next / now).sqrt();
        let divisor = now * (1.0 - next).sqrt() + (now * (1.0 - now) * next).sqrt();
        for ((x, begin), said) in picture.iter_mut().zip(&*begin).zip(said) {
            let noise = match is_velocity {
                true => signal * said + rest * begin,
                false => said,
            };
            *x = kept * begin - (next - now) * noise / divisor;
        }
    }
}

/// The noise of the way ahead, from what was said at the last times: Adams and Bashforth.
fn multistep(outputs: &[Vec<f32>]) -> Vec<f32> {
    let at = |back: usize, index: usize| outputs[outputs.len() - back][index];
    let one = |index: usize| match outputs.len() {
        1 => at(1, index),
        2 => (3.0 * at(1, index) - at(2, index)) / 2.0,
        3 => (23.0 * at(1, index) - 16.0 * at(2, index) + 5.0 * at(3, index)) / 12.0,
        _ => {
            let newer = 55.0 * at(1, index) - 59.0 * at(2, index);
            (1.0 / 24.0) as f32 * (newer + 37.0 * at(3, index) - 9.0 * at(4, index))
        }
    };
    (0..outputs[0].len()).map(one).collect()
}
