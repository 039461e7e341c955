//! Pictures beside those that were drawn from their predicted prompts.

use super::words::{number, shown, with_limits};
use crate::commands::{
    eval::{
        evaluation::{Evaluation, RankGroup},
        redraw::Pair,
    },
    thumbnail::Thumbnail,
};

/// One pair.
pub(super) struct PairCard<'a> {
    pub(super) group: &'static str,
    pub(super) rank: usize,
    pub(super) picture: &'a Thumbnail,
    pub(super) drawn: &'a Thumbnail,
    pub(super) score: String,
    pub(super) clip_i: String,
    pub(super) ssim: Option<String>,
    pub(super) truth: Option<String>,
    pub(super) prompt: String,
    pub(super) path: String,
}

/// The cards, in the order of the pairs.
pub(super) fn cards<'a>(found: &Evaluation, pairs: &'a [Pair]) -> Vec<PairCard<'a>> {
    let card = |pair: &'a Pair| {
        let image = &found.per_image[pair.place];
        let redrawn = image.redrawn?;
        Some(PairCard {
            group: match redrawn.of {
                RankGroup::Best => "of the best",
                RankGroup::Middle => "in the middle",
                RankGroup::Worst => "of the worst",
            },
            rank: pair.rank,
            picture: &pair.picture,
            drawn: &pair.drawn,
            score: number(image.cosine),
            clip_i: number(redrawn.clip_i),
            ssim: redrawn.ssim.map(number),
            truth: image.true_prompt.as_deref().map(shown),
            prompt: shown(&image.prompt),
            path: shown(&image.path),
        })
    };
    pairs.iter().filter_map(card).collect()
}

/// How they were drawn and what they are worth, in words; empty where none was.
pub(super) fn how(found: &Evaluation) -> String {
    let Some(redrawn) = &found.redrawn else {
        return String::new();
    };
    let how = &redrawn.how;
    let negative = how.negative_prompt.as_deref();
    let negative = negative.map_or_else(String::new, |text| format!(", without “{}”", shown(text)));
    let digest = how.judge_sha256.as_deref();
    let digest = digest.map_or_else(String::new, |digest| format!(", SHA-256 {digest}"));
    let mean = redrawn.clip_i.as_ref();
    let mean = mean.map_or_else(
        || "no picture could be drawn".to_owned(),
        |mean| format!("{} over {} pictures", with_limits(mean), mean.n),
    );
    let ssim = redrawn.ssim.as_ref();
    let ssim = ssim.map_or_else(String::new, |ssim| format!(" SSIM: {}.", with_limits(ssim)));
    format!(
        "Drawn by {} from the predicted prompts: {}x{}, {} steps of {}, guidance {}, seed {}{negative}. CLIP-I, \
         the mean cosine of both pictures' vectors by {}{digest}: {mean}.{ssim}",
        shown(&how.model),
        how.width,
        how.height,
        how.steps,
        how.scheduler,
        how.guidance,
        how.seed,
        shown(&how.judge),
    )
}
