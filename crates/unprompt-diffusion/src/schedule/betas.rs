//! How much noise training added at each time.

use crate::{Result, configuration::Configuration};

/// More times than any model was trained with.
const MOST_TIMES: usize = 100_000;

/// The products of what is left of the picture, for each time of training; `to_zero` where nothing is to be
/// left at the last.
pub(super) fn products(config: &Configuration, to_zero: bool) -> Result<Vec<f32>> {
    let count: usize = config.or("num_train_timesteps", 1000)?;
    if count == 0 || count > MOST_TIMES {
        return Err(config.refuse(&format!(
            "`num_train_timesteps` {count}: from 1 to {MOST_TIMES} are taken"
        )));
    }
    let (start, end): (f64, f64) = (config.or("beta_start", 1e-4)?, config.or("beta_end", 0.02)?);
    let trained: Option<Vec<f32>> = config.optional("trained_betas")?;
    let schedule: String = config.or("beta_schedule", "linear".to_owned())?;
    let mut betas: Vec<f32> = match (trained, schedule.as_str()) {
        (Some(betas), _) => betas,
        (None, "linear") => line(start, end, count),
        (None, "scaled_linear") => {
            let roots = line(start.sqrt(), end.sqrt(), count);
            roots.into_iter().map(|root| root * root).collect()
        }
        (None, "squaredcos_cap_v2") => cosine(count),
        (None, other) => {
            return Err(config.refuse(&format!(
                "`beta_schedule` `{other}` is not built; linear, scaled_linear and squaredcos_cap_v2 are"
            )));
        }
    };
    if betas.len() != count || betas.iter().any(|beta| !(0.0..=1.0).contains(beta)) {
        return Err(config.refuse(&format!("the betas are not {count} numbers from 0 to 1")));
    }
    if to_zero {
        betas = rescaled(&betas);
    }
    Ok(cumulative(&betas))
}

/// `torch.linspace` in single precision: from both ends to the middle.
fn line(start: f64, end: f64, count: usize) -> Vec<f32> {
    let (start, end) = (start as f32, end as f32);
    if count == 1 {
        return vec![start];
    }
    let step = (end - start) / (count - 1) as f32;
    let at = |index: usize| match index < count / 2 {
        true => start + step * index as f32,
        false => end - step * (count - 1 - index) as f32,
    };
    (0..count).map(at).collect()
}

/// Nichol and Dhariwal's cosine.
fn cosine(count: usize) -> Vec<f32> {
    let left = |time: f64| {
        let angle = (time + 0.008) / 1.008 * std::f64::consts::FRAC_PI_2;
        angle.cos().powi(2)
    };
    let at = |index: usize| {
        let [now, next] = [index, index + 1].map(|index| left(index as f64 / count as f64));
        (1.0 - next / now).min(0.999) as f32
    };
    (0..count).map(at).collect()
}

/// Products of the alphas: summed up in double precision, each rounded.
fn cumulative(betas: &[f32]) -> Vec<f32> {
    let mut product = 1.0f64;
    let next = |beta: &f32| {
        product *= f64::from(1.0 - beta);
        product as f32
    };
    betas.iter().map(next).collect()
}

/// Betas after which nothing of the picture is left at the last time: Lin et al., "Common Diffusion
/// Noise Schedules and Sample Steps are Flawed" (2023), algorithm 1.
fn rescaled(betas: &[f32]) -> Vec<f32> {
    let mut roots: Vec<f32> = cumulative(betas).iter().map(|alpha| alpha.sqrt()).collect();
    let (first, last) = (roots[0], roots[roots.len() - 1]);
    for root in &mut roots {
        *root -= last;
        *root *= first / (first - last);
    }
    let alphas: Vec<f32> = roots.iter().map(|root| root * root).collect();
    let mut betas = vec![1.0 - alphas[0]];
    betas.extend(alphas.windows(2).map(|pair| 1.0 - pair[1] / pair[0]));
    betas
}
