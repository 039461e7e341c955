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
    let formats = [Format::Text, Format::Json, Format::Jsonl];
    let mut records = RecordWriter::new(output, common.format, &formats)?;
    let single = inputs::is_single(&arguments.paths);

    let work = |batch: &[Source]| batch.par_iter().map(record).collect();
    let write = |path: &std::path::Path, result: Result<Record, FailureRecord>| {
        match result {
            Ok(record) => {
                if !records.write_json_of(path, &record)? {
                    write_text(records.raw(), &record, single)?;
                }
            }
            Err(failure) => {
                records.write_json_of(path, &failure)?;
            }
        }
        records.flush()
    };
    let finished = inputs::for_each(common, &sources, work, write)?;
    records.finish()?;
    Ok(finished)
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
