//! `unprompt redraw`: pictures drawn again from the prompts that are found in them.

mod page;

use crate::{
    Finished,
    arguments::{Common, Redraw},
    commands::{
        draw::{self, load},
        inputs,
        picture_judge::{Likeness, PictureJudge},
        thumbnail::upright,
    },
    output::{Output, complain},
    progress::LoadingProgress,
    records::{RecordWriter, TEXT_OR_JSON, escaped, one_line},
    setup::{compute, hub},
};
use anyhow::{Context, Result, bail};
use page::Card;
use serde::Serialize;
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};
use unprompt::{
    Outcome, PredictOptions, Predictor, Preset, Source,
    diffusion::{Drawing, Drawn, Noise, Pipeline, Settings},
    eval::cosine,
    image::{Limits, RgbImage},
    metadata,
};

/// One picture, and what was drawn from its prompt.
#[derive(Serialize)]
struct Redrawn {
    path: String,
    prompt: String,
    /// `predicted` or `given`.
    source: &'static str,
    /// Where the drawn picture is, where pictures are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    drawn: Option<String>,
    cosine: f64,
    judge: String,
    ssim: Option<f64>,
    /// The cosine of the predicted prompt with the one that the file carries.
    #[serde(skip_serializing_if = "Option::is_none")]
    text_score: Option<f64>,
    seed: u64,
}

#[derive(Serialize)]
struct Failure<'a> {
    path: &'a str,
    error: String,
}

pub(crate) fn run(common: &Common, arguments: &Redraw) -> Result<Finished> {
    if common.out.is_none() && arguments.report.is_none() {
        bail!(
            "redraw needs --out DIR, where the drawn pictures go, or --report FILE, a page that shows them"
        );
    }
    if let Some(folder) = &common.out
        && folder.exists()
        && !folder.is_dir()
    {
        bail!("--out {}: this is no folder", folder.display());
    }
    let found = inputs::pictures(common, &arguments.paths)?;
    let targets: Vec<Option<PathBuf>> = (1..)
        .zip(found.iter())
        .map(|(number, source)| Some(common.out.as_ref()?.join(file_name(number, source.path()))))
        .collect();
    if let Some(taken) = targets.iter().flatten().find(|path| path.exists()) {
        bail!(
            "{}: there already, and no picture is replaced; name another folder with --out",
            taken.display()
        );
    }
    let mut records = RecordWriter::new(Output::open(None)?, common.format, &TEXT_OR_JSON)?;
    let report = match &arguments.report {
        Some(path) => Some(Output::open(Some(path))?),
        None => None,
    };
    let (_, pipeline, settings) = load(common, &arguments.how)?;
    let (hub, compute) = (hub(common)?, compute(common)?);
    let progress = LoadingProgress::new(common.quiet);
    let predictor = match &arguments.prompt {
        Some(_) => None,
        None => {
            let preset = Preset::load(&arguments.preset)?;
            Some(Predictor::load(
                &hub, preset, &compute, &progress, &progress,
            )?)
        }
    };
    let judge = PictureJudge::load(&hub, arguments.judge.as_deref(), &compute, &progress)?;
    if !common.quiet {
        draw::announce(&pipeline, &settings, found.len())?;
        complain(&format!("judge: {}", judge.name));
    }
    if let Some(folder) = &common.out {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }

    let work = Work {
        common,
        arguments,
        pipeline,
        settings,
        predictor,
        judge,
        total: found.len(),
    };
    let mut finished = Finished::Whole;
    let (mut cards, mut cosines) = (Vec::new(), Vec::new());
    for (index, (source, target)) in found.iter().zip(&targets).enumerate() {
        let path = source.path().to_string_lossy();
        match work.one(index, &source, target.as_deref()) {
            Ok((redrawn, picture, drawn)) => {
                cosines.push(redrawn.cosine);
                if report.is_some() {
                    cards.push(Card::new(&redrawn, &picture, &drawn.image)?);
                }
                if !records.write_json_of(source.path(), &redrawn)? {
                    write_line(records.raw(), &redrawn)?;
                }
            }
            Err(error) => {
                finished = Finished::WithFailures;
                complain(&one_line(&format!("{path}: {error:#}")));
                let error = format!("{error:#}");
                records.write_json_of(source.path(), &Failure { path: &path, error })?;
            }
        }
        records.flush()?;
    }
    if let Some(mut report) = report {
        let mean = match cosines.len() {
            0 => None,
            count => Some(cosines.iter().sum::<f64>() / count as f64),
        };
        let Settings {
            width,
            height,
            steps,
            guidance,
            scheduler,
        } = &work.settings;
        let settings = format!(
            "{width}x{height}, {steps} steps of {scheduler}, guidance {guidance}, seed {}",
            arguments.seed
        );
        let model = &arguments.how.model;
        let html = page::html(&cards, model, settings, &work.judge.name, mean)?;
        report
            .write_all(html.as_bytes())
            .context("cannot write the page")?;
        report.finish()?;
    }
    records.finish()?;
    Ok(finished)
}

