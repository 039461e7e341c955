//! `unprompt bench`: the project's own measurements, each with its Python peers beside it in the
//! same run. Machines are noisy: what counts are the medians and the ratios.

mod caption;
mod comparison;
mod draw;
mod features;
mod first_prediction;
mod index;
mod interrogate;
mod job;
mod load;
mod memory;
mod minilm;
mod peer;
mod predict;
mod python;
mod row;
mod serve;
mod subject;
mod towers;
mod train;

use crate::{
    Finished,
    arguments::{Bench, BenchKind, Common, Format},
    output::Output,
    progress::LoadingProgress,
    records::{RecordWriter, TEXT_OR_JSON},
    setup::hub,
};
use anyhow::{Context, Result};
use std::io::Write;
use subject::ENCODER;
use unprompt::ModelRef;
use unprompt_files::temporary_folder_in;

pub(crate) fn run(common: &Common, arguments: &Bench) -> Result<Finished> {
    let output = Output::open(common.out.as_deref())?;
    let mut records = RecordWriter::new(output, common.format, &TEXT_OR_JSON)?;
    let hub = hub(common)?;
    let progress = LoadingProgress::new(common.quiet);
    // Everything is fetched before anything is timed. None of these needs any of it.
    if !matches!(
        arguments.what,
        Some(
            BenchKind::Caption
                | BenchKind::Draw
                | BenchKind::Index
                | BenchKind::Job
                | BenchKind::Memory
                | BenchKind::Serve
                | BenchKind::Train
        )
    ) {
        for name in [ENCODER, "efficientnet-lite0"] {
            hub.resolve(&name.parse::<ModelRef>()?, &progress)?;
        }
    }
    let folder =
        temporary_folder_in(&std::env::temp_dir()).context("cannot make a temporary folder")?;
    let rows = match arguments.what {
        None => {
            let folder = folder.path();
            let mut rows = first_prediction::first_prediction(common, arguments, &hub, folder)?;
            rows.extend(minilm::minilm_throughput(common, arguments, &hub, folder)?);
            rows
        }
        Some(BenchKind::Caption) => caption::caption(common, arguments, folder.path())?,
        Some(BenchKind::Draw) => draw::draw(common, arguments, folder.path())?,
        Some(BenchKind::Features) => {
            features::features_of_a_folder(common, arguments, &hub, folder.path())?
        }
        Some(BenchKind::Index) => index::index(common, arguments, folder.path())?,
        Some(BenchKind::Interrogate) => {
            interrogate::interrogate(common, arguments, &hub, folder.path())?
        }
        Some(BenchKind::Job) => job::job(common, arguments, folder.path())?,
        Some(BenchKind::Memory) => memory::memory(common, arguments, folder.path())?,
        Some(BenchKind::Predict) => predict::predict(common, arguments, &hub, folder.path())?,
        Some(BenchKind::Python) => python::python(common, arguments, &hub, folder.path())?,
        Some(BenchKind::Serve) => serve::serve(common, arguments, folder.path())?,
        Some(BenchKind::Towers) => towers::towers(common, arguments, &hub, folder.path())?,
        Some(BenchKind::Train) => train::train(common, arguments, folder.path())?,
    };
    let threads = rayon::current_num_threads();
    if records.format() == Format::Text {
        let runs = match arguments.what {
            // They take minutes.
            Some(BenchKind::Interrogate | BenchKind::Memory | BenchKind::Serve) => {
                "one run each".to_owned()
            }
            Some(BenchKind::Draw) => {
                format!("medians of {} runs", arguments.runs.min(draw::MOST_RUNS))
            }
            _ => format!("medians of {} runs", arguments.runs),
        };
        writeln!(records.raw(), "{threads} threads, {runs}")?;
    }
    for row in &rows {
        if !records.write_json(row)? {
            row::write_text(records.raw(), row)?;
        }
    }
    records.finish()?;
    Ok(Finished::Whole)
}
