//! `fit` against a brute-force grid in numpy (fixtures/make_fit.py).

use serde_json::Value;
use std::path::Path;
use unprompt_eval::{Answers, EmbedError, Fit, FitOptions, Problem, fit};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/fit");
/// The grid's own distance from the summit: its weights are multiples of 1/200.
const GRID: f64 = 1e-4;

fn open(name: &str) -> Answers {
    Answers::open(&Path::new(FIXTURES).join(format!("{name}.jsonl"))).unwrap()
}

fn members(names: &[&str]) -> Vec<(String, Answers)> {
    let named = |name: &&str| ((*name).to_owned(), open(name));
    names.iter().map(named).collect()
}

fn never(_: &[String]) -> Result<Vec<Vec<f32>>, EmbedError> {
    Err("every file has embeddings: nothing is to be embedded".into())
}

fn fitted(names: &[&str]) -> Fit {
    fit(&open("truth"), &members(names), &folds(4), &mut never).unwrap()
}

fn folds(folds: usize) -> FitOptions {
    FitOptions {
        folds,
        ..FitOptions::default()
    }
}

#[track_caller]
fn near(found: f64, expected: &Value, tolerance: f64) {
    let expected = expected.as_f64().unwrap();
    let difference = (found - expected).abs();
    assert!(difference < tolerance, "{found} instead of {expected}");
}

#[test]
fn a_fit_equals_a_brute_force_grid() {
    let text = std::fs::read_to_string(Path::new(FIXTURES).join("expected.json")).unwrap();
    let expected: Value = serde_json::from_str(&text).unwrap();
    let found = fitted(&["good", "fair", "noise"]);
    assert_eq!(found.n, expected["n"]);
    assert_eq!(found.prompts, expected["prompts"]);
    assert_eq!(found.folds, expected["folds"]);
    for (index, member) in found.members.iter().enumerate() {
        near(member.weight, &expected["weights"][index], 5e-3);
        near(member.alone, &expected["alone"][index], 1e-12);
        // The grid's weights differ a little, and held-out images feel it at first order.
        near(member.without.unwrap(), &expected["without"][index], 5e-4);
    }
    near(found.in_sample, &expected["in_sample"], GRID);
    assert!(found.in_sample >= expected["in_sample"].as_f64().unwrap() - 1e-12);
    near(found.cross_validated, &expected["cross_validated"], 5e-4);
    near(found.mean_embedding, &expected["mean_embedding"], 1e-12);
    near(found.constant_prompt, &expected["constant_prompt"], 1e-12);
}

#[test]
fn weights_are_a_share_each_and_the_same_on_every_run() {
    let found = fitted(&["good", "fair", "noise"]);
    let sum: f64 = found.members.iter().map(|member| member.weight).sum();
    assert!((sum - 1.0).abs() < 1e-12);
    assert!(found.members.iter().all(|member| member.weight >= 0.0));
    assert_eq!(found, fitted(&["good", "fair", "noise"]));
}

#[test]
fn the_only_member_has_all_the_weight() {
    let found = fitted(&["fair"]);
    assert_eq!(found.members[0].weight, 1.0);
    assert_eq!(found.members[0].without, None);
    assert_eq!(found.in_sample, found.members[0].alone);
}

#[test]
fn pictures_of_one_prompt_are_one_prompt() {
    let truth = "id,prompt\na,A  cat\nb,a cat\nc,a dog\n";
    let truth = Answers::read("truth.csv", truth.as_bytes()).unwrap();
    let member = Answers::read("m.csv", "id,prompt\na,x\nb,yy\nc,zzz\n".as_bytes()).unwrap();
    let mut embed = |texts: &[String]| {
        let row = |text: &String| (0..384).map(|i| ((i * text.len()) as f32).sin()).collect();
        Ok(texts.iter().map(row).collect())
    };
    let found = fit(&truth, &[("m".to_owned(), member)], &folds(5), &mut embed).unwrap();
    assert_eq!((found.prompts, found.folds), (2, 2));
}

