//! `unprompt draw`: pictures of prompts.

mod estimate;
mod job;
mod names;
mod noise;

use crate::{
    Finished,
    arguments::{Common, Draw, DrawHow},
    commands::prompt_records,
    output::{Output, complain},
    progress::{Bar, LoadingProgress},
    records::{RecordWriter, TEXT_OR_JSON, escaped, one_line},
    setup::{compute, hub},
};
use anyhow::{Context, Result, anyhow, bail};
use estimate::Estimate;
use noise::GivenNoise;
use serde::Serialize;
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    time::Instant,
};
use unprompt::{
    ModelRef, ResolvedModel,
    diffusion::{Drawing, Drawn, Noise, Pipeline, SchedulerKind, Settings},
    models::{LoadOptions, Pickle},
};
use unprompt_files::{TemporaryFile, folder_of, promote, promote_new, temporary_in};

/// One picture that is to be drawn.
struct Planned {
    prompt: String,
    seed: u64,
    path: PathBuf,
}

#[derive(Serialize)]
struct Record<'a> {
    path: &'a str,
    prompt: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    negative_prompt: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    width: usize,
    height: usize,
    steps: usize,
    guidance: f32,
    scheduler: &'static str,
    model: &'a str,
    elapsed_ms: f64,
}

#[derive(Serialize)]
struct Failure<'a> {
    path: &'a str,
    prompt: &'a str,
    seed: u64,
    error: String,
}

