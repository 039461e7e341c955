//! What `eval` found, in the keys of its JSON. Cosines are from -1 to 1.

use serde::Serialize;
use unprompt::{FailureRecord, PromptSource, Receipt, eval::Interval};

/// All of it.
#[derive(Debug, Serialize)]
pub(crate) struct Evaluation {
    pub(crate) preset: String,
    /// Mean cosine of the predictions' embeddings with the truth.
    pub(crate) mean_cosine: f64,
    /// Of that mean, over prompts; not there for a single prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) interval: Option<Interval>,
    pub(crate) median: f64,
    /// A tenth of the pictures has a lower cosine.
    pub(crate) tenth_percentile: f64,
    /// Pictures that were scored.
    pub(crate) n: usize,
    /// Different prompts among them: the same but for white space and case.
    pub(crate) prompts: usize,
    /// Groups of prompts that are near to each other, by their embeddings: what a split has to keep
    /// together.
    pub(crate) prompt_groups: usize,
    /// Pictures whose prompt was read from the file.
    pub(crate) from_metadata: usize,
    /// Mean cosine of the predictions' texts with the truth.
    pub(crate) text_mean_cosine: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) text_interval: Option<Interval>,
    pub(crate) text_median: f64,
    pub(crate) text_tenth_percentile: f64,
    /// Mean of the expected scores, where the preset has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expected_score: Option<ExpectedScore>,
    pub(crate) members: Vec<MemberScore>,
    pub(crate) baselines: BaselineScores,
    /// The same by generator, where the truth says it, and by length of the true prompt.
    pub(crate) strata: Vec<Stratum>,
    /// Share of the true prompt's phrases behind its first comma that the text has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) modifier_recall: Option<Mean>,
    /// Cosine of what stands before the first comma of the true prompt and of the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) subject_cosine: Option<Mean>,
    /// What of the truth the preset may have been given beforehand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) leakage: Option<Leakage>,
    /// Where a judge was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) clip_t: Option<ClipScores>,
    /// Where pictures were drawn again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) redrawn: Option<RedrawScores>,
    /// Files that the truth does not have.
    pub(crate) without_truth: Vec<String>,
    /// Ids of the truth that have no picture.
    pub(crate) without_picture: Vec<String>,
    pub(crate) failed: Vec<FailureRecord>,
    pub(crate) per_image: Vec<ImageResult>,
    /// Digest of which pictures were scored; not there where one was no file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pictures_sha256: Option<String>,
    pub(crate) run: RunCost,
    pub(crate) receipt: Receipt,
}

/// A mean over pictures, with its 95 % interval over prompts.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Mean {
    pub(crate) mean: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) interval: Option<Interval>,
    /// Pictures that have the value.
    pub(crate) n: usize,
}

#[derive(Debug, Serialize)]
pub(crate) struct ExpectedScore {
    pub(crate) mean: f64,
    /// Mean absolute difference from the true score.
    pub(crate) error: f64,
}

#[derive(Debug, Serialize)]
pub(crate) struct MemberScore {
    pub(crate) name: String,
    pub(crate) weight: f64,
    pub(crate) mean_cosine: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) interval: Option<Interval>,
    /// Pictures that it looked at.
    pub(crate) n: usize,
}

#[derive(Debug, Serialize)]
pub(crate) struct BaselineScores {
    pub(crate) mean_embedding: BaselineScore,
    pub(crate) constant_prompt: BaselineScore,
    /// The means of the lists that the program carries, and of all of them together, which is the prior
    /// of the default preset.
    pub(crate) priors: Vec<BaselineScore>,
}

impl BaselineScores {
    /// All of them, each with a name for people.
    pub(crate) fn named(&self) -> Vec<(&'static str, &BaselineScore)> {
        let first = [
            ("mean embedding", &self.mean_embedding),
            ("constant prompt", &self.constant_prompt),
        ];
        let priors = self.priors.iter().map(|prior| ("prior", prior));
        first.into_iter().chain(priors).collect()
    }
}

/// What the same answer to every picture is worth, and what the preset is worth beyond it.
#[derive(Debug, Serialize)]
pub(crate) struct BaselineScore {
    pub(crate) mean_cosine: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) interval: Option<Interval>,
    /// The preset's cosine less this one's, picture by picture.
    pub(crate) difference: Mean,
    /// The same for the preset's text.
    pub(crate) text_difference: Mean,
    /// The list that it is made of, or several.
    pub(crate) list: String,
    /// Prompts of that list, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) list_prompts: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) prompt: Option<String>,
}

