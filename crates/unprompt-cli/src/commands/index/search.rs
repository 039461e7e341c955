//! `unprompt index search`.

use crate::{
    Finished,
    arguments::{Common, IndexSearch as Arguments},
    commands::{
        embed::{self, ImageRecord},
        inputs,
    },
    output::Output,
    progress::{Bar, LoadingProgress},
    records::{RecordWriter, TEXT_OR_JSON, escaped},
    setup::{compute, hub},
};
use anyhow::Result;
use serde::Serialize;
use std::{io::Write, path::Path};
use unprompt::{
    FailureRecord, ImageEncoder, Source, Views,
    index::{IndexError, IndexSearch, Match, NegativeDistance, Regressed, Regression, Space},
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

/// The prompts that are averaged, and those that are shown.
struct Searcher {
    search: IndexSearch,
    regression: Regression,
    top: usize,
}

pub(super) fn run(common: &Common, arguments: &Arguments) -> Result<Finished> {
    let output = Output::open(common.out.as_deref())?;
    let mut records = RecordWriter::new(output, common.format, &TEXT_OR_JSON)?;
    let found = inputs::pictures(common, &arguments.paths)?;
    let negative = match arguments.as_published {
        true => NegativeDistance::AsPublished,
        false => NegativeDistance::Zero,
    };
    let searcher = Searcher {
        search: IndexSearch::open(&arguments.index)?,
        regression: Regression {
            negative,
            ..Regression::default()
        },
        top: arguments.top,
    };
    let (hub, compute) = (hub(common)?, compute(common)?);
    let progress = LoadingProgress::new(common.quiet);
    if !arguments.texts.is_empty() {
        let name = arguments.sentence.as_deref();
        let encoder = searcher
            .search
            .sentence_encoder(&hub, name, &compute, &progress)?;
        let mut bar = Bar::count("texts", arguments.texts.len(), common.quiet);
        for batch in arguments.texts.chunks(common.batch_size.into()) {
            let found = searcher.search(Space::Sentence, &encoder.embed(batch)?)?;
            for (text, found) in batch.iter().zip(found) {
                let record = searcher.record(Query::Text(text.clone()), found);
                write(&mut records, Path::new(""), &record)?;
                bar.advance(1);
            }
            records.flush()?;
        }
        bar.finish();
        records.finish()?;
        return Ok(Finished::Whole);
    }
    let encoder =
        searcher
            .search
            .image_encoder(&hub, arguments.clip.as_deref(), &compute, &progress)?;
    let work = |batch: &[Source]| searcher.pictures(&encoder, batch);
    inputs::write_each(common, &found, work, records, |records, path, record| {
        // A broken index is no fault of the picture: nothing more can be done.
        write(records, path, &record?)
    })
}

impl Searcher {
    /// The nearest prompts, as many as are shown or averaged.
    fn search(
        &self,
        space: Space,
        queries: &[Vec<f32>],
    ) -> std::result::Result<Vec<Regressed>, IndexError> {
        let averaged = self.regression.neighbours;
        let wide = Regression {
            neighbours: averaged.max(self.top),
            ..self.regression
        };
        let mut found = wide.predict(self.search.index(), space, queries)?;
        if wide.neighbours > averaged {
            for found in &mut found {
                let nearest = &found.matches[..found.matches.len().min(averaged)];
                found.embedding = self.regression.combine(nearest);
            }
        }
        Ok(found)
    }

    fn pictures(
        &self,
        encoder: &ImageEncoder,
        batch: &[Source],
    ) -> Vec<Result<std::result::Result<Record, IndexError>, FailureRecord>> {
        let embedded = embed::embed(encoder, batch, Views::Plain, false);
        let queries: Vec<Vec<f32>> = embedded
            .iter()
            .flatten()
            .map(|record| record.embedding.clone())
            .collect();
        // When the batch as a whole fails, each is looked up alone, so that only the one at fault
        // fails.
        let mut found = match self.search(Space::Clip, &queries) {
            Err(error) if error.is_of_the_index() => return vec![Ok(Err(error))],
            together => together.ok().map(Vec::into_iter),
        };
        let one = |(source, embedded): (&Source, Result<ImageRecord, FailureRecord>)| {
            let ImageRecord { path, embedding } = embedded?;
            let found = match found.as_mut().and_then(Iterator::next) {
                Some(found) => Ok(found),
                None => self
                    .search(Space::Clip, &[embedding])
                    .map(|mut alone| alone.swap_remove(0)),
            };
            match found {
                Err(error) if !error.is_of_the_index() => Err(inputs::failure(source, &error)),
                found => Ok(found.map(|found| self.record(Query::Path(path), found))),
            }
        };
        batch.iter().zip(embedded).map(one).collect()
    }

    fn record(&self, query: Query, found: Regressed) -> Record {
        let shown = found.matches.into_iter().take(self.top);
        let shown = shown.map(
            |Match {
                 prompt, similarity, ..
             }| Found { prompt, similarity },
        );
        Record {
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
