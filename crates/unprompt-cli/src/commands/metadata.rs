//! `unprompt metadata`: the prompt stored inside each file, if any.

use crate::{
    Finished,
    arguments::{Common, Metadata as Arguments},
    commands::inputs,
    output::Output,
    records::{RecordWriter, TEXT_OR_JSON},
};
use anyhow::Result;
use rayon::prelude::*;
use serde::Serialize;
use std::io::Write;
use unprompt::{
    FailureRecord, Source,
    image::Limits,
    metadata::{Metadata, read},
    sources,
};

#[derive(Serialize)]
struct Record {
    path: String,
    found: bool,
    #[serde(flatten)]
    metadata: Option<Metadata>,
}

pub(crate) fn run(common: &Common, arguments: &Arguments) -> Result<Finished> {
    let sources = sources(&arguments.paths)?;
    let output = Output::open(common.out.as_deref())?;
    let records = RecordWriter::new(output, common.format, &TEXT_OR_JSON)?;
    let single = inputs::is_single(&arguments.paths);

    let work = |batch: &[Source]| batch.par_iter().map(record).collect();
    inputs::write_each(common, &sources, work, records, |records, record| {
        if !records.write_json(&record)? {
            write_text(records.raw(), &record, single)?;
        }
        Ok(())
    })
}

fn record(source: &Source) -> Result<Record, FailureRecord> {
    let bytes = source
        .read(&Limits::default())
        .map_err(|error| inputs::failure(source, &error))?;
    let metadata = read(&bytes).map_err(|error| inputs::failure(source, &error))?;
    let path = source.path().to_string_lossy().into_owned();
    Ok(Record {
        path,
        found: metadata.is_some(),
        metadata,
    })
}

fn write_text(output: &mut impl Write, record: &Record, single: bool) -> Result<()> {
    if !single {
        writeln!(output, "== {}", record.path)?;
    }
    match &record.metadata {
        None => writeln!(output, "no prompt in this file")?,
        Some(found) => {
            writeln!(output, "{}", found.prompt)?;
            if let Some(negative) = &found.negative_prompt {
                writeln!(output, "Negative prompt: {negative}")?;
            }
            writeln!(output, "Generator: {}", found.generator)?;
            for (name, value) in &found.settings {
                match value.as_str() {
                    Some(text) => writeln!(output, "{name}: {text}")?,
                    None => writeln!(output, "{name}: {value}")?,
                }
            }
        }
    }
    Ok(())
}
