//! `unprompt index search`.

use crate::{
    Finished,
    arguments::{Common, IndexSearch as Arguments},
    commands::inputs,
    output::Output,
    progress::{Bar, LoadingProgress},
    records::{RecordWriter, TEXT_OR_JSON, escaped},
    setup::{compute, hub},
};
use anyhow::{Result, bail};
use serde::Serialize;
use std::{
    io::Write,
    path::{Path, PathBuf},
};
use unprompt::{
    EngineError, FailureRecord, ImageEncoder, InputError, Source,
    image::Limits,
    index::{IndexQuery, IndexSearch, Match, NegativeDistance, Regressed, Regression, Space},
};

#[derive(Serialize)]
struct Record {
    #[serde(flatten)]
    query: Query,
    matches: Vec<Found>,
    embedding: Vec<f32>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Query {
    Path(String),
    Text(String),
}

#[derive(Serialize)]
struct Found {
    prompt: String,
    similarity: f32,
}

pub(super) fn run(common: &Common, arguments: &Arguments) -> Result<Finished> {
    let output = Output::open(common.out.as_deref())?;
    let mut records = RecordWriter::new(output, common.format, &TEXT_OR_JSON)?;
    let (place, paths) = places(arguments)?;
    let found = inputs::pictures(common, paths)?;
    let negative = match arguments.as_published {
        true => NegativeDistance::AsPublished,
        false => NegativeDistance::Zero,
    };
    let query = IndexQuery {
        top: arguments.top,
        regression: Regression {
            negative,
            ..Regression::default()
        },
    };
    let (hub, compute) = (hub(common)?, compute(common)?);
    let search = IndexSearch::open(&hub, place)?;
    let progress = LoadingProgress::new(common.quiet);
    if !arguments.texts.is_empty() {
        let name = arguments.sentence.as_deref();
        let encoder = search.sentence_encoder(&hub, name, &compute, &progress)?;
        let mut bar = Bar::count("texts", arguments.texts.len(), common.quiet);
        for batch in arguments.texts.chunks(common.batch_size.into()) {
            let found = search.nearest(Space::Sentence, &encoder.embed(batch)?, &query)?;
            for (text, found) in batch.iter().zip(found) {
                let record = Record::new(Query::Text(text.clone()), found);
                write(&mut records, Path::new(""), &record)?;
                bar.advance(1);
            }
            records.flush()?;
        }
        bar.finish();
        records.finish()?;
        return Ok(Finished::Whole);
    }
    let encoder = search.image_encoder(&hub, arguments.clip.as_deref(), &compute, &progress)?;
    let work = |batch: &[Source]| pictures(&search, &encoder, batch, &query);
    inputs::write_each(common, &found, work, records, |records, path, record| {
        // A broken index is no fault of the picture: nothing more can be done.
        write(records, path, &record?)
    })
}

/// Where the index is, and the pictures, of which there are some unless texts are looked up.
fn places(arguments: &Arguments) -> Result<(&Path, &[PathBuf])> {
    let (Some(place), pictures) = arguments.places() else {
        bail!("index search needs an index: a folder, or --index PLACE");
    };
    match (pictures.is_empty(), arguments.texts.is_empty()) {
        (true, true) => {
            bail!("index search needs <PATH> beside the index: pictures, or --text TEXT")
        }
        (false, false) => bail!("index search looks up pictures or --text, not both"),
        _ => Ok((place, pictures)),
    }
}

fn pictures(
    search: &IndexSearch,
    encoder: &ImageEncoder,
    batch: &[Source],
    query: &IndexQuery,
) -> Vec<Result<Result<Record, EngineError>, FailureRecord>> {
    let found = search.nearest_to_sources(encoder, batch, &Limits::default(), query);
    let found = match found {
        Ok(found) => found,
        Err(error) => return vec![Ok(Err(error))],
    };
    let record = |(source, found): (&Source, Result<Regressed, InputError>)| match found {
        Ok(found) => {
            let path = source.path().to_string_lossy().into_owned();
            Ok(Ok(Record::new(Query::Path(path), found)))
        }
        Err(error) => Err(inputs::failure(source, &error)),
    };
    batch.iter().zip(found).map(record).collect()
}

impl Record {
    fn new(query: Query, found: Regressed) -> Self {
        let shown = found.matches.into_iter().map(
            |Match {
                 prompt, similarity, ..
             }| Found { prompt, similarity },
        );
        Self {
            query,
            matches: shown.collect(),
            embedding: found.embedding,
        }
    }
}

fn write(records: &mut RecordWriter, path: &Path, record: &Record) -> Result<()> {
    if !records.write_json_of(path, record)? {
        let (Query::Path(name) | Query::Text(name)) = &record.query;
        let output = records.raw();
        writeln!(output, "== {}", escaped(name))?;
        for found in &record.matches {
            writeln!(
                output,
                "{:.4}  {}",
                found.similarity,
                escaped(&found.prompt)
            )?;
        }
    }
    Ok(())
}
