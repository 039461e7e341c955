//! `unprompt metadata`: the prompt stored inside each file, if any.

mod prompts;
mod write;

use crate::{
    Finished,
    arguments::{Common, Format, Metadata as Arguments},
    commands::inputs,
    output::Output,
    records::{RecordWriter, escaped},
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

const FORMATS: [Format; 4] = [Format::Text, Format::Json, Format::Jsonl, Format::Csv];

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
    let mut records = RecordWriter::new(output, common.format, &FORMATS)?;
    if common.format == Format::Csv {
        records.write_row(&["path", "prompt", "negative_prompt", "generator"])?;
    }
    let single = inputs::is_single(&arguments.paths);

    let work = |batch: &[Source]| batch.par_iter().map(record).collect();
    inputs::write_each(common, &sources, work, records, |records, path, record| {
        if records.write_json_of(path, &record)? {
            return Ok(());
        }
        match records.format() {
            Format::Csv => write_row(records, &record),
            _ => Ok(write_text(records.raw(), &record, single)?),
        }
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

/// A file without a prompt has a row with nothing but its path.
fn write_row(records: &mut RecordWriter, record: &Record) -> Result<()> {
    let found = record.metadata.as_ref();
    let generator = found.and_then(|found| found.generator);
    records.write_row(&[
        &record.path,
        found.map_or("", |found| &found.prompt),
        found
            .and_then(|found| found.negative_prompt.as_deref())
            .unwrap_or_default(),
        &generator.map_or_else(String::new, |generator| generator.to_string()),
    ])
}

fn write_text(output: &mut impl Write, record: &Record, single: bool) -> std::io::Result<()> {
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
