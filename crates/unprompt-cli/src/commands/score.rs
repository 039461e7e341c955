//! `unprompt score`: the mean cosine similarity of predictions and truth.

use crate::{
    Finished,
    arguments::{Common, Format, Score as Arguments},
    commands::{compute, hub},
    output::{Output, describe},
    progress::DownloadProgress,
    records::RecordWriter,
};
use anyhow::{Context, Result};
use std::io::Write;
use unprompt::{
    SentenceEncoder,
    eval::{Answers, EmbedError, score},
    load_sentence_encoder,
};

pub(crate) fn run(common: &Common, arguments: &Arguments) -> Result<Finished> {
    let output = Output::open(common.out.as_deref())?;
    let formats = [Format::Text, Format::Json, Format::Jsonl];
    let mut records = RecordWriter::new(output, common.format, &formats)?;
    let prediction = Answers::open(&arguments.pred)?;
    let truth = Answers::open(&arguments.truth)?;
    // Two files of embeddings need no model at all.
    let mut encoder: Option<SentenceEncoder> = None;
    let mut embed = |texts: &[String]| -> Result<Vec<Vec<f32>>, EmbedError> {
        let encoder = match &mut encoder {
            Some(encoder) => encoder,
            empty => {
                let progress = DownloadProgress::new(common.quiet);
                let hub = hub(common).map_err(|error| describe(&error))?;
                let compute = compute(common).map_err(|error| describe(&error))?;
                let loaded = load_sentence_encoder(&hub, &arguments.model, &compute, &progress)?;
                empty.insert(loaded.1)
            }
        };
        Ok(encoder.embed(texts)?)
    };
    let score = score(&prediction, &truth, &mut embed)?;
    match records.format() {
        // One object, not a list: there is one score.
        Format::Json => {
            serde_json::to_writer(records.raw(), &score).context("cannot write the score")?;
            writeln!(records.raw())?;
            records.into_output().finish()?;
        }
        _ => {
            if !records.write_json(&score)? {
                for image in &score.per_image {
                    writeln!(records.raw(), "{:.4}\t{}", image.cosine, image.id)?;
                }
                let (mean, n) = (score.mean_cosine, score.n);
                writeln!(records.raw(), "{mean:.6}\tmean of {n}")?;
            }
            records.finish()?;
        }
    }
    Ok(Finished::Whole)
}
