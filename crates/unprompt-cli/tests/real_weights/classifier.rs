//! EfficientNet-Lite0 against the package efficientnet-lite-pytorch.

use crate::{
    Test,
    harness::{json, json_lines, keys, workspace},
    reference::{Tensors, document, largest_difference},
    weights::Weights,
};
use serde_json::Value;
use std::path::PathBuf;
use unprompt::image::{DecodeOptions, Layout, RgbImage, decode};

pub const TESTS: &[Test] = &[
    ("efficientnet::pixels_equal_the_reference", pixels),
    ("efficientnet::logits_equal_the_reference", logits),
    (
        "efficientnet::classify_gives_the_top_labels_in_order",
        classify,
    ),
];

fn pictures() -> Vec<Value> {
    let document = document("efficientnet_lite0.json");
    let pictures = document["pictures"].as_array().unwrap().clone();
    assert_eq!(pictures.len(), 5);
    pictures
}

fn path(name: &str) -> PathBuf {
    workspace("examples/pictures").join(name)
}

fn picture(name: &str) -> RgbImage {
    let bytes = std::fs::read(path(name)).unwrap();
    decode(&bytes, &DecodeOptions::default()).unwrap()
}

fn pixels(weights: &Weights) {
    let tensors = Tensors::open("efficientnet_lite0.safetensors");
    let preprocessor = weights.classifier.preprocessor();
    let image = picture("cat.png");
    let seen = preprocessor.apply_steps(&image).unwrap();
    assert_eq!((seen.width, seen.height), (224, 224));
    assert!(seen.pixels == tensors.bytes("pixels.cat.png"));

    let input = preprocessor.apply(&image, Layout::Chw).unwrap();
    let row: Vec<f32> = (0..3)
        .flat_map(|channel| {
            let start = (channel * 224 + 100) * 224;
            input.data[start..start + 224].to_vec()
        })
        .collect();
    assert!(row == tensors.floats("input_row.cat.png"));
}

fn logits(weights: &Weights) {
    let tensors = Tensors::open("efficientnet_lite0.safetensors");
    for record in pictures() {
        let name = record["file"].as_str().unwrap();
        let image = picture(name);
        assert_eq!(record["width"], image.width);
        assert_eq!(record["height"], image.height);
        let labels = weights.classifier.classify(&image, 1000).unwrap();
        let mut found = vec![f32::NAN; 1000];
        for label in &labels {
            found[label.index] = label.logit;
        }
        let difference = largest_difference(&found, &tensors.floats(&format!("logits.{name}")));
        eprintln!("efficientnet-lite0: {name}: largest difference of logits {difference:.2e}");
        assert!(difference < 1e-3, "{name}: {difference}");
        let top5 = record["top5"].as_array().unwrap();
        for (label, expected) in labels.iter().zip(top5) {
            assert_eq!(expected["index"], label.index, "{name}");
            assert_eq!(expected["label"], label.label, "{name}");
            let probability = expected["probability"].as_f64().unwrap();
            assert!((f64::from(label.probability) - probability).abs() < 1e-3);
        }
    }
}

fn classify(weights: &Weights) {
    let place = weights.place();
    let records = pictures();
    for record in &records {
        let name = record["file"].as_str().unwrap();
        place.copy(&path(name), &format!("in/{name}"));
    }
    let arguments = ["classify", "in", "--offline", "--format"];
    let run = place.run(&[&arguments[..], &["json"]].concat());
    let found = json(run.output());
    let found = found.as_array().unwrap();
    assert_eq!(found.len(), records.len());
    for (found, expected) in found.iter().zip(&records) {
        assert_eq!(keys(found), ["labels", "path"]);
        let name = expected["file"].as_str().unwrap();
        assert_eq!(found["path"], format!("in/{name}"));
        let labels = found["labels"].as_array().unwrap();
        assert_eq!(labels.len(), 5);
        for (label, expected) in labels.iter().zip(expected["top5"].as_array().unwrap()) {
            assert_eq!(keys(label), ["index", "label", "logit", "probability"]);
            assert_eq!(label["index"], expected["index"], "{name}");
            assert_eq!(label["label"], expected["label"], "{name}");
        }
    }
    let lines = place.run(&[&arguments[..], &["jsonl", "--batch-size", "2"]].concat());
    assert_eq!(json_lines(lines.output()), *found);

    // All classes: the probabilities are a distribution, the largest first.
    let one = [
        "classify",
        "in/cat.png",
        "--offline",
        "--top",
        "1000",
        "--format",
        "json",
    ];
    let all = json(place.run(&one).output());
    let all = all[0]["labels"].as_array().unwrap();
    let probabilities: Vec<f64> = all
        .iter()
        .filter_map(|l| l["probability"].as_f64())
        .collect();
    assert_eq!(probabilities.len(), 1000);
    assert!(probabilities.is_sorted_by(|a, b| a >= b));
    assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-5);

    let text = place.run(&["classify", "in/cat.png", "--offline", "--top", "2"]);
    let expected: String = all[..2]
        .iter()
        .map(|l| {
            format!(
                "{:.4}\t{}\n",
                l["probability"].as_f64().unwrap(),
                l["label"].as_str().unwrap()
            )
        })
        .collect();
    assert_eq!(text.output(), expected);
}
