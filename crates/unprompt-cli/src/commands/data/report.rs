//! What `data check` found, in the keys of its JSON, and for people to read.

use crate::records::one_line;
use serde::Serialize;
use std::io::{Result, Write};
use unprompt::data::TextGroup;

#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) sources: Vec<SourceReport>,
    /// Captions of all sources.
    pub(super) captions: usize,
    /// Those that repeat no earlier one.
    pub(super) distinct: usize,
    /// Groups that a split has to keep together.
    pub(super) groups: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) against: Option<Against>,
}

#[derive(Debug, Serialize)]
pub(super) struct SourceReport {
    pub(super) name: String,
    /// Pictures with a caption.
    pub(super) samples: usize,
    pub(super) bad: usize,
    pub(super) captions: usize,
    /// Captions that repeat no earlier one, of this source or of one before.
    pub(super) distinct: usize,
}

/// Counts what is distinct in each source: `found` has what was found about the captions of all, in
/// their order.
pub(super) fn count_distinct(sources: &mut [SourceReport], found: &[TextGroup]) {
    let mut captions = found.iter();
    for source in sources {
        let of_source = captions.by_ref().take(source.captions);
        source.distinct = of_source.filter(|found| found.repeats.is_none()).count();
    }
}

/// A test set beside the captions and the prompts that the program carries.
#[derive(Debug, Serialize)]
pub(super) struct Against {
    pub(super) truth: String,
    /// Pictures of the test set.
    pub(super) n: usize,
    /// Their different prompts.
    pub(super) prompts: usize,
    pub(super) thresholds: Vec<Threshold>,
    /// The whole score, where there are predictions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mean_cosine: Option<f64>,
    pub(super) per_prompt: Vec<PromptReport>,
}

/// Prompts of the test set that have a neighbour at least so near.
#[derive(Debug, Serialize)]
pub(super) struct Threshold {
    pub(super) similarity: f32,
    /// In the captions.
    pub(super) in_captions: Share,
    /// In the lists of prompts that the program carries, where they are in the encoder's space.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) in_lists: Option<Share>,
    /// In either.
    pub(super) in_any: Share,
    /// The score without the pictures of the last, where there are predictions and a picture is left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) without: Option<Without>,
}

#[derive(Debug, Serialize)]
pub(super) struct Share {
    pub(super) prompts: usize,
    pub(super) share: f64,
}

#[derive(Debug, Serialize)]
pub(super) struct Without {
    pub(super) mean_cosine: f64,
    pub(super) n: usize,
}

#[derive(Debug, Serialize)]
pub(super) struct PromptReport {
    /// Not there where the truth is an embedding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) prompt: Option<String>,
    /// Pictures of it.
    pub(super) n: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) nearest_caption: Option<Nearest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) nearest_listed: Option<Nearest>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Nearest {
    pub(super) text: String,
    /// The source, or the list.
    pub(super) source: String,
    pub(super) similarity: f32,
}

impl PromptReport {
    /// Whether something known is at least so near.
    pub(super) fn is_known(&self, similarity: f32) -> bool {
        let nearest = [&self.nearest_caption, &self.nearest_listed];
        let near = |nearest: &Nearest| nearest.similarity >= similarity;
        nearest.into_iter().flatten().any(near)
    }
}

/// Neighbours that are shown to people, the nearest.
const SHOWN: usize = 5;

pub(super) fn write(out: &mut dyn Write, found: &Report) -> Result<()> {
    write_sources(out, &found.sources)?;
    writeln!(
        out,
        "{} captions, {} distinct, in {} groups to keep together",
        found.captions, found.distinct, found.groups
    )?;
    let Some(against) = &found.against else {
        return Ok(());
    };
    writeln!(
        out,
        "\n{}: {} pictures of {} prompts",
        one_line(&against.truth),
        against.n,
        against.prompts
    )?;
    if let Some(mean) = against.mean_cosine {
        writeln!(out, "mean cosine {mean:.4}")?;
    }
    for threshold in &against.thresholds {
        let share = |share: &Share| format!("{} ({:.1} %)", share.prompts, 100.0 * share.share);
        write!(
            out,
            "neighbour of {}: {} in the captions",
            threshold.similarity,
            share(&threshold.in_captions)
        )?;
        if let Some(listed) = &threshold.in_lists {
            write!(
                out,
                ", {} in the program's prompts, {} in either",
                share(listed),
                share(&threshold.in_any)
            )?;
        }
        match &threshold.without {
            Some(without) => writeln!(
                out,
                "; mean cosine without them {:.4} of {} pictures",
                without.mean_cosine, without.n
            )?,
            None => writeln!(out)?,
        }
    }
    let mut nearest: Vec<(&PromptReport, &Nearest)> = against
        .per_prompt
        .iter()
        .filter_map(|prompt| Some((prompt, prompt.nearest_caption.as_ref()?)))
        .collect();
    // Stable: ties stay in the order of the test set.
    nearest.sort_by(|left, right| right.1.similarity.total_cmp(&left.1.similarity));
    if !nearest.is_empty() {
        writeln!(out, "\nnearest captions")?;
    }
    for (prompt, nearest) in nearest.into_iter().take(SHOWN) {
        writeln!(
            out,
            "{:.3}  {}  |  {}",
            nearest.similarity,
            one_line(prompt.prompt.as_deref().unwrap_or("an embedding")),
            one_line(&nearest.text)
        )?;
    }
    Ok(())
}

/// A line a source.
pub(super) fn write_sources(out: &mut dyn Write, sources: &[SourceReport]) -> Result<()> {
    for source in sources {
        writeln!(
            out,
            "{}: {} pictures, {} left out, {} captions, {} of them new",
            one_line(&source.name),
            source.samples,
            source.bad,
            source.captions,
            source.distinct
        )?;
    }
    Ok(())
}
