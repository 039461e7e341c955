//! `unprompt mcp`: tools for agents over standard input and output.

use crate::{
    Finished,
    arguments::{Common, Mcp as Arguments},
    output::complain,
    progress::LoadingProgress,
    setup::{compute, offline_hub},
};
use anyhow::{Context, Result};
use std::{num::NonZeroUsize, sync::Arc};
use unprompt::{LabelChoice, Preset};
use unprompt_server::{Limits, LoadedModels, Mcp, ModelChoice, Roots, ServeOptions};

pub(crate) fn run(common: &Common, arguments: &Arguments) -> Result<Finished> {
    let roots = Roots::new(&arguments.roots)?;
    if roots.is_empty() && !common.quiet {
        complain("no picture may be looked at: name folders of pictures by --root DIR");
    }
    let models = load(common, arguments)?;
    let options = ServeOptions {
        limits: Limits {
            batch: NonZeroUsize::new(common.batch_size.into()).unwrap_or(NonZeroUsize::MIN),
            ..Limits::default()
        },
        ..ServeOptions::default()
    };
    let server = Mcp::new(Arc::new(models), roots, options).context("cannot start a thread")?;
    server.run().context("the client broke off")?;
    Ok(Finished::Whole)
}

/// An agent's tools open no socket: every model is one that is on this machine.
fn load(common: &Common, arguments: &Arguments) -> Result<LoadedModels> {
    let preset = arguments.preset.as_deref();
    let choice = ModelChoice {
        preset: preset.unwrap_or(Preset::DEFAULT).to_owned(),
        text_encoder: None,
        image_encoder: None,
        image_encoder_heads: None,
        classifier: None,
        classifier_heads: None,
        captioner: arguments.captioner.clone(),
        clip: None,
        labels: LabelChoice::default(),
    };
    let progress = LoadingProgress::new(common.quiet);
    let (local, compute) = (offline_hub(common)?, compute(common)?);
    // On a thread of the pool, as every other command.
    let load = |_: &rayon::Scope<'_>| {
        LoadedModels::load(&local, &local, &choice, &compute, &progress, &progress)
    };
    Ok(rayon::scope(load)?)
}
