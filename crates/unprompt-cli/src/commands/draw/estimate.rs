//! What drawing will take, said before it begins.

use anyhow::Result;
use indicatif::HumanDuration;
use std::{fmt, time::Duration};
use unprompt::{
    diffusion::{Pipeline, Settings},
    hub::megabytes,
};

/// Bytes of a PNG for each pixel of a drawn picture, about.
const BYTES_PER_PIXEL: f64 = 1.6;

/// What a number of pictures will take.
pub(super) struct Estimate {
    pictures: usize,
    width: usize,
    height: usize,
    steps: usize,
    scheduler: &'static str,
    each: Duration,
    memory: u64,
}

impl Estimate {
    /// From what the networks compute, and how fast this machine is just now.
    pub(super) fn of(pipeline: &Pipeline, settings: &Settings, pictures: usize) -> Result<Self> {
        let (steps, decoder) = pipeline.work(settings)?;
        let seconds_per_work = pipeline.measure()?;
        Ok(Self {
            pictures,
            width: settings.width,
            height: settings.height,
            steps: settings.steps,
            scheduler: settings.scheduler.name(),
            each: Duration::try_from_secs_f64((steps + decoder) as f64 * seconds_per_work)
                .unwrap_or(Duration::MAX),
            memory: pipeline.memory(settings)?,
        })
    }
}

impl fmt::Display for Estimate {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        let Self {
            pictures,
            width,
            height,
            steps,
            scheduler,
            each,
            memory,
        } = self;
        let count = u32::try_from(*pictures).unwrap_or(u32::MAX);
        let files = *pictures as f64 * (*width * *height) as f64 * BYTES_PER_PIXEL;
        let s = if *pictures == 1 { "" } else { "s" };
        write!(
            formatter,
            "{pictures} picture{s} of {width}x{height}, {steps} steps of {scheduler}: about {} each, {} in all; \
             {} of memory beside the weights, {} of files",
            HumanDuration(*each),
            HumanDuration(each.saturating_mul(count)),
            megabytes(*memory),
            megabytes(files as u64),
        )
    }
}
