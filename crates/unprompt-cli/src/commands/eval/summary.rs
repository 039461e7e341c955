//! From the scores of pictures to means, intervals and strata.

use super::{
    evaluation::{
        BaselineScore, BaselineScores, ClipScores, Evaluation, ExpectedScore, ImageResult, Leakage,
        Mean, MemberScore, RankGroup, RankScore, RedrawScores, RunCost, Stratum,
    },
    judge::Judge,
    redraw::Redrawn,
    scores::Scored,
};
use std::collections::BTreeSet;
use unprompt::{
    Baselines, Predictor, PromptSource,
    data::NearDuplicates,
    eval::{Bootstrap, LENGTH_BANDS, PromptGroups, length_band, quantile},
};

/// A known prompt of this cosine is taken for the same: the threshold by which the best public
/// solutions of the competition removed duplicates.
const SAME: f64 = 0.9;

pub(super) struct Summary<'a> {
    scored: &'a Scored,
    groups: PromptGroups,
    bootstrap: Bootstrap,
}

impl<'a> Summary<'a> {
    pub(super) fn new(scored: &'a Scored) -> Self {
        let groups = PromptGroups::new(scored.truths.iter());
        let bootstrap = Bootstrap::new(groups.of_image.clone());
        Self {
            scored,
            groups,
            bootstrap,
        }
    }

    /// The mean of a value that some pictures have.
    fn mean(&self, of: impl Fn(usize, &ImageResult) -> Option<f64>) -> Option<Mean> {
        let images = self.scored.images.iter().enumerate();
        let values: Vec<Option<f64>> = images.map(|(place, image)| of(place, image)).collect();
        let n = values.iter().flatten().count();
        (n > 0).then(|| Mean {
            mean: values.iter().flatten().sum::<f64>() / n as f64,
            interval: self.bootstrap.interval(&values),
            n,
        })
    }

    /// The mean of a value that every picture has; there is at least one.
    fn mean_of_all(&self, of: impl Fn(usize, &ImageResult) -> f64) -> Mean {
        let mean = self.mean(|place, image| Some(of(place, image)));
        mean.unwrap_or(Mean {
            mean: 0.0,
            interval: None,
            n: 0,
        })
    }

    pub(super) fn evaluation(
        &self,
        predictor: &Predictor,
        baselines: &Baselines,
        known: &[&str],
        judge: Option<&Judge>,
    ) -> Evaluation {
        let images = &self.scored.images;
        let preset = predictor.preset();
        let whole = self.mean_of_all(|_, image| image.cosine);
        let text = self.mean_of_all(|_, image| image.text_cosine);
        let (median, tenth_percentile) = spread(images.iter().map(|image| image.cosine));
        let (text_median, text_tenth) = spread(images.iter().map(|image| image.text_cosine));
        let members = preset
            .members
            .iter()
            .enumerate()
            .filter_map(|(at, member)| {
                let found = self.mean(|place, _| self.scored.members[place][at])?;
                Some(MemberScore {
                    name: member.name.clone(),
                    weight: member.weight,
                    mean_cosine: found.mean,
                    interval: found.interval,
                    n: found.n,
                })
            });
        let from_metadata = |image: &&ImageResult| image.source == PromptSource::Metadata;
        Evaluation {
            preset: preset.name.clone(),
            mean_cosine: whole.mean,
            interval: whole.interval,
            median,
            tenth_percentile,
            n: images.len(),
            prompts: self.groups.count,
            prompt_groups: self.near_groups(),
            from_metadata: images.iter().filter(from_metadata).count(),
            text_mean_cosine: text.mean,
            text_interval: text.interval,
            text_median,
            text_tenth_percentile: text_tenth,
            expected_score: self.expected_score(),
            members: members.collect(),
            baselines: self.baselines(baselines),
            strata: self.strata(),
            modifier_recall: self.mean(|_, image| image.modifier_recall),
            subject_cosine: self.mean(|_, image| image.subject_cosine),
            leakage: self.leakage(known),
            clip_t: judge.and_then(|judge| self.clip_t(judge)),
            redrawn: None,
            without_truth: Vec::new(),
            without_picture: Vec::new(),
            failed: Vec::new(),
            per_image: Vec::new(),
            pictures_sha256: None,
            run: RunCost::default(),
            receipt: predictor.receipt().clone(),
        }
    }

    /// Groups of prompts that are near to each other.
    fn near_groups(&self) -> usize {
        let rows = &self.scored.truth_rows;
        let mut near = NearDuplicates::new(rows.first().map_or(0, Vec::len));
        let mut next = 0;
        for (row, group) in rows.iter().zip(&self.groups.of_image) {
            // Groups are numbered as they first appear: each prompt is taken once.
            if *group == next {
                near.push(std::slice::from_ref(row));
                next += 1;
            }
        }
        let groups = near.groups().into_iter().map(|text| text.group + 1);
        groups.max().unwrap_or(0)
    }

    fn expected_score(&self) -> Option<ExpectedScore> {
        let of = self.mean(|_, image| image.expected_score)?;
        let error = self.mean(|_, image| Some((image.expected_score? - image.cosine).abs()))?;
        Some(ExpectedScore {
            mean: of.mean,
            error: error.mean,
        })
    }

