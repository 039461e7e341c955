//! Weights for a blend: what maximises the mean cosine, and what that is worth on prompts that the
//! weights have not seen.

mod ascent;
mod calibrate;

pub use calibrate::{CalibrationFit, calibrate};

use crate::{
    answers::{Answers, Entry},
    error::{Error, Problem},
    prompt_groups::PromptGroups,
    score::{EmbedTexts, check_same_images, embeddings},
};
use ascent::Products;
use serde::Serialize;

/// How a blend is fitted.
#[derive(Debug, Clone, PartialEq)]
pub struct FitOptions {
    /// Folds of the cross-validation, at least 2; no more than there are different prompts are used.
    pub folds: usize,
    /// Whether members are brought to unit length first, as a preset of the same key does. If not,
    /// they are blended as long as they are.
    pub normalize_members: bool,
    /// Weights that are measured instead of fitted, one a member.
    pub weights: Option<Vec<f64>>,
}

impl Default for FitOptions {
    fn default() -> Self {
        Self {
            folds: 5,
            normalize_members: true,
            weights: None,
        }
    }
}

/// A blend fitted to the truth, every score a mean cosine from -1 to 1.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fit {
    /// How many images.
    pub n: usize,
    /// How many different prompts they have; pictures of one prompt are never on both sides.
    pub prompts: usize,
    /// Folds of the cross-validation.
    pub folds: usize,
    /// Whether the weights count for members of unit length.
    pub normalize_members: bool,
    /// Whether the weights were fitted; if not, they were given.
    pub weights_fitted: bool,
    /// The members in the order given.
    pub members: Vec<FittedMember>,
    /// The blend on the images that its weights were fitted to.
    pub in_sample: f64,
    /// The blend on images of each fold, its weights fitted to the other folds.
    pub cross_validated: f64,
    /// The same, fold by fold.
    pub per_fold: Vec<f64>,
    /// The mean of the true embeddings of the other folds as the answer to every image.
    pub mean_embedding: f64,
    /// The one true embedding of the other folds that is nearest to all of them, likewise.
    pub constant_prompt: f64,
    /// Each image with what weights that never saw its prompt make of it, in the order of the truth.
    #[serde(skip)]
    pub held_out: Vec<HeldOut>,
}

/// One member of a fitted blend.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FittedMember {
    /// Its name.
    pub name: String,
    /// Its weight, at least 0; fitted weights add up to 1.
    pub weight: f64,
    /// Mean cosine of the member alone.
    pub alone: f64,
    /// The cross-validated score of the blend without it, its weights fitted anew (where weights
    /// were given, the others keep theirs); `None` where that leaves no blend.
    pub without: Option<f64>,
}

/// One image that had no part in the weights which blend it.
#[derive(Debug, Clone, PartialEq)]
pub struct HeldOut {
    /// The image.
    pub id: String,
    /// Its fold, from 0.
    pub fold: usize,
    /// Cosine of the blend with the truth.
    pub cosine: f64,
    /// Mean cosine over all pairs of members whose final weight is above 0; 1 where there is none.
    pub agreement: f64,
    /// Length of the members' sum under the final weights, over the sum of these.
    pub length: f64,
}

