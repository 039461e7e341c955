//! An evaluation as one page of HTML: no script, no network, nothing that is not in the file.
//!
//! Prompts and file names are whatever somebody wrote: the template escapes every value, and the page
//! itself forbids whatever it does not contain (`Content-Security-Policy`), its own style by digest.

mod histogram;
mod pairs;
mod words;

use super::{
    evaluation::{BaselineScore, Evaluation, ImageResult, Stratum, ranking},
    redraw::Pair,
};
use crate::commands::thumbnail::Thumbnail;
use anyhow::{Context, Result};
use askama::Template;
use base64::{Engine, prelude::BASE64_STANDARD};
use histogram::Histogram;
use pairs::PairCard;
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::path::Path;
use unprompt::{MemberSpec, ModelReceipt, Preset, eval::Interval, image::Limits};
use words::{limits, number, shown, thumbnail, with_limits};

/// The page's only style.
const STYLE: &str = include_str!("../../../templates/report.css");
/// Best pictures shown, and worst.
const SHOWN: usize = 12;

/// How the evaluation was made.
pub(crate) struct Settings<'a> {
    pub(crate) preset: &'a Preset,
    pub(crate) device: String,
    pub(crate) metadata: bool,
    pub(crate) truth: &'a Path,
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    style: &'static str,
    style_digest: String,
    preset: String,
    score: String,
    margin: String,
    beats: bool,
    found: &'a Evaluation,
    rows: Vec<Row>,
    strata: Vec<StratumRow>,
    histogram: Histogram,
    sections: Vec<Section>,
    /// How pictures were drawn again, in words, and each beside the true one.
    redrawn: String,
    pairs: Vec<PairCard<'a>>,
    settings: Vec<(&'static str, String)>,
    models: &'a [ModelReceipt],
    left_over: Vec<(String, Vec<String>)>,
}

/// One line of the table of members.
struct Row {
    name: String,
    what: String,
    weight: String,
    score: String,
    interval: String,
    /// How far the preset is above a baseline.
    above: String,
    /// Length of its bar, of 100.
    bar: String,
    class: &'static str,
}

/// Pictures that have something in common.
struct StratumRow {
    name: String,
    n: usize,
    prompts: usize,
    score: String,
    interval: String,
    text: String,
    text_interval: String,
}

struct Section {
    title: &'static str,
    id: &'static str,
    cards: Vec<Card>,
}

struct Card {
    rank: usize,
    path: String,
    /// A data URI, and its size in pixels; `None` where the picture is gone.
    picture: Option<Thumbnail>,
    score: String,
    expected: Option<String>,
    truth: Option<String>,
    prompt: String,
    from_file: bool,
}

/// The page.
pub(super) fn html(
    found: &Evaluation,
    settings: &Settings<'_>,
    pairs: &[Pair],
    limits: &Limits,
) -> Result<String> {
    let mean = &found.baselines.mean_embedding;
    let baselines = found.baselines.named();
    let best_baseline = baselines
        .iter()
        .map(|(_, baseline)| baseline.mean_cosine)
        .fold(f64::NEG_INFINITY, f64::max);
    let order: Vec<&ImageResult> = ranking(&found.per_image)
        .into_iter()
        .map(|place| &found.per_image[place])
        .collect();
    let best = SHOWN.min(order.len().div_ceil(2));
    let worst = SHOWN.min(order.len() - best);
    let section = |title, id, images: Vec<(usize, &ImageResult)>| Section {
        title,
        id,
        cards: images
            .into_par_iter()
            .map(|(rank, image)| card(rank, image, limits))
            .collect(),
    };
    let ranked: Vec<(usize, &ImageResult)> = (1..).zip(order).collect();
    let mut sections = vec![section("Best pictures", "best", ranked[..best].to_vec())];
    if worst > 0 {
        let from_below = ranked.iter().rev().take(worst);
        sections.push(section(
            "Worst pictures",
            "worst",
            from_below.copied().collect(),
        ));
    }
    let cosines: Vec<f64> = found.per_image.iter().map(|image| image.cosine).collect();
    let page = Page {
        style: STYLE,
        style_digest: BASE64_STANDARD.encode(Sha256::digest(STYLE)),
        preset: shown(&found.preset),
        score: number(found.mean_cosine),
        margin: format!("{:+.4}", found.mean_cosine - best_baseline).replace('-', "−"),
        beats: found.mean_cosine > best_baseline,
        rows: rows(found, settings.preset),
        strata: strata(found),
        histogram: Histogram::new(&cosines, found.mean_cosine, mean.mean_cosine),
        sections,
        redrawn: pairs::how(found),
        pairs: pairs::cards(found, pairs),
        settings: facts(found, settings),
        models: &found.receipt.models,
        left_over: left_over(found),
        found,
    };
    page.render().context("cannot make the report")
}

