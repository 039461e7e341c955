//! A fit as JSON and for people to read.

use crate::records::one_line;
use serde::Serialize;
use std::io::{Result, Write};
use unprompt::{
    ConfidenceFeature,
    eval::{CalibrationFit, Fit},
};

/// A fit with its calibration, as JSON shows it.
#[derive(Serialize)]
pub(super) struct Report {
    #[serde(flatten)]
    pub(super) fit: Fit,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) calibration: Option<FittedCalibration>,
}

#[derive(Serialize)]
pub(super) struct FittedCalibration {
    pub(super) feature: ConfidenceFeature,
    #[serde(flatten)]
    pub(super) map: CalibrationFit,
}

pub(super) fn write(out: &mut dyn Write, report: &Report) -> Result<()> {
    let fit = &report.fit;
    let names: Vec<String> = fit
        .members
        .iter()
        .map(|member| one_line(&member.name))
        .collect();
    let width = names
        .iter()
        .map(|name| name.chars().count())
        .max()
        .unwrap_or(0);
    let width = width.max("constant prompt".len());
    let pad = |name: &str| " ".repeat(width - name.chars().count());
    writeln!(
        out,
        "{} pictures of {} prompts; mean cosine, cross-validated in {} folds split by prompt\n",
        fit.n, fit.prompts, fit.folds
    )?;
    writeln!(
        out,
        "{}member    weight    alone  without it",
        pad("member")
    )?;
    for (member, name) in fit.members.iter().zip(&names) {
        let without = member
            .without
            .map_or("-".into(), |score| format!("{score:.4}"));
        let (weight, alone) = (member.weight, member.alone);
        writeln!(
            out,
            "{}{name}  {weight:>8.4}  {alone:>7.4}  {without:>10}",
            pad(name)
        )?;
    }
    let row = |out: &mut dyn Write, name: &str, score: f64| {
        writeln!(out, "{}{name}            {score:>7.4}", pad(name))
    };
    let folds: Vec<String> = fit
        .per_fold
        .iter()
        .map(|score| format!("{score:.4}"))
        .collect();
    writeln!(
        out,
        "{}blend            {:>7.4}  folds {}",
        pad("blend"),
        fit.cross_validated,
        folds.join(" ")
    )?;
    if fit.weights_fitted {
        row(out, "in sample", fit.in_sample)?;
    }
    row(out, "mean embedding", fit.mean_embedding)?;
    row(out, "constant prompt", fit.constant_prompt)?;
    if let Some(calibration) = &report.calibration {
        let map = &calibration.map;
        writeln!(
            out,
            "\nexpected score from `{}`, {} corners: off by {:.4} on average, the mean score by {:.4}",
            calibration.feature.name(),
            map.points.len(),
            map.error,
            map.error_of_mean
        )?;
    }
    Ok(())
}
