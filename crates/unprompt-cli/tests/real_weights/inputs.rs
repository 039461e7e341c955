//! Pictures in any number, order and state of damage.

use crate::{
    Test,
    harness::{huge_png, workspace},
    prediction::{PICTURES, place, predict, records},
    weights::Weights,
};
use serde_json::{Value, json};
use std::{collections::HashMap, process::Stdio};

pub const TESTS: &[Test] = &[
    ("inputs::bad_files_cost_only_their_own_record", bad_files),
    ("inputs::batches_and_threads_change_nothing", batches),
    ("inputs::standard_input_is_a_picture_like_any_other", stdin),
    ("inputs::a_file_holds_what_standard_output_would", out),
    (
        "inputs::a_reader_that_leaves_early_is_no_failure",
        broken_pipe,
    ),
];

fn bad_files(weights: &Weights) {
    let place = place(weights);
    let cat = std::fs::read(place.path("in/cat.png")).unwrap();
    let rocket = std::fs::read(place.path("in/rocket.jpg")).unwrap();
    place.write("in/a-huge.png", huge_png());
    place.write("in/b-empty.jpg", "");
    place.write("in/c/cut.png", &cat[..cat.len() / 2]);
    place.write("in/c/fine", &cat);
    place.write("in/d-cut.jpg", &rocket[..200]);
    place.write("in/notes.bin", [0, 1, 2, 3]);
    place.write("in/notes.txt", "plainly no picture\n");
    place.write("in/zeros.png", [0; 4096]);

    let not_a_picture = "not a picture; PNG, JPEG, WebP, GIF, BMP and TIFF are read";
    let expected = [
        (
            "a-huge.png",
            Some("100000 x 100000 pixels, longest side allowed is 16384"),
        ),
        ("astronaut.jpg", None),
        ("b-empty.jpg", Some("an empty file")),
        ("c/cut.png", Some("damaged PNG picture")),
        ("c/fine", None),
        ("cat.png", None),
        ("coffee.webp", None),
        ("d-cut.jpg", Some("JPEG")),
        ("notes.bin", Some(not_a_picture)),
        ("photographer.png", None),
        ("rocket.jpg", None),
        ("zeros.png", Some(not_a_picture)),
    ];
    let alone: HashMap<&str, Value> = expected
        .iter()
        .filter(|(_, reason)| reason.is_none())
        .map(|(name, _)| (*name, predict(&place, &[&format!("in/{name}")]).remove(0)))
        .collect();
    for size in ["1", "3", "16"] {
        let arguments = [
            "predict",
            "in",
            "--offline",
            "--format",
            "jsonl",
            "--batch-size",
            size,
        ];
        let run = place.run(&arguments);
        let (stdout, stderr) = run.failures();
        let found = records(stdout);
        assert_eq!(found.len(), expected.len());
        let mut lines = Vec::new();
        for (record, (name, reason)) in found.iter().zip(expected) {
            let path = format!("in/{name}");
            match reason {
                Some(reason) => {
                    let error = record["error"].as_str().unwrap();
                    assert!(error.contains(reason), "{record}");
                    assert_eq!(*record, json!({"path": path, "error": error}));
                    lines.push(format!("unprompt: {path}: {error}"));
                }
                None => assert_eq!(*record, alone[name]),
            }
        }
        assert_eq!(stderr, lines);
    }

    // The other formats leave the failures out and end alike.
    for (format, lines) in [("text", 6), ("csv", 7), ("submission", 1 + 6 * 384)] {
        let run = place.run(&["predict", "in", "--offline", "--format", format]);
        let (stdout, stderr) = run.failures();
        assert_eq!(stdout.lines().count(), lines, "{format}");
        assert_eq!(stderr.len(), 6, "{format}");
    }
}

