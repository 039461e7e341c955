//! `unprompt blend fit`: weights of a preset, and what score to expect of it.

mod report;

use crate::{
    Finished,
    arguments::{Blend, BlendFit, Common, Feature},
    commands::lazy_encoder::LazyEncoder,
    output::{Output, complain},
    records::{RecordWriter, TEXT_OR_JSON},
};
use anyhow::{Result, bail};
use report::{FittedCalibration, Report};
use std::{
    collections::HashMap,
    io::Write,
    path::{Path, PathBuf},
};
use unprompt::{
    Calibration, ConfidenceFeature, FittedBlend, Preset,
    eval::{Answers, Fit, FitOptions, Predictions, calibrate, fit, image_id, score},
};

const ENCODER: &str = "all-MiniLM-L6-v2";
/// Digits of a weight that are worth writing.
const WEIGHT_ROUNDING: f64 = 1e6;
/// What rounding to f32 and back may do to a cosine.
const SAME_COSINE: f64 = 1e-5;

pub(crate) fn run(common: &Common, action: &Blend) -> Result<Finished> {
    match action {
        Blend::Fit(arguments) => run_fit(common, arguments),
    }
}

fn run_fit(common: &Common, arguments: &BlendFit) -> Result<Finished> {
    // `--out` is the preset: the table always goes to standard output.
    let records = RecordWriter::new(Output::open(None)?, common.format, &TEXT_OR_JSON)?;
    let file = common.out.as_deref().map(preset_file).transpose()?;
    let base = arguments.preset.as_deref().map(Preset::load).transpose()?;
    let truth = Answers::open(&arguments.truth)?;
    let Members { members, made } = read_members(&arguments.members)?;
    let names = members.iter().map(|(name, _)| name.as_str());
    if let Some(base) = &base {
        base.match_members(names.clone())?;
    }
    let own_weight = |name: &str| {
        let members = &base.as_ref()?.members;
        members
            .iter()
            .find(|member| member.name == name)
            .map(|member| member.weight)
    };
    let kept = || {
        names
            .clone()
            .map(|name| own_weight(name).unwrap_or(0.0))
            .collect()
    };
    let options = FitOptions {
        folds: arguments.folds.into(),
        normalize_members: base.as_ref().is_none_or(|base| base.normalize_members),
        weights: arguments.keep_weights.then(kept),
    };
    let encoder = base.as_ref().map_or(ENCODER, |base| &base.encoder);
    let encoder = arguments.model.as_deref().unwrap_or(encoder);
    let mut encoder = LazyEncoder::new(common, encoder);
    let mut embed = |texts: &[String]| encoder.embed(texts);
    let fit = fit(&truth, &members, &options, &mut embed)?;

    let weighted = fit
        .members
        .iter()
        .filter(|member| member.weight > 0.0)
        .count();
    let feature = match arguments.feature {
        Some(feature @ (Feature::Agreement | Feature::Length)) if weighted < 2 => {
            let name = format!("{feature:?}").to_lowercase();
            bail!("--feature {name}: only one member has a weight; `text` needs no second one")
        }
        Some(feature) => feature,
        None if weighted < 2 => Feature::Text,
        None => Feature::Agreement,
    };
    let values = match feature {
        Feature::Agreement => Ok(fit.held_out.iter().map(|image| image.agreement).collect()),
        Feature::Length => Ok(fit.held_out.iter().map(|image| image.length).collect()),
        Feature::Text => {
            let mut score = |left: &Answers, right: &Answers| {
                let score = score(left, right, &mut embed)?;
                let images = score.per_image.into_iter();
                Ok(images.map(|image| (image.id, image.cosine)).collect())
            };
            text_feature(&fit, &truth, made.as_ref(), &mut score)?
        }
    };
    let calibration = match values {
        Ok(values) => Some(calibration(feature, &values, &fit, truth.name())?),
        Err(reason) if arguments.feature.is_some() => bail!("--feature text: {reason}"),
        Err(reason) => {
            if !common.quiet {
                complain(&format!("no expected score was fitted: {reason}"));
            }
            None
        }
    };
    let report = Report { fit, calibration };
    if let Some(file) = file {
        write_preset(arguments, &report, file)?;
    }
    records.finish_with("fit", &report, |out| report::write(out, &report))?;
    Ok(Finished::Whole)
}

