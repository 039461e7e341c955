//! `unprompt metadata`.

use crate::harness::{Place, json, json_lines, workspace};
use serde_json::{Value, json};

/// Pictures of the tests of `unprompt-metadata`, with what is known to be in them.
fn fixture(name: &str) -> (std::path::PathBuf, Value) {
    let folder = workspace("crates/unprompt-metadata/tests/fixtures");
    let expected = std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
    (folder.join(name), json(&expected))
}

/// The record that belongs to a fixture.
fn record(path: &str, expected: &Value) -> Value {
    let mut record = json!({"path": path, "found": !expected.is_null()});
    for (key, value) in expected.as_object().into_iter().flatten() {
        record[key] = value.clone();
    }
    record
}

const PICTURES: [&str; 6] = [
    "a1111-text.png",
    "a1111-unicode.jpg",
    "comfyui-model-make.webp",
    "none.gif",
    "novelai.png",
    "stealth_pngcomp.png",
];

#[test]
fn one_picture_is_shown_as_people_read_it() {
    let place = Place::new();
    place.copy(&fixture("a1111-text.png").0, "cat.png");
    place.copy(&fixture("none.png").0, "none.png");
    let shown = "\
a cat, (sitting:1.2) on \"Steps: 5\" sign,\\nNegative space, masterpiece
Negative prompt: ugly, blurry,\\nlow quality: yes
Generator: a1111
Steps: 20
Sampler: DPM++ 2M Karras
CFG scale: 7.5
Seed: 3131231231
Size-1: 512
Size-2: 768
Model hash: 12345678
Model: v1-5-pruned
Tiled: true
Lora hashes: detail: 1a2b, x: 3c4d
Version: v1.10.1
";
    assert_eq!(place.run(&["metadata", "cat.png"]).output(), shown);
    let none = "no prompt in this file\n";
    assert_eq!(place.run(&["metadata", "none.png"]).output(), none);
    let both = format!("== none.png\n{none}== cat.png\n{shown}");
    let run = place.run(&["metadata", "none.png", "cat.png"]);
    assert_eq!(run.output(), both);
}

#[test]
fn records_are_the_same_in_both_json_formats_and_on_standard_input() {
    let place = Place::new();
    let mut expected = Vec::new();
    for name in PICTURES {
        let (path, found) = fixture(name);
        place.copy(&path, name);
        expected.push(record(name, &found));
        let input = std::fs::read(path).unwrap();
        let run = place.run_on(&["metadata", "-", "--format", "jsonl"], &input);
        assert_eq!(json_lines(run.output()), [record("-", &found)]);
    }
    let lines = place.run(&[&["metadata", "--format", "jsonl"][..], &PICTURES].concat());
    assert_eq!(json_lines(lines.output()), expected);
    let array = place.run(&[&["metadata", "--format", "json"][..], &PICTURES].concat());
    assert_eq!(json(array.output()), Value::from(expected));
    let order = r#"{"path":"none.gif","found":false}"#;
    assert!(lines.stdout.lines().any(|line| line == order));
}

#[test]
fn broken_files_of_a_folder_cost_only_their_own_record() {
    let place = Place::new();
    let (good, found) = fixture("a1111-text.png");
    let bytes = std::fs::read(fixture("none.png").0).unwrap();
    place.copy(&good, "in/a/good.png");
    place.write("in/a/cut.png", &bytes[..bytes.len() - 20]);
    place.write("in/empty.png", "");
    // Plainly no picture: not looked at, unless it is named.
    place.write("in/notes.txt", "no picture\n");
    place.write("in/b/results.jsonl", "{}\n");
    place.copy(&good, "in/z-no-extension");
    place.write("in/.hidden/bad.png", "");

    let run = place.run(&["metadata", "in", "--format", "jsonl"]);
    let (stdout, stderr) = run.failures();
    let unknown = "not a PNG, JPEG, WebP, GIF, BMP or TIFF picture";
    let cut = "damaged metadata: the PNG file is cut short before its last chunk";
    let expected = [
        json!({"path": "in/a/cut.png", "error": cut}),
        record("in/a/good.png", &found),
        json!({"path": "in/empty.png", "error": unknown}),
        record("in/z-no-extension", &found),
    ];
    assert_eq!(json_lines(stdout), expected);
    let failed = [
        format!("unprompt: in/a/cut.png: {cut}"),
        format!("unprompt: in/empty.png: {unknown}"),
    ];
    assert_eq!(stderr, failed);

    for size in ["1", "2"] {
        let again = place.run(&["metadata", "in", "--format", "jsonl", "--batch-size", size]);
        assert_eq!((&again.stdout, &again.stderr), (&run.stdout, &run.stderr));
    }
    // The same in text: what failed is on standard error alone.
    let text = place.run(&["metadata", "in"]);
    let (stdout, stderr) = text.failures();
    assert_eq!(stdout.matches("== ").count(), 2);
    assert_eq!(stderr, failed);
}