/// Finds the weights, none below 0, whose blend has the highest mean cosine with the truth.
///
/// All files must have exactly the same images. Prompts, in the truth or in a member, go through
/// `embed`. Computed in f64, and the same on every run: the search is a projected gradient ascent
/// from fixed starts, and folds are dealt out in the order of the truth.
///
/// # Errors
/// No member, two of one name, fewer than two folds or than two different prompts, weights that are
/// not one a member, an image that only one file has, an embedding of zeros, a failure of `embed`.
pub fn fit(
    truth: &Answers,
    members: &[(String, Answers)],
    options: &FitOptions,
    embed: &mut EmbedTexts<'_>,
) -> Result<Fit, Error> {
    let folds = options.folds;
    let groups = check(truth, members, options)?;
    let folds = folds.min(groups.count);
    let fold_of: Vec<usize> = groups.of_image.iter().map(|group| group % folds).collect();

    let ids: Vec<&str> = truth.entries().iter().map(|e| e.id.as_str()).collect();
    let expected = rows(truth, &ids, true, embed)?.rows;
    let (mut all_rows, mut lengths) = (Vec::new(), Vec::new());
    for (_, answers) in members {
        let found = rows(answers, &ids, options.normalize_members, embed)?;
        all_rows.push(found.rows);
        lengths.push(found.length);
    }
    let products = Products::new(&all_rows, &expected);
    let everything: Vec<usize> = (0..ids.len()).collect();
    let all: Vec<usize> = (0..members.len()).collect();
    // The search sees members whose mean length is 1, so that its steps suit all of them.
    let given = options.weights.as_ref().map(|weights| {
        let scaled = weights.iter().zip(&lengths);
        scaled.map(|(w, length)| w * length).collect::<Vec<f64>>()
    });
    let weights_for = |members: &[usize], images: &[usize]| match &given {
        Some(given) => {
            let mut weights = vec![0.0; given.len()];
            members.iter().for_each(|&m| weights[m] = given[m]);
            weights
        }
        None => products.maximise(members, images),
    };
    let weights = weights_for(&all, &everything);

    let mut fitted = Vec::with_capacity(members.len());
    for (member, (name, _)) in members.iter().enumerate() {
        let others: Vec<usize> = all.iter().copied().filter(|&m| m != member).collect();
        let is_blend = match &given {
            Some(given) => others.iter().any(|&other| given[other] > 0.0),
            None => !others.is_empty(),
        };
        let without = is_blend.then(|| {
            let cosines = held_out_cosines(&products, &fold_of, |seen| weights_for(&others, seen));
            mean(&cosines)
        });
        let mut alone = vec![0.0; members.len()];
        alone[member] = 1.0;
        fitted.push(FittedMember {
            name: name.clone(),
            weight: weights[member] / lengths[member],
            alone: products.mean_cosine(&alone, &everything),
            without,
        });
    }
    if let Some(given) = &options.weights {
        let given = fitted.iter_mut().zip(given);
        given.for_each(|(member, weight)| member.weight = *weight);
    } else {
        let sum: f64 = fitted.iter().map(|member| member.weight).sum();
        fitted.iter_mut().for_each(|member| member.weight /= sum);
    }
    let cosines = held_out_cosines(&products, &fold_of, |seen| weights_for(&all, seen));
    let per_fold = (0..folds).map(|fold| {
        let of_fold = cosines.iter().zip(&fold_of).filter(|(_, f)| **f == fold);
        mean(&of_fold.map(|(cosine, _)| *cosine).collect::<Vec<f64>>())
    });
    // Of weights for members as long as they are.
    let unscaled = weights.iter().zip(&lengths);
    let sum_of_weights: f64 = unscaled.map(|(weight, length)| weight / length).sum();
    let weighted: Vec<usize> = all.iter().copied().filter(|&m| weights[m] > 0.0).collect();
    let held_out = ids.iter().enumerate().map(|(image, id)| HeldOut {
        id: (*id).to_owned(),
        fold: fold_of[image],
        cosine: cosines[image],
        agreement: products.agreement(&weighted, image),
        length: products.length(&weights, image) / sum_of_weights,
    });
    let (mean_embedding, constant_prompt) = baselines(&expected, &fold_of);
    Ok(Fit {
        n: ids.len(),
        prompts: groups.count,
        folds,
        normalize_members: options.normalize_members,
        weights_fitted: given.is_none(),
        members: fitted,
        in_sample: products.mean_cosine(&weights, &everything),
        cross_validated: mean(&cosines),
        per_fold: per_fold.collect(),
        mean_embedding,
        constant_prompt,
        held_out: held_out.collect(),
    })
}

fn check(
    truth: &Answers,
    members: &[(String, Answers)],
    options: &FitOptions,
) -> Result<PromptGroups, Error> {
    let failed = |problem| Error::new(truth.name(), None, problem);
    if members.is_empty() {
        return Err(failed(Problem::NoMembers));
    }
    if let Some(weights) = &options.weights {
        let are_weights = weights.iter().all(|w| w.is_finite() && *w >= 0.0);
        let is_blend = weights.iter().any(|weight| *weight > 0.0);
        if weights.len() != members.len() || !are_weights || !is_blend {
            let (expected, found) = (members.len(), weights.len());
            return Err(failed(Problem::Weights { expected, found }));
        }
    }
    for (index, (name, answers)) in members.iter().enumerate() {
        if members[..index].iter().any(|(other, _)| other == name) {
            let name = name.clone();
            return Err(Error::new(
                answers.name(),
                None,
                Problem::SameMember { name },
            ));
        }
        check_same_images(answers, truth)?;
    }
    let groups = PromptGroups::new(truth.entries().iter().map(|entry| &entry.answer));
    if groups.count < 2 || options.folds < 2 {
        let (prompts, folds) = (groups.count, options.folds);
        return Err(failed(Problem::TooFewPrompts { prompts, folds }));
    }
    Ok(groups)
}

