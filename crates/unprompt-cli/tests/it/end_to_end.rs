//! From the file of a picture, or from a text, to its vector: against Pillow, open_clip, timm and
//! transformers, all the way; `fixtures/models/end_to_end.py` makes what is expected.
#![allow(clippy::print_stderr, reason = "tests say what they measured")]

use crate::harness::{Place, json, json_lines, workspace};
use safetensors::SafeTensors;
use serde_json::Value;

/// The expected vectors: one tensor for each model.
struct Expected(Vec<u8>);

impl Expected {
    fn open() -> Self {
        Self(std::fs::read(workspace("fixtures/models/end_to_end.safetensors")).unwrap())
    }

    fn pictures(&self) -> Vec<String> {
        let (_, metadata) = SafeTensors::read_metadata(&self.0).unwrap();
        let names = &metadata.metadata().as_ref().unwrap()["pictures"];
        names.lines().map(String::from).collect()
    }

    fn rows(&self, name: &str) -> Vec<Vec<f64>> {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let tensor = file.tensor(name).unwrap();
        let numbers = tensor.data().as_chunks::<4>().0;
        let numbers: Vec<f64> = numbers
            .iter()
            .map(|n| f32::from_le_bytes(*n).into())
            .collect();
        numbers
            .chunks_exact(tensor.shape()[1])
            .map(<[f64]>::to_vec)
            .collect()
    }
}

fn embedding(record: &Value) -> Vec<f64> {
    let numbers = record["embedding"].as_array();
    let numbers = numbers.unwrap_or_else(|| panic!("no embedding in {record}"));
    numbers.iter().map(|n| n.as_f64().unwrap()).collect()
}

fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// Every vector has the direction and, number by number, the length of the expected one.
#[track_caller]
fn compare(model: &str, inputs: &[String], found: &[Vec<f64>], expected: &[Vec<f64>]) {
    assert_eq!((found.len(), expected.len()), (inputs.len(), inputs.len()));
    let mut worst_cosine = (1.0, "");
    let mut worst_difference = 0f64;
    for ((input, found), expected) in inputs.iter().zip(found).zip(expected) {
        assert_eq!(found.len(), expected.len(), "{model}: {input}");
        let cosine = cosine(found, expected);
        if cosine < worst_cosine.0 {
            worst_cosine = (cosine, input);
        }
        for (found, expected) in found.iter().zip(expected) {
            worst_difference = worst_difference.max((found - expected).abs());
        }
        assert!(cosine >= 0.9999, "{model}: {input}: cosine {cosine}");
    }
    let (cosine, input) = worst_cosine;
    eprintln!(
        "{model}: {} inputs, smallest cosine 1 - {:.1e} ({input}), largest difference {worst_difference:.1e}",
        inputs.len(),
        1.0 - cosine
    );
    // The same pixels, so nothing is left but the order of sums.
    assert!(worst_difference < 1e-5, "{model}: {worst_difference}");
}

fn compare_pictures(model: &str, tensor: &str, more: &[&str]) {
    let expected = Expected::open();
    let pictures = expected.pictures();
    assert!(pictures.len() >= 20);
    let place = Place::new();
    let model = workspace("fixtures/models").join(model);
    let mut arguments = vec!["embed".into(), "image".into()];
    arguments.extend(pictures.iter().map(|name| workspace(name).into_os_string()));
    arguments.extend(["--quiet", "--offline", "--format", "jsonl", "--model"].map(Into::into));
    arguments.push(model.into_os_string());
    arguments.extend(more.iter().map(Into::into));
    let found: Vec<Vec<f64>> = json_lines(place.run(&arguments).output())
        .iter()
        .map(embedding)
        .collect();
    compare(tensor, &pictures, &found, &expected.rows(tensor));
}

#[test]
fn clips_of_open_clip() {
    compare_pictures("tiny-clip-open-clip", "tiny-clip-open-clip", &[]);
    // The network is 12 x 8, and `preprocess_cfg` says 12: open_clip follows the network.
    let variant = "tiny-clip-open-clip-variant";
    compare_pictures(variant, variant, &["--allow-pickle"]);
}

#[test]
fn clips_of_transformers() {
    for model in [
        // With `processor_config.json`, as version 5 saves it; with `preprocessor_config.json`, as
        // published; the others with neither.
        "tiny-clip",
        "tiny-clip-transformers",
        "tiny-clip-transformers-old",
        "tiny-clip-vision",
    ] {
        compare_pictures(model, model, &[]);
    }
}

#[test]
fn siglips_of_both_layouts() {
    for model in [
        "tiny-siglip-open-clip",
        "tiny-siglip2-open-clip",
        "tiny-siglip",
        // Without a configuration of its pictures.
        "tiny-siglip-vision",
    ] {
        compare_pictures(model, model, &[]);
    }
}

#[test]
fn vision_transformers() {
    for model in [
        "tiny-vit-timm",
        "tiny-vit-timm-gap",
        "tiny-vit-timm-siglip",
        "tiny-vit-transformers",
        "tiny-vit-model",
    ] {
        compare_pictures(model, model, &[]);
    }
}

#[test]
fn the_regressor_with_one_view_and_with_two() {
    let model = "tiny-vit-bare.pth";
    compare_pictures(model, "tiny-vit-bare", &["--allow-pickle"]);
    let two = ["--allow-pickle", "--tta", "flip"];
    compare_pictures(model, "tiny-vit-bare.flip", &two);
}

#[test]
fn texts_of_a_clip_and_of_siglips_with_their_tokenizers() {
    for model in [
        "tiny-clip",
        "tiny-siglip-open-clip",
        "tiny-siglip2-open-clip",
        "tiny-siglip",
    ] {
        compare_texts(model);
    }
}

fn compare_texts(name: &str) {
    let file = workspace("fixtures/models/tiny-clip-tokenizer/expected.json");
    let document = json(&std::fs::read_to_string(file).unwrap());
    let texts = document["texts"].as_array().unwrap().iter();
    let texts: Vec<&str> = texts
        .map(|record| record["text"].as_str().unwrap())
        .collect();
    // A command line cannot carry a zero, and where a text has one, its tokens are compared alone.
    let spoken: Vec<usize> = (0..texts.len())
        .filter(|i| !texts[*i].contains('\0'))
        .collect();
    assert!(spoken.len() > 50);
    let model = workspace("fixtures/models").join(name);
    let model = model.to_str().unwrap();
    let mut arguments = vec![
        "embed",
        "text",
        "--offline",
        "--format",
        "jsonl",
        "--model",
        model,
        "--",
    ];
    arguments.extend(spoken.iter().map(|i| texts[*i]));
    let run = Place::new().run(&arguments);
    let found: Vec<Vec<f64>> = json_lines(run.output()).iter().map(embedding).collect();
    let tensor = format!("{name}.texts");
    let rows = Expected::open().rows(&tensor);
    assert_eq!(rows.len(), texts.len());
    let expected: Vec<Vec<f64>> = spoken.iter().map(|i| rows[*i].clone()).collect();
    let inputs: Vec<String> = spoken.iter().map(|i| format!("{:?}", texts[*i])).collect();
    compare(&tensor, &inputs, &found, &expected);
}
