//! One file a command.

mod bench;
mod blend;
mod caption;
mod classify;
mod data;
mod doctor;
mod draw;
mod embed;
mod eval;
mod index;
mod inputs;
mod interrogate;
mod job;
mod lazy_encoder;
mod mcp;
mod merge;
mod metadata;
mod models;
mod peak_memory;
mod picture_judge;
mod predict;
mod prompt_records;
mod redraw;
mod reference;
mod score;
mod serve;
mod sidecars;
mod texts;
mod thumbnail;
mod tokenize;
mod train;

use crate::{
    Finished,
    arguments::{Arguments, Command},
    destination,
    setup::prepare,
};
use anyhow::Result;

/// Runs the command.
///
/// On a thread of the pool, so that a network's layers find it awake: called from outside, each of
/// them would first have to wake a thread.
pub(crate) fn run(arguments: &Arguments) -> Result<Finished> {
    prepare(&arguments.common)?;
    destination::check(arguments)?;
    // What waits for requests must not keep a thread of the pool from the work.
    match &arguments.command {
        Command::Serve(serve) => return serve::run(&arguments.common, serve),
        Command::Mcp(mcp) => return mcp::run(&arguments.common, mcp),
        _ => {}
    }
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
        Command::Merge(merge) => merge::run(common, merge),
        Command::Job { action } => job::status(common, action),
        Command::Train { what } => train::run(common, what),
        Command::Data { what } => data::run(common, what),
        Command::Draw(draw) => draw::run(common, draw),
        Command::Redraw(redraw) => redraw::run(common, redraw),
        Command::Serve(serve) => serve::run(common, serve),
        Command::Mcp(mcp) => mcp::run(common, mcp),
        Command::Models { action } => models::run(common, action),
        Command::Bench(bench) => bench::run(common, bench),
        Command::Doctor => doctor::run(common),
        Command::Completions(completions) => reference::completions(common, completions),
        Command::Man(man) => reference::man(common, man),
        Command::Reference(asked) => reference::reference(common, asked),
    }
}
