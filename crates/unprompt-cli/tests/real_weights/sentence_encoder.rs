//! all-MiniLM-L6-v2 against sentence-transformers.

use crate::{
    Test,
    harness::{json, json_lines},
    reference::{Tensors, cosine, document, embedding, embedding_f32, largest_difference},
    weights::Weights,
};
use serde_json::Value;
use std::{collections::HashMap, path::Path};

pub const TESTS: &[Test] = &[
    ("sbert::token_ids_equal_the_reference", token_ids),
    ("sbert::embeddings_equal_the_reference", embeddings),
    ("sbert::neighbours_and_threads_change_no_bit", no_bit),
    ("sbert::int8_weights_are_near_and_change_no_bit", int8),
    ("sbert::table_1_of_the_paper", table_1),
    ("sbert::the_command_equals_the_library", command),
    ("sbert::raw_vectors_are_not_normalised", raw),
];

/// A test of its own, for those who have the competition's files.
pub const COMPETITION: Test = ("sbert::the_competitions_prompts", competition);
/// The variable that names their folder.
pub const COMPETITION_DIR: &str = "UNPROMPT_COMPETITION_DIR";

fn texts() -> Vec<(String, Vec<u32>)> {
    let document = document("sbert.json");
    let records = document["texts"].as_array().unwrap();
    assert!(records.len() >= 60);
    let one = |record: &Value| {
        let text = record["text"].as_str().unwrap().to_owned();
        let ids = record["ids"].as_array().unwrap();
        let ids = ids.iter().map(|id| id.as_u64().unwrap() as u32).collect();
        (text, ids)
    };
    records.iter().map(one).collect()
}

fn only_texts() -> Vec<String> {
    texts().into_iter().map(|(text, _)| text).collect()
}

fn token_ids(weights: &Weights) {
    for (text, ids) in texts() {
        assert_eq!(weights.encoder.tokenize(&text).unwrap(), ids, "{text:?}");
    }
}

fn embeddings(weights: &Weights) {
    let texts = only_texts();
    let expected = Tensors::open("sbert.safetensors").floats("embeddings");
    let found = weights.encoder.embed(&texts).unwrap();
    assert!(found.iter().all(|row| row.len() == 384));
    let difference = largest_difference(&found.concat(), &expected);
    eprintln!("sbert: largest difference from sentence-transformers {difference:.2e}");
    assert!(difference < 1e-5, "{difference}");
}

fn bits(rows: &[Vec<f32>]) -> Vec<u32> {
    rows.iter().flatten().map(|x| x.to_bits()).collect()
}

fn no_bit(weights: &Weights) {
    let encoder = &weights.encoder;
    let texts = only_texts();
    let expected = encoder.embed(&texts).unwrap();

    let backwards: Vec<&String> = texts.iter().rev().collect();
    let mut reversed = encoder.embed(&backwards).unwrap();
    reversed.reverse();
    assert!(bits(&reversed) == bits(&expected), "reversed");

    let alone: Vec<Vec<f32>> = texts
        .iter()
        .flat_map(|text| encoder.embed(&[text]).unwrap())
        .collect();
    assert!(bits(&alone) == bits(&expected), "one by one");

    for threads in ["1", "2", "4"] {
        // Through the program, whose threads are its own. The texts that fit on a line.
        let place = weights.place();
        let lines: Vec<&String> = texts.iter().filter(|t| !t.contains(['\n', '\r'])).collect();
        let file: String = lines.iter().map(|line| format!("{line}\n")).collect();
        place.write("texts.txt", file);
        let arguments = "embed text --file texts.txt --format jsonl --offline --threads";
        let arguments: Vec<&str> = arguments.split(' ').chain([threads]).collect();
        let records = json_lines(place.run(&arguments).output());
        let expected: HashMap<&String, &Vec<f32>> = texts.iter().zip(&expected).collect();
        assert_eq!(records.len(), lines.len());
        for (record, text) in records.iter().zip(lines) {
            let same = bits(&[embedding_f32(record)]) == bits(&[expected[text].clone()]);
            assert!(same, "{threads} threads: {text:?}");
        }
    }
}

fn int8(weights: &Weights) {
    let texts = only_texts();
    let exact = weights.encoder.embed(&texts).unwrap();
    let found = weights.int8_encoder.embed(&texts).unwrap();
    let cosines = exact.iter().zip(&found).map(|(exact, found)| {
        let [exact, found] = [exact, found].map(|row| doubles(row));
        cosine(&exact, &found)
    });
    let least = cosines.fold(f64::INFINITY, f64::min);
    eprintln!("sbert: smallest cosine of int8 weights to f32 {least:.6}");
    assert!((0.998..0.999_999).contains(&least), "{least}");
    for (text, found) in texts.iter().zip(&found) {
        let alone = weights.int8_encoder.embed(&[text]).unwrap();
        assert!(
            bits(&alone) == bits(std::slice::from_ref(found)),
            "{text:?}"
        );
    }
    let place = weights.place();
    for threads in ["1", "3"] {
        let arguments = "embed text --offline --format json --dtype int8 --threads";
        let arguments: Vec<&str> = arguments.split(' ').chain([threads]).collect();
        let run = place.run(&[&arguments[..], &SPOKEN].concat());
        let records = json(run.output());
        let expected = weights.int8_encoder.embed(&SPOKEN).unwrap();
        for (record, expected) in records.as_array().unwrap().iter().zip(&expected) {
            assert!(embedding_f32(record) == *expected, "{threads} threads");
        }
    }
}

