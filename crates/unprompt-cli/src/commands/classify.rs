//! `unprompt classify`: the labels of each picture.

use crate::{
    Finished,
    arguments::{Classify, Common},
    commands::{inputs, job},
    output::{Output, complain},
    progress::LoadingProgress,
    records::{RecordWriter, TEXT_OR_JSON, escaped},
    setup::{compute, hub},
};
use anyhow::Result;
use serde::Serialize;
use serde_json::json;
use std::io::Write;
use unprompt::{
    Classifier, FailureRecord, Label, Source,
    image::Limits,
    job::{ColumnKind, Model},
};

#[derive(Serialize)]
struct Record {
    path: String,
    labels: Vec<Label>,
}

pub(crate) fn run(common: &Common, arguments: &Classify) -> Result<Finished> {
    if let Some(finished) = job::supervise(common, &arguments.job, &arguments.paths) {
        return finished;
    }
    if job::is_worker(&arguments.job) {
        return work(common, arguments);
    }
    let sources = inputs::pictures(common, &arguments.paths)?;
    let output = Output::open(common.out.as_deref())?;
    let records = RecordWriter::new(output, common.format, &TEXT_OR_JSON)?;
    let (_, classifier) = load(common, arguments)?;
    let single = inputs::is_single(&arguments.paths);
    let work = |batch: &[Source]| classify_all(&classifier, batch, arguments.top);
    inputs::write_each(common, &sources, work, records, |records, path, record| {
        if !records.write_json_of(path, &record)? {
            for Label {
                label, probability, ..
            } in &record.labels
            {
                if !single {
                    write!(records.raw(), "{}\t", escaped(&record.path))?;
                }
                writeln!(records.raw(), "{probability:.4}\t{}", escaped(label))?;
            }
        }
        Ok(())
    })
}

/// The classifier, with a note where it computes in other numbers than asked for.
fn load(common: &Common, arguments: &Classify) -> Result<(Model, Classifier)> {
    let progress = LoadingProgress::new(common.quiet);
    let compute = compute(common)?;
    let name = &arguments.model;
    let heads = arguments.heads.map(usize::from);
    let hub = hub(common)?;
    let (model, classifier) = Classifier::load_with_heads(&hub, name, heads, &compute, &progress)?;
    if classifier.dtype() != compute.dtype() && !common.quiet {
        let (model, dtype) = (&arguments.model, classifier.dtype());
        complain(&format!("note: {model} always computes in {dtype}"));
    }
    Ok((job::model(name, &model, classifier.dtype())?, classifier))
}

/// The worker of a job.
fn work(common: &Common, arguments: &Classify) -> Result<Finished> {
    let (model, classifier) = load(common, arguments)?;
    let mut settings = json!({ "top": arguments.top });
    if let Some(heads) = arguments.heads {
        settings["heads"] = json!(heads);
    }
    let described = job::Described {
        command: "classify",
        settings: job::settings(settings),
        models: vec![model],
        columns: vec![("labels", ColumnKind::Json)],
    };
    job::serve(common, described, |batch| {
        classify_all(&classifier, batch, arguments.top)
    })
}

fn classify_all(
    classifier: &Classifier,
    batch: &[Source],
    top: usize,
) -> Vec<Result<Record, FailureRecord>> {
    let found = classifier.classify_sources(batch, &Limits::default(), top);
    inputs::records(batch, found, |path, labels| Record { path, labels })
}
