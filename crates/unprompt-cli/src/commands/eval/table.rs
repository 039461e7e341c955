//! An evaluation for people to read.

use super::evaluation::{BaselineScore, Evaluation, Mean};
use crate::records::one_line;
use std::io::{Result, Write};
use unprompt::eval::Interval;

pub(super) fn write(out: &mut dyn Write, found: &Evaluation) -> Result<()> {
    scores(out, found)?;
    writeln!(
        out,
        "\n{} pictures of {} prompts, in {} groups of near ones",
        found.n, found.prompts, found.prompt_groups
    )?;
    writeln!(
        out,
        "median {:.4}, a tenth is below {:.4}; of the text {:.4} and {:.4}",
        found.median, found.tenth_percentile, found.text_median, found.text_tenth_percentile
    )?;
    if let Some(expected) = &found.expected_score {
        let (mean, error) = (expected.mean, expected.error);
        writeln!(out, "expected was {mean:.4}, off by {error:.4} a picture")?;
    }
    if let Some(leakage) = &found.leakage {
        let (prompts, threshold, share) =
            (leakage.prompts, leakage.threshold, 100.0 * leakage.share);
        write!(
            out,
            "{prompts} prompts ({share:.1} %) have a neighbour of {threshold} in `{}`",
            one_line(&leakage.lists.join("`, `"))
        )?;
        match (&leakage.without, &leakage.text_without) {
            (Some(without), Some(text)) if prompts > 0 => writeln!(
                out,
                "; without them {:.4}, its text {:.4}",
                without.mean, text.mean
            )?,
            _ => writeln!(out)?,
        }
    }
    for (mean, what) in [
        (
            &found.modifier_recall,
            "of the phrases behind the first comma are in the text",
        ),
        (&found.subject_cosine, "subject's cosine"),
    ] {
        if let Some(mean) = mean {
            let (value, n, interval) = (mean.mean, mean.n, between(mean.interval.as_ref()));
            writeln!(out, "{value:.4}{interval} {what}, {n} pictures")?;
        }
    }
    if let Some(clip) = &found.clip_t {
        let judge = one_line(&clip.judge);
        let mean = |mean: &Mean| format!("{:.4}{}", mean.mean, between(mean.interval.as_ref()));
        write!(out, "CLIP-T by {judge}: {}", mean(&clip.predicted))?;
        match &clip.truth {
            Some(truth) => writeln!(out, ", of the true prompts {}", mean(truth))?,
            None => writeln!(out)?,
        }
    }
    if let Some(redrawn) = &found.redrawn
        && let Some(clip) = &redrawn.clip_i
    {
        let (judge, model) = (one_line(&redrawn.how.judge), one_line(&redrawn.how.model));
        let (mean, n, interval) = (clip.mean, clip.n, between(clip.interval.as_ref()));
        writeln!(
            out,
            "CLIP-I by {judge}: {mean:.4}{interval}, {n} pictures drawn again by {model}"
        )?;
    }
    for (count, what) in [
        (
            found.from_metadata,
            "prompts were read from the file, not predicted",
        ),
        (found.failed.len(), "pictures failed and have no score"),
        (found.without_truth.len(), "files are not in the truth"),
        (
            found.without_picture.len(),
            "images of the truth have no picture here",
        ),
    ] {
        if count > 0 {
            writeln!(out, "{count} {what}")?;
        }
    }
    let constant = &found.baselines.constant_prompt;
    if let (Some(prompt), Some(prompts)) = (&constant.prompt, constant.list_prompts) {
        let (list, prompt) = (&constant.list, one_line(prompt));
        writeln!(
            out,
            "baselines: of the {prompts} prompts of `{list}`; the constant is \"{prompt}\""
        )?;
    }
    differences(out, found)?;
    strata(out, found)?;
    cost(out, found)
}