/// The images outside and inside each fold, in turn.
fn splits(fold_of: &[usize]) -> impl Iterator<Item = (Vec<usize>, Vec<usize>)> + '_ {
    let folds = fold_of.iter().max().map_or(0, |last| last + 1);
    (0..folds).map(|fold| (0..fold_of.len()).partition(|&image| fold_of[image] != fold))
}

/// The cosine of each image under weights found on the other folds.
fn held_out_cosines(
    products: &Products,
    fold_of: &[usize],
    weights: impl Fn(&[usize]) -> Vec<f64>,
) -> Vec<f64> {
    let mut cosines = vec![0.0; fold_of.len()];
    for (seen, unseen) in splits(fold_of) {
        let weights = weights(&seen);
        for image in unseen {
            cosines[image] = products.mean_cosine(&weights, &[image]);
        }
    }
    cosines
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Scores of two answers that look at no picture: the mean embedding, and the most central prompt.
fn baselines(expected: &[Vec<f64>], fold_of: &[usize]) -> (f64, f64) {
    let (mut mean_score, mut constant_score) = (0.0, 0.0);
    for (seen, unseen) in splits(fold_of) {
        let mut sum = vec![0.0; crate::DIMENSIONS];
        for &image in &seen {
            sum.iter_mut()
                .zip(&expected[image])
                .for_each(|(s, v)| *s += v);
        }
        // The mean cosine of a prompt with all of them is its product with their mean.
        let mut central = (f64::NEG_INFINITY, seen[0]);
        for &image in &seen {
            let closeness = dot(&expected[image], &sum);
            if closeness > central.0 {
                central = (closeness, image);
            }
        }
        let length = dot(&sum, &sum).sqrt();
        for image in unseen {
            // Embeddings that cancel out leave no direction to answer with.
            if length > 0.0 {
                mean_score += dot(&expected[image], &sum) / length;
            }
            constant_score += dot(&expected[image], &expected[central.1]);
        }
    }
    let n = expected.len() as f64;
    (mean_score / n, constant_score / n)
}

fn dot(left: &[f64], right: &[f64]) -> f64 {
    left.iter().zip(right).map(|(l, r)| l * r).sum()
}

/// The embeddings of some images.
struct Rows {
    rows: Vec<Vec<f64>>,
    /// Their mean length before it became 1.
    length: f64,
}

/// The embeddings of some images: each of unit length, or, without `normalize`, their mean length.
fn rows(
    answers: &Answers,
    ids: &[&str],
    normalize: bool,
    embed: &mut EmbedTexts<'_>,
) -> Result<Rows, Error> {
    let entries: Vec<&Entry> = ids.iter().filter_map(|id| answers.get(id)).collect();
    let (mut rows, mut lengths) = (Vec::with_capacity(entries.len()), Vec::new());
    for entries in entries.chunks(crate::score::TEXTS_AT_ONCE) {
        for (entry, row) in entries.iter().zip(embeddings(answers, entries, embed)?) {
            let largest = row
                .iter()
                .fold(0.0, |most: f64, value| most.max(value.abs()));
            if largest == 0.0 {
                let id = entry.id.clone();
                return Err(answers.error(entry.line, Problem::ZeroVector { id }));
            }
            // By the largest first, so that no square leaves f64.
            let scaled: Vec<f64> = row.iter().map(|value| value / largest).collect();
            let length = dot(&scaled, &scaled).sqrt();
            rows.push(
                scaled
                    .iter()
                    .map(|value| value / length)
                    .collect::<Vec<f64>>(),
            );
            lengths.push(length * largest);
        }
    }
    if normalize {
        return Ok(Rows { rows, length: 1.0 });
    }
    let length = lengths
        .iter()
        .map(|l| l / lengths.len() as f64)
        .sum::<f64>();
    if !length.is_normal() {
        return Err(Error::new(answers.name(), None, Problem::Length { length }));
    }
    for (row, own) in rows.iter_mut().zip(lengths) {
        row.iter_mut().for_each(|value| *value *= own / length);
    }
    Ok(Rows { rows, length })
}
