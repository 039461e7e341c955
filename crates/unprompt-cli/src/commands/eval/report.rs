//! An evaluation as one page of HTML: no script, no network, nothing that is not in the file.
//!
//! Prompts and file names are whatever somebody wrote: the template escapes every value, and the page
//! itself forbids whatever it does not contain (`Content-Security-Policy`), its own style by digest.

mod histogram;
mod thumbnail;

use super::evaluation::{BaselineScore, Evaluation, ImageResult};
use crate::records::one_line;
use anyhow::{Context, Result};
use askama::Template;
use base64::{Engine, prelude::BASE64_STANDARD};
use histogram::Histogram;
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::path::Path;
use unprompt::{MemberSpec, ModelReceipt, Preset, image::Limits};

/// The page's only style.
const STYLE: &str = include_str!("../../../templates/report.css");
/// Best pictures shown, and worst.
const SHOWN: usize = 12;
/// Characters of a prompt or a name that are shown.
const LONGEST: usize = 600;

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
    histogram: Histogram,
    sections: Vec<Section>,
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
    /// Length of its bar, of 100.
    bar: String,
    class: &'static str,
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
    picture: Option<thumbnail::Thumbnail>,
    score: String,
    expected: Option<String>,
    truth: Option<String>,
    prompt: String,
    from_file: bool,
}

/// The page.
pub(crate) fn html(found: &Evaluation, settings: &Settings<'_>, limits: &Limits) -> Result<String> {
    let (mean, constant) = (
        &found.baselines.mean_embedding,
        &found.baselines.constant_prompt,
    );
    let best_baseline = mean.mean_cosine.max(constant.mean_cosine);
    let mut order: Vec<&ImageResult> = found.per_image.iter().collect();
    // The sort is stable: ties stay in the order of the pictures.
    order.sort_by(|left, right| right.cosine.total_cmp(&left.cosine));
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
        histogram: Histogram::new(&cosines, found.mean_cosine, mean.mean_cosine),
        sections,
        settings: facts(found, settings),
        models: &found.receipt.models,
        left_over: left_over(found),
        found,
    };
    page.render().context("cannot make the report")
}

fn rows(found: &Evaluation, preset: &Preset) -> Vec<Row> {
    let row = |name: &str, what: String, weight: String, score: f64, class| Row {
        name: shown(name),
        what,
        weight,
        score: number(score),
        bar: format!("{:.1}", score.clamp(0.0, 1.0) * 100.0),
        class,
    };
    let none = String::new;
    let mut rows = vec![
        row(
            &found.preset,
            "the prediction: its embedding".into(),
            none(),
            found.mean_cosine,
            "blend",
        ),
        row(
            "its text",
            "the prompt that it says, embedded".into(),
            none(),
            found.text_mean_cosine,
            "member",
        ),
    ];
    for member in &found.members {
        let spec = preset.members.iter().find(|spec| spec.name == member.name);
        let what = spec.map_or(String::new(), made_of);
        let weight = format!("{:.4}", member.weight);
        rows.push(row(
            &member.name,
            what,
            weight,
            member.mean_cosine,
            "member",
        ));
    }
    let baseline = |name, score: &BaselineScore| {
        let what = match &score.prompt {
            Some(prompt) => format!("“{}”, for every picture", shown(prompt)),
            None => format!("of the {} prompts of {}", score.list_prompts, score.list),
        };
        row(name, what, none(), score.mean_cosine, "baseline")
    };
    rows.push(baseline("Mean embedding", &found.baselines.mean_embedding));
    rows.push(baseline(
        "Constant prompt",
        &found.baselines.constant_prompt,
    ));
    rows
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
        picture: thumbnail::thumbnail(Path::new(&image.path), limits),
        score: number(image.cosine),
        expected: image.expected_score.map(number),
        truth: image.true_prompt.as_deref().map(shown),
        prompt: shown(&image.prompt),
        from_file: image.source == unprompt::PromptSource::Metadata,
    }
}

/// A score with a sign that is as wide as a digit.
fn number(score: f64) -> String {
    format!("{score:.4}").replace('-', "−")
}

/// Foreign text on one line, and no longer than a page can take.
fn shown(text: &str) -> String {
    let line = one_line(text);
    let mut short: String = line.chars().take(LONGEST).collect();
    if short.len() < line.len() {
        short.push('…');
    }
    short
}