fn batches(weights: &Weights) {
    let place = place(weights);
    let expected = predict(&place, &["in"]);
    for (size, threads) in [("1", "2"), ("3", "4"), ("16", "1"), ("16", "4")] {
        let found = predict(&place, &["in", "--batch-size", size, "--threads", threads]);
        assert_eq!(found, expected, "batches of {size}, {threads} threads");
    }
    // The order is that of the arguments, and a picture given twice comes twice.
    let found = predict(&place, &["in/rocket.jpg", "in/cat.png", "in/rocket.jpg"]);
    let picked = [4, 1, 4].map(|index: usize| expected[index].clone());
    assert_eq!(found, picked);
}

fn stdin(weights: &Weights) {
    let place = place(weights);
    for name in PICTURES {
        let mut expected = predict(&place, &[&format!("in/{name}")]);
        expected[0]["path"] = Value::from("-");
        let input = std::fs::read(place.path(format!("in/{name}"))).unwrap();
        let arguments = ["predict", "-", "--offline", "--format", "jsonl"];
        let run = place.run_on(&arguments, &input);
        assert_eq!(records(run.output()), expected);
    }
    let run = place.run_on(&["predict", "-", "--offline", "--format", "jsonl"], b"");
    let (stdout, stderr) = run.failures();
    let error = "an empty file; PNG, JPEG, WebP, GIF, BMP and TIFF are read";
    assert_eq!(records(stdout), [json!({"path": "-", "error": error})]);
    assert_eq!(stderr, [format!("unprompt: -: {error}")]);
}

fn out(weights: &Weights) {
    let place = place(weights);
    place.write("bad.png", "");
    for format in ["text", "csv", "submission"] {
        let arguments = ["predict", "bad.png", "in", "--offline", "--format", format];
        let shown = place.run(&arguments);
        let run = place.run(&[&arguments[..], &["--out", "result"]].concat());
        assert_eq!((run.code, run.stdout.as_str()), (2, ""));
        assert_eq!(run.stderr, shown.stderr);
        assert_eq!(place.read("result"), shown.stdout);
        assert_eq!(place.names(), ["bad.png", "in", "result"]);
    }
    let expected = predict(&place, &["in"]);
    let arguments = [
        "predict",
        "in",
        "--offline",
        "--format",
        "jsonl",
        "--out",
        "result",
    ];
    assert_eq!(place.run(&arguments).output(), "");
    assert_eq!(records(&place.read("result")), expected);
}

fn broken_pipe(weights: &Weights) {
    let place = place(weights);
    // A prompt longer than any buffer meets the closed pipe in the middle of a row.
    let carries = workspace("crates/unprompt-metadata/tests/fixtures/none.png");
    let picture = std::fs::read(carries).unwrap();
    place.write(
        "long.png",
        with_prompt(&picture, &"a very long prompt, ".repeat(5000)),
    );
    let found = predict(&place, &["long.png"]);
    assert_eq!(found[0]["source"], "metadata");
    for format in ["text", "json", "jsonl", "csv", "submission"] {
        for path in ["in", "long.png"] {
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            let mut command = place.command(&["predict", path, "--offline", "--format", format]);
            let child = command.stdout(writer).stderr(Stdio::piped()).spawn();
            let output = child.unwrap().wait_with_output().unwrap();
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(
                (output.status.code(), &*stderr),
                (Some(0), ""),
                "{format} {path}"
            );
        }
    }
}

/// A PNG with a text chunk put before its end.
fn with_prompt(png: &[u8], prompt: &str) -> Vec<u8> {
    let (before, end) = png.split_at(png.len() - 12);
    let body = [
        b"tEXtparameters\0",
        prompt.as_bytes(),
        b"\nSteps: 20, Seed: 1",
    ]
    .concat();
    let length = (body.len() as u32 - 4).to_be_bytes();
    [before, &length, &body, &checksum(&body).to_be_bytes(), end].concat()
}

/// CRC-32, as PNG asks for it.
fn checksum(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |checksum, &byte| {
        (0..8).fold(checksum ^ u32::from(byte), |checksum, _| {
            (checksum >> 1) ^ (0xedb8_8320 * (checksum & 1))
        })
    })
}
