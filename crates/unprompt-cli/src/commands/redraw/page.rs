//! Each picture beside the one that was drawn from its prompt, as one page of HTML that needs nothing
//! else.
//!
//! Prompts and file names are whatever somebody wrote: the template escapes every value, and the page
//! itself forbids whatever it does not contain.

use super::Redrawn;
use crate::commands::thumbnail::Thumbnail;
use anyhow::{Context, Result};
use askama::Template;
use base64::{Engine, prelude::BASE64_STANDARD};
use sha2::{Digest, Sha256};
use unprompt::image::RgbImage;

/// The page's only style.
const STYLE: &str = include_str!("../../../templates/redraw.css");
/// The longer side of a picture on the page, in pixels.
const SIDE: u32 = 384;

#[derive(Template)]
#[template(path = "redraw.html")]
struct Page<'a> {
    style: &'static str,
    style_digest: String,
    model: &'a str,
    settings: String,
    judge: &'a str,
    mean: Option<String>,
    cards: &'a [Card],
}

/// One pair.
pub(super) struct Card {
    path: String,
    prompt: String,
    origin: &'static str,
    picture: String,
    drawn: String,
    cosine: String,
    ssim: Option<String>,
    text_score: Option<String>,
}

impl Card {
    pub(super) fn new(redrawn: &Redrawn, picture: &RgbImage, drawn: &RgbImage) -> Result<Self> {
        Ok(Self {
            path: redrawn.path.clone(),
            prompt: redrawn.prompt.clone(),
            origin: redrawn.source,
            picture: Thumbnail::of(picture, SIDE)?.uri,
            drawn: Thumbnail::of(drawn, SIDE)?.uri,
            cosine: format!("{:.3}", redrawn.cosine),
            ssim: redrawn.ssim.map(|value| format!("{value:.3}")),
            text_score: redrawn.text_score.map(|value| format!("{value:.3}")),
        })
    }
}

/// The page.
pub(super) fn html(
    cards: &[Card],
    model: &str,
    settings: String,
    judge: &str,
    mean: Option<f64>,
) -> Result<String> {
    let page = Page {
        style: STYLE,
        style_digest: BASE64_STANDARD.encode(Sha256::digest(STYLE.as_bytes())),
        model,
        settings,
        judge,
        mean: mean.map(|mean| format!("{mean:.3}")),
        cards,
    };
    page.render().context("cannot make the page")
}
