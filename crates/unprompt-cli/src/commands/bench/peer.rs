//! Running Python peers, and comparing with them.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::process::{Command, Stdio};

/// What a command prints on standard output, as JSON.
pub(super) fn output_of(mut command: Command) -> Result<Value> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {program}"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let last = stderr
            .lines()
            .rfind(|line| !line.trim().is_empty())
            .unwrap_or("no message");
        bail!("{program} ended with {}: {last}", output.status);
    }
    serde_json::from_slice(&output.stdout).with_context(|| format!("{program} printed no JSON"))
}

/// A peer's answer, or the command that would install it.
pub(super) fn answer_of_peer(answer: &Value) -> Result<Value> {
    match answer["missing"].as_str() {
        Some(install) => bail!("{install}"),
        None => Ok(answer.clone()),
    }
}

pub(super) fn largest_difference(ours: &Value, theirs: &Value) -> Option<f32> {
    let (ours, theirs) = (ours.as_array()?, theirs.as_array()?);
    if ours.len() != theirs.len() {
        return None;
    }
    let pairs = ours.iter().zip(theirs);
    pairs
        .map(|(a, b)| Some((a.as_f64()? - b.as_f64()?).abs() as f32))
        .try_fold(0.0, |largest: f32, difference| {
            Some(largest.max(difference?))
        })
}

/// The smallest cosine between a row and the same row of the other list; none for no rows.
pub(super) fn least_cosine(ours: &[Vec<f32>], theirs: &[Vec<f32>]) -> Option<f64> {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        let pairs = a.iter().zip(b);
        pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    let cosine = |(a, b): (&Vec<f32>, &Vec<f32>)| dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
    ours.iter().zip(theirs).map(cosine).reduce(f64::min)
}

pub(super) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => (values[n / 2 - 1] + values[n / 2]) / 2.0,
    }
}