/// Pictures that have something in common.
#[derive(Debug, Serialize)]
pub(crate) struct Stratum {
    /// What they are told apart by: `generator` or `length`.
    pub(crate) by: &'static str,
    pub(crate) value: String,
    pub(crate) n: usize,
    pub(crate) prompts: usize,
    pub(crate) mean_cosine: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) interval: Option<Interval>,
    pub(crate) text_mean_cosine: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) text_interval: Option<Interval>,
}

/// True prompts that are nearly among the prompts which the preset knows.
#[derive(Debug, Serialize)]
pub(crate) struct Leakage {
    /// The preset's lists and indexes of prompts.
    pub(crate) lists: Vec<String>,
    /// Cosine from which a known prompt counts as the same.
    pub(crate) threshold: f64,
    /// True prompts with such a neighbour.
    pub(crate) prompts: usize,
    /// Their share of all.
    pub(crate) share: f64,
    /// The score without their pictures; not there where none is left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) without: Option<Mean>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) text_without: Option<Mean>,
}

/// What a judge says.
#[derive(Debug, Serialize)]
pub(crate) struct ClipScores {
    pub(crate) judge: String,
    /// The digest over the judge's files.
    pub(crate) sha256: String,
    /// Mean cosine of pictures and predicted texts.
    pub(crate) predicted: Mean,
    /// Mean cosine of pictures and true prompts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) truth: Option<Mean>,
    /// The one less the other, picture by picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) difference: Option<Mean>,
}

/// How alike pictures and those drawn from their predicted prompts are.
#[derive(Debug, Serialize)]
pub(crate) struct RedrawScores {
    #[serde(flatten)]
    pub(crate) how: RedrawHow,
    /// Mean cosine of both pictures in the judge's space; not there where none could be drawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) clip_i: Option<Mean>,
    /// Mean structural similarity of their pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ssim: Option<Mean>,
    /// The first mean by group.
    pub(crate) by_rank: Vec<RankScore>,
    /// Pictures that could not be drawn or compared.
    pub(crate) failed: Vec<FailureRecord>,
}

/// How pictures were drawn again, and who compares them.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RedrawHow {
    pub(crate) model: String,
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) steps: usize,
    pub(crate) guidance: f32,
    pub(crate) scheduler: &'static str,
    pub(crate) seed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) negative_prompt: Option<String>,
    pub(crate) judge: String,
    /// Over the judge's files; the tower that the program carries has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) judge_sha256: Option<String>,
}

/// Where a picture's score stands among all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RankGroup {
    Best,
    Middle,
    Worst,
}

impl RankGroup {
    pub(crate) const ALL: [Self; 3] = [Self::Best, Self::Middle, Self::Worst];
}

#[derive(Debug, Serialize)]
pub(crate) struct RankScore {
    pub(crate) of: RankGroup,
    pub(crate) clip_i: Mean,
}

/// One picture that was drawn again.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct RedrawnImage {
    pub(crate) of: RankGroup,
    /// Cosine of both pictures in the judge's space.
    pub(crate) clip_i: f64,
    /// Not there below 11 pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ssim: Option<f64>,
}

/// What the run cost on this machine: the only numbers that are not the same on every run.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct RunCost {
    /// Until the models were there.
    pub(crate) loading_seconds: f64,
    /// From the first picture to the last.
    pub(crate) predicting_seconds: f64,
    /// Pictures over that time, those that failed too.
    pub(crate) pictures_per_second: f64,
    /// The most memory that the process has held since the models were asked for, in millions of
    /// bytes, where the system says so; a judge is loaded later and does not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) peak_memory_mb: Option<f64>,
}

#[derive(Debug, Serialize)]
pub(crate) struct ImageResult {
    pub(crate) id: String,
    pub(crate) path: String,
    pub(crate) cosine: f64,
    pub(crate) text_cosine: f64,
    pub(crate) prompt: String,
    /// Not there where the truth is an embedding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) true_prompt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) generator: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expected_score: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) modifier_recall: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) subject_cosine: Option<f64>,
    /// Cosine of the true prompt with the nearest one that the preset knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) nearest_known: Option<f64>,
    /// Cosine of picture and predicted text in the judge's space.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) clip_t: Option<f64>,
    /// Cosine of picture and true prompt there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) true_clip_t: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) redrawn: Option<RedrawnImage>,
    pub(crate) source: PromptSource,
}

/// The places of pictures, that of the best score first; ties stay in the order of the pictures.
pub(super) fn ranking(images: &[ImageResult]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..images.len()).collect();
    order.sort_by(|left, right| images[*right].cosine.total_cmp(&images[*left].cosine));
    order
}
