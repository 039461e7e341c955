//! `unprompt predict`: the prompt of each picture, and its embedding.

use crate::{
    Finished,
    arguments::{Common, Format, Predict},
    commands::{compute, hub, inputs},
    output::{Output, complain},
    progress::LoadingProgress,
    records::{RecordWriter, escaped, escaped_lines, one_line},
};
use anyhow::Result;
use std::{collections::HashMap, io::Write, path::Path};
use unprompt::{
    FailureRecord, Outcome, PredictOptions, PredictionRecord, Predictor, Preset, Source,
    eval::{SubmissionWriter, image_id},
};

const FORMATS: [Format; 5] = [
    Format::Text,
    Format::Json,
    Format::Jsonl,
    Format::Csv,
    Format::Submission,
];

pub(crate) fn run(common: &Common, arguments: &Predict) -> Result<Finished> {
    let preset = Preset::load(&arguments.preset)?;
    let found = inputs::pictures(common, &arguments.paths)?;
    if common.format == Format::Submission {
        check_ids(&found)?;
    }
    let output = Output::open(common.out.as_deref())?;
    let progress = LoadingProgress::new(common.quiet);
    let predictor = Predictor::load(
        &hub(common)?,
        preset,
        &compute(common)?,
        &progress,
        &progress,
    )?;
    let options = PredictOptions {
        metadata: !arguments.no_metadata,
        ..PredictOptions::default()
    };
    let work = |batch: &[Source]| {
        let outcomes = predictor.predict(batch, &options).into_iter();
        outcomes.map(Outcome::into_result).collect()
    };
    match common.format {
        Format::Submission => submission(common, &found, output, work),
        _ => {
            let records = RecordWriter::new(output, common.format, &FORMATS)?;
            let single = inputs::is_single(&arguments.paths);
            write_records(common, &found, single, records, work)
        }
    }
}

type Prediction = Result<Box<PredictionRecord>, FailureRecord>;

fn write_records(
    common: &Common,
    sources: &[Source],
    single: bool,
    mut records: RecordWriter,
    work: impl Fn(&[Source]) -> Vec<Prediction>,
) -> Result<Finished> {
    if records.format() == Format::Csv {
        records.write_row(&["path", "prompt"])?;
    }
    let finished = inputs::for_each(common, sources, work, |path, result| {
        match result {
            Ok(record) => {
                note_metadata(common, &record);
                if !records.write_json_of(path, &record)? {
                    let PredictionRecord { path, prompt, .. } = &*record;
                    match records.format() {
                        Format::Csv => records.write_row(&[path, prompt])?,
                        _ if single => writeln!(records.raw(), "{}", escaped_lines(prompt))?,
                        _ => writeln!(records.raw(), "{}\t{}", escaped(path), escaped(prompt))?,
                    }
                }
            }
            Err(failure) => {
                records.write_json_of(path, &failure)?;
            }
        }
        records.flush()
    })?;
    records.finish()?;
    Ok(finished)
}

fn submission(
    common: &Common,
    sources: &[Source],
    output: Output,
    work: impl Fn(&[Source]) -> Vec<Prediction>,
) -> Result<Finished> {
    let name = common
        .out
        .as_deref()
        .unwrap_or(Path::new("standard output"));
    let mut writer = SubmissionWriter::new(&name.to_string_lossy(), output)?;
    let finished = inputs::for_each(common, sources, work, |path, result| {
        if let Ok(record) = result {
            note_metadata(common, &record);
            writer.write(&image_id(path), &record.embedding)?;
        }
        Ok(())
    })?;
    writer.finish()?.finish()?;
    Ok(finished)
}

/// Says that the prompt is a guess because the one in the file cannot be read.
fn note_metadata(common: &Common, record: &PredictionRecord) {
    if let Some(error) = &record.metadata_error
        && !common.quiet
    {
        let line = format!(
            "{}: predicted, for its metadata cannot be read: {error}",
            record.path
        );
        complain(&one_line(&line));
    }
}

/// Two pictures of one id cannot stand in one submission; better to say so before the work.
fn check_ids(sources: &[Source]) -> Result<()> {
    let mut first = HashMap::new();
    for source in sources {
        let id = image_id(source.path());
        if let Some(before) = first.insert(id.clone(), source.path()) {
            anyhow::bail!(
                "{} and {} have the same id `{id}`; a submission needs distinct file stems",
                before.display(),
                source.path().display()
            );
        }
    }
    Ok(())
}
