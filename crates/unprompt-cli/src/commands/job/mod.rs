//! Jobs: `--job DIR` of other commands, and `unprompt job`.
//!
//! The command begins twice: as the process that the user sees, which keeps the job's folder, and as its
//! worker, which loads the models and makes the records. Both have the same command line; the second
//! has a variable of the environment.

mod list;
mod run;
mod watch;
mod worker;

use crate::{
    Finished,
    arguments::{Common, Format, Job as Action, JobFlags},
    output::Output,
    records::{RecordWriter, TEXT_OR_JSON},
};
use anyhow::Result;
pub(super) use run::run_items;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use unprompt::{
    Dtype, ResolvedModel,
    job::{Job, Model, status as status_of},
};
pub(super) use worker::{Described, prediction_columns, serve, serve_items, serve_predictions};

/// An object as settings.
pub(super) fn settings(object: Value) -> Map<String, Value> {
    match object {
        Value::Object(settings) => settings,
        _ => Map::new(),
    }
}

/// A digest as text.
pub(super) fn sha256(bytes: impl AsRef<[u8]>) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A model as a job knows it.
pub(super) fn model(name: &str, model: &ResolvedModel, dtype: Dtype) -> Result<Model> {
    Ok(Model {
        name: name.to_owned(),
        sha256: model.sha256()?.to_owned(),
        dtype: dtype.name().to_owned(),
    })
}

/// A model on another server, whose files nobody here sees.
pub(super) fn remote_model(name: &str) -> Model {
    Model {
        name: name.to_owned(),
        sha256: String::new(),
        dtype: "remote".to_owned(),
    }
}

/// Set for the worker.
const WORKER: &str = "UNPROMPT_JOB_WORKER";

/// Whether this process is the worker of a job.
pub(super) fn is_worker(flags: &JobFlags) -> bool {
    flags.job.is_some() && std::env::var_os(WORKER).is_some()
}

/// Works on a job, where one is asked for and this process is not its worker.
pub(super) fn supervise(
    common: &Common,
    flags: &JobFlags,
    paths: &[PathBuf],
) -> Option<Result<Finished>> {
    let folder = flags.job.as_deref()?;
    (!is_worker(flags)).then(|| run::run(common, flags, folder, paths))
}

/// `unprompt job status`.
pub(super) fn status(common: &Common, action: &Action) -> Result<Finished> {
    let Action::Status { job, json } = action;
    let format = if *json { Format::Json } else { common.format };
    let output = Output::open(common.out.as_deref())?;
    let records = RecordWriter::new(output, format, &TEXT_OR_JSON)?;
    let status = status_of(&Job::open(job)?)?;
    records.finish_with("status", &status, |out| {
        let percent = 100.0 * status.done as f64 / status.items.max(1) as f64;
        write!(
            out,
            "{}: {} of {} done ({percent:.1} %), {} failed, {} of {} parts whole",
            status.command,
            status.done,
            status.items,
            status.failed,
            status.whole_parts,
            status.parts
        )?;
        match status.complete {
            true => writeln!(out, "; `unprompt merge {}`", shown(job)),
            false => writeln!(out),
        }
    })?;
    Ok(Finished::Whole)
}

/// A path as a shell takes it, where that is simple.
fn shown(path: &Path) -> String {
    let path = path.display().to_string();
    match path.contains([' ', '\'', '"', '$', '\\']) {
        true => format!("{path:?}"),
        false => path,
    }
}
