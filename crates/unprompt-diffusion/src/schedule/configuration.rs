//! `scheduler/scheduler_config.json`, for the scheduler that it names or for another one.

use super::betas::products;
use crate::{DiffusionError, Result, configuration::Configuration, error::configuration};
use serde_json::{Map, Value, json};
use std::{fmt, fs, path::Path, str::FromStr};

/// Such a file is a kilobyte.
const LARGEST_FILE: u64 = 1 << 20;

/// What is left of the picture where rescaled betas leave nothing, so that no sigma is infinite.
const SMALLEST_ALPHA: f32 = 1.0 / (1u32 << 24) as f32;

/// How a picture is drawn step by step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchedulerKind {
    /// Song et al., "Denoising Diffusion Implicit Models" (2021); no noise is added.
    Ddim,
    /// Euler's method on the sigmas of Karras et al. (2022).
    Euler,
    /// The same, with noise added after each step.
    EulerAncestral,
    /// Lu et al., "DPM-Solver++" (2022): two steps at a time.
    Dpm2M,
    /// The same on the sigmas of Karras et al.
    Dpm2MKarras,
    /// Liu et al., "Pseudo Numerical Methods for Diffusion Models on Manifolds" (2022): it looks back at
    /// four steps, and evaluates the network at least once more than there are steps.
    Pndm,
}

impl SchedulerKind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Ddim,
        Self::Euler,
        Self::EulerAncestral,
        Self::Dpm2M,
        Self::Dpm2MKarras,
        Self::Pndm,
    ];

    /// Its name, as the command line spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ddim => "ddim",
            Self::Euler => "euler",
            Self::EulerAncestral => "euler-a",
            Self::Dpm2M => "dpm++-2m",
            Self::Dpm2MKarras => "dpm++-2m-karras",
            Self::Pndm => "pndm",
        }
    }

    /// What the web UI calls it in a picture's infotext.
    pub fn sampler(self) -> &'static str {
        match self {
            Self::Ddim => "DDIM",
            Self::Euler => "Euler",
            Self::EulerAncestral => "Euler a",
            Self::Dpm2M => "DPM++ 2M",
            Self::Dpm2MKarras => "DPM++ 2M Karras",
            Self::Pndm => "PLMS",
        }
    }
}

impl fmt::Display for SchedulerKind {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for SchedulerKind {
    type Err = DiffusionError;

    fn from_str(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == name);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            DiffusionError::Request(format!("scheduler `{name}` is none of {names}"))
        })
    }
}

/// What the UNet says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prediction {
    /// The noise.
    Noise,
    /// The picture itself.
    Picture,
    /// What stands at right angles to both: Salimans and Ho (2022).
    Velocity,
}

/// Where the steps lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spacing {
    Leading,
    Trailing,
    Linspace,
}

/// What follows the last step's sigma.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FinalSigma {
    Zero,
    Smallest,
}

/// How DPM-Solver++ looks back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Solver {
    two_steps: bool,
    heun: bool,
    lower_at_end: bool,
    euler_at_end: bool,
}

impl Solver {
    /// Whether a step uses what the one before it predicted.
    pub(super) fn looks_back(self, step: usize, steps: usize, ends_at_zero: bool) -> bool {
        /// With fewer steps the last one looks at itself only.
        const FEW: usize = 15;
        let lower = self.euler_at_end || ends_at_zero || (self.lower_at_end && steps < FEW);
        self.two_steps && step > 0 && !(step + 1 == steps && lower)
    }

    /// The factor of the slope.
    pub(super) fn second(self, factor: f32, signal: f32, apart: f32) -> f32 {
        match self.heun {
            true => signal * (((-apart).exp() - 1.0) / apart + 1.0),
            false => -0.5 * factor,
        }
    }
}

