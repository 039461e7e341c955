//! `unprompt predict`: the prompt of each picture, and its embedding.

use crate::{
    Finished,
    arguments::{Common, Format, Predict},
    commands::inputs::{self, Prediction},
    missing::better_preset,
    output::{Output, complain},
    progress::LoadingProgress,
    records::{RecordWriter, escaped, escaped_lines, one_line},
    setup::{compute, hub},
};
use anyhow::Result;
use std::{
    collections::HashMap,
    io::{self, IsTerminal, Write},
    path::Path,
};
use unprompt::{
    PredictOptions, PredictionRecord, Predictor, Preset, Source,
    eval::{SubmissionWriter, image_id},
};

const DEFAULT_PRESET: &str = "eye";
const FORMATS: [Format; 5] = [
    Format::Text,
    Format::Json,
    Format::Jsonl,
    Format::Csv,
    Format::Submission,
];

pub(crate) fn run(common: &Common, arguments: &Predict) -> Result<Finished> {
    let preset = Preset::load(arguments.preset.as_deref().unwrap_or(DEFAULT_PRESET))?;
    let found = inputs::pictures(common, &arguments.paths)?;
    if common.format == Format::Submission {
        check_ids(&found)?;
    }
    let output = Output::open(common.out.as_deref())?;
    let progress = LoadingProgress::new(common.quiet);
    let hub = hub(common)?;
    let predictor = Predictor::load(&hub, preset, &compute(common)?, &progress, &progress)?;
    // For a person who looks at the screen, not for a script that reads it.
    if arguments.preset.is_none()
        && !common.quiet
        && io::stdout().is_terminal()
        && let Some(better) = better_preset(&hub, DEFAULT_PRESET)
    {
        complain(&better);
    }
    let options = PredictOptions {
        metadata: !arguments.no_metadata,
        ..PredictOptions::default()
    };
    let work = |take: Take<'_>| inputs::predict_each(common, found, &predictor, &options, take);
    match common.format {
        Format::Submission => submission(common, output, work),
        _ => {
            let records = RecordWriter::new(output, common.format, &FORMATS)?;
            let single = inputs::is_single(&arguments.paths);
            write_records(common, single, records, work)
        }
    }
}

/// Calls its argument on each prediction.
type Take<'a> = &'a mut dyn FnMut(&Path, Prediction) -> Result<()>;

fn write_records(
    common: &Common,
    single: bool,
    mut records: RecordWriter,
    work: impl FnOnce(Take<'_>) -> Result<Finished>,
) -> Result<Finished> {
    if records.format() == Format::Csv {
        records.write_row(&["path", "prompt"])?;
    }
    let finished = work(&mut |path, result| {
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
    output: Output,
    work: impl FnOnce(Take<'_>) -> Result<Finished>,
) -> Result<Finished> {
    let name = common
        .out
        .as_deref()
        .unwrap_or(Path::new("standard output"));
    let mut writer = SubmissionWriter::new(&name.to_string_lossy(), output)?;
    let finished = work(&mut |path, result| {
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
