//! `unprompt predict`: the prompt of each picture, and its embedding.

use crate::{
    Finished,
    arguments::{Common, Format, Predict},
    commands::{
        inputs, job,
        sidecars::{self, Done, Sidecars},
    },
    missing::better_preset,
    output::{Output, complain},
    progress::LoadingProgress,
    records::{RecordWriter, escaped, escaped_lines, one_line},
    setup::{compute, hub},
};
use anyhow::Result;
use serde_json::json;
use std::{
    collections::{HashMap, VecDeque},
    io::{self, IsTerminal, Write},
    path::Path,
};
use unprompt::{
    FailureRecord, PredictOptions, PredictionRecord, Predictor, Preset, Source, SourceList,
    eval::{SubmissionWriter, image_id},
    job::Model,
};

const FORMATS: [Format; 5] = [
    Format::Text,
    Format::Json,
    Format::Jsonl,
    Format::Csv,
    Format::Submission,
];

pub(crate) fn run(common: &Common, arguments: &Predict) -> Result<Finished> {
    if let Some(finished) = job::supervise(common, &arguments.job, &arguments.paths) {
        return finished;
    }
    if job::is_worker(&arguments.job) {
        return work(common, arguments);
    }
    let preset = Preset::load(arguments.preset.as_deref().unwrap_or(Preset::DEFAULT))?;
    let found = inputs::pictures(common, &arguments.paths)?;
    if common.format == Format::Submission {
        check_ids(&found)?;
    }
    let deny = arguments.deny.deny.as_deref();
    let sidecars = Sidecars::new(&arguments.sidecars, deny, &found)?;
    let output = Output::open(common.out.as_deref())?;
    let progress = LoadingProgress::new(common.quiet);
    let hub = hub(common)?;
    let predictor = Predictor::load(&hub, preset, &compute(common)?, &progress, &progress)?;
    // For a person who looks at the screen, not for a script that reads it.
    if arguments.preset.is_none()
        && !common.quiet
        && io::stdout().is_terminal()
        && let Some(better) = better_preset(&hub, Preset::DEFAULT)
    {
        complain(&better);
    }
    let options = options(arguments);
    let sidecars = sidecars.as_ref();
    let notes = Notes {
        common,
        encoder: &predictor.preset().encoder,
        told: false,
    };
    let work = |take: Take<'_>| predict(common, found, &predictor, &options, sidecars, take);
    match common.format {
        Format::Submission => submission(common, output, notes, work),
        _ => {
            let records = RecordWriter::new(output, common.format, &FORMATS)?;
            let single = inputs::is_single(&arguments.paths);
            write_records(single, records, notes, work)
        }
    }
}

fn options(arguments: &Predict) -> PredictOptions {
    PredictOptions {
        metadata: !arguments.no_metadata,
        ..PredictOptions::default()
    }
}

/// The worker of a job.
fn work(common: &Common, arguments: &Predict) -> Result<Finished> {
    let name = arguments.preset.as_deref().unwrap_or(Preset::DEFAULT);
    let text = Preset::text(name)?;
    let preset = Preset::parse(&format!("`{name}`"), &text)?;
    let progress = LoadingProgress::new(common.quiet);
    let predictor = Predictor::load(
        &hub(common)?,
        preset,
        &compute(common)?,
        &progress,
        &progress,
    )?;
    let options = options(arguments);
    let models = predictor.receipt().models.iter().map(|model| Model {
        name: model.name.clone(),
        sha256: model.sha256.clone(),
        dtype: model.dtype.to_owned(),
    });
    let described = job::Described {
        command: "predict",
        settings: job::settings(json!({
            "preset": name,
            "preset (SHA-256)": job::sha256(text),
            "metadata": options.metadata,
        })),
        models: models.collect(),
        columns: job::prediction_columns(predictor.embedding_width()?),
    };
    job::serve_predictions(common, described, &predictor, &options)
}

/// Calls its argument on what becomes of each picture.
type Take<'a> =
    &'a mut dyn FnMut(&Path, Result<Done<Box<PredictionRecord>>, FailureRecord>) -> Result<()>;