/// The preset's file; better opened before the work.
fn preset_file(path: &Path) -> Result<(Output, String)> {
    if path.extension().is_none_or(|extension| extension != "toml") {
        bail!("--out {}: a preset's file ends in .toml", path.display());
    }
    Ok((Output::open(Some(path))?, image_id(path)))
}

/// What the files of `--member` hold.
struct Members {
    members: Vec<(String, Answers)>,
    /// The one file of records whose `members` these are, if it is the only file.
    made: Option<(Answers, Answers)>,
}

fn read_members(files: &[String]) -> Result<Members> {
    let (mut members, mut made) = (Vec::new(), None);
    for argument in files {
        let (name, path) = named(argument);
        let Predictions {
            answers,
            prompts,
            members: inner,
        } = Predictions::open(&path)?;
        match name {
            None if !inner.is_empty() => {
                members.extend(inner);
                if files.len() == 1 {
                    made = prompts.map(|prompts| (answers, prompts));
                }
            }
            None => members.push((image_id(&path), answers)),
            Some(name) => members.push((name, answers)),
        }
    }
    Ok(Members { members, made })
}

/// `NAME=FILE`, or a file, whose name may have that form too.
fn named(argument: &str) -> (Option<String>, PathBuf) {
    match argument.split_once('=') {
        Some((name, path)) if !name.is_empty() && !Path::new(argument).exists() => {
            (Some(name.to_owned()), path.into())
        }
        _ => (None, argument.into()),
    }
}

/// The cosine of each image of two files, by its id.
type ScoreById<'a> = dyn FnMut(&Answers, &Answers) -> Result<HashMap<String, f64>> + 'a;

/// The cosine of each prediction's text with its embedding, or why it is not known.
///
/// The text is chosen for one blend, so that the records must be those of this blend and no other.
fn text_feature(
    fit: &Fit,
    truth: &Answers,
    made: Option<&(Answers, Answers)>,
    score: &mut ScoreById<'_>,
) -> Result<std::result::Result<Vec<f64>, &'static str>> {
    let Some((answers, prompts)) = made else {
        return Ok(Err(
            "its feature is how near the prompt is to the embedding, so give the records that \
             `predict` wrote as the only member file",
        ));
    };
    let scores = score(answers, truth)?;
    let same =
        |image: &unprompt::eval::HeldOut| (scores[&image.id] - image.cosine).abs() <= SAME_COSINE;
    if !fit.held_out.iter().all(same) {
        return Ok(Err(
            "the records were made with other weights; predict with the preset that has these, \
             then fit again with --preset and --keep-weights",
        ));
    }
    let features = score(prompts, answers)?;
    Ok(Ok(fit
        .held_out
        .iter()
        .map(|image| features[&image.id])
        .collect()))
}

fn calibration(
    feature: Feature,
    values: &[f64],
    fit: &Fit,
    name: &str,
) -> Result<FittedCalibration> {
    let scores: Vec<f64> = fit.held_out.iter().map(|image| image.cosine).collect();
    let folds: Vec<usize> = fit.held_out.iter().map(|image| image.fold).collect();
    Ok(FittedCalibration {
        feature: match feature {
            Feature::Agreement => ConfidenceFeature::Agreement,
            Feature::Text => ConfidenceFeature::Text,
            Feature::Length => ConfidenceFeature::Length,
        },
        map: calibrate(name, values, &scores, &folds)?,
    })
}

fn write_preset(arguments: &BlendFit, report: &Report, file: (Output, String)) -> Result<()> {
    let round = |weight: f64| match arguments.keep_weights {
        true => weight,
        false => (weight * WEIGHT_ROUNDING).round() / WEIGHT_ROUNDING,
    };
    let members = report.fit.members.iter();
    let blend = FittedBlend {
        weights: members.map(|m| (m.name.clone(), round(m.weight))).collect(),
        normalize_members: report.fit.normalize_members,
        calibration: report.calibration.as_ref().map(|calibration| Calibration {
            feature: calibration.feature,
            points: calibration.map.points.clone(),
        }),
    };
    let (mut output, name) = file;
    let text = match &arguments.preset {
        Some(base) => blend.write_into(base, &name)?,
        None => blend.write_alone(),
    };
    output.write_all(text.as_bytes())?;
    output.finish()
}
