//! `unprompt caption`: what each picture shows, as text, as JSON, or as a file beside the picture.

mod remote;

use crate::{
    Finished,
    arguments::{Caption as Arguments, Common, LengthOf},
    commands::{
        inputs, job,
        sidecars::{self, Done, Sidecars},
    },
    missing,
    output::{Output, complain},
    progress::LoadingProgress,
    records::{RecordWriter, TEXT_OR_JSON, escaped},
    setup::{compute, hub},
};
use anyhow::{Context, Result};
use remote::Elsewhere;
use serde::Serialize;
use serde_json::json;
use std::io::Write;
use unprompt::{
    CaptionOptions, Captioner, FailureRecord, Source,
    image::Limits,
    is_remote,
    job::{ColumnKind, Model},
    models::{Caption, LengthPenalty, Sampling},
};

#[derive(Serialize)]
struct Record {
    path: String,
    caption: String,
    token_ids: Vec<u32>,
    /// Not of a captioner on another server, which tells none.
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f32>,
    /// The captioner, where another server runs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    remote: Option<String>,
}

/// What becomes of a batch of pictures.
type Captions = Box<dyn Fn(&[Source]) -> Vec<Result<Record, FailureRecord>>>;

pub(crate) fn run(common: &Common, arguments: &Arguments) -> Result<Finished> {
    if let Some(finished) = job::supervise(common, &arguments.job, &arguments.paths) {
        return finished;
    }
    if job::is_worker(&arguments.job) {
        return work(common, arguments);
    }
    let found = inputs::pictures(common, &arguments.paths)?;
    let records = RecordWriter::new(
        Output::open(common.out.as_deref())?,
        common.format,
        &TEXT_OR_JSON,
    )?;
    let deny = arguments.deny.deny.as_deref();
    let sidecars = Sidecars::new(&arguments.sidecars, deny, &found)?;
    let (_, captions) = load(common, arguments)?;
    let single = inputs::is_single(&arguments.paths);
    let work = |batch: &[Source]| {
        sidecars::around(sidecars.as_ref(), batch, &captions, |record: &Record| {
            Some(&record.caption)
        })
    };
    let mut skipped = 0;
    let finished = inputs::write_each(common, &found, work, records, |records, path, record| {
        skipped += usize::from(record.is_skipped());
        if !records.write_json_of(path, &record)?
            && let Done::Record(Record { path, caption, .. }) = &record
        {
            let (path, caption) = (escaped(path), escaped(caption));
            if single {
                writeln!(records.raw(), "{caption}")?;
            } else {
                writeln!(records.raw(), "{path}\t{caption}")?;
            }
        }
        Ok(())
    })?;
    sidecars::note_skipped(skipped, found.len(), common.quiet);
    Ok(finished)
}

/// The captioner, which must be able to do what is asked for.
fn load(common: &Common, arguments: &Arguments) -> Result<(Model, Captions)> {
    if is_remote(&arguments.model) {
        let (model, elsewhere) = Elsewhere::load(common, arguments)?;
        return Ok((model, Box::new(move |batch| elsewhere.caption(batch))));
    }
    let options = options(arguments);
    let progress = LoadingProgress::new(common.quiet);
    let compute = compute(common)?;
    let hub = hub(common)?;
    missing::captioner(&hub, &arguments.model, |note| {
        if !common.quiet {
            complain(note);
        }
    })?;
    let name = &arguments.model;
    let (model, captioner) = Captioner::load(&hub, name, &compute, &progress)?;
    captioner
        .check(&options)
        .with_context(|| format!("model `{name}`"))?;
    let model = job::model(name, &model, compute.dtype())?;
    let captions = move |batch: &[Source]| caption(&captioner, batch, &options);
    Ok((model, Box::new(captions)))
}

/// The worker of a job.
fn work(common: &Common, arguments: &Arguments) -> Result<Finished> {
    let options = options(arguments);
    let (model, captions) = load(common, arguments)?;
    let described = job::Described {
        command: "caption",
        settings: job::settings(json!({ "caption": format!("{options:?}") })),
        models: vec![model],
        columns: vec![
            ("caption", ColumnKind::Text),
            ("token_ids", ColumnKind::Json),
            ("score", ColumnKind::Number),
        ],
    };
    job::serve(common, described, captions)
}

fn options(arguments: &Arguments) -> CaptionOptions {
    CaptionOptions {
        prompt: arguments.prompt.clone(),
        beams: arguments.beams,
        no_repeat_ngram: arguments.no_repeat_ngram,
        min_length: arguments.min_length,
        max_length: arguments.max_length,
        max_new_tokens: arguments.max_new_tokens,
        length_penalty: arguments.length_penalty,
        length_penalty_of: arguments.length_of.map(|length| match length {
            LengthOf::Generated => LengthPenalty::GeneratedTokens,
            LengthOf::Whole => LengthPenalty::WholeSequence,
        }),
        early_stopping: arguments.early_stopping.then_some(true),
        sampling: arguments.seed.map(|seed| Sampling {
            seed,
            temperature: arguments.temperature,
            top_k: arguments.top_k,
            top_p: arguments.top_p,
        }),
    }
}

fn caption(
    captioner: &Captioner,
    batch: &[Source],
    options: &CaptionOptions,
) -> Vec<Result<Record, FailureRecord>> {
    let found = captioner.caption_sources(batch, &Limits::default(), options);
    let record = |path, found| {
        let Caption {
            text,
            token_ids,
            score,
        } = found;
        Record {
            path,
            caption: text,
            token_ids,
            score: Some(score),
            remote: None,
        }
    };
    inputs::records(batch, found, record)
}
