//! `unprompt embed`: vectors of pictures and of texts.

use crate::{
    Finished,
    arguments::{Common, Embed, EmbedImage, EmbedText, Tta},
    commands::{inputs, job},
    output::Output,
    progress::{Bar, LoadingProgress},
    records::{RecordWriter, TEXT_OR_JSON, escaped},
    setup::{compute, hub},
};
use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::json;
use std::{
    fs::File,
    io::{BufRead, BufReader, Write, stdin},
    path::Path,
};
use unprompt::{
    FailureRecord, ImageEncoder, Source, TextEncoder, Views,
    image::{Limits, RgbImage},
    job::{ColumnKind, Model},
};

pub(crate) fn run(common: &Common, what: &Embed) -> Result<Finished> {
    if let Embed::Image(arguments) = what {
        if let Some(finished) = job::supervise(common, &arguments.job, &arguments.paths) {
            return finished;
        }
        if job::is_worker(&arguments.job) {
            return work(common, arguments);
        }
    }
    let records = RecordWriter::new(
        Output::open(common.out.as_deref())?,
        common.format,
        &TEXT_OR_JSON,
    )?;
    match what {
        Embed::Image(arguments) => images(common, arguments, records),
        Embed::Text(arguments) => texts(common, arguments, records),
    }
}

#[derive(Serialize)]
struct TextRecord<'a> {
    text: &'a str,
    embedding: Vec<f32>,
}

fn texts(common: &Common, arguments: &EmbedText, mut records: RecordWriter) -> Result<Finished> {
    let texts = read_texts(arguments)?;
    let progress = LoadingProgress::new(common.quiet);
    let (_, encoder) = TextEncoder::load(
        &hub(common)?,
        &arguments.model,
        &compute(common)?,
        &progress,
    )?;
    let mut bar = Bar::count("texts", texts.len(), common.quiet);
    for batch in texts.chunks(common.batch_size.into()) {
        let embeddings = encoder.embed(batch, arguments.raw)?;
        for (text, embedding) in batch.iter().zip(embeddings) {
            let record = TextRecord { text, embedding };
            if !records.write_json(&record)? {
                writeln!(records.raw(), "{}", numbers(&record.embedding))?;
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
fn read_texts(arguments: &EmbedText) -> Result<Vec<String>> {
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

#[derive(Serialize)]
struct ImageRecord {
    path: String,
    embedding: Vec<f32>,
}

fn images(common: &Common, arguments: &EmbedImage, records: RecordWriter) -> Result<Finished> {
    let found = inputs::pictures(common, &arguments.paths)?;
    let (_, encoder) = load(common, arguments)?;
    let views = views(arguments);
    let single = inputs::is_single(&arguments.paths);
    let work = |batch: &[Source]| embed(&encoder, batch, views, arguments.raw);
    inputs::write_each(common, &found, work, records, |records, path, record| {
        if !records.write_json_of(path, &record)? {
            let numbers = numbers(&record.embedding);
            if single {
                writeln!(records.raw(), "{numbers}")?;
            } else {
                writeln!(records.raw(), "{}\t{numbers}", escaped(&record.path))?;
            }
        }
        Ok(())
    })
}

fn load(common: &Common, arguments: &EmbedImage) -> Result<(Model, ImageEncoder)> {
    let progress = LoadingProgress::new(common.quiet);
    let (name, compute) = (&arguments.model, compute(common)?);
    let heads = arguments.heads.map(usize::from);
    let hub = hub(common)?;
    let (model, encoder) = ImageEncoder::load_with_heads(&hub, name, heads, &compute, &progress)?;
    Ok((job::model(name, &model, compute.dtype())?, encoder))
}

fn views(arguments: &EmbedImage) -> Views {
    match arguments.tta {
        Tta::None => Views::Plain,
        Tta::Flip => Views::Flip,
    }
}

/// Numbers of a vector: only the network's answer tells, whatever the picture is.
fn width(encoder: &ImageEncoder) -> Result<usize> {
    const SIDE: u32 = 32;
    let grey = RgbImage::from_pixels(SIDE, SIDE, vec![128; (SIDE * SIDE * 3) as usize])?;
    let vectors = encoder.embed(&[grey], Views::Plain, true)?;
    Ok(vectors.first().map_or(0, Vec::len))
}

/// The worker of a job.
fn work(common: &Common, arguments: &EmbedImage) -> Result<Finished> {
    let (model, encoder) = load(common, arguments)?;
    let (views, raw) = (views(arguments), arguments.raw);
    let mut settings = json!({
        "raw": raw,
        "tta": format!("{:?}", arguments.tta).to_lowercase(),
    });
    if let Some(heads) = arguments.heads {
        settings["heads"] = json!(heads);
    }
    let described = job::Described {
        command: "embed image",
        settings: job::settings(settings),
        models: vec![model],
        columns: vec![("embedding", ColumnKind::Vector(width(&encoder)?))],
    };
    job::serve(common, described, |batch| {
        embed(&encoder, batch, views, raw)
    })
}

fn embed(
    encoder: &ImageEncoder,
    batch: &[Source],
    views: Views,
    raw: bool,
) -> Vec<Result<ImageRecord, FailureRecord>> {
    let found = encoder.embed_sources(batch, &Limits::default(), views, raw);
    inputs::records(batch, found, |path, embedding| ImageRecord {
        path,
        embedding,
    })
}

pub(super) fn numbers(values: &[f32]) -> String {
    values
        .iter()
        .map(f32::to_string)
        .collect::<Vec<_>>()
        .join(" ")
}
