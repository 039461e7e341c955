//! `unprompt predict`: the prompt of each picture, and its embedding.

use crate::{
    Finished,
    arguments::{Common, Format, Predict},
    commands::inputs::{self, Prediction},
    missing::better_preset,
    output::{Output, complain},
    progress::LoadingProgress,
    records::{RecordWriter, one_line},
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
    sources,
};

const DEFAULT_PRESET: &str = "lite";
const FORMATS: [Format; 5] = [
    Format::Text,
    Format::Json,
    Format::Jsonl,
    Format::Csv,
    Format::Submission,
];

pub(crate) fn run(common: &Common, arguments: &Predict) -> Result<Finished> {
    let preset = Preset::load(arguments.preset.as_deref().unwrap_or(DEFAULT_PRESET))?;
    let found = sources(&arguments.paths)?;
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
            write_records(single, records, work)
        }
    }
}

/// Calls its argument on each prediction.
type Take<'a> = &'a mut dyn FnMut(&Path, Prediction) -> Result<()>;

fn write_records(
    single: bool,
    mut records: RecordWriter,
    work: impl FnOnce(Take<'_>) -> Result<Finished>,
) -> Result<Finished> {
    if records.format() == Format::Csv {
        records.write_row(&["path", "prompt"])?;
    }
    let finished = work(&mut |_, result| {
        match result {
            Ok(record) => {
                if !records.write_json(&record)? {
                    let PredictionRecord { path, prompt, .. } = &*record;
                    match records.format() {
                        Format::Csv => records.write_row(&[path, prompt])?,
                        _ if single => writeln!(records.raw(), "{prompt}")?,
                        _ => writeln!(records.raw(), "{path}\t{}", one_line(prompt))?,
                    }
                }
            }
            Err(failure) => {
                records.write_json(&failure)?;
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
            writer.write(&image_id(path), &record.embedding)?;
        }
        Ok(())
    })?;
    writer.finish()?.finish()?;
    Ok(finished)
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
