//! `unprompt classify`: the labels of each picture.

use crate::{
    Finished,
    arguments::{Classify, Common},
    commands::inputs,
    output::{Output, complain},
    progress::LoadingProgress,
    records::{RecordWriter, TEXT_OR_JSON, escaped},
    setup::{compute, hub},
};
use anyhow::Result;
use rayon::prelude::*;
use serde::Serialize;
use std::io::Write;
use unprompt::{
    Classifier, InputError, Label, Source,
    image::{Limits, decode},
};

#[derive(Serialize)]
struct Record {
    path: String,
    labels: Vec<Label>,
}

pub(crate) fn run(common: &Common, arguments: &Classify) -> Result<Finished> {
    let sources = inputs::pictures(common, &arguments.paths)?;
    let output = Output::open(common.out.as_deref())?;
    let records = RecordWriter::new(output, common.format, &TEXT_OR_JSON)?;
    let progress = LoadingProgress::new(common.quiet);
    let compute = compute(common)?;
    let (_, classifier) = Classifier::load(&hub(common)?, &arguments.model, &compute, &progress)?;
    if classifier.dtype() != compute.dtype() && !common.quiet {
        let (model, dtype) = (&arguments.model, classifier.dtype());
        complain(&format!("note: {model} always computes in {dtype}"));
    }
    let single = inputs::is_single(&arguments.paths);

    let work = |batch: &[Source]| {
        let one = |source: &Source| match classify(&classifier, source, arguments.top) {
            Ok(labels) => Ok(Record {
                path: source.path().to_string_lossy().into_owned(),
                labels,
            }),
            Err(error) => Err(inputs::failure(source, &error)),
        };
        batch.par_iter().map(one).collect()
    };
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

fn classify(
    classifier: &Classifier,
    source: &Source,
    top: usize,
) -> Result<Vec<Label>, InputError> {
    let limits = Limits::default();
    let options = classifier.preprocessor().decode_options(limits);
    let image = decode(&source.read(&limits)?, &options)?;
    classifier.classify(&image, top)
}
