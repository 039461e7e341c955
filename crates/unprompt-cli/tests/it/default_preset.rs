//! The default preset: all that it needs is part of the program.

use crate::harness::{Place, Run, json_lines, workspace};
use serde_json::Value;

const PICTURES: [&str; 5] = [
    "astronaut.jpg",
    "cat.png",
    "coffee.webp",
    "photographer.png",
    "rocket.jpg",
];

/// A new machine without a network, with the pictures of the examples in `in`.
fn place() -> Place {
    let place = Place::new();
    for picture in PICTURES {
        let path = workspace("examples/pictures").join(picture);
        place.copy(&path, &format!("in/{picture}"));
    }
    place
}

fn predict(place: &Place, more: &[&str]) -> Run {
    let arguments = [&["predict", "in", "--offline", "--quiet"], more].concat();
    let mut command = place.command(&arguments);
    place.finish(command.env_remove("UNPROMPT_PRESET"))
}

#[test]
fn a_new_machine_predicts_without_a_network() {
    let place = place();
    let run = predict(&place, &["--format", "jsonl"]);
    let records = json_lines(run.output());
    assert_eq!(records.len(), PICTURES.len());
    let text = |index: usize| records[index]["prompt"].as_str().unwrap();
    assert!(text(1).contains("cat"), "{}", text(1));
    assert!(text(2).contains("espresso"), "{}", text(2));
    for record in &records {
        assert_eq!(record["preset"], "eye");
        assert_eq!(record["source"], "predicted");
        let embedding = record["embedding"].as_array().unwrap();
        let squares = embedding
            .iter()
            .map(|value| value.as_f64().unwrap().powi(2));
        assert!((squares.sum::<f64>() - 1.0).abs() < 1e-5);
        assert_eq!(embedding.len(), 384);
        // The prompt is one that somebody wrote, as it stands in the list.
        assert!(!record["prompt"].as_str().unwrap().is_empty());
        assert_eq!(record["evidence"].as_array().unwrap().len(), 10);
        let models = record["receipt"]["models"].as_array().unwrap();
        assert!(!models.is_empty());
        for model in models {
            assert_eq!(model["sha256"].as_str().map(str::len), Some(64), "{model}");
        }
    }
    assert_eq!(place.names(), ["in"], "nothing was written");
}

#[test]
fn neither_batches_nor_threads_change_a_bit() {
    let place = place();
    let without_times = |run: Run| -> Vec<Value> {
        let mut records = json_lines(run.output());
        for record in &mut records {
            record["elapsed_ms"] = Value::Null;
        }
        records
    };
    let whole = without_times(predict(&place, &["--format", "jsonl"]));
    for more in [
        ["--batch-size", "1"],
        ["--batch-size", "2"],
        ["--threads", "1"],
    ] {
        let arguments = [&["--format", "jsonl"][..], &more].concat();
        assert_eq!(
            without_times(predict(&place, &arguments)),
            whole,
            "{more:?}"
        );
    }
}
