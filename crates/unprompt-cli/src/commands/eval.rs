//! `unprompt eval`: a preset over pictures whose prompts are known.

mod evaluation;
mod judge;
mod picture_list;
mod redraw;
mod report;
mod scores;
mod summary;
mod table;
mod table1;
mod truth;

use crate::{
    Finished,
    arguments::{Common, Eval},
    commands::{inputs, peak_memory},
    output::{Output, complain},
    progress::LoadingProgress,
    records::{RecordWriter, TEXT_OR_JSON, one_line},
    setup::{compute, hub},
};
use anyhow::{Context, Result, bail};
use evaluation::RunCost;
use judge::Judge;
use redraw::Redraw;
use scores::Scores;
use std::{
    collections::{HashMap, HashSet},
    io::Write,
    path::Path,
    time::Instant,
};
use summary::Summary;
use truth::Truth;
use unprompt::{
    Baselines, KnownPrompts, PredictOptions, Predictor, Preset, Source,
    eval::{Answers, image_id},
    sources_besides,
};

pub(crate) fn run(common: &Common, arguments: &Eval) -> Result<Finished> {
    if let Some(picture) = &arguments.table1 {
        return table1::run(common, arguments, picture);
    }
    let preset = Preset::load(&arguments.preset)?;
    let truth_file = arguments.truth.as_deref().context("--truth is missing")?;
    let truth = Answers::open(truth_file)?;
    let results = [common.out.as_deref(), arguments.report.as_deref()];
    let found = sources_besides(
        &arguments.paths,
        &results.into_iter().flatten().collect::<Vec<_>>(),
    )?;
    let pairs = pair(found, &truth, truth_file)?;
    if !common.quiet {
        pairs.complain();
    }
    let output = Output::open(common.out.as_deref())?;
    let records = RecordWriter::new(output, common.format, &TEXT_OR_JSON)?;
    let page = arguments
        .report
        .as_deref()
        .map(|path| Output::open(Some(path)))
        .transpose()?;

    let redraw = Redraw::new(common, arguments)?;
    let (hub, compute) = (hub(common)?, compute(common)?);
    let progress = LoadingProgress::new(common.quiet);
    peak_memory::reset_peak();
    let loading = Instant::now();
    let predictor = Predictor::load(&hub, preset, &compute, &progress, &progress)?;
    let loading_seconds = loading.elapsed().as_secs_f64();
    let baselines = Baselines::new(&hub, &predictor, &compute, &progress)?;
    let known = KnownPrompts::new(&hub, &predictor, &compute, &progress)?;
    let options = PredictOptions {
        // Whichever flag stands last is set, and neither means no.
        metadata: arguments.metadata && !arguments.no_metadata,
        ..PredictOptions::default()
    };
    let sources = pairs.sources;
    let truth = Truth::new(&truth, &sources, predictor.encoder()?, &known)?;
    let mut scores = Scores::new(&predictor, &baselines, truth);
    let predicting = Instant::now();
    let mut finished = inputs::predict_each(
        common,
        sources.clone(),
        &predictor,
        &options,
        |_, _| Ok(()),
        |_, result| scores.add(result),
    )?;
    let (mut scored, failed) = scores.finish()?;
    let predicting_seconds = predicting.elapsed().as_secs_f64();
    let run = RunCost {
        loading_seconds,
        predicting_seconds,
        pictures_per_second: sources.len() as f64 / predicting_seconds,
        peak_memory_mb: peak_memory::peak_mb(),
    };
    let named = arguments.judge.as_deref();
    let judge = named.map(|name| Judge::load(&hub, name, &compute, &progress));
    let judge = judge.transpose()?;
    if let Some(judge) = &judge {
        judge.judge(common, &sources, &mut scored.images)?;
    }
    let redrawn = match &redraw {
        Some(redraw) => Some(redraw.run(
            common,
            (&hub, &compute),
            named,
            &sources,
            &mut scored.images,
        )?),
        None => None,
    };
    if redrawn
        .as_ref()
        .is_some_and(|redrawn| !redrawn.failed.is_empty())
    {
        finished = Finished::WithFailures;
    }
    let summary = Summary::new(&scored);
    let mut evaluation = summary.evaluation(&predictor, &baselines, &known.names(), judge.as_ref());
    evaluation.redrawn = redrawn.as_ref().map(|redrawn| summary.redrawn(redrawn));
    evaluation.pictures_sha256 = picture_list::digest(&sources, &scored.images);
    evaluation.run = run;
    evaluation.failed = failed;
    evaluation.without_truth = pairs.without_truth;
    evaluation.without_picture = pairs.without_picture;
    evaluation.per_image = scored.images;

    if let Some(mut page) = page {
        let settings = report::Settings {
            preset: predictor.preset(),
            device: format!("{:?}", common.device).to_lowercase(),
            metadata: options.metadata,
            truth: truth_file,
        };
        let pairs = redrawn
            .as_ref()
            .map_or(&[][..], |redrawn| &redrawn.pairs[..]);
        let html = report::html(&evaluation, &settings, pairs, &options.limits)?;
        page.write_all(html.as_bytes())
            .context("cannot write the report")?;
        page.finish()?;
    }
    records.finish_with("scores", &evaluation, |out| table::write(out, &evaluation))?;
    Ok(finished)
}

/// Pictures that have a truth, and what is left over on both sides.
struct Pairs {
    sources: Vec<Source>,
    without_truth: Vec<String>,
    without_picture: Vec<String>,
}

/// Pairs pictures with the truth by the stems of their names.
fn pair(found: Vec<Source>, truth: &Answers, truth_file: &Path) -> Result<Pairs> {
    let truth_file = truth_file.canonicalize().ok();
    let is_truth = |source: &Source| {
        let path = source.path().canonicalize();
        truth_file.is_some() && path.ok() == truth_file
    };
    let (mut sources, mut without_truth) = (Vec::new(), Vec::new());
    let mut first: HashMap<String, String> = HashMap::new();
    for source in found {
        let id = image_id(source.path());
        let path = source.path().to_string_lossy().into_owned();
        if truth.get(&id).is_none() {
            // The truth often stands among its pictures.
            if !is_truth(&source) {
                without_truth.push(path);
            }
            continue;
        }
        if let Some(before) = first.insert(id.clone(), path.clone()) {
            bail!(
                "{before} and {path} have the same id `{id}`; the truth needs distinct file stems"
            );
        }
        sources.push(source);
    }
    if sources.is_empty() {
        bail!(
            "{}: none of the pictures is in it; an id is a file's name without folder and extension",
            truth.name()
        );
    }
    let seen: HashSet<&String> = first.keys().collect();
    let entries = truth.entries().iter().map(|entry| &entry.id);
    let without_picture = entries.filter(|id| !seen.contains(id)).cloned().collect();
    Ok(Pairs {
        sources,
        without_truth,
        without_picture,
    })
}

impl Pairs {
    /// Says what is left over, with the first of it.
    fn complain(&self) {
        let say = |left: &[String], what: &str| {
            if let Some(first) = left.first() {
                complain(&one_line(&format!(
                    "{} {what}, the first is {first}",
                    left.len()
                )));
            }
        };
        say(
            &self.without_truth,
            "files are not in the truth and are left out",
        );
        say(
            &self.without_picture,
            "images of the truth have no picture here",
        );
    }
}
