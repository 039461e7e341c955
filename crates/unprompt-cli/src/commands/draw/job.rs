//! `unprompt draw --job DIR`: a long list of pictures that survives interruptions.
//!
//! ```text
//! DIR/pictures/0001-a-cat-0.png    the pictures, whole or not there
//!     pairs.csv                    `file` and `prompt` of each, written when all are there
//! ```
//!
//! An item is one picture: its file's name is its id, prompt and seed are its fields. A picture is the
//! same bytes however often it is drawn, so that one that was drawn and not noted before a process died
//! is drawn again and takes its own place.

use super::{announce, load, model_name, plan, write_whole};
use crate::{
    Finished,
    arguments::{Common, Draw},
    commands::job::{self, Described},
    output::complain,
    progress::{Bar, LoadingProgress},
    setup::{compute, hub},
};
use anyhow::{Context, Result, anyhow, bail};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::{fs, path::Path, time::Instant};
use unprompt::{
    FailureRecord,
    diffusion::{Drawing, Noise},
    job::{ColumnKind, Item, Job, status},
    load_sentence_encoder,
};
use unprompt_files::{TEMPORARY_PREFIX, sync_folder, write};

/// Where the pictures go.
const PICTURES: &str = "pictures";
/// What `unprompt train` reads.
const PAIRS: &str = "pairs.csv";
/// Texts embedded at a time.
const TEXTS_AT_ONCE: usize = 256;

#[derive(Serialize)]
struct Record {
    path: String,
    prompt: String,
    seed: u64,
    elapsed_ms: f64,
}

/// Works on the job, as the process that keeps its folder or as its worker.
pub(super) fn run(common: &Common, arguments: &Draw, folder: &Path) -> Result<Finished> {
    if arguments.noise.is_some() {
        bail!("--noise: a job draws from seeds");
    }
    let flags = arguments.job.flags();
    if job::is_worker(&flags) {
        return work(common, arguments, folder);
    }
    let items = || -> Result<Box<dyn Iterator<Item = Item>>> {
        Ok(Box::new(items(common, arguments)?.into_iter()))
    };
    let finished = job::run_items(common, &flags, folder, inputs(arguments)?, items)?;
    let job = Job::open(folder)?;
    if status(&job)?.complete {
        let count = write_pairs(&job, folder)?;
        remove_leftovers(&folder.join(PICTURES))?;
        if !common.quiet {
            let pairs = folder.join(PAIRS);
            complain(&format!("{count} pairs in {}", pairs.display()));
        }
    }
    Ok(finished)
}

/// What must be the same when the job goes on.
fn inputs(arguments: &Draw) -> Result<Map<String, Value>> {
    let mut inputs = Map::new();
    inputs.insert("TEXT".into(), arguments.texts.clone().into());
    if let Some(from) = &arguments.from {
        let failed = || format!("--from {}", from.display());
        let digest = job::sha256(fs::read(from).with_context(failed)?);
        inputs.insert("--from (SHA-256)".into(), digest.into());
    }
    inputs.insert("--seed".into(), arguments.seed.into());
    inputs.insert("--count".into(), arguments.count.into());
    inputs.insert("--dedup".into(), arguments.job.dedup.into());
    Ok(inputs)
}

/// Every picture, those of prompts that are nearly the same as an earlier one left out.
fn items(common: &Common, arguments: &Draw) -> Result<Vec<Item>> {
    let mut planned = plan(arguments, Path::new(""))?;
    if arguments.job.dedup < 1.0 {
        let mut prompts: Vec<String> = Vec::new();
        for picture in &planned {
            if prompts.last() != Some(&picture.prompt) {
                prompts.push(picture.prompt.clone());
            }
        }
        let kept = distinct(common, &prompts, arguments.job.dedup)?;
        if !common.quiet {
            let left = prompts.len() - kept.iter().filter(|kept| **kept).count();
            complain(&format!(
                "{left} of {} prompts are nearly the same as an earlier one and left out",
                prompts.len()
            ));
        }
        let mut place = 0;
        let mut last: Option<String> = None;
        planned.retain(|picture| {
            if last.as_ref() != Some(&picture.prompt) {
                place += usize::from(last.is_some());
                last = Some(picture.prompt.clone());
            }
            kept[place]
        });
    }
    let item = |picture: super::Planned| {
        let name = picture.path.to_string_lossy().into_owned();
        let mut fields = Map::new();
        fields.insert("path".into(), format!("{PICTURES}/{name}").into());
        fields.insert("prompt".into(), picture.prompt.into());
        fields.insert("seed".into(), picture.seed.into());
        Item { id: name, fields }
    };
    Ok(planned.into_iter().map(item).collect())
}

