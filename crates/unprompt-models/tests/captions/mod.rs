//! What the tests of the captioners share: pictures, expected captions, broken weights.
#![allow(dead_code)] // Each test file is a crate of its own and uses a part of this.

use crate::common::{copy_folder, fixture};
use serde_json::Value;
use unprompt_checkpoint::Pickle;
use unprompt_models::{
    Compute, DeviceChoice, Dtype, GenerationOptions, ImageToText, LoadOptions, ModelError,
};

/// The picture that the fixture's script calls `pixels(index, side)`.
pub fn picture(index: usize, side: usize) -> Vec<f32> {
    let value = |position: usize| {
        let (c, x, y) = (position % 3, position / 3 % side, position / 3 / side);
        let whole = x * (7 + index) + y * (3 + 5 * index) + c * 11 + (x * y * (index + 1)) / 3;
        ((whole % 64) as f32 - 32.0) / 16.0
    };
    (0..side * side * 3).map(value).collect()
}

pub fn expected(name: &str) -> Value {
    let text = std::fs::read_to_string(fixture(name).join("expected.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// transformers' options put over `base`.
pub fn options(base: &GenerationOptions, given: &Value) -> GenerationOptions {
    let mut options = base.clone();
    for (key, value) in given.as_object().unwrap() {
        let whole = value.as_u64().unwrap_or_default() as usize;
        match key.as_str() {
            "num_beams" => options.beams = whole,
            "max_length" => options.max_length = whole,
            "max_new_tokens" => options.max_new_tokens = Some(whole),
            "min_length" => options.min_length = whole,
            "no_repeat_ngram_size" => options.no_repeat_ngram = whole,
            "length_penalty" => options.length_penalty = value.as_f64().unwrap(),
            "early_stopping" => options.early_stopping = value.as_bool().unwrap(),
            other => panic!("{other}"),
        }
    }
    options
}

/// All pictures in one batch: the same tokens, texts and scores as the reference's, one by one.
#[track_caller]
pub fn compare(
    mode: &str,
    model: &impl ImageToText,
    prompt: Option<&str>,
    base: &GenerationOptions,
    expected: &Value,
) {
    let side = model.image_size().0;
    let options = options(base, &expected["options"]);
    let expected = expected["captions"].as_array().unwrap();
    assert!(expected.len() >= 20);
    let pictures: Vec<Vec<f32>> = (0..expected.len())
        .map(|index| picture(index, side))
        .collect();
    let found = model.caption(&pictures, prompt, &options).unwrap();
    assert_eq!(found.len(), expected.len());
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let ids: Vec<u32> = serde_json::from_value(expected["token_ids"].clone()).unwrap();
        assert_eq!(found.token_ids, ids, "{mode}: picture {index}");
        assert_eq!(found.text, expected["text"], "{mode}: picture {index}");
        if let Some(score) = expected["score"].as_f64() {
            let difference = (f64::from(found.score) - score).abs();
            // With a negative length penalty a score grows with the length.
            assert!(
                difference < 1e-4 * score.abs().max(1.0),
                "{mode}: picture {index}: {difference}"
            );
        }
    }
}

/// A copy of a fixture in which one value of one tensor is no number.
pub fn broken(name: &str, file: &str, tensor: &str) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    copy_folder(&fixture(name), copy.path()).unwrap();
    let path = copy.path().join(file);
    let mut bytes = std::fs::read(&path).unwrap();
    spoil(&mut bytes, tensor);
    std::fs::write(&path, bytes).unwrap();
    copy
}

/// In half precision all ones are no number, whatever the sign.
fn spoil(safetensors: &mut [u8], tensor: &str) {
    let length = u64::from_le_bytes(safetensors[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&safetensors[8..8 + length]).unwrap();
    let start = header[tensor]["data_offsets"][0].as_u64().unwrap() as usize;
    safetensors[8 + length + start..][..2].fill(0xff);
}

/// A copy of a fixture with its pickle as safetensors, in which one value is no number.
pub fn converted_and_broken(name: &str, pickle: &str, tensor: &str) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    copy_folder(&fixture(name), copy.path()).unwrap();
    let (pickle, path) = (
        copy.path().join(pickle),
        copy.path().join("model.safetensors"),
    );
    unprompt_checkpoint::convert_to_safetensors(&pickle, &path).unwrap();
    std::fs::remove_file(pickle).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    spoil(&mut bytes, tensor);
    std::fs::write(&path, bytes).unwrap();
    copy
}

/// A model whose blocks hold weights of eight bits.
pub fn int8<M>(load: impl Fn(LoadOptions) -> Result<M, ModelError>) -> M {
    let compute = Compute::new(DeviceChoice::Cpu, Some(Dtype::Int8)).unwrap();
    let pickle = Pickle::Allow;
    load(LoadOptions { pickle, compute }).unwrap()
}

/// Tiny networks have few values to average the rounding over, so the bound is a loose one.
pub fn near(found: &[Vec<f32>], exact: &[Vec<f32>]) {
    assert_ne!(found, exact, "computed in f32");
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        let pairs = a.iter().zip(b);
        pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    for (found, exact) in found.iter().zip(exact) {
        let cosine = dot(found, exact) / (dot(found, found) * dot(exact, exact)).sqrt();
        assert!(cosine > 0.99, "{cosine}");
    }
}