/// A scheduler and its settings.
#[derive(Clone, Debug)]
pub(crate) struct SchedulerConfig {
    pub(crate) kind: SchedulerKind,
    /// What is left of the picture at each time of training.
    pub(super) alphas: Vec<f32>,
    pub(super) prediction: Prediction,
    pub(super) spacing: Spacing,
    pub(super) offset: usize,
    /// Of DDIM and PNDM: after the last step.
    pub(super) last_alpha: f32,
    /// Of DDIM: the bound of what it predicts.
    pub(super) clip: Option<f32>,
    /// Of PNDM: whether it looks back from the first step on.
    pub(super) skips_runge_kutta: bool,
    /// Of the others.
    pub(super) karras: bool,
    pub(super) final_sigma: FinalSigma,
    pub(super) smallest_sigma: Option<f64>,
    pub(super) largest_sigma: Option<f64>,
    /// Of DPM-Solver++.
    pub(super) solver: Solver,
    pub(super) rounds_times: bool,
    /// Times of training that steps are put on.
    pub(super) last_time: usize,
}

/// What the folder says, whichever scheduler is used.
#[derive(Clone, Debug)]
pub(crate) struct Stated {
    config: Configuration,
    class: Option<String>,
}

impl Stated {
    /// Reads the file.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let unreadable = |error: std::io::Error| configuration(path, error.to_string());
        if fs::metadata(path).map_err(unreadable)?.len() > LARGEST_FILE {
            return Err(configuration(path, "larger than any scheduler's file"));
        }
        let text = fs::read_to_string(path).map_err(unreadable)?;
        // Python writes numbers that JSON does not have.
        let text = text
            .replace("-Infinity", "-1e300")
            .replace("Infinity", "1e300")
            .replace("NaN", "null");
        let values: Map<String, Value> =
            serde_json::from_str(&text).map_err(|error| configuration(path, error.to_string()))?;
        Self::of(path, values)
    }

    /// Of values.
    pub(crate) fn of(path: &Path, values: Map<String, Value>) -> Result<Self> {
        let config = Configuration::new(path, values);
        let class = config.optional("_class_name")?;
        Ok(Self { config, class })
    }

    /// The scheduler that the folder names, and what is to be said where another one stands in for it.
    pub(crate) fn kind(&self) -> Result<(SchedulerKind, Option<String>)> {
        let karras: bool = self.config.or("use_karras_sigmas", false)?;
        let kind = match self.class.as_deref() {
            Some("DDIMScheduler") => SchedulerKind::Ddim,
            Some("EulerDiscreteScheduler") => SchedulerKind::Euler,
            Some("EulerAncestralDiscreteScheduler") => SchedulerKind::EulerAncestral,
            Some("DPMSolverMultistepScheduler") if karras => SchedulerKind::Dpm2MKarras,
            Some("DPMSolverMultistepScheduler") => SchedulerKind::Dpm2M,
            Some("PNDMScheduler") => SchedulerKind::Pndm,
            Some(other @ "LMSDiscreteScheduler") => {
                let note = format!("{other} of the folder is not built; ddim takes its place");
                return Ok((SchedulerKind::Ddim, Some(note)));
            }
            other => {
                let names = SchedulerKind::ALL.map(SchedulerKind::name).join(", ");
                return Err(self.config.refuse(&format!(
                    "`_class_name` {} is not built; ask for one of {names}",
                    other.unwrap_or("(none)")
                )));
            }
        };
        Ok((kind, None))
    }

    /// The settings of a scheduler: what the folder says, and its own defaults for the rest.
    pub(crate) fn settings(&self, kind: SchedulerKind) -> Result<SchedulerConfig> {
        let config = &self.config;
        for (key, built) in [
            ("thresholding", json!(false)),
            ("use_exponential_sigmas", json!(false)),
            ("use_beta_sigmas", json!(false)),
            ("interpolation_type", json!("linear")),
            ("timestep_type", json!("discrete")),
        ] {
            config.only(key, &built)?;
        }
        let (is_ddim, is_pndm) = (kind == SchedulerKind::Ddim, kind == SchedulerKind::Pndm);
        let is_dpm = matches!(kind, SchedulerKind::Dpm2M | SchedulerKind::Dpm2MKarras);
        if is_dpm {
            for (key, built) in [
                ("algorithm_type", json!("dpmsolver++")),
                ("use_lu_lambdas", json!(false)),
                ("use_flow_sigmas", json!(false)),
                ("variance_type", Value::Null),
            ] {
                config.only(key, &built)?;
            }
        }
        let default = if is_ddim || is_pndm {
            "leading"
        } else {
            "linspace"
        };
        let spacing: String = config.or("timestep_spacing", default.to_owned())?;
        let spacing = match spacing.as_str() {
            "leading" => Spacing::Leading,
            "trailing" => Spacing::Trailing,
            "linspace" => Spacing::Linspace,
            other => {
                return Err(config.refuse(&format!(
                    "`timestep_spacing` `{other}` is none of leading, trailing, linspace"
                )));
            }
        };
        let prediction: String = config.or("prediction_type", "epsilon".to_owned())?;
        let prediction = match prediction.as_str() {
            "epsilon" => Prediction::Noise,
            "sample" if !is_pndm => Prediction::Picture,
            "v_prediction" => Prediction::Velocity,
            other => {
                let built = match is_pndm {
                    true => "epsilon, v_prediction, which pndm takes",
                    false => "epsilon, sample, v_prediction",
                };
                return Err(
                    config.refuse(&format!("`prediction_type` `{other}` is none of {built}"))
                );
            }
        };
        let final_sigma: String = config.or("final_sigmas_type", "zero".to_owned())?;
        let final_sigma = match final_sigma.as_str() {
            "zero" => FinalSigma::Zero,
            "sigma_min" if kind != SchedulerKind::EulerAncestral => FinalSigma::Smallest,
            "sigma_min" => FinalSigma::Zero,
            other => {
                return Err(config.refuse(&format!(
                    "`final_sigmas_type` `{other}` is none of zero, sigma_min"
                )));
            }
        };
        // Of which PNDM knows nothing.
        let rescaled = !is_pndm && config.or("rescale_betas_zero_snr", false)?;
        let mut alphas = products(config, rescaled)?;
        let count = alphas.len();
        if !is_ddim && rescaled {
            alphas[count - 1] = SMALLEST_ALPHA;
        }
        let order: usize = config.or("solver_order", 2)?;
        if is_dpm && !(1..=2).contains(&order) {
            return Err(config.refuse(&format!("`solver_order` {order} is not built; 1 and 2 are")));
        }
        let solver_type: String = config.or("solver_type", "midpoint".to_owned())?;
        let bound: f32 = config.or("clip_sample_range", 1.0)?;
        let schedule: String = config.or("beta_schedule", "linear".to_owned())?;
        let mut last_time = count;
        if is_dpm && let Some(least) = config.optional::<f64>("lambda_min_clipped")? {
            let lambda = |alpha: &f32| f64::from(alpha.sqrt().ln() - (1.0 - alpha).sqrt().ln());
            last_time -= alphas.iter().filter(|alpha| lambda(alpha) < least).count();
        }
        Ok(SchedulerConfig {
            kind,
            prediction,
            spacing,
            offset: config.or("steps_offset", 0)?,
            last_alpha: match config.or("set_alpha_to_one", !is_pndm)? {
                true => 1.0,
                false => alphas[0],
            },
            clip: config.or("clip_sample", true)?.then_some(bound.abs()),
            skips_runge_kutta: config.or("skip_prk_steps", false)?,
            karras: match kind {
                SchedulerKind::Dpm2MKarras => true,
                SchedulerKind::Euler => config.or("use_karras_sigmas", false)?,
                _ => false,
            },
            final_sigma,
            smallest_sigma: config.optional("sigma_min")?,
            largest_sigma: config.optional("sigma_max")?,
            solver: Solver {
                two_steps: order == 2,
                heun: solver_type == "heun",
                lower_at_end: config.or("lower_order_final", true)?,
                euler_at_end: config.or("euler_at_final", false)?,
            },
            rounds_times: schedule != "squaredcos_cap_v2",
            last_time: last_time.max(1),
            alphas,
        })
    }
}

impl SchedulerConfig {
    pub(super) fn is_leading(&self) -> bool {
        self.spacing == Spacing::Leading
    }
}
