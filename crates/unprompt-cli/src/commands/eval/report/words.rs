//! Numbers, foreign texts and pictures as the page shows them.

use crate::{
    commands::{
        eval::evaluation::Mean,
        thumbnail::{SIDE, Thumbnail, upright},
    },
    records::one_line,
};
use unprompt::{Source, eval::Interval, image::Limits};

/// Characters of a prompt or a name that are shown.
const LONGEST: usize = 600;

/// The small copy of a file; `None` where it cannot be read again, as standard input cannot.
pub(super) fn thumbnail(path: &str, limits: &Limits) -> Option<Thumbnail> {
    if path == "-" {
        return None;
    }
    let bytes = Source::File(path.into()).read(limits).ok()?;
    Thumbnail::of(&upright(&bytes, limits).ok()?, SIDE).ok()
}

/// A mean with its limits.
pub(super) fn with_limits(mean: &Mean) -> String {
    match &mean.interval {
        Some(interval) => format!("{} ({})", number(mean.mean), limits(Some(interval))),
        None => number(mean.mean),
    }
}

/// A score with a sign that is as wide as a digit.
pub(super) fn number(score: f64) -> String {
    format!("{score:.4}").replace('-', "−")
}

/// The limits of an interval; nothing where there is none.
pub(super) fn limits(interval: Option<&Interval>) -> String {
    interval.map_or_else(String::new, |Interval { low, high }| {
        format!("{} to {}", number(*low), number(*high))
    })
}

/// Foreign text on one line, and no longer than a page can take.
pub(super) fn shown(text: &str) -> String {
    let line = one_line(text);
    let mut short: String = line.chars().take(LONGEST).collect();
    if short.len() < line.len() {
        short.push('…');
    }
    short
}
