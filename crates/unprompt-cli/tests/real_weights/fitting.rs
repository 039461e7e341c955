//! `unprompt blend fit` and `eval` of a preset of two models.

use crate::{
    Test,
    harness::{json, keys, labels_preset},
    prediction::{PICTURES, place},
    weights::Weights,
};

pub const TESTS: &[Test] = &[
    ("fit::a_preset_is_calibrated_by_its_texts", calibration),
    ("eval::a_preset_is_scored_as_its_records_are", evaluation),
];

const TRUTH: &str = "file,prompt\nastronaut.jpg,a portrait of an astronaut\ncat.png,a tabby cat\n\
                     coffee.webp,a cup of coffee\nphotographer.png,a man with a camera\n\
                     rocket.jpg,a rocket takes off\n";
const PREDICT: [&str; 8] = [
    "predict",
    "in",
    "--no-metadata",
    "--offline",
    "--format",
    "jsonl",
    "--out",
    "records.jsonl",
];

/// Weights that are kept stay as they are written, and the map is one from the records' own texts.
fn calibration(weights: &Weights) {
    let place = place(weights);
    place.write("truth.csv", TRUTH);
    place.run(&PREDICT).output();
    place.copy(&labels_preset(), "labels.toml");
    let fit = [
        "blend",
        "fit",
        "--truth",
        "truth.csv",
        "--member",
        "records.jsonl",
        "--preset",
        "labels.toml",
        "--offline",
        "--out",
        "own.toml",
        "--format",
        "json",
    ];
    let found = json(
        place
            .run(&[&fit[..], &["--keep-weights"]].concat())
            .output(),
    );
    assert_eq!(found["calibration"]["feature"], "text");
    assert_eq!(found["cross_validated"], found["in_sample"]);
    // Five pairs are one bin: its score is their mean.
    let points = found["calibration"]["points"].as_array().unwrap();
    let score = found["cross_validated"].as_f64().unwrap();
    assert_eq!(points.len(), 1);
    assert!((points[0][1].as_f64().unwrap() - score).abs() < 1e-4);
    let text = place.read("own.toml");
    assert!(
        text.contains("weight = 1.0") && text.contains("name = \"own\""),
        "{text}"
    );
    let predicted = place.run(&[
        "predict",
        "in/cat.png",
        "--no-metadata",
        "--offline",
        "--format",
        "json",
        "--preset",
        "own.toml",
    ]);
    assert_eq!(json(predicted.output())[0]["expected_score"], points[0][1]);

    // Weights that are fitted are others, of which the records' texts say nothing.
    let fitted = place.run(&[&fit[..], &["--feature", "text"]].concat());
    assert!(fitted.refusal().contains("other weights"), "{fitted:?}");
}

/// `eval` gives what `score` gives of the same predictions.
fn evaluation(weights: &Weights) {
    let place = place(weights);
    place.write("truth.csv", TRUTH);
    place.run(&PREDICT).output();
    let common = ["--offline", "--truth", "truth.csv", "--format", "json"];
    let score = [&["score", "--pred", "records.jsonl"], &common[..]].concat();
    let score = json(place.run(&score).output());
    let eval = [&["eval", "in", "--report", "r.html"], &common[..]].concat();
    let eval = json(place.run(&eval).output());
    assert!(keys(&eval).contains(&"expected_score"));
    assert_eq!(eval["n"], PICTURES.len());
    let difference = eval["mean_cosine"].as_f64().unwrap() - score["mean_cosine"].as_f64().unwrap();
    assert!(difference.abs() < 1e-6, "{difference}");
    assert!(place.read("r.html").len() > 20_000);
}