    fn baselines(&self, baselines: &Baselines) -> BaselineScores {
        let blind = |at: usize, list: &str, list_prompts, prompt: Option<&String>| {
            let of = |place: usize| self.scored.blind[place][at];
            let found = self.mean_of_all(|place, _| of(place));
            BaselineScore {
                mean_cosine: found.mean,
                interval: found.interval,
                difference: self.mean_of_all(|place, image| image.cosine - of(place)),
                text_difference: self.mean_of_all(|place, image| image.text_cosine - of(place)),
                list: list.to_owned(),
                list_prompts,
                prompt: prompt.cloned(),
            }
        };
        let (list, prompts) = (baselines.list, Some(baselines.prompts));
        let priors = baselines.priors.iter().zip(2..);
        BaselineScores {
            mean_embedding: blind(0, list, prompts, None),
            constant_prompt: blind(1, list, prompts, Some(&baselines.constant_prompt)),
            priors: priors
                .map(|(prior, at)| blind(at, &prior.lists, None, None))
                .collect(),
        }
    }

    fn strata(&self) -> Vec<Stratum> {
        let images = &self.scored.images;
        let generators: BTreeSet<&str> = images
            .iter()
            .filter_map(|image| image.generator.as_deref())
            .collect();
        let of_generator = generators.into_iter().filter_map(|generator| {
            self.stratum("generator", generator, |image| {
                image.generator.as_deref() == Some(generator)
            })
        });
        let of_length = LENGTH_BANDS.into_iter().filter_map(|band| {
            self.stratum("length", band, |image| {
                image.true_prompt.as_deref().map(length_band) == Some(band)
            })
        });
        of_generator.chain(of_length).collect()
    }

    /// The pictures that belong to it, if there is one.
    fn stratum(
        &self,
        by: &'static str,
        value: &str,
        belongs: impl Fn(&ImageResult) -> bool,
    ) -> Option<Stratum> {
        let whole = self.mean(|_, image| belongs(image).then_some(image.cosine))?;
        let text = self.mean(|_, image| belongs(image).then_some(image.text_cosine))?;
        let images = self.scored.images.iter().zip(&self.groups.of_image);
        let prompts: BTreeSet<usize> = images
            .filter(|(image, _)| belongs(image))
            .map(|(_, group)| *group)
            .collect();
        Some(Stratum {
            by,
            value: value.to_owned(),
            n: whole.n,
            prompts: prompts.len(),
            mean_cosine: whole.mean,
            interval: whole.interval,
            text_mean_cosine: text.mean,
            text_interval: text.interval,
        })
    }

    /// `None` where the judge saw no picture.
    fn clip_t(&self, judge: &Judge) -> Option<ClipScores> {
        let difference = |image: &ImageResult| Some(image.clip_t? - image.true_clip_t?);
        Some(ClipScores {
            judge: judge.name.clone(),
            sha256: judge.sha256.clone(),
            predicted: self.mean(|_, image| image.clip_t)?,
            truth: self.mean(|_, image| image.true_clip_t),
            difference: self.mean(|_, image| difference(image)),
        })
    }

    /// How alike pictures and those drawn again are.
    pub(super) fn redrawn(&self, redrawn: &Redrawn) -> RedrawScores {
        let of_group = |of: RankGroup| {
            let clip_i = self.mean(|_, image| {
                let redrawn = image.redrawn.filter(|redrawn| redrawn.of == of);
                redrawn.map(|redrawn| redrawn.clip_i)
            })?;
            Some(RankScore { of, clip_i })
        };
        RedrawScores {
            how: redrawn.how.clone(),
            clip_i: self.mean(|_, image| Some(image.redrawn?.clip_i)),
            ssim: self.mean(|_, image| image.redrawn?.ssim),
            by_rank: RankGroup::ALL.into_iter().filter_map(of_group).collect(),
            failed: redrawn.failed.clone(),
        }
    }

    /// `None` where the preset knows no prompt.
    fn leakage(&self, known: &[&str]) -> Option<Leakage> {
        if known.is_empty() {
            return None;
        }
        let is_known = |image: &ImageResult| image.nearest_known.is_some_and(|near| near >= SAME);
        let images = self.scored.images.iter().zip(&self.groups.of_image);
        let prompts: BTreeSet<usize> = images
            .filter(|(image, _)| is_known(image))
            .map(|(_, group)| *group)
            .collect();
        Some(Leakage {
            lists: known.iter().map(|name| (*name).to_owned()).collect(),
            threshold: SAME,
            prompts: prompts.len(),
            share: prompts.len() as f64 / self.groups.count as f64,
            without: self.mean(|_, image| (!is_known(image)).then_some(image.cosine)),
            text_without: self.mean(|_, image| (!is_known(image)).then_some(image.text_cosine)),
        })
    }
}

/// The median, and what a tenth is below.
fn spread(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let at = |share| quantile(&values, share).unwrap_or_default();
    (at(0.5), at(0.1))
}
