//! `unprompt metadata`: the prompt stored inside each file, if any.

mod prompts;
mod write;

use crate::{
    Finished,
    arguments::{Common, Metadata as Arguments},
    commands::inputs,
    output::Output,
    records::{RecordWriter, TEXT_OR_JSON, escaped},
};
use anyhow::Result;
use rayon::prelude::*;
use serde::Serialize;
use std::io::Write;
use unprompt::{
    FailureRecord, Source,
    image::Limits,
    metadata::{Metadata, read},
};

#[derive(Serialize)]
struct Record {
    path: String,
    found: bool,
    #[serde(flatten)]
    metadata: Option<Metadata>,
}

pub(crate) fn run(common: &Common, arguments: &Arguments) -> Result<Finished> {
    if arguments.strip || arguments.write.is_some() || arguments.from.is_some() {
        return write::run(common, arguments);
    }
    let sources = inputs::pictures(common, &arguments.paths)?;
    let output = Output::open(common.out.as_deref())?;
    let records = RecordWriter::new(output, common.format, &TEXT_OR_JSON)?;
    let single = inputs::is_single(&arguments.paths);

    let work = |batch: &[Source]| batch.par_iter().map(record).collect();
    inputs::write_each(common, &sources, work, records, |records, path, record| {
        if !records.write_json_of(path, &record)? {
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
        writeln!(output, "== {}", escaped(&record.path))?;
    }
    match &record.metadata {
        None => writeln!(output, "no prompt in this file")?,
        Some(found) => {
            writeln!(output, "{}", escaped(&found.prompt))?;
            if let Some(negative) = &found.negative_prompt {
                writeln!(output, "Negative prompt: {}", escaped(negative))?;
            }
            if let Some(generator) = found.generator {
                writeln!(output, "Generator: {generator}")?;
            }
            for (name, value) in &found.settings {
                let text = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
                writeln!(output, "{}: {}", escaped(name), escaped(&text))?;
            }
        }
    }
    Ok(())
}
