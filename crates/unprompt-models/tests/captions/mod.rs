//! What the tests of the captioners share: pictures, expected captions, broken weights.
#![allow(dead_code)] // Each test file is a crate of its own and uses a part of this.

use crate::common::{copy_folder, cosine, fixture, relative_error, tensor};
use serde_json::Value;
use std::path::Path;
use unprompt_checkpoint::{Checkpoint, Pickle};
use unprompt_models::{
    Caption, Compute, DeviceChoice, Dtype, GenerationOptions, ImageToText, LoadOptions, ModelError,
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

/// The encoder's states and the decoder's logits of `count` pictures are the reference's, which are
/// in the file `expected`.
#[track_caller]
pub fn compare_states(
    name: &str,
    expected: &Path,
    model: &impl ImageToText,
    count: usize,
    states: impl Fn(&[Vec<f32>]) -> Vec<Vec<f32>>,
    logits: impl Fn(&[f32], &[u32]) -> Vec<f32>,
) {
    let expected = Checkpoint::open(expected, Pickle::Deny).unwrap();
    let ids: Vec<u32> = serde_json::from_value(self::expected(name)["ids"].clone()).unwrap();
    let pictures = pictures(model, count);
    for (index, (picture, states)) in pictures.iter().zip(states(&pictures)).enumerate() {
        let (_, values) = tensor(&expected, &format!("states.{index}"));
        let error = relative_error(&states, &values);
        assert!(error < 1e-5, "{name}: states: {error}");
        let (_, values) = tensor(&expected, &format!("logits.{index}"));
        let error = relative_error(&logits(picture, &ids), &values);
        assert!(error < 1e-5, "{name}: logits: {error}");
    }
}

/// Pictures of the model's size.
pub fn pictures(model: &impl ImageToText, count: usize) -> Vec<Vec<f32>> {
    let side = model.image_size().0;
    (0..count).map(|index| picture(index, side)).collect()
}

/// Each of the captions is the one that its picture gets alone.
#[track_caller]
pub fn same_alone(
    model: &impl ImageToText,
    pictures: &[Vec<f32>],
    prompt: Option<&str>,
    options: &GenerationOptions,
) -> Vec<Caption> {
    let together = model.caption(pictures, prompt, options).unwrap();
    assert_eq!(together.len(), pictures.len());
    for (picture, together) in pictures.iter().zip(&together) {
        let alone = model.caption(std::slice::from_ref(picture), prompt, options);
        assert_eq!(alone.unwrap(), std::slice::from_ref(together));
    }
    together
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
    let options = options(base, &expected["options"]);
    let expected = expected["captions"].as_array().unwrap();
    assert!(expected.len() >= 20);
    let pictures = pictures(model, expected.len());
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
pub fn broken(name: &str, tensor: &str) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    copy_folder(&fixture(name), copy.path()).unwrap();
    let path = copy.path().join("model.safetensors");
    let pickle = copy.path().join("pytorch_model.bin");
    if pickle.exists() {
        unprompt_checkpoint::convert_to_safetensors(&pickle, &path).unwrap();
        std::fs::remove_file(pickle).unwrap();
    }
    let mut bytes = std::fs::read(&path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let start = header[tensor]["data_offsets"][0].as_u64().unwrap() as usize;
    // In half precision all ones are no number, whatever the sign.
    bytes[8 + length + start..][..2].fill(0xff);
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
    for (found, exact) in found.iter().zip(exact) {
        let cosine = cosine(found, exact);
        assert!(cosine > 0.99, "{cosine}");
    }
}