pub(crate) fn run(common: &Common, arguments: &Draw) -> Result<Finished> {
    if let Some(folder) = &arguments.job.job {
        return job::run(common, arguments, folder);
    }
    let Some(folder) = &common.out else {
        bail!("draw needs --out DIR: where the pictures go");
    };
    if folder.exists() && !folder.is_dir() {
        bail!("--out {}: this is no folder", folder.display());
    }
    let mut records = RecordWriter::new(Output::open(None)?, common.format, &TEXT_OR_JSON)?;
    let planned = plan(arguments, folder)?;
    if let Some(taken) = planned.iter().find(|planned| planned.path.exists()) {
        bail!(
            "{}: there already, and no picture is replaced; name another folder with --out, or another --seed",
            taken.path.display()
        );
    }
    let given = match &arguments.noise {
        Some(path) => Some(GivenNoise::read(path)?),
        None => None,
    };
    if let Some(given) = &given {
        given.check(planned.len())?;
    }
    let (_, pipeline, settings) = load(common, &arguments.how)?;
    if !common.quiet {
        announce(&pipeline, &settings, planned.len())?;
        warn_of_cut(&pipeline, &planned)?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;

    let mut finished = Finished::Whole;
    let evaluations = pipeline.evaluations(&settings)?;
    let batch = usize::from(arguments.batch);
    for (index, pictures) in planned.chunks(batch).enumerate() {
        let start = Instant::now();
        let drawing = |(place, picture): (usize, &Planned)| Drawing {
            prompt: picture.prompt.clone(),
            negative: arguments.negative.clone(),
            noise: match &given {
                Some(given) => given.of(index * batch + place),
                None => Noise::Seed(picture.seed),
            },
        };
        let drawings: Vec<Drawing> = pictures.iter().enumerate().map(drawing).collect();
        let first = index * batch + 1;
        let name = match pictures.len() {
            1 => format!("picture {first} of {}", planned.len()),
            count => format!(
                "pictures {first} to {} of {}",
                first + count - 1,
                planned.len()
            ),
        };
        let mut bar = Bar::count(&name, evaluations, common.quiet);
        let drawn = pipeline.draw(&drawings, &settings, &mut |_, _| bar.advance(1));
        bar.finish();
        let elapsed_ms = start.elapsed().as_secs_f64() * 1e3 / pictures.len() as f64;
        match drawn {
            Ok(drawn) => {
                for (picture, mut drawn) in pictures.iter().zip(drawn) {
                    let name = model_name(&arguments.how.model);
                    drawn.infotext.settings.push(("Model", name));
                    save(&drawn, &picture.path)?;
                    let path = picture.path.to_string_lossy();
                    let record = Record {
                        path: &path,
                        prompt: &picture.prompt,
                        negative_prompt: arguments.negative.as_deref(),
                        seed: given.is_none().then_some(picture.seed),
                        width: settings.width,
                        height: settings.height,
                        steps: settings.steps,
                        guidance: settings.guidance,
                        scheduler: settings.scheduler.name(),
                        model: &arguments.how.model,
                        elapsed_ms,
                    };
                    if !records.write_json_of(&picture.path, &record)? {
                        writeln!(records.raw(), "{}", escaped(&path))?;
                    }
                }
            }
            Err(error) => {
                finished = Finished::WithFailures;
                for picture in pictures {
                    let path = picture.path.to_string_lossy();
                    complain(&one_line(&format!("{path}: {error}")));
                    records.write_json(&Failure {
                        path: &path,
                        prompt: &picture.prompt,
                        seed: picture.seed,
                        error: error.to_string(),
                    })?;
                }
            }
        }
        records.flush()?;
    }
    records.finish()?;
    Ok(finished)
}

/// Every picture with its seed and the name of its file.
fn plan(arguments: &Draw, folder: &Path) -> Result<Vec<Planned>> {
    let mut prompts = arguments.texts.clone();
    if let Some(file) = &arguments.from {
        let name = || format!("--from {}", file.display());
        let found = prompt_records::read(file, false).with_context(name)?;
        if found.is_empty() {
            bail!("{}: no record has a prompt", name());
        }
        prompts.extend(found.into_iter().map(|record| record.prompt));
    }
    let count = u64::from(arguments.count);
    if arguments.seed.checked_add(count - 1).is_none() {
        bail!(
            "--seed {}: {count} seeds from here on are too many",
            arguments.seed
        );
    }
    let digits = prompts.len().to_string().len().max(4);
    let mut planned = Vec::with_capacity(prompts.len() * arguments.count as usize);
    for (index, prompt) in prompts.into_iter().enumerate() {
        for seed in arguments.seed..=arguments.seed + (count - 1) {
            planned.push(Planned {
                path: folder.join(names::file_name(index + 1, digits, &prompt, seed)),
                prompt: prompt.clone(),
                seed,
            });
        }
    }
    Ok(planned)
}

/// The pipeline, and how it is to draw.
pub(crate) fn load(common: &Common, how: &DrawHow) -> Result<(ResolvedModel, Pipeline, Settings)> {
    let scheduler = match &how.scheduler {
        Some(name) => Some(name.parse::<SchedulerKind>().context("--scheduler")?),
        None => None,
    };
    let options = LoadOptions {
        pickle: match common.allow_pickle {
            true => Pickle::Allow,
            false => Pickle::Deny,
        },
        compute: compute(common)?,
    };
    let progress = LoadingProgress::new(common.quiet);
    let named = || format!("model `{}`", how.model);
    let reference: ModelRef = how.model.parse().with_context(named)?;
    let model = hub(common)?
        .resolve(&reference, &progress)
        .with_context(named)?;
    let mut note = |text: &str| {
        if !common.quiet {
            complain(&format!("{}: {text}", how.model));
        }
    };
    let pipeline = Pipeline::open(&model.dir, &options, &mut note)?;
    let mut settings = Settings::of(&pipeline);
    settings.steps = how.steps as usize;
    settings.guidance = how.guidance;
    if let Some(size) = how.size {
        (settings.width, settings.height) = (size.width, size.height);
    }
    if let Some(scheduler) = scheduler {
        settings.scheduler = scheduler;
    }
    pipeline.check(&settings)?;
    Ok((model, pipeline, settings))
}

/// Draws one picture behind a bar of this name.
pub(crate) fn draw_one(
    common: &Common,
    pipeline: &Pipeline,
    settings: &Settings,
    drawing: Drawing,
    name: &str,
) -> Result<Drawn> {
    let mut bar = Bar::count(name, pipeline.evaluations(settings)?, common.quiet);
    let drawn = pipeline.draw(&[drawing], settings, &mut |_, _| bar.advance(1));
    bar.finish();
    drawn?.pop().ok_or_else(|| anyhow!("nothing was drawn"))
}

/// Says what so many pictures will take.
pub(crate) fn announce(pipeline: &Pipeline, settings: &Settings, pictures: usize) -> Result<()> {
    complain(&Estimate::of(pipeline, settings, pictures)?.to_string());
    Ok(())
}

/// Says of which prompts the model cannot see the end.
fn warn_of_cut(pipeline: &Pipeline, planned: &[Planned]) -> Result<()> {
    let mut last = None;
    for picture in planned {
        if last == Some(&picture.prompt) {
            continue;
        }
        last = Some(&picture.prompt);
        let cut = pipeline.cut(&picture.prompt)?;
        if cut > 0 {
            complain(&one_line(&format!(
                "the model does not see the last {cut} tokens of the prompt {}",
                picture.prompt
            )));
        }
    }
    Ok(())
}

/// Writes the file, all or nothing, and never in the place of another.
pub(crate) fn save(drawn: &Drawn, path: &Path) -> Result<()> {
    let failed = || format!("cannot write {}", path.display());
    let file = temporary(drawn, path).with_context(failed)?;
    promote_new(file, path).with_context(failed)
}

/// The same in the place of an earlier one.
fn write_whole(drawn: &Drawn, path: &Path) -> Result<()> {
    let failed = || format!("cannot write {}", path.display());
    let file = temporary(drawn, path).with_context(failed)?;
    promote(file, path).with_context(failed)
}

/// The file without its name.
fn temporary(drawn: &Drawn, path: &Path) -> Result<TemporaryFile> {
    let mut file = temporary_in(folder_of(path))?;
    file.write_all(&drawn.png()?)?;
    Ok(file)
}

/// The last part of a model's name, which for a folder is the folder's.
pub(crate) fn model_name(model: &str) -> String {
    let name = Path::new(model).file_name();
    name.map_or_else(
        || model.to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}
