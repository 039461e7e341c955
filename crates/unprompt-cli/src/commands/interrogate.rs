//! `unprompt interrogate`: a prompt of labels for each picture.

use crate::{
    Finished,
    arguments::{Common, Format, Interrogate},
    commands::{
        inputs, job,
        sidecars::{self, Done, Sidecars},
    },
    missing,
    output::{Output, complain},
    progress::LoadingProgress,
    records::{RecordWriter, escaped},
    setup::{compute, hub},
};
use anyhow::{Context, Result, bail};
use rayon::prelude::*;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, fs, io::Write, path::PathBuf};
use unprompt::{
    CaptionOptions, Captioner, FailureRecord, Hub, InputError, LabelChoice, PictureInterrogator,
    Question, RemoteCaptioner, Source,
    image::{Limits, RgbImage, decode},
    interrogate::{
        Behaviour, Contribution, InterrogateOptions, Interrogation, LabelPolicy, Mode, RankedLabel,
        TokenBudget,
    },
    is_remote,
    job::{ColumnKind, Model},
    token_counter,
};

const FORMATS: [Format; 4] = [Format::Text, Format::Json, Format::Jsonl, Format::Csv];

#[derive(Serialize)]
struct Record {
    path: String,
    mode: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    caption: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    similarity: Option<f32>,
    /// What each phrase adds.
    #[serde(skip_serializing_if = "Option::is_none")]
    explain: Option<Vec<Contribution>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tables: Option<BTreeMap<String, Vec<RankedLabel>>>,
    /// Whether a search went to its end; only where it had a time limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    complete: Option<bool>,
}

pub(crate) fn run(common: &Common, arguments: &Interrogate) -> Result<Finished> {
    if let Some(finished) = job::supervise(common, &arguments.job, &arguments.paths) {
        return finished;
    }
    if job::is_worker(&arguments.job) {
        return work(common, arguments);
    }
    let sources = inputs::pictures(common, &arguments.paths)?;
    let deny = arguments.deny.as_deref();
    let sidecars = Sidecars::new(&arguments.sidecars, deny, &sources)?;
    if sidecars.is_some() && arguments.mode.mode() == Mode::Analyze {
        bail!("--sidecar: --mode analyze makes no prompt that could be written beside a picture");
    }
    let output = Output::open(common.out.as_deref())?;
    let mut records = RecordWriter::new(output, common.format, &FORMATS)?;
    let (models, _) = load(common, arguments)?;
    let single = inputs::is_single(&arguments.paths);
    if records.format() == Format::Csv {
        records.write_row(&["path", "prompt"])?;
    }
    let work = |batch: &[Source]| {
        let prompts = |batch: &[Source]| interrogate(&models, batch, arguments);
        sidecars::around(sidecars.as_ref(), batch, prompts, |record: &Record| {
            record.prompt.as_deref()
        })
    };
    let mut skipped = 0;
    let finished = inputs::write_each(common, &sources, work, records, |records, path, done| {
        skipped += usize::from(done.is_skipped());
        match &done {
            Done::Record(record) if records.format() == Format::Csv => {
                let prompt = record.prompt.as_deref().unwrap_or_default();
                records.write_row(&[&record.path, prompt])
            }
            _ if records.write_json_of(path, &done)? => Ok(()),
            Done::Record(record) => write_text(records, record, single),
            Done::Skipped { .. } => Ok(()),
        }
    })?;
    sidecars::note_skipped(skipped, sources.len(), common.quiet);
    Ok(finished)
}

/// Loads what pictures go through, and says which models that are.
fn load(common: &Common, arguments: &Interrogate) -> Result<(Models, Vec<Model>)> {
    let hub = hub(common)?;
    let progress = LoadingProgress::new(common.quiet);
    let compute = compute(common)?;
    let say = |note: &str| {
        if !common.quiet {
            complain(note);
        }
    };
    missing::interrogator(
        &hub,
        &arguments.clip,
        captioner_of(arguments).filter(|name| !is_remote(name)),
        arguments.labels.as_deref(),
        say,
    )?;
    let mut used = Vec::new();
    let mut elsewhere = None;
    let captioner = match captioner_of(arguments) {
        Some(name) if is_remote(name) => {
            elsewhere = Some(RemoteCaptioner::load(&hub, name)?);
            used.push(job::remote_model(name));
            None
        }
        Some(name) => {
            let (model, captioner) = Captioner::load(&hub, name, &compute, &progress)?;
            used.push(job::model(name, &model, compute.dtype())?);
            Some(captioner)
        }
        None => None,
    };
    let (model, interrogator) = PictureInterrogator::load(
        &hub,
        &arguments.clip,
        &labels(arguments)?,
        options(&hub, arguments, &progress)?,
        &compute,
        &progress,
        &progress,
    )?;
    used.push(job::model(&arguments.clip, &model, compute.dtype())?);
    let models = Models {
        interrogator,
        captioner,
        elsewhere,
    };
    Ok((models, used))
}

