//! Where the steps lie among the times of training.

use super::configuration::{SchedulerConfig, SchedulerKind, Spacing};
use crate::{DiffusionError, Result};

/// The times of so many steps, the noisiest first.
pub(super) fn times(config: &SchedulerConfig, steps: usize) -> Result<Vec<f64>> {
    let trained = config.alphas.len();
    let is_dpm = matches!(
        config.kind,
        SchedulerKind::Dpm2M | SchedulerKind::Dpm2MKarras
    );
    let is_euler = matches!(
        config.kind,
        SchedulerKind::Euler | SchedulerKind::EulerAncestral
    );
    let offset = config.offset as f64;
    // DPM-Solver++ lays one more and leaves out the last, at no noise.
    let laid = steps + usize::from(is_dpm);
    let last = if is_dpm { config.last_time } else { trained };
    let mut times: Vec<f64> = match config.spacing {
        Spacing::Linspace => {
            let mut times = line(last as f64 - 1.0, laid);
            if !is_euler {
                times = times.into_iter().map(f64::round_ties_even).collect();
            }
            times.reverse();
            times
        }
        Spacing::Leading => {
            let apart = last / laid;
            let at = |index: usize| (index * apart) as f64 + offset;
            (0..laid).rev().map(at).collect()
        }
        Spacing::Trailing => {
            let apart = trained as f64 / steps as f64;
            let count = (last as f64 / apart).ceil() as usize;
            let at = |index: usize| (last as f64 - index as f64 * apart).round_ties_even() - 1.0;
            (0..count).map(at).collect()
        }
    };
    times.truncate(steps);
    if times.len() < steps || times.iter().any(|time| *time < 0.0) {
        return Err(DiffusionError::Request(format!(
            "{steps} steps: the scheduler's settings have room for fewer"
        )));
    }
    Ok(times)
}

/// `numpy.linspace` from 0 to `end`.
fn line(end: f64, count: usize) -> Vec<f64> {
    if count == 1 {
        return vec![0.0];
    }
    let step = end / (count - 1) as f64;
    let mut values: Vec<f64> = (0..count).map(|index| index as f64 * step).collect();
    values[count - 1] = end;
    values
}

/// The sigmas of Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models"
/// (2022), from the largest to the smallest.
pub(super) fn karras(
    config: &SchedulerConfig,
    largest: f64,
    smallest: f64,
    steps: usize,
) -> Vec<f64> {
    /// The paper's.
    const RHO: f64 = 7.0;
    let largest = config.largest_sigma.unwrap_or(largest).powf(1.0 / RHO);
    let smallest = config.smallest_sigma.unwrap_or(smallest).powf(1.0 / RHO);
    let ramp = line(1.0, steps);
    let at = |along: f64| (largest + along * (smallest - largest)).powf(RHO);
    ramp.into_iter().map(at).collect()
}

/// The time of training at which there is so much noise, between two of them by the logarithm.
pub(super) fn time_of_sigma(sigma: f64, sigmas: &[f32]) -> f64 {
    let logarithms = |index: usize| f64::from(sigmas[index].ln());
    let wanted = sigma.max(1e-10).ln();
    let below = (0..sigmas.len())
        .rev()
        .find(|index| logarithms(*index) <= wanted);
    let low = below.unwrap_or(0).min(sigmas.len().saturating_sub(2));
    let high = (low + 1).min(sigmas.len() - 1);
    let (first, second) = (logarithms(low), logarithms(high));
    if first == second {
        return low as f64;
    }
    let weight = ((first - wanted) / (first - second)).clamp(0.0, 1.0);
    (1.0 - weight) * low as f64 + weight * high as f64
}