/// What every picture is worked on with.
struct Work<'a> {
    common: &'a Common,
    arguments: &'a Redraw,
    pipeline: Pipeline,
    settings: Settings,
    predictor: Option<Predictor>,
    judge: PictureJudge,
    total: usize,
}

impl Work<'_> {
    /// Predicts, draws and compares one picture.
    fn one(
        &self,
        index: usize,
        source: &Source,
        target: Option<&Path>,
    ) -> Result<(Redrawn, RgbImage, Drawn)> {
        let limits = Limits::default();
        let bytes = source.read(&limits)?;
        let picture = upright(&bytes, &limits)?;
        let (prompt, origin, text_score) = self.prompt(source.path(), bytes)?;
        let drawing = Drawing {
            prompt: prompt.clone(),
            negative: self.arguments.negative.clone(),
            noise: Noise::Seed(self.arguments.seed),
        };
        let name = format!("picture {} of {}", index + 1, self.total);
        let mut drawn =
            draw::draw_one(self.common, &self.pipeline, &self.settings, drawing, &name)?;
        let model = draw::model_name(&self.arguments.how.model);
        drawn.infotext.settings.push(("Model", model));
        if let Some(target) = target {
            draw::save(&drawn, target)?;
        }
        let Likeness { cosine, ssim } = self.judge.compare(&picture, &drawn.image)?;
        let redrawn = Redrawn {
            path: source.path().to_string_lossy().into_owned(),
            prompt,
            source: origin,
            drawn: target.map(|target| target.to_string_lossy().into_owned()),
            cosine,
            judge: self.judge.name.clone(),
            ssim,
            text_score,
            seed: self.arguments.seed,
        };
        Ok((redrawn, picture, drawn))
    }

    /// The prompt, where it is from, and its score where the file carries the true one.
    fn prompt(&self, path: &Path, bytes: Vec<u8>) -> Result<(String, &'static str, Option<f64>)> {
        let Some(predictor) = &self.predictor else {
            let given = self.arguments.prompt.clone().unwrap_or_default();
            return Ok((given, "given", None));
        };
        let options = PredictOptions {
            metadata: false,
            ..PredictOptions::default()
        };
        let truth = metadata::read(&bytes)
            .ok()
            .flatten()
            .map(|found| found.prompt);
        // Standard input cannot be read twice.
        let source = Source::Memory(path.to_owned(), bytes.into());
        let outcome = predictor.predict(&[source], &options)?.pop();
        let found = match outcome {
            Some(Outcome::Prediction(found)) => found,
            Some(Outcome::Failure(failed)) => bail!("{}", failed.error),
            None => bail!("nothing was predicted"),
        };
        let score = match truth.filter(|truth| !truth.trim().is_empty()) {
            // Without an encoder here, as `lite` may be, there is no score.
            Some(truth) => predictor.encoder().ok().and_then(|encoder| {
                let vectors = encoder.embed(&[truth, found.prompt.clone()]).ok()?;
                let wide = |vector: &Vec<f32>| -> Vec<f64> {
                    vector.iter().copied().map(f64::from).collect()
                };
                cosine(&wide(vectors.first()?), &wide(vectors.get(1)?))
            }),
            None => None,
        };
        Ok((found.prompt, "predicted", score))
    }
}

fn write_line(out: &mut Output, redrawn: &Redrawn) -> Result<()> {
    let Redrawn {
        path,
        prompt,
        cosine,
        ssim,
        text_score,
        ..
    } = redrawn;
    write!(
        out,
        "{}\t{}\tcosine {cosine:.3}",
        escaped(path),
        escaped(prompt)
    )?;
    if let Some(ssim) = ssim {
        write!(out, "\tSSIM {ssim:.3}")?;
    }
    if let Some(score) = text_score {
        write!(out, "\ttext {score:.3}")?;
    }
    Ok(writeln!(out)?)
}

/// The picture's number and name.
fn file_name(number: usize, path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let plain: String = stem
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '_' {
                c
            } else {
                '-'
            }
        })
        .take(60)
        .collect();
    format!("{number:04}-{plain}.png")
}
