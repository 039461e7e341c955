//! `unprompt embed`: vectors of texts.

use crate::{
    Finished,
    arguments::{Common, Embed, EmbedText, Format},
    commands::hub,
    output::Output,
    progress::{Bar, DownloadProgress},
    records::RecordWriter,
};
use anyhow::{Context, Result};
use serde::Serialize;
use std::{
    fs::File,
    io::{BufRead, BufReader, Write, stdin},
    path::Path,
};
use unprompt::load_sentence_encoder;

#[derive(Serialize)]
struct Record<'a> {
    text: &'a str,
    embedding: Vec<f32>,
}

pub(crate) fn run(common: &Common, what: &Embed) -> Result<Finished> {
    let Embed::Text(arguments) = what;
    let texts = texts(arguments)?;
    let output = Output::open(common.out.as_deref())?;
    let formats = [Format::Text, Format::Json, Format::Jsonl];
    let mut records = RecordWriter::new(output, common.format, &formats)?;
    let progress = DownloadProgress::new(common.quiet);
    let (_, encoder) = load_sentence_encoder(&hub(common)?, &arguments.model, &progress)?;
    let mut bar = Bar::count("texts", texts.len(), common.quiet);
    for batch in texts.chunks(common.batch_size.into()) {
        let embeddings = if arguments.raw {
            encoder.embed_raw(batch)?
        } else {
            encoder.embed(batch)?
        };
        for (text, embedding) in batch.iter().zip(embeddings) {
            let record = Record { text, embedding };
            if !records.write_json(&record)? {
                let numbers: Vec<String> = record
                    .embedding
                    .iter()
                    .map(|value| value.to_string())
                    .collect();
                writeln!(records.raw(), "{}", numbers.join(" "))?;
            }
            bar.advance(1);
        }
        records.flush()?;
    }
    bar.finish();
    records.finish()?;
    Ok(Finished::Whole)
}

/// The texts of the command line, then the lines of the file.
fn texts(arguments: &EmbedText) -> Result<Vec<String>> {
    let mut texts = arguments.texts.clone();
    if let Some(path) = &arguments.file {
        let failed = || format!("cannot read {}", path.display());
        let reader: Box<dyn BufRead> = if path == Path::new("-") {
            Box::new(stdin().lock())
        } else {
            Box::new(BufReader::new(File::open(path).with_context(failed)?))
        };
        for line in reader.lines() {
            texts.push(line.with_context(failed)?);
        }
    }
    Ok(texts)
}