/// The preset, its members and the baselines, each with its mean.
fn scores(out: &mut dyn Write, found: &Evaluation) -> Result<()> {
    type Row = (String, String, f64, Option<Interval>);
    let none = String::new;
    let mut rows: Vec<Row> = vec![
        (
            found.preset.clone(),
            none(),
            found.mean_cosine,
            found.interval,
        ),
        (
            "its text".into(),
            none(),
            found.text_mean_cosine,
            found.text_interval,
        ),
    ];
    for member in &found.members {
        let weight = format!("{:.4}", member.weight);
        let name = member.name.clone();
        rows.push((name, weight, member.mean_cosine, member.interval));
    }
    for (name, baseline) in found.baselines.named() {
        let name = named(name, baseline);
        rows.push((name, none(), baseline.mean_cosine, baseline.interval));
    }
    let names: Vec<String> = rows.iter().map(|(name, ..)| one_line(name)).collect();
    let width = widest(&names);
    let pad = |name: &str| " ".repeat(width - name.chars().count());
    writeln!(out, "{}  weight  mean cosine  95 %", " ".repeat(width))?;
    for (name, (_, weight, score, interval)) in names.iter().zip(&rows) {
        let interval = limits(interval.as_ref());
        let line = format!(
            "{}{name}  {weight:>6}  {score:>11.4}  {interval}",
            pad(name)
        );
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// What the preset is worth beyond each baseline.
fn differences(out: &mut dyn Write, found: &Evaluation) -> Result<()> {
    let baselines = found.baselines.named();
    let names: Vec<String> = baselines
        .iter()
        .map(|(name, baseline)| one_line(&named(name, baseline)))
        .collect();
    let width = widest(&names).max("better than".len());
    writeln!(
        out,
        "\n{:>width$}  embedding  95 %                text  95 %",
        "better than"
    )?;
    for (name, (_, baseline)) in names.iter().zip(baselines) {
        let (whole, text) = (&baseline.difference, &baseline.text_difference);
        let line = format!(
            "{name:>width$}  {:>+9.4}  {:<18}  {:>+.4}  {}",
            whole.mean,
            limits(whole.interval.as_ref()),
            text.mean,
            limits(text.interval.as_ref())
        );
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

fn strata(out: &mut dyn Write, found: &Evaluation) -> Result<()> {
    if found.strata.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = found
        .strata
        .iter()
        .map(|one| one_line(&one.value))
        .collect();
    let width = widest(&names);
    writeln!(
        out,
        "\n{}  pictures  prompts  embedding  95 %                text  95 %",
        " ".repeat(width)
    )?;
    for (name, one) in names.iter().zip(&found.strata) {
        let line = format!(
            "{name:>width$}  {:>8}  {:>7}  {:>9.4}  {:<18}  {:>.4}  {}",
            one.n,
            one.prompts,
            one.mean_cosine,
            limits(one.interval.as_ref()),
            one.text_mean_cosine,
            limits(one.text_interval.as_ref())
        );
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

fn cost(out: &mut dyn Write, found: &Evaluation) -> Result<()> {
    let run = &found.run;
    write!(
        out,
        "\n{:.1} pictures a second, models loaded in {:.1} s",
        run.pictures_per_second, run.loading_seconds
    )?;
    if let Some(peak) = run.peak_memory_mb {
        write!(out, ", at most {peak:.0} MB of memory")?;
    }
    writeln!(out)?;
    if let Some(digest) = &found.pictures_sha256 {
        writeln!(out, "pictures: SHA-256 {digest}")?;
    }
    Ok(())
}

/// A baseline's name, with what it is made of where there are several of that name.
fn named(name: &str, baseline: &BaselineScore) -> String {
    match name {
        "prior" if baseline.list.contains(" + ") => "prior of these".to_owned(),
        "prior" => format!("prior {}", baseline.list),
        _ => name.to_owned(),
    }
}

/// As wide as the widest of names.
fn widest(names: &[String]) -> usize {
    let widths = names.iter().map(|name| name.chars().count());
    widths.max().unwrap_or(0)
}

/// The limits of an interval; nothing where there is none.
fn limits(interval: Option<&Interval>) -> String {
    interval.map_or_else(String::new, |Interval { low, high }| {
        format!("{low:.4} to {high:.4}")
    })
}

/// The same behind a number.
fn between(interval: Option<&Interval>) -> String {
    interval.map_or_else(String::new, |interval| {
        format!(" ({})", limits(Some(interval)))
    })
}