fn rows(found: &Evaluation, preset: &Preset) -> Vec<Row> {
    let row = |name: &str, what: String, score: f64, interval: Option<&Interval>, class| Row {
        name: shown(name),
        what,
        weight: String::new(),
        score: number(score),
        interval: limits(interval),
        above: String::new(),
        bar: format!("{:.1}", score.clamp(0.0, 1.0) * 100.0),
        class,
    };
    let mut rows = vec![
        row(
            &found.preset,
            "the prediction: its embedding".into(),
            found.mean_cosine,
            found.interval.as_ref(),
            "blend",
        ),
        row(
            "its text",
            "the prompt that it says, embedded".into(),
            found.text_mean_cosine,
            found.text_interval.as_ref(),
            "member",
        ),
    ];
    for member in &found.members {
        let spec = preset.members.iter().find(|spec| spec.name == member.name);
        let what = spec.map_or(String::new(), made_of);
        let (score, interval) = (member.mean_cosine, member.interval.as_ref());
        rows.push(Row {
            weight: format!("{:.4}", member.weight),
            ..row(&member.name, what, score, interval, "member")
        });
    }
    for (name, score) in found.baselines.named() {
        let what = match (&score.prompt, score.list_prompts) {
            (Some(prompt), _) => format!("“{}”, for every picture", shown(prompt)),
            (None, Some(prompts)) => format!("of the {prompts} prompts of {}", score.list),
            (None, None) => format!("what the texts of {} have in common", score.list),
        };
        let mut shown_name = name.to_owned();
        shown_name[..1].make_ascii_uppercase();
        let (mean, interval) = (score.mean_cosine, score.interval.as_ref());
        rows.push(Row {
            above: above(score),
            ..row(&shown_name, what, mean, interval, "baseline")
        });
    }
    rows
}

/// How far the preset is above a baseline, with the interval of the difference.
fn above(baseline: &BaselineScore) -> String {
    let difference = &baseline.difference;
    let mean = format!("{:+.4}", difference.mean).replace('-', "−");
    match &difference.interval {
        Some(interval) => format!("{mean} ({})", limits(Some(interval))),
        None => mean,
    }
}

fn strata(found: &Evaluation) -> Vec<StratumRow> {
    let row = |one: &Stratum| StratumRow {
        name: shown(&one.value),
        n: one.n,
        prompts: one.prompts,
        score: number(one.mean_cosine),
        interval: limits(one.interval.as_ref()),
        text: number(one.text_mean_cosine),
        text_interval: limits(one.text_interval.as_ref()),
    };
    found.strata.iter().map(row).collect()
}

/// What a member is made of.
fn made_of(spec: &MemberSpec) -> String {
    match spec.prompts() {
        Some(prompts) => format!("from the prompts of {}", shown(prompts)),
        None => shown(&spec.models().join(", ")),
    }
}

