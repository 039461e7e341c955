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
        assert_eq!(record["preset"], "lite");
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

/// The prompt that the fixture carries.
const CARRIED: &str = "a cat, (sitting:1.2) on \"Steps: 5\" sign,\nNegative space, masterpiece";

/// A prompt that a file carries is exact; only its embedding wants a model.
#[test]
fn a_prompt_that_is_read_needs_no_encoder() {
    let place = place();
    let fixture = workspace("crates/unprompt-metadata/tests/fixtures/a1111-text.png");
    for name in ["in/a.png", "in/b.png"] {
        place.copy(&fixture, name);
    }
    let run = |format: &str| {
        let arguments = ["predict", "in", "--offline", "--format", format];
        place.finish(place.command(&arguments).env_remove("UNPROMPT_PRESET"))
    };
    for format in ["text", "jsonl", "csv"] {
        let run = run(format);
        assert_eq!(run.code, 0, "{run:?}");
        let notes: Vec<&str> = run.stderr.lines().collect();
        assert_eq!(notes.len(), 1, "it is said once: {run:?}");
        let begin = "unprompt: in/a.png: its prompt was read, but has no embedding";
        assert!(notes[0].starts_with(begin), "{run:?}");
        assert!(notes[0].contains("all-MiniLM-L6-v2"), "{run:?}");
    }
    let records = json_lines(&run("jsonl").stdout);
    assert_eq!(records.len(), PICTURES.len() + 2);
    for (record, path) in records.iter().zip(["in/a.png", "", "in/b.png"]) {
        if path.is_empty() {
            assert!(record["embedding"].is_array() && record["embedding_error"].is_null());
            continue;
        }
        assert_eq!(record["path"], path);
        assert_eq!(record["prompt"], CARRIED);
        assert_eq!(record["source"], "metadata");
        assert_eq!(record["embedding"], Value::Null);
        assert!(record.as_object().unwrap().contains_key("embedding"));
        let reason = record["embedding_error"].as_str().unwrap();
        assert!(reason.contains("all-MiniLM-L6-v2"), "{reason}");
    }

    // A submission has nothing but embeddings: what has none is left out, and told.
    let submission = run("submission");
    let (rows, told) = submission.failures();
    assert_eq!(rows.lines().count(), 1 + 384 * PICTURES.len());
    for path in ["in/a.png", "in/b.png"] {
        let expected = format!(
            "unprompt: {path}: left out of the submission, for its prompt has no embedding"
        );
        assert!(told.contains(&expected.as_str()), "{told:?}");
    }
    assert_eq!(told.len(), 3, "{told:?}");
}

/// What the blend is made of can be told from the record.
#[test]
fn members_are_given_with_their_lengths() {
    let place = place();
    let records = json_lines(predict(&place, &["--format", "jsonl"]).output());
    for record in &records {
        let row = |value: &Value| -> Vec<f64> {
            let values = value.as_array().unwrap();
            values.iter().map(|value| value.as_f64().unwrap()).collect()
        };
        let mut sum = vec![0.0; 384];
        for member in record["members"].as_array().unwrap() {
            let weight = member["weight"].as_f64().unwrap() * member["length"].as_f64().unwrap();
            let values = row(&member["embedding"]);
            let values = sum.iter_mut().zip(values);
            values.for_each(|(sum, value)| *sum += weight * value);
        }
        let length = sum.iter().map(|value| value * value).sum::<f64>().sqrt();
        for (sum, value) in sum.iter().zip(row(&record["embedding"])) {
            assert!((sum / length - value).abs() < 1e-6);
        }
    }
}
