//! One file a command.

mod bench;
mod blend;
mod caption;
mod classify;
mod doctor;
mod embed;
pub(crate) mod eval;
mod index;
mod inputs;
mod interrogate;
mod lazy_encoder;
mod metadata;
mod models;
mod predict;
mod score;
mod tokenize;
mod train;

use crate::{
    Finished,
    arguments::{Arguments, Command, Common, Device, Precision},
};
use anyhow::{Context, Result, bail};
use unprompt::{Compute, DeviceChoice, Dtype, Hub, HubOptions};

/// Far more than help anywhere; tens of thousands would take minutes to start.
const MOST_THREADS: usize = 1024;

/// Runs the command.
///
/// On a thread of the pool, so that a network's layers find it awake: called from outside, each of
/// them would first have to wake a thread.
pub(crate) fn run(arguments: &Arguments) -> Result<Finished> {
    prepare(&arguments.common)?;
    rayon::scope(|_| dispatch(arguments))
}

fn dispatch(arguments: &Arguments) -> Result<Finished> {
    let common = &arguments.common;
    match &arguments.command {
        Command::Predict(predict) => predict::run(common, predict),
        Command::Caption(caption) => caption::run(common, caption),
        Command::Interrogate(interrogate) => interrogate::run(common, interrogate),
        Command::Classify(classify) => classify::run(common, classify),
        Command::Embed { what } => embed::run(common, what),
        Command::Tokenize(tokenize) => tokenize::run(common, tokenize),
        Command::Metadata(metadata) => metadata::run(common, metadata),
        Command::Score(score) => score::run(common, score),
        Command::Eval(eval) => eval::run(common, eval),
        Command::Blend { action } => blend::run(common, action),
        Command::Index { action } => index::run(common, action),
        Command::Train { what } => train::run(common, what),
        Command::Models { action } => models::run(common, action),
        Command::Bench(bench) => bench::run(common, bench),
        Command::Doctor => doctor::run(common),
    }
}

/// Checks what every command shares and sets the number of threads.
fn prepare(common: &Common) -> Result<()> {
    compute(common)?;
    if let Some(threads) = common.threads {
        if threads == 0 || threads > MOST_THREADS {
            bail!("--threads {threads}: from 1 to {MOST_THREADS} can be asked for");
        }
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build_global()
            .with_context(|| format!("cannot start {threads} threads"))?;
    }
    Ok(())
}

/// Where to compute, and in which numbers.
fn compute(common: &Common) -> Result<Compute> {
    let device = match common.device {
        Device::Auto => DeviceChoice::Auto,
        Device::Cpu => DeviceChoice::Cpu,
        Device::Cuda => DeviceChoice::Cuda,
    };
    let dtype = match common.dtype {
        Precision::Auto => None,
        Precision::F32 => Some(Dtype::F32),
        Precision::F16 => Some(Dtype::F16),
        Precision::Bf16 => Some(Dtype::Bf16),
        Precision::Int8 => Some(Dtype::Int8),
    };
    let Common {
        device: asked,
        dtype: numbers,
        ..
    } = common;
    let flags = || format!("--device {asked:?} --dtype {numbers:?}").to_lowercase();
    Compute::new(device, dtype).with_context(flags)
}

/// The hub as the flags ask for it.
fn hub(common: &Common) -> Result<Hub> {
    Ok(Hub::from_env(HubOptions {
        offline: common.offline,
        allow_pickle: common.allow_pickle,
        ..HubOptions::default()
    })?)
}