fn facts(found: &Evaluation, settings: &Settings<'_>) -> Vec<(&'static str, String)> {
    let preset = settings.preset;
    let mut facts = vec![
        ("Program", format!("unprompt {}", found.receipt.version)),
        ("Preset", shown(&preset.name)),
        ("Sentence encoder", shown(&preset.encoder)),
        (
            "Members before blending",
            if preset.normalize_members {
                "at unit length"
            } else {
                "as they are"
            }
            .into(),
        ),
        ("Device", settings.device.clone()),
        ("Number type", found.receipt.dtype.to_owned()),
        (
            "Prompts inside the files",
            if settings.metadata {
                "taken where they are"
            } else {
                "not looked at"
            }
            .into(),
        ),
        ("Truth", shown(&settings.truth.to_string_lossy())),
    ];
    if found.from_metadata > 0 {
        facts.push((
            "Read from the file",
            format!("{} pictures", found.from_metadata),
        ));
    }
    if let Some(expected) = &found.expected_score {
        let (mean, error) = (number(expected.mean), number(expected.error));
        let text = format!("{mean} on average, off by {error} a picture");
        facts.push(("Expected score", text));
    }
    let two = |whole: f64, text: f64| format!("{}, of the text {}", number(whole), number(text));
    facts.push(("Median", two(found.median, found.text_median)));
    facts.push((
        "A tenth is below",
        two(found.tenth_percentile, found.text_tenth_percentile),
    ));
    if let Some(recall) = &found.modifier_recall {
        facts.push(("Phrases behind the first comma", with_limits(recall)));
    }
    if let Some(subject) = &found.subject_cosine {
        facts.push(("Cosine of the subjects", with_limits(subject)));
    }
    if let Some(leakage) = &found.leakage {
        let without = leakage.without.as_ref();
        let without = without.map_or_else(String::new, |mean| {
            format!("; without them {}", number(mean.mean))
        });
        let text = format!(
            "{} of the prompts have a neighbour of {} in {}{without}",
            leakage.prompts,
            leakage.threshold,
            shown(&leakage.lists.join(", ")),
        );
        facts.push(("Known beforehand", text));
    }
    if let Some(clip) = &found.clip_t {
        let truth = clip.truth.as_ref();
        let truth = truth.map_or_else(String::new, |mean| {
            format!(", of the true prompts {}", with_limits(mean))
        });
        let text = format!(
            "{}{truth}, by {}, SHA-256 {}",
            with_limits(&clip.predicted),
            shown(&clip.judge),
            clip.sha256
        );
        facts.push(("CLIP-T", text));
    }
    if let Some(digest) = &found.pictures_sha256 {
        facts.push(("Pictures, SHA-256", digest.clone()));
    }
    facts
}

fn left_over(found: &Evaluation) -> Vec<(String, Vec<String>)> {
    const NAMED: usize = 20;
    let failed = found.failed.iter();
    let failed: Vec<String> = failed.map(|f| format!("{}: {}", f.path, f.error)).collect();
    [
        ("failed and have no score", &failed),
        ("are not in the truth", &found.without_truth),
        ("of the truth have no picture", &found.without_picture),
    ]
    .into_iter()
    .filter(|(_, names)| !names.is_empty())
    .map(|(what, names)| {
        let mut named: Vec<String> = names.iter().take(NAMED).map(|name| shown(name)).collect();
        if names.len() > NAMED {
            named.push(format!("and {} more", names.len() - NAMED));
        }
        (format!("{} {what}", names.len()), named)
    })
    .collect()
}

fn card(rank: usize, image: &ImageResult, limits: &Limits) -> Card {
    Card {
        rank,
        path: shown(&image.path),
        picture: thumbnail(&image.path, limits),
        score: number(image.cosine),
        expected: image.expected_score.map(number),
        truth: image.true_prompt.as_deref().map(shown),
        prompt: shown(&image.prompt),
        from_file: image.source == unprompt::PromptSource::Metadata,
    }
}
