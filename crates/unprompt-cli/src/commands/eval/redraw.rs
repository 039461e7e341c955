//! `eval --redraw N`: the best, the middle and the worst pictures drawn again from their predicted prompts,
//! and how alike both are.

use super::evaluation::{ImageResult, RankGroup, RedrawHow, RedrawnImage, ranking};
use crate::{
    arguments::{Common, DrawHow, Eval},
    commands::{
        draw,
        picture_judge::{Likeness, PictureJudge},
        thumbnail::{SIDE, Thumbnail, upright},
    },
    output::complain,
    progress::LoadingProgress,
    records::one_line,
};
use anyhow::{Context, Result, bail};
use std::collections::HashMap;
use unprompt::{
    Compute, FailureRecord, Hub, Source,
    diffusion::{Drawing, Noise, Pipeline, Settings},
    image::Limits,
};

/// What is asked for.
pub(super) struct Redraw<'a> {
    /// Pictures of each group.
    each: usize,
    how: DrawHow,
    seed: u64,
    negative: Option<&'a str>,
}

/// What was drawn.
pub(super) struct Redrawn {
    pub(super) how: RedrawHow,
    /// From the best picture to the worst.
    pub(super) pairs: Vec<Pair>,
    pub(super) failed: Vec<FailureRecord>,
}

/// A picture that was drawn again.
pub(super) struct Pair {
    /// Its place among all that were scored.
    pub(super) place: usize,
    /// Counted from 1, the best.
    pub(super) rank: usize,
    pub(super) picture: Thumbnail,
    pub(super) drawn: Thumbnail,
}

impl<'a> Redraw<'a> {
    /// What the command line asks for. The model is opened and closed again, so that what cannot be drawn
    /// is said before anything is predicted.
    pub(super) fn new(common: &Common, arguments: &'a Eval) -> Result<Option<Self>> {
        let Some((each, how)) = arguments.redraw.how() else {
            return Ok(None);
        };
        draw::load(common, &how).context("--redraw")?;
        Ok(Some(Self {
            each,
            how,
            seed: arguments.redraw.seed,
            negative: arguments.redraw.negative.as_deref(),
        }))
    }

    /// Draws the pictures, and gives each its likeness. One that cannot be drawn, or not be read a second
    /// time (standard input), is named.
    pub(super) fn run(
        &self,
        common: &Common,
        (hub, compute): (&Hub, &Compute),
        judge: Option<&str>,
        sources: &[Source],
        images: &mut [ImageResult],
    ) -> Result<Redrawn> {
        let quiet = Common {
            quiet: true,
            ..common.clone()
        };
        // What it has to say was said when it was opened before.
        let (_, pipeline, settings) = draw::load(&quiet, &self.how)?;
        let progress = LoadingProgress::new(common.quiet);
        let judge = PictureJudge::load(hub, judge, compute, &progress)?;
        let chosen = chosen(images, self.each);
        if !common.quiet {
            draw::announce(&pipeline, &settings, chosen.len())?;
            complain(&format!("judge: {}", judge.name));
        }
        let by_path: HashMap<_, &Source> = sources
            .iter()
            .filter(|source| matches!(source, Source::File(_)))
            .map(|source| (source.path().to_string_lossy(), source))
            .collect();
        let total = chosen.len();
        let (mut pairs, mut failed) = (Vec::new(), Vec::new());
        for (index, (place, rank, of)) in chosen.into_iter().enumerate() {
            let image = &mut images[place];
            let name = format!("picture {} of {total}", index + 1);
            let source = by_path.get(image.path.as_str()).copied();
            match self.one(common, (&pipeline, &settings), &judge, source, image, &name) {
                Ok((likeness, [picture, drawn])) => {
                    image.redrawn = Some(RedrawnImage {
                        of,
                        clip_i: likeness.cosine,
                        ssim: likeness.ssim,
                    });
                    pairs.push(Pair {
                        place,
                        rank,
                        picture,
                        drawn,
                    });
                }
                Err(error) => {
                    let error = format!("{error:#}");
                    complain(&one_line(&format!("{}: {error}", image.path)));
                    failed.push(FailureRecord {
                        path: image.path.clone(),
                        error,
                    });
                }
            }
        }
        let Settings {
            width,
            height,
            steps,
            guidance,
            scheduler,
        } = settings;
        Ok(Redrawn {
            how: RedrawHow {
                model: self.how.model.clone(),
                width,
                height,
                steps,
                guidance,
                scheduler: scheduler.name(),
                seed: self.seed,
                negative_prompt: self.negative.map(str::to_owned),
                judge: judge.name,
                judge_sha256: judge.sha256,
            },
            pairs,
            failed,
        })
    }

    fn one(
        &self,
        common: &Common,
        (pipeline, settings): (&Pipeline, &Settings),
        judge: &PictureJudge,
        source: Option<&Source>,
        image: &ImageResult,
        name: &str,
    ) -> Result<(Likeness, [Thumbnail; 2])> {
        let Some(source) = source else {
            bail!("it cannot be read a second time, to be compared with what is drawn");
        };
        let limits = Limits::default();
        let picture = upright(&source.read(&limits)?, &limits)?;
        let drawing = Drawing {
            prompt: image.prompt.clone(),
            negative: self.negative.map(str::to_owned),
            noise: Noise::Seed(self.seed),
        };
        let drawn = draw::draw_one(common, pipeline, settings, drawing, name)?;
        let likeness = judge.compare(&picture, &drawn.image)?;
        let pair = [
            Thumbnail::of(&picture, SIDE)?,
            Thumbnail::of(&drawn.image, SIDE)?,
        ];
        Ok((likeness, pair))
    }
}

/// The pictures to draw, by place, rank and group, the best first: those in the middle stand in the middle
/// of what the best and the worst leave. Where there are fewer, the best come first, then the worst.
fn chosen(images: &[ImageResult], each: usize) -> Vec<(usize, usize, RankGroup)> {
    let ranking = ranking(images);
    groups(ranking.len(), each)
        .into_iter()
        .flat_map(|(of, ranks)| ranks.map(move |rank| (rank, of)))
        .map(|(rank, of)| (ranking[rank], rank + 1, of))
        .collect()
}

/// The ranks of each group among `count`.
fn groups(count: usize, each: usize) -> [(RankGroup, std::ops::Range<usize>); 3] {
    let best = each.min(count);
    let worst = each.min(count - best);
    let middle = each.min(count - best - worst);
    let begin = best + (count - best - worst - middle) / 2;
    [
        (RankGroup::Best, 0..best),
        (RankGroup::Middle, begin..begin + middle),
        (RankGroup::Worst, count - worst..count),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_picture_is_in_two_groups() {
        let ranks = |count, each| groups(count, each).map(|(_, ranks)| ranks);
        assert_eq!(ranks(100, 4), [0..4, 48..52, 96..100]);
        assert_eq!(ranks(9, 3), [0..3, 3..6, 6..9]);
        assert_eq!(ranks(10, 3), [0..3, 3..6, 7..10]);
        assert_eq!(ranks(7, 3), [0..3, 3..4, 4..7]);
        assert_eq!(ranks(5, 3), [0..3, 3..3, 3..5]);
        assert_eq!(ranks(2, 3), [0..2, 2..2, 2..2]);
    }
}
