//! One file a command.

mod bench;
mod classify;
mod doctor;
mod embed;
mod index;
mod inputs;
mod metadata;
mod models;
mod predict;
mod score;
mod tokenize;

use crate::{
    Finished,
    arguments::{Arguments, Command, Common, Device, Precision},
};
use anyhow::{Context, Result, bail};
use unprompt::{Hub, HubOptions};

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
        Command::Classify(classify) => classify::run(common, classify),
        Command::Embed { what } => embed::run(common, what),
        Command::Tokenize(tokenize) => tokenize::run(common, tokenize),
        Command::Metadata(metadata) => metadata::run(common, metadata),
        Command::Score(score) => score::run(common, score),
        Command::Index { action } => index::run(common, action),
        Command::Models { action } => models::run(common, action),
        Command::Bench(bench) => bench::run(common, bench),
        Command::Doctor => doctor::run(common),
    }
}

/// Checks what every command shares and sets the number of threads.
fn prepare(common: &Common) -> Result<()> {
    if common.device == Device::Cuda {
        bail!("this build computes on the cpu only; leave out --device or pass --device cpu");
    }
    if !matches!(common.dtype, Precision::Auto | Precision::F32) {
        bail!("the models of this version compute in f32; leave out --dtype or pass --dtype f32");
    }
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

/// The hub as the flags ask for it.
fn hub(common: &Common) -> Result<Hub> {
    Ok(Hub::from_env(HubOptions {
        offline: common.offline,
        allow_pickle: common.allow_pickle,
        ..HubOptions::default()
    })?)
}
