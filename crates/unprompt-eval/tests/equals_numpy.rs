//! Scores of every file format against what numpy computes (fixtures/make.py).

use serde_json::Value;
use std::path::Path;
use unprompt_eval::{Answers, EmbedError, Score, SubmissionWriter, cosine, score};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
const TOLERANCE: f64 = 1e-12;

fn open(file: &str) -> Answers {
    Answers::open(&Path::new(FIXTURES).join(file)).unwrap()
}

fn never(_: &[String]) -> Result<Vec<Vec<f32>>, EmbedError> {
    Err("both sides have embeddings: nothing is to be embedded".into())
}

fn assert_equals(score: &Score, expected: &Value) {
    let close = |found: f64, expected: &Value| {
        let expected = expected.as_f64().unwrap();
        assert!(
            (found - expected).abs() < TOLERANCE,
            "{found} instead of {expected}"
        );
    };
    close(score.mean_cosine, &expected["mean_cosine"]);
    let images = expected["per_image"].as_object().unwrap();
    assert_eq!(score.n, images.len());
    assert_eq!(score.per_image.len(), images.len());
    for image in &score.per_image {
        close(image.cosine, &images[&image.id]);
    }
}

#[test]
fn every_pair_of_formats_equals_numpy() {
    let expected = std::fs::read_to_string(Path::new(FIXTURES).join("expected.json")).unwrap();
    let expected: Value = serde_json::from_str(&expected).unwrap();
    for (prediction, truth, key) in [
        ("prediction.csv", "truth.csv", "csv"),
        ("prediction.jsonl", "truth.json", "json"),
    ] {
        let score = score(&open(prediction), &open(truth), &mut never).unwrap();
        assert_equals(&score, &expected[key]);
    }
    // Decimal text and f32 differ by less than the last digit of an f32.
    for (prediction, truth) in [
        ("prediction.csv", "truth.json"),
        ("prediction.jsonl", "truth.csv"),
    ] {
        let score = score(&open(prediction), &open(truth), &mut never).unwrap();
        let mean = expected["json"]["mean_cosine"].as_f64().unwrap();
        assert!(
            (score.mean_cosine - mean).abs() < 1e-8,
            "{prediction} {truth}"
        );
    }
}

#[test]
fn images_come_in_the_order_of_the_truth() {
    let truth = open("truth.csv");
    let score = score(&open("prediction.jsonl"), &truth, &mut never).unwrap();
    let ids: Vec<&str> = score
        .per_image
        .iter()
        .map(|image| image.id.as_str())
        .collect();
    let expected: Vec<&str> = truth
        .entries()
        .iter()
        .map(|entry| entry.id.as_str())
        .collect();
    assert_eq!(ids, expected);
    assert_eq!(ids[0], "20057f34d");
}

#[test]
fn the_score_serialises_as_the_command_line_promises() {
    let score = score(&open("truth.csv"), &open("truth.csv"), &mut never).unwrap();
    let json = serde_json::to_value(&score).unwrap();
    assert_eq!(json["n"], 5);
    assert_eq!(json["per_image"][0]["id"], "20057f34d");
    assert!((json["per_image"][0]["cosine"].as_f64().unwrap() - 1.0).abs() < TOLERANCE);
    assert!((json["mean_cosine"].as_f64().unwrap() - 1.0).abs() < TOLERANCE);
}

#[test]
fn a_written_submission_reads_back_bit_for_bit() {
    let ids = ["plain", "under_score", "comma, \"quote\"", "\u{732b}"];
    let embedding = |image: usize| -> Vec<f32> {
        let special = [
            f32::MIN_POSITIVE,
            f32::MAX,
            -0.0,
            0.018848453,
            1.0 / 3.0,
            f32::EPSILON,
        ];
        (0..384)
            .map(|d| special[(d + image) % special.len()] * [1.0, -1.0][d % 2])
            .collect()
    };
    let mut writer = SubmissionWriter::new("out.csv", Vec::new()).unwrap();
    for (image, id) in ids.iter().enumerate() {
        writer.write(id, &embedding(image)).unwrap();
    }
    let bytes = writer.finish().unwrap();
    assert!(bytes.starts_with(b"imgId_eId,val\nplain_0,"));
    assert!(!String::from_utf8(bytes.clone()).unwrap().contains('\r'));
    let answers = Answers::read("out.csv", bytes.as_slice()).unwrap();
    assert_eq!(answers.entries().len(), ids.len());
    for (image, id) in ids.iter().enumerate() {
        let unprompt_eval::Answer::Embedding(found) = &answers.get(id).unwrap().answer else {
            panic!("{id} has no embedding");
        };
        for (found, expected) in found.iter().zip(embedding(image)) {
            assert_eq!((*found as f32).to_bits(), expected.to_bits());
        }
    }
}

#[test]
fn numbers_are_written_as_the_competition_writes_them() {
    let mut embedding = vec![0.0_f32; 384];
    (embedding[0], embedding[1], embedding[2]) = (0.018848453, -1e-10, 1e6);
    let mut writer = SubmissionWriter::new("out.csv", Vec::new()).unwrap();
    writer.write("20057f34d", &embedding).unwrap();
    let text = String::from_utf8(writer.finish().unwrap()).unwrap();
    let lines: Vec<&str> = text.lines().take(5).collect();
    assert_eq!(lines[1], "20057f34d_0,0.018848453");
    assert_eq!(lines[2], "20057f34d_1,-0.0000000001");
    assert_eq!(lines[3], "20057f34d_2,1000000");
    assert_eq!(text.lines().count(), 385);
}

#[test]
fn cosine_keeps_its_value_where_squares_leave_the_range() {
    let (tiny, huge) = ([3e-200, 4e-200], [6e200, 8e200]);
    assert!((cosine(&tiny, &huge).unwrap() - 1.0).abs() < TOLERANCE);
    assert!((cosine(&tiny, &[-4e-200, 3e-200]).unwrap()).abs() < TOLERANCE);
    assert_eq!(cosine(&tiny, &[0.0, 0.0]), None);
}