/// Of each prompt whether its embedding's cosine with every one that is kept before it is below `limit`.
fn distinct(common: &Common, prompts: &[String], limit: f64) -> Result<Vec<bool>> {
    let progress = LoadingProgress::new(common.quiet);
    let (_, encoder) = load_sentence_encoder(
        &hub(common)?,
        "all-MiniLM-L6-v2",
        &compute(common)?,
        &progress,
    )?;
    let mut bar = Bar::count("prompts", prompts.len(), common.quiet);
    let mut kept: Vec<Vec<f32>> = Vec::new();
    let mut verdicts = Vec::with_capacity(prompts.len());
    for texts in prompts.chunks(TEXTS_AT_ONCE) {
        for vector in encoder.embed(texts)? {
            let near = |other: &Vec<f32>| {
                let product: f32 = vector.iter().zip(other).map(|(a, b)| a * b).sum();
                f64::from(product) >= limit
            };
            let is_new = !kept.iter().any(near);
            if is_new {
                kept.push(vector);
            }
            verdicts.push(is_new);
        }
        bar.advance(texts.len() as u64);
    }
    bar.finish();
    Ok(verdicts)
}

/// The worker.
fn work(common: &Common, arguments: &Draw, folder: &Path) -> Result<Finished> {
    let pictures = folder.join(PICTURES);
    let (resolved, pipeline, settings) = load(common, &arguments.how)?;
    if !common.quiet {
        // Of one picture: how many are left is for the process that keeps the folder.
        announce(&pipeline, &settings, 1)?;
    }
    let described = Described {
        command: "draw",
        settings: job::settings(json!({
            "steps": settings.steps,
            "guidance": settings.guidance,
            "scheduler": settings.scheduler.name(),
            "size": format!("{}x{}", settings.width, settings.height),
            "negative": arguments.negative,
        })),
        models: vec![job::model(
            &arguments.how.model,
            &resolved,
            compute(common)?.dtype(),
        )?],
        columns: vec![
            ("prompt", ColumnKind::Text),
            ("seed", ColumnKind::Number),
            ("elapsed_ms", ColumnKind::Number),
        ],
    };
    let batch = usize::from(arguments.batch);
    let draw = |items: &[Item]| -> Result<Vec<Record>> {
        fs::create_dir_all(&pictures)
            .with_context(|| format!("cannot make {}", pictures.display()))?;
        let start = Instant::now();
        let drawing = |item: &Item| Drawing {
            prompt: text(item, "prompt"),
            negative: arguments.negative.clone(),
            noise: Noise::Seed(seed(item)),
        };
        let drawings: Vec<Drawing> = items.iter().map(drawing).collect();
        let drawn = pipeline.draw(&drawings, &settings, &mut |_, _| {})?;
        let mut records = Vec::with_capacity(items.len());
        for (item, mut drawn) in items.iter().zip(drawn) {
            let name = model_name(&arguments.how.model);
            drawn.infotext.settings.push(("Model", name));
            write_whole(&drawn, &pictures.join(&item.id))?;
            records.push(Record {
                path: text(item, "path"),
                prompt: text(item, "prompt"),
                seed: seed(item),
                elapsed_ms: start.elapsed().as_secs_f64() * 1e3 / items.len() as f64,
            });
        }
        Ok(records)
    };
    job::serve_items(described, batch, |items| match draw(items) {
        Ok(records) => records.into_iter().map(Ok).collect(),
        Err(error) => items
            .iter()
            .map(|item| {
                Err(FailureRecord {
                    path: format!("{PICTURES}/{}", item.id),
                    error: format!("{error:#}"),
                })
            })
            .collect(),
    })
}

/// Removes what killed workers left: now that every shard is done, none of it is still written.
fn remove_leftovers(pictures: &Path) -> Result<()> {
    let failed = || format!("cannot look into {}", pictures.display());
    for entry in fs::read_dir(pictures).with_context(failed)? {
        let entry = entry.with_context(failed)?;
        let name = entry.file_name();
        if name.to_string_lossy().starts_with(TEMPORARY_PREFIX) {
            fs::remove_file(entry.path())
                .with_context(|| format!("cannot remove {}", entry.path().display()))?;
        }
    }
    Ok(())
}

/// A field of an item that is a text.
fn text(item: &Item, key: &str) -> String {
    let text = item.fields.get(key).and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}

fn seed(item: &Item) -> u64 {
    let seed = item.fields.get("seed").and_then(Value::as_u64);
    seed.unwrap_or_default()
}

/// Writes the table of pictures that are there and their prompts.
fn write_pairs(job: &Job, folder: &Path) -> Result<usize> {
    let mut table = csv::Writer::from_writer(Vec::new());
    table.write_record(["file", "prompt"])?;
    let mut count = 0;
    for part in 0..job.parts() {
        for item in job.items(part)? {
            let name = format!("{PICTURES}/{}", item.id);
            if folder.join(&name).is_file() {
                table.write_record([&name, &text(&item, "prompt")])?;
                count += 1;
            }
        }
    }
    let bytes = table
        .into_inner()
        .map_err(|error| anyhow!("cannot make the table: {error}"))?;
    let path = folder.join(PAIRS);
    write(&path, &bytes).with_context(|| format!("cannot write {}", path.display()))?;
    sync_folder(folder);
    Ok(count)
}