/// The worker of a job.
fn work(common: &Common, arguments: &Interrogate) -> Result<Finished> {
    if arguments.budget.is_some() {
        bail!(
            "--budget: what a prompt can be in some time is another one each time; a job needs the same"
        );
    }
    let (models, used) = load(common, arguments)?;
    let described = job::Described {
        command: "interrogate",
        settings: settings(arguments)?,
        models: used,
        columns: vec![
            ("mode", ColumnKind::Text),
            ("prompt", ColumnKind::Text),
            ("caption", ColumnKind::Text),
            ("similarity", ColumnKind::Number),
            ("explain", ColumnKind::Json),
            ("tables", ColumnKind::Json),
        ],
    };
    job::serve(common, described, |batch| {
        interrogate(&models, batch, arguments)
    })
}

/// What the prompts depend on, besides the models.
fn settings(arguments: &Interrogate) -> Result<Map<String, Value>> {
    let digest = |file: &PathBuf| -> Result<String> {
        let failed = || format!("cannot read {}", file.display());
        Ok(job::sha256(fs::read(file).with_context(failed)?))
    };
    let optional = |file: &Option<PathBuf>| file.as_ref().map(digest).transpose();
    let mut lists = BTreeMap::new();
    if let Some(folder) = &arguments.labels {
        let failed = || format!("cannot read {}", folder.display());
        for entry in fs::read_dir(folder).with_context(failed)? {
            let path = entry.with_context(failed)?.path();
            if path.extension().is_some_and(|ending| ending == "txt") && path.is_file() {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                lists.insert(name.into_owned(), digest(&path)?);
            }
        }
    }
    let lists = lists.into_iter();
    let lists: Vec<String> = lists
        .map(|(name, digest)| format!("{name} {digest}"))
        .collect();
    Ok(job::settings(json!({
        "mode": arguments.mode.name(),
        "caption": arguments.caption,
        "labels (SHA-256)": job::sha256(lists.join("\n")),
        "no-artists": arguments.no_artists,
        "without": arguments.without,
        "allow (SHA-256)": optional(&arguments.allow)?,
        "deny (SHA-256)": optional(&arguments.deny)?,
        "min-flavors": arguments.min_flavors,
        "max-flavors": arguments.max_flavors,
        "candidates": arguments.candidates,
        "max-tokens": arguments.max_tokens,
        "tokenizer": arguments.tokenizer,
        "explain": arguments.explain,
        "top": arguments.top,
        "compat": arguments.compat,
        "chunk-size": arguments.chunk_size,
        "published-labels": arguments.published_labels,
    })))
}

/// The model that writes captions, where they are wanted and not given.
fn captioner_of(arguments: &Interrogate) -> Option<&str> {
    let is_wanted = arguments.mode.mode().takes_caption() && arguments.caption.is_none();
    is_wanted.then_some(arguments.captioner.as_str())
}

fn labels(arguments: &Interrogate) -> Result<LabelChoice> {
    let mut policy = LabelPolicy::default();
    if let Some(file) = &arguments.allow {
        policy = policy.allow(file)?;
    }
    if let Some(file) = &arguments.deny {
        policy = policy.deny(file)?;
    }
    let mut without = arguments.without.clone();
    if arguments.no_artists {
        without.push("artists".into());
    }
    Ok(LabelChoice {
        folder: arguments.labels.clone(),
        without,
        policy,
        cache: arguments.label_cache.clone(),
        published: arguments.published_labels || arguments.compat.is_some(),
    })
}

fn options(
    hub: &Hub,
    arguments: &Interrogate,
    progress: &LoadingProgress,
) -> Result<InterrogateOptions> {
    let behaviour = match arguments.compat {
        Some(_) => Behaviour::Compat060,
        None => Behaviour::Fixed,
    };
    let budget = match (arguments.max_tokens, &arguments.tokenizer) {
        (None, _) => TokenBudget::of_context(),
        (Some(limit), None) => TokenBudget::of_tokens(limit as usize),
        (Some(limit), Some(model)) => {
            let limit = limit as usize;
            TokenBudget::counted_by(limit, token_counter(hub, model, limit, progress)?)
        }
    };
    Ok(InterrogateOptions {
        min_flavors: arguments.min_flavors,
        max_flavors: arguments.max_flavors,
        candidates: arguments.candidates as usize,
        budget,
        time: arguments.budget,
        explain: arguments.explain,
        top: arguments.top,
        chunk_size: arguments.chunk_size as usize,
        ..InterrogateOptions::new(arguments.mode.mode(), behaviour)
    })
}

/// What a picture goes through.
struct Models {
    interrogator: PictureInterrogator,
    captioner: Option<Captioner>,
    /// In its place.
    elsewhere: Option<RemoteCaptioner>,
}

/// A picture, with what its prompt begins with.
struct Captioned {
    image: RgbImage,
    caption: Option<String>,
}