#[test]
fn a_thousand_files_of_which_fifty_are_bad() {
    let place = Place::new();
    let good = std::fs::read(fixture("none.png").0).unwrap();
    let bad = |index: usize| index % 20 == 7;
    for index in 0..1000 {
        let bytes = if bad(index) { &good[..20] } else { &good };
        place.write(&format!("in/{index:04}.png"), bytes);
    }
    let run = place.run(&["metadata", "in", "--format", "jsonl"]);
    let (stdout, stderr) = run.failures();
    let records = json_lines(stdout);
    assert_eq!((records.len(), stderr.len()), (1000, 50));
    for (index, record) in records.iter().enumerate() {
        assert_eq!(record["path"], format!("in/{index:04}.png"));
        assert_eq!(record["error"].is_string(), bad(index), "{record}");
    }
}

#[test]
fn a_file_longer_than_any_picture_is_refused_unread() {
    let place = Place::new();
    let file = std::fs::File::create(place.path("long.png")).unwrap();
    file.set_len((20 << 20) + 1).unwrap();
    let run = place.run(&["metadata", "long.png", "--format", "jsonl"]);
    let (stdout, _) = run.failures();
    let error = "picture refused: the file is longer than the 20971520 bytes allowed";
    let expected = json!({"path": "long.png", "error": error});
    assert_eq!(json_lines(stdout), [expected]);
}

#[test]
fn a_run_in_which_everything_fails_still_has_a_whole_array() {
    let place = Place::new();
    place.write("bad.png", "");
    let run = place.run(&["metadata", "bad.png", "--format", "json"]);
    let (stdout, stderr) = run.failures();
    let error = "not a PNG, JPEG, WebP, GIF, BMP or TIFF picture";
    assert_eq!(json(stdout), json!([{"path": "bad.png", "error": error}]));
    assert_eq!(stderr.len(), 1);
}

#[test]
fn paths_that_name_nothing_stop_the_run() {
    let place = Place::new();
    std::fs::create_dir(place.path("hollow")).unwrap();
    let missing = "unprompt: missing.png: no such file or folder\n";
    assert_eq!(place.run(&["metadata", "missing.png"]).refusal(), missing);
    let hollow = "unprompt: hollow: no pictures in this folder\n";
    assert_eq!(place.run(&["metadata", "hollow"]).refusal(), hollow);
    let twice = "unprompt: -: standard input can be read only once\n";
    assert_eq!(place.run(&["metadata", "-", "-"]).refusal(), twice);
}

#[cfg(unix)]
#[test]
fn a_name_with_a_line_break_still_fails_on_one_line() {
    let place = Place::new();
    place.write("two\nlines\x1b[2J.png", "");
    place.write("other.png", "");
    let run = place.run(&["metadata", ".", "--format", "jsonl"]);
    let (stdout, stderr) = run.failures();
    assert_eq!(stderr.len(), 2, "{run:?}");
    assert!(!run.stderr.contains('\x1b'), "{run:?}");
    assert_eq!(json_lines(stdout)[1]["path"], "./two\nlines\x1b[2J.png");
}

#[cfg(unix)]
#[test]
fn a_pipe_in_a_folder_is_not_waited_for() {
    let place = Place::new();
    place.copy(&fixture("none.png").0, "in/none.png");
    let pipe = place.path("in/pipe");
    let made = std::process::Command::new("mkfifo").arg(pipe).status();
    assert!(made.unwrap().success());
    let run = place.run(&["metadata", "in", "--format", "jsonl"]);
    let (stdout, _) = run.failures();
    let expected = [
        json!({"path": "in/none.png", "found": false}),
        json!({"path": "in/pipe", "error": "neither a file nor a folder"}),
    ];
    assert_eq!(json_lines(stdout), expected);
}