fn doubles(row: &[f32]) -> Vec<f64> {
    row.iter().map(|x| f64::from(*x)).collect()
}

fn table_1(weights: &Weights) {
    let document = document("sbert.json");
    // As measured with the published weights; the third digit is what the paper's order rests on.
    let known = [0.3137, 0.3536, 0.4925, 0.4146, 0.4375, 0.5544];
    let rows = document["table1"].as_array().unwrap();
    assert_eq!(rows.len(), known.len());
    for (row, known) in rows.iter().zip(known) {
        let prompt = &document["prompts"][row["prompt"].as_str().unwrap()];
        let pair = [&row["caption"], prompt].map(|text| text.as_str().unwrap());
        let rows = weights.encoder.embed(&pair).unwrap();
        let rows: Vec<Vec<f64>> = rows.iter().map(|row| doubles(row)).collect();
        let found = cosine(&rows[0], &rows[1]);
        let reference = row["cosine"].as_f64().unwrap();
        assert!((found - known).abs() < 1e-3, "{found} {row}");
        assert!((found - reference).abs() < 1e-5, "{found} {row}");
    }
}

/// Texts that a command line can carry.
const SPOKEN: [&str; 4] = ["a cat", "", "ein Käfer & ein 猫 🐈", "two\nlines"];

fn command(weights: &Weights) {
    let expected = weights.encoder.embed(&SPOKEN).unwrap();
    let place = weights.place();
    for size in ["1", "3", "16"] {
        let arguments = [
            "embed",
            "text",
            "--offline",
            "--format",
            "json",
            "--batch-size",
            size,
        ];
        let run = place.run(&[&arguments[..], &SPOKEN].concat());
        let records = json(run.output());
        let records = records.as_array().unwrap();
        assert_eq!(records.len(), SPOKEN.len());
        for ((record, text), expected) in records.iter().zip(SPOKEN).zip(&expected) {
            assert_eq!(record["text"], text);
            assert!(embedding_f32(record) == *expected, "{text:?}");
        }
    }
}

fn raw(weights: &Weights) {
    let place = weights.place();
    let arguments = ["embed", "text", "a cat", "--offline", "--format", "json"];
    let unit = embedding(&json(place.run(&arguments).output())[0]);
    let run = place.run(&[&arguments[..], &["--raw"]].concat());
    let record = &json(run.output())[0];
    let expected = weights.encoder.embed_raw(&["a cat"]).unwrap();
    assert!(embedding_f32(record) == expected[0]);
    let raw = embedding(record);
    let length = raw.iter().map(|x| x * x).sum::<f64>().sqrt();
    assert!((length - 1.0).abs() > 0.1, "{length}");
    let scaled: Vec<f64> = raw.iter().map(|x| x / length).collect();
    assert!(largest_difference(&unit, &scaled) < 1e-6);
}

fn competition(weights: &Weights) {
    let folder = std::env::var_os(COMPETITION_DIR).unwrap();
    let folder = Path::new(&folder);
    let place = weights.place();
    let prompts = folder.join("prompts.csv");
    let submission = folder.join("sample_submission.csv");
    let run = place.run(&[
        "score".as_ref(),
        "--offline".as_ref(),
        "--format".as_ref(),
        "json".as_ref(),
        "--pred".as_ref(),
        prompts.as_os_str(),
        "--truth".as_ref(),
        submission.as_os_str(),
    ]);
    let score = json(run.output());
    assert_eq!(score["n"], 7);
    let mean = score["mean_cosine"].as_f64().unwrap();
    assert!((mean - 1.0).abs() < 1e-9, "{score}");

    // Number by number: rows are `ID_DIMENSION,VALUE`, in the order of the prompts.
    let mut reader = csv::Reader::from_path(prompts).unwrap();
    let prompts: Vec<(String, String)> = reader
        .records()
        .map(|row| {
            let row = row.unwrap();
            (row[0].to_owned(), row[1].to_owned())
        })
        .collect();
    let mut values = HashMap::new();
    for row in csv::Reader::from_path(submission).unwrap().records() {
        let row = row.unwrap();
        values.insert(row[0].to_owned(), row[1].parse::<f64>().unwrap());
    }
    assert_eq!(values.len(), prompts.len() * 384);
    let texts: Vec<&String> = prompts.iter().map(|(_, prompt)| prompt).collect();
    let found = weights.encoder.embed(&texts).unwrap();
    let mut largest = 0f64;
    for ((id, _), found) in prompts.iter().zip(found) {
        let expected: Vec<f64> = (0..384).map(|i| values[&format!("{id}_{i}")]).collect();
        largest = largest.max(largest_difference(&found, &expected));
    }
    eprintln!("sbert: largest difference from sample_submission.csv {largest:.2e}");
    assert!(largest < 1e-5, "{largest}");
}
