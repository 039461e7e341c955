//! Weights for a blend: what maximises the mean cosine, and what that is worth on prompts that the
//! weights have not seen.

mod ascent;
mod folds;

use serde::Serialize;

use crate::answers::{Answer, Answers, Entry};
use crate::error::{Error, Problem};
use crate::score::{EmbedTexts, check_same_images, embeddings};
use ascent::Products;

/// A blend fitted to the truth, every score a mean cosine from -1 to 1.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fit {
    /// How many images.
    pub n: usize,
    /// How many different prompts they have; pictures of one prompt are never on both sides.
    pub prompts: usize,
    /// Folds of the cross-validation.
    pub folds: usize,
    /// The members in the order given.
    pub members: Vec<FittedMember>,
    /// The blend on the images that its weights were fitted to.
    pub in_sample: f64,
    /// The blend on images of each fold, its weights fitted to the other folds.
    pub cross_validated: f64,
    /// The mean of the true embeddings of the other folds as the answer to every image.
    pub mean_embedding: f64,
    /// The one true embedding of the other folds that is nearest to all of them, likewise.
    pub constant_prompt: f64,
}

/// One member of a fitted blend.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FittedMember {
    /// Its name.
    pub name: String,
    /// Its weight, at least 0; the weights add up to 1. It counts for members of unit length.
    pub weight: f64,
    /// Mean cosine of the member alone.
    pub alone: f64,
    /// The cross-validated score of the blend fitted without it; `None` where it is the only one.
    pub without: Option<f64>,
}

/// Finds the weights, none below 0, whose blend has the highest mean cosine with the truth.
///
/// Every member is brought to unit length first, so that the weights are those of a preset with
/// `normalize_members = true`. All files must have exactly the same images. Prompts, in the truth or
/// in a member, go through `embed`. Computed in f64, and the same on every run: the search is a
/// projected gradient ascent from fixed starts, and folds are dealt out in the order of the truth.
///
/// # Errors
/// No member, two of one name, fewer than two folds or than two different prompts, an image that
/// only one file has, an embedding of zeros, a failure of `embed`.
pub fn fit(
    truth: &Answers,
    members: &[(String, Answers)],
    folds: usize,
    embed: &mut EmbedTexts<'_>,
) -> Result<Fit, Error> {
    let failed = |problem| Error::new(truth.name(), None, problem);
    if members.is_empty() {
        return Err(failed(Problem::NoMembers));
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
    let groups = folds::by_prompt(truth);
    if groups.count < 2 || folds < 2 {
        let prompts = groups.count;
        return Err(failed(Problem::TooFewPrompts { prompts, folds }));
    }
    let folds = folds.min(groups.count);
    let fold_of: Vec<usize> = groups.of_image.iter().map(|group| group % folds).collect();

    let ids: Vec<&str> = truth.entries().iter().map(|e| e.id.as_str()).collect();
    let expected = unit_rows(truth, &ids, embed)?;
    let mut rows = Vec::with_capacity(members.len());
    for (_, answers) in members {
        rows.push(unit_rows(answers, &ids, embed)?);
    }
    let products = Products::new(&rows, &expected);
    let everything: Vec<usize> = (0..ids.len()).collect();
    let all: Vec<usize> = (0..members.len()).collect();
    let weights = products.maximise(&all, &everything);

    let mut fitted = Vec::with_capacity(members.len());
    for (member, (name, _)) in members.iter().enumerate() {
        let others: Vec<usize> = all.iter().copied().filter(|&m| m != member).collect();
        let mut alone = vec![0.0; members.len()];
        alone[member] = 1.0;
        fitted.push(FittedMember {
            name: name.clone(),
            weight: weights[member],
            alone: products.mean_cosine(&alone, &everything),
            without: (!others.is_empty()).then(|| cross_validated(&products, &others, &fold_of)),
        });
    }
    let (mean_embedding, constant_prompt) = baselines(&expected, &fold_of);
    Ok(Fit {
        n: ids.len(),
        prompts: groups.count,
        folds,
        members: fitted,
        in_sample: products.mean_cosine(&weights, &everything),
        cross_validated: cross_validated(&products, &all, &fold_of),
        mean_embedding,
        constant_prompt,
    })
}

/// The images outside and inside each fold, in turn.
fn splits(fold_of: &[usize]) -> impl Iterator<Item = (Vec<usize>, Vec<usize>)> + '_ {
    let folds = fold_of.iter().max().map_or(0, |last| last + 1);
    (0..folds).map(|fold| (0..fold_of.len()).partition(|&image| fold_of[image] != fold))
}

fn cross_validated(products: &Products, members: &[usize], fold_of: &[usize]) -> f64 {
    let held_out: f64 = splits(fold_of)
        .map(|(seen, unseen)| {
            let weights = products.maximise(members, &seen);
            products.mean_cosine(&weights, &unseen) * unseen.len() as f64
        })
        .sum();
    held_out / fold_of.len() as f64
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

/// The embeddings of some images at unit length.
fn unit_rows(
    answers: &Answers,
    ids: &[&str],
    embed: &mut EmbedTexts<'_>,
) -> Result<Vec<Vec<f64>>, Error> {
    let entries: Vec<&Entry> = ids.iter().filter_map(|id| answers.get(id)).collect();
    let mut rows = Vec::with_capacity(entries.len());
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
            rows.push(scaled.iter().map(|value| value / length).collect());
        }
    }
    Ok(rows)
}

/// What tells whether two images have the same prompt.
fn prompt_key(answer: &Answer) -> String {
    match answer {
        Answer::Prompt(prompt) => {
            let words: Vec<&str> = prompt.split_whitespace().collect();
            words.join(" ").to_lowercase()
        }
        Answer::Embedding(numbers) => numbers
            .iter()
            .map(|number| format!("{:x} ", number.to_bits()))
            .collect(),
    }
}
