//! `unprompt embed text`, with tiny encoders of the user's own.

use crate::harness::{Place, json, json_lines, keys, workspace};
use serde_json::Value;

fn clip() -> String {
    let path = workspace("fixtures/models/tiny-clip");
    path.to_str().unwrap().to_owned()
}

fn tiny() -> String {
    let path = workspace("fixtures/models/tiny-sbert");
    path.to_str().unwrap().to_owned()
}

fn numbers(record: &Value) -> Vec<f64> {
    let numbers = record["embedding"].as_array().unwrap();
    numbers.iter().map(|n| n.as_f64().unwrap()).collect()
}

#[test]
fn texts_of_the_command_line_come_before_those_of_the_file() {
    let place = Place::new();
    let model = tiny();
    // Line ends of both kinds, an empty line, and a last line without an end.
    place.write("texts.txt", "of the file\r\n\nlast");
    let arguments = ["embed", "text", "--model", &model, "--format", "jsonl"];
    let run = place.run(&[&arguments[..], &["given", "--file", "texts.txt"]].concat());
    let records = json_lines(run.output());
    let texts: Vec<&str> = records.iter().filter_map(|r| r["text"].as_str()).collect();
    assert_eq!(texts, ["given", "of the file", "", "last"]);
    for record in &records {
        assert_eq!(keys(record), ["embedding", "text"]);
        assert_eq!(numbers(record).len(), 32);
        let squares: f64 = numbers(record).iter().map(|x| x * x).sum();
        assert!((squares - 1.0).abs() < 1e-6);
    }
    // However the texts arrive and are batched, each has its one vector.
    let file = std::fs::read(place.path("texts.txt")).unwrap();
    for size in ["1", "3"] {
        let more = ["given", "--file", "-", "--batch-size", size];
        let again = place.run_on(&[&arguments[..], &more].concat(), &file);
        assert_eq!(again.output(), run.stdout);
    }
}

#[test]
fn raw_vectors_are_the_others_before_their_length_is_made_one() {
    let place = Place::new();
    for model in [tiny(), clip()] {
        let arguments = [
            "embed", "text", "a cat", "--model", &model, "--format", "json",
        ];
        let unit = json(place.run(&arguments).output());
        let raw = json(place.run(&[&arguments[..], &["--raw"]].concat()).output());
        let (unit, raw) = (numbers(&unit[0]), numbers(&raw[0]));
        let length = raw.iter().map(|x| x * x).sum::<f64>().sqrt();
        assert!((length - 1.0).abs() > 1e-3, "{length}");
        for (unit, raw) in unit.iter().zip(raw) {
            assert!((unit - raw / length).abs() < 1e-6);
        }
    }
}

#[test]
fn the_text_tower_of_a_clip_is_a_text_encoder_too() {
    let place = Place::new();
    let model = clip();
    // Longer than its context; the same but for case and spaces; none at all.
    let long = "portrait of a weathered fisherman, oil on canvas, ".repeat(20);
    place.write("texts.txt", format!("a cat\n A  CAT \n\n{long}\na cat\n"));
    let run = |size: &str| {
        let arguments = [
            "embed",
            "text",
            "--file",
            "texts.txt",
            "--model",
            &model,
            "--format",
            "jsonl",
            "--batch-size",
            size,
        ];
        place.run(&arguments).output().to_owned()
    };
    let alone = run("1");
    let records = json_lines(&alone);
    assert_eq!(records.len(), 5);
    for record in &records {
        assert_eq!(keys(record), ["embedding", "text"]);
        assert_eq!(numbers(record).len(), 8);
    }
    assert_eq!(numbers(&records[0]), numbers(&records[1]));
    assert_eq!(numbers(&records[0]), numbers(&records[4]));
    assert_ne!(numbers(&records[0]), numbers(&records[2]));
    // However long the neighbours are, each has its one vector.
    for size in ["2", "16"] {
        assert_eq!(run(size), alone);
    }
}

#[test]
fn text_output_is_one_vector_a_line() {
    let place = Place::new();
    let model = tiny();
    let arguments = ["embed", "text", "a cat", "two\nlines", "--model", &model];
    let text = place.run(&arguments);
    let lines = place.run(&[&arguments[..], &["--format", "jsonl"]].concat());
    let records = json_lines(lines.output());
    assert_eq!(text.output().lines().count(), 2);
    for (line, record) in text.stdout.lines().zip(&records) {
        let found: Vec<f64> = line.split(' ').map(|n| n.parse().unwrap()).collect();
        assert_eq!(found, numbers(record));
    }
}

#[test]
fn what_is_no_text_and_what_is_no_encoder_stops_the_run() {
    let place = Place::new();
    let model = tiny();
    place.write("latin1.txt", b"caf\xe9\n");
    let cases = [
        (["--file", "missing.txt"], "cannot read missing.txt"),
        (["--file", "latin1.txt"], "cannot read latin1.txt"),
    ];
    for (arguments, expected) in cases {
        let run = place.run(&[&["embed", "text", "--model", &model][..], &arguments].concat());
        assert!(run.refusal().contains(expected), "{run:?}");
    }
    place.write("mine/config.json", "{}");
    place.write("half/config.json", r#"{"model_type": "bert"}"#);
    for (model, expected) in [
        ("nosuch", "unknown model `nosuch`"),
        ("./missing", "./missing"),
        ("./mine", "mine/config.json: `model_type` is none"),
        ("./half", "modules.json"),
    ] {
        let run = place.run(&["embed", "text", "a cat", "--model", model]);
        assert!(run.refusal().contains(expected), "{model}: {run:?}");
    }
}

#[test]
fn a_model_without_texts_is_refused_by_name() {
    let place = Place::new();
    for (name, expected) in [
        (
            "tiny-vit-timm",
            "a Vision Transformer, where a sentence encoder, a CLIP or a SigLIP is needed",
        ),
        ("tiny-clip-vision", "the folder holds an image tower only"),
        ("tiny-clip-transformers", "tokenizer.json"),
    ] {
        let path = workspace("fixtures/models").join(name);
        let path = path.to_str().unwrap();
        let run = place.run(&["embed", "text", "a cat", "--model", path]);
        let refusal = run.refusal();
        assert!(
            refusal.starts_with(&format!("unprompt: model `{path}`: ")),
            "{refusal}"
        );
        assert!(refusal.contains(expected), "{refusal}");
    }
    // The pickle is asked about before anything is read from it.
    let path = workspace("fixtures/models/tiny-clip-open-clip-variant");
    let run = place.run(&["embed", "text", "a cat", "--model", path.to_str().unwrap()]);
    assert!(run.refusal().contains("--allow-pickle"), "{run:?}");
}