/// Predicts the pictures that have no text beside them yet, and writes the prompt of each there, where
/// texts are asked for.
fn predict(
    common: &Common,
    sources: SourceList,
    predictor: &Predictor,
    options: &PredictOptions,
    sidecars: Option<&Sidecars>,
    take: Take<'_>,
) -> Result<Finished> {
    let all = sources.len();
    let mut skipped = SourceList::default();
    // For each of them the number of pictures that come before it.
    let mut places = VecDeque::new();
    let kept = match sidecars {
        None => sources,
        Some(sidecars) => {
            let mut kept = SourceList::default();
            for source in sources {
                if sidecars.skips(&source) {
                    places.push_back(kept.len());
                    skipped.push(source);
                } else {
                    kept.push(source);
                }
            }
            kept
        }
    };
    let count = skipped.len();
    let mut done = 0;
    let mut skipped = skipped.into_iter();
    let mut take_skipped = |done: usize, take: Take<'_>| -> Result<()> {
        while places.pop_front_if(|before| *before <= done).is_some()
            && let Some(source) = skipped.next()
        {
            take(source.path(), Ok(Done::skipped(&source)))?;
        }
        Ok(())
    };
    let write = |source: &Source, record: &PredictionRecord| match sidecars {
        Some(sidecars) => sidecars.write_of(source, &record.prompt),
        None => Ok(()),
    };
    let finished =
        inputs::predict_each(common, kept, predictor, options, write, |path, result| {
            take_skipped(done, &mut *take)?;
            done += 1;
            take(path, result.map(Done::Record))
        })?;
    take_skipped(done, &mut *take)?;
    sidecars::note_skipped(count, all, common.quiet);
    Ok(finished)
}

fn write_records(
    single: bool,
    mut records: RecordWriter,
    mut notes: Notes<'_>,
    work: impl FnOnce(Take<'_>) -> Result<Finished>,
) -> Result<Finished> {
    if records.format() == Format::Csv {
        records.write_row(&["path", "prompt"])?;
    }
    let finished = work(&mut |path, result| {
        match result {
            Ok(Done::Record(record)) => {
                notes.of(&record);
                if !records.write_json_of(path, &record)? {
                    let PredictionRecord { path, prompt, .. } = &*record;
                    match records.format() {
                        Format::Csv => records.write_row(&[path, prompt])?,
                        _ if single => writeln!(records.raw(), "{}", escaped_lines(prompt))?,
                        _ => writeln!(records.raw(), "{}\t{}", escaped(path), escaped(prompt))?,
                    }
                }
            }
            Ok(skipped) => {
                records.write_json_of(path, &skipped)?;
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
    mut notes: Notes<'_>,
    work: impl FnOnce(Take<'_>) -> Result<Finished>,
) -> Result<Finished> {
    let name = common
        .out
        .as_deref()
        .unwrap_or(Path::new("standard output"));
    let mut writer = SubmissionWriter::new(&name.to_string_lossy(), output)?;
    let mut lacking = false;
    let finished = work(&mut |path, result| {
        let Ok(Done::Record(record)) = result else {
            return Ok(());
        };
        notes.of(&record);
        match &record.embedding {
            Some(embedding) => writer.write(&image_id(path), embedding)?,
            // A submission is embeddings and nothing else.
            None => {
                lacking = true;
                let path = &record.path;
                complain(&one_line(&format!(
                    "{path}: left out of the submission, for its prompt has no embedding"
                )));
            }
        }
        Ok(())
    })?;
    writer.finish()?.finish()?;
    Ok(match lacking {
        true => Finished::WithFailures,
        false => finished,
    })
}

/// What is said on standard error of predictions that did not fail.
struct Notes<'a> {
    common: &'a Common,
    /// The preset's sentence encoder.
    encoder: &'a str,
    /// Whether it was said how it is had.
    told: bool,
}

impl Notes<'_> {
    fn of(&mut self, record: &PredictionRecord) {
        if self.common.quiet {
            return;
        }
        let path = &record.path;
        // The prompt is a guess because the one in the file cannot be read.
        if let Some(error) = &record.metadata_error {
            complain(&one_line(&format!(
                "{path}: predicted, for its metadata cannot be read: {error}"
            )));
        }
        if let Some(error) = &record.embedding_error
            && !self.told
        {
            self.told = true;
            complain(&one_line(&format!(
                "{path}: its prompt was read, but has no embedding, and so for every other file that \
                 carries one: {error}; `unprompt models pull {}` fetches the sentence encoder once",
                self.encoder
            )));
        }
    }
}

/// Two pictures of one id cannot stand in one submission; better to say so before the work.
fn check_ids(sources: &SourceList) -> Result<()> {
    let mut first = HashMap::new();
    for source in sources.iter() {
        let id = image_id(source.path());
        if let Some(before) = first.insert(id.clone(), source.path().to_owned()) {
            anyhow::bail!(
                "{} and {} have the same id `{id}`; a submission needs distinct file stems",
                before.display(),
                source.path().display()
            );
        }
    }
    Ok(())
}