#[test]
fn what_cannot_be_fitted_is_refused_with_the_reason() {
    let truth = open("truth");
    let problem = |names: &[&str], count| {
        let error = fit(&truth, &members(names), &folds(count), &mut never).unwrap_err();
        format!("{}", error.problem())
    };
    assert!(problem(&[], 4).contains("no member"));
    assert!(problem(&["good", "fair", "good"], 4).contains("`good`"));
    assert!(problem(&["good"], 1).contains("1 folds"));
    let one = Answers::read("one.csv", "id,prompt\np0,a cat\n".as_bytes()).unwrap();
    let error = fit(&truth, &[("one".to_owned(), one)], &folds(4), &mut never).unwrap_err();
    assert!(matches!(error.problem(), Problem::MissingId { .. }));
}

#[test]
fn folds_and_held_out_images_add_up_to_the_score() {
    let found = fitted(&["good", "fair", "noise"]);
    assert_eq!(found.per_fold.len(), 4);
    let mean = |fold: Option<usize>| {
        let held_out = found.held_out.iter();
        let of_fold = held_out.filter(|image| fold.is_none_or(|fold| image.fold == fold));
        let cosines: Vec<f64> = of_fold.map(|image| image.cosine).collect();
        cosines.iter().sum::<f64>() / cosines.len() as f64
    };
    assert!((mean(None) - found.cross_validated).abs() < 1e-12);
    for (fold, score) in found.per_fold.iter().enumerate() {
        assert!((mean(Some(fold)) - score).abs() < 1e-12);
    }
    assert!(found.held_out.iter().all(|image| image.agreement < 1.0));
    // Members of unit length that differ have a mean that is shorter.
    let lengths = found.held_out.iter().map(|image| image.length);
    assert!(lengths.clone().all(|length| length > 0.0 && length < 1.0));
}

#[test]
fn weights_that_are_given_are_measured_and_kept() {
    let options = FitOptions {
        weights: Some(vec![2.0, 0.0, 1.0]),
        ..folds(4)
    };
    let names = ["good", "fair", "noise"];
    let found = fit(&open("truth"), &members(&names), &options, &mut never).unwrap();
    let weights: Vec<f64> = found.members.iter().map(|member| member.weight).collect();
    assert_eq!(weights, [2.0, 0.0, 1.0]);
    assert!(!found.weights_fitted);
    // Nothing is fitted, so that every image is one that was not seen.
    assert!((found.in_sample - found.cross_validated).abs() < 1e-12);
    let without_noise = found.members[2].without.unwrap();
    assert!((without_noise - found.members[0].alone).abs() < 1e-12);
    assert!(found.in_sample <= fitted(&names).in_sample);
    for weights in [vec![1.0], vec![0.0; 3], vec![1.0, -1.0, 0.0]] {
        let options = FitOptions {
            weights: Some(weights),
            ..folds(4)
        };
        let error = fit(&open("truth"), &members(&names), &options, &mut never).unwrap_err();
        assert!(matches!(error.problem(), Problem::Weights { .. }));
    }
}

#[test]
fn members_that_are_not_normalised_count_with_their_length() {
    let scaled = |name: &str, scale: f64| {
        let mut text = String::new();
        for entry in open(name).entries() {
            let unprompt_eval::Answer::Embedding(row) = &entry.answer else {
                panic!("an embedding");
            };
            let length = row.iter().map(|v| v * v).sum::<f64>().sqrt();
            let row: Vec<f64> = row.iter().map(|value| value / length * scale).collect();
            text += &serde_json::json!({"id": entry.id, "embedding": row}).to_string();
            text.push('\n');
        }
        (
            name.to_owned(),
            Answers::read(name, text.as_bytes()).unwrap(),
        )
    };
    let options = FitOptions {
        normalize_members: false,
        ..folds(4)
    };
    let long = [scaled("good", 1000.0), scaled("fair", 1.0)];
    let found = fit(&open("truth"), &long, &options, &mut never).unwrap();
    let unit = fitted(&["good", "fair"]);
    // The same blend: a member a thousand times as long needs a thousandth of the weight.
    assert!((found.cross_validated - unit.cross_validated).abs() < 1e-9);
    let ratio = |fit: &Fit| fit.members[0].weight / fit.members[1].weight;
    assert!((ratio(&found) * 1000.0 / ratio(&unit) - 1.0).abs() < 1e-6);
    // Normalised, the length is nothing.
    let found = fit(&open("truth"), &long, &folds(4), &mut never).unwrap();
    assert!((ratio(&found) / ratio(&unit) - 1.0).abs() < 1e-9);
}