/// Interrogates the pictures that can be read together. When that fails as a whole, each is done
/// alone, so that only the one at fault fails.
fn interrogate(
    models: &Models,
    batch: &[Source],
    arguments: &Interrogate,
) -> Vec<Result<Record, FailureRecord>> {
    let pictures = captioned(models, batch, arguments);
    let (mut good, mut captions) = (Vec::new(), Vec::new());
    for picture in pictures.iter().flatten() {
        good.push(picture.image.clone());
        captions.push(picture.caption.as_deref());
    }
    let interrogator = &models.interrogator;
    let together = interrogator.interrogate(&good, &captions);
    let mut together = together.ok().map(Vec::into_iter);
    let one = |(source, picture): (&Source, &Result<Captioned, InputError>)| {
        let found = match picture {
            Err(error) => return Err(inputs::failure(source, error)),
            Ok(Captioned { image, caption }) => match together.as_mut().and_then(Iterator::next) {
                Some(found) => found,
                None => interrogator
                    .interrogate(std::slice::from_ref(image), &[caption.as_deref()])
                    .and_then(|mut found| found.swap_remove(0)),
            }
            .map(|found| (found, caption)),
        };
        match found {
            Ok((found, caption)) => Ok(record(source, found, caption.clone(), arguments)),
            Err(error) => Err(inputs::failure(source, &error)),
        }
    };
    batch.iter().zip(&pictures).map(one).collect()
}

/// Reads the pictures and captions them, together where that succeeds.
fn captioned(
    models: &Models,
    batch: &[Source],
    arguments: &Interrogate,
) -> Vec<Result<Captioned, InputError>> {
    let limits = Limits::default();
    let preprocessor = models.interrogator.pictures().preprocessor();
    let pixels = preprocessor.decode_options(limits);
    if let Some(elsewhere) = &models.elsewhere {
        let captions = elsewhere.caption_sources(batch, &limits, &Question::default());
        let both = |(source, caption): (&Source, Result<String, InputError>)| {
            let caption = Some(caption?);
            let image = decode(&source.read(&limits)?, &pixels)?;
            Ok(Captioned { image, caption })
        };
        return batch.iter().zip(captions).map(both).collect();
    }
    let Some(captioner) = &models.captioner else {
        let read = |source: &Source| {
            let image = decode(&source.read(&limits)?, &pixels)?;
            let caption = arguments.caption.clone();
            Ok(Captioned { image, caption })
        };
        return batch.par_iter().map(read).collect();
    };
    let options = CaptionOptions::default();
    // Each model says for itself what becomes of transparency.
    let pixels_for_captioner = captioner.preprocessor().decode_options(limits);
    let read = |source: &Source| {
        let bytes = source.read(&limits)?;
        Ok((
            decode(&bytes, &pixels)?,
            decode(&bytes, &pixels_for_captioner)?,
        ))
    };
    let read: Vec<Result<(RgbImage, RgbImage), InputError>> = batch.par_iter().map(read).collect();
    let good: Vec<RgbImage> = read.iter().flatten().map(|both| both.1.clone()).collect();
    let together = captioner.caption(&good, &options);
    let mut together = together.ok().map(Vec::into_iter);
    let one = |both: Result<(RgbImage, RgbImage), InputError>| {
        let (image, for_captioner) = both?;
        let caption = match together.as_mut().and_then(Iterator::next) {
            Some(caption) => caption,
            None => captioner
                .caption(&[for_captioner], &options)?
                .swap_remove(0),
        };
        let caption = Some(caption.text.trim().to_owned());
        Ok(Captioned { image, caption })
    };
    read.into_iter().map(one).collect()
}

fn record(
    source: &Source,
    found: Interrogation,
    caption: Option<String>,
    arguments: &Interrogate,
) -> Record {
    let captioned = arguments.mode.mode().takes_caption();
    Record {
        path: source.path().to_string_lossy().into_owned(),
        mode: arguments.mode.name(),
        prompt: found.prompt,
        caption: caption.filter(|caption| captioned && !caption.is_empty()),
        similarity: found.similarity,
        explain: found.contributions,
        tables: found.tables.map(|tables| tables.into_iter().collect()),
        complete: arguments.budget.map(|_| found.complete),
    }
}

/// The prompt on one line, or the labels of the tables; then what each phrase adds.
fn write_text(records: &mut RecordWriter, record: &Record, single: bool) -> Result<()> {
    let out = records.raw();
    let path = if single {
        String::new()
    } else {
        format!("{}\t", escaped(&record.path))
    };
    if let Some(prompt) = &record.prompt {
        writeln!(out, "{path}{}", escaped(prompt))?;
    }
    for (table, labels) in record.tables.iter().flatten() {
        for RankedLabel { label, similarity } in labels {
            writeln!(out, "{path}{table}\t{similarity:.4}\t{}", escaped(label))?;
        }
    }
    for Contribution {
        phrase,
        contribution,
    } in record.explain.iter().flatten()
    {
        writeln!(out, "{path}{contribution:+.4}\t{}", escaped(phrase))?;
    }
    Ok(())
}
