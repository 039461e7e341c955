//! Texts beside pictures, with the default preset, which needs no weights.

use crate::harness::{Place, Run, json_lines, keys, workspace};
use serde_json::Value;
use std::fs;

const NAMES: [&str; 3] = ["astronaut.jpg", "cat.png", "rocket.jpg"];

fn place() -> Place {
    let place = Place::new();
    for name in NAMES {
        let path = workspace("examples/pictures").join(name);
        place.copy(&path, &format!("in/{name}"));
    }
    place
}

fn predict(place: &Place, more: &[&str]) -> Run {
    let arguments = [&["predict", "in", "--offline", "--quiet"], more].concat();
    let mut command = place.command(&arguments);
    place.finish(command.env_remove("UNPROMPT_PRESET"))
}

/// The prompts without any text beside the pictures.
fn prompts(place: &Place) -> Vec<String> {
    let run = predict(place, &["--format", "jsonl"]);
    let records = json_lines(run.output());
    let prompt = |record: &Value| record["prompt"].as_str().unwrap().to_owned();
    records.iter().map(prompt).collect()
}

#[test]
fn predictions_are_written_beside_their_pictures() {
    let place = place();
    let prompts = prompts(&place);
    place.write("in/cat.txt", "my cat\n");
    let run = |mode: &str| {
        let run = predict(
            &place,
            &["--sidecar", mode, "--format", "jsonl", "--batch-size", "1"],
        );
        json_lines(run.output())
    };
    let texts = || ["astronaut", "cat", "rocket"].map(|name| place.read(&format!("in/{name}.txt")));
    let line = |text: &str| format!("{text}\n");

    let records = run("skip");
    // In their order, the one that was left alone among the others.
    let found: Vec<&Value> = records.iter().map(|record| &record["prompt"]).collect();
    assert_eq!(
        (found[0], found[2]),
        (&prompts[0].as_str().into(), &prompts[2].as_str().into())
    );
    assert_eq!(keys(&records[1]), ["path", "skipped"]);
    assert_eq!(
        texts(),
        [line(&prompts[0]), "my cat\n".into(), line(&prompts[2])]
    );
    assert!(run("skip").iter().all(|record| record["skipped"] == true));
    assert_eq!(run("append").len(), 3);
    assert_eq!(texts()[1], format!("my cat, {}\n", prompts[1]));
    run("overwrite");
    assert_eq!(texts(), [0, 1, 2].map(|index| line(&prompts[index])));
    run("prepend");
    assert_eq!(texts()[2], format!("{0}, {0}\n", prompts[2]));
}

#[test]
fn texts_are_edited_and_records_are_not() {
    let place = place();
    let prompts = prompts(&place);
    let word = prompts[1].split(' ').next_back().unwrap();
    place.write("replace.csv", format!("{},Felix\n", word.to_uppercase()));
    place.write("deny.txt", "astronaut\n");
    let flags = ["--sidecar", "overwrite", "--sidecar-ext", ".caption"];
    let edits = ["--prefix", "sks, ", "--suffix", ", photo", "--strip-leads"];
    let files = ["--replace", "replace.csv", "--format", "jsonl"];
    let run = predict(&place, &[&flags[..], &edits, &files].concat());
    let records = json_lines(run.output());
    assert_eq!(records[1]["prompt"], prompts[1].as_str());
    let text = place.read("in/cat.caption");
    let expected = prompts[1].replace(word, "Felix");
    assert_eq!(text, format!("sks, {expected}, photo\n"));

    // A text of which nothing is left is a failure of that picture alone.
    let everything = prompts[0].replace(',', "\n");
    place.write("deny.txt", everything);
    let flags = ["--sidecar", "overwrite", "--deny", "deny.txt"];
    let run = predict(&place, &flags);
    let (_, failures) = run.failures();
    assert!(
        failures[0].contains("nothing of its text is left"),
        "{failures:?}"
    );
    assert!(!place.path("in/astronaut.txt").exists());
    assert!(place.path("in/rocket.txt").exists());
}

#[test]
fn what_cannot_be_written_is_said_before_any_picture() {
    let place = place();
    place.write("wrong.csv", "a,b,c\n");
    let cases: &[(&[&str], &str)] = &[
        (&["--prefix", "x"], "--sidecar"),
        (&["--deny", "wrong.csv"], "--sidecar"),
        (&["--sidecar", "sometimes"], "sometimes"),
        (
            &["--sidecar", "skip", "--sidecar-ext", "../x"],
            "--sidecar-ext",
        ),
        (&["--sidecar", "skip", "--replace", "wrong.csv"], "line 1"),
        (&["--sidecar", "skip", "--replace", "none.csv"], "none.csv"),
        (&["--sidecar", "skip", "--deny", "none.txt"], "none.txt"),
    ];
    for (flags, named) in cases {
        let run = predict(&place, flags);
        assert!(run.refusal().contains(named), "{flags:?}: {run:?}");
    }
}

#[cfg(unix)]
#[test]
fn no_link_is_followed_and_no_other_picture_is_replaced() {
    let place = place();
    place.write("elsewhere.txt", "precious");
    std::os::unix::fs::symlink("../elsewhere.txt", place.path("in/cat.txt")).unwrap();
    let before = fs::read(place.path("in/rocket.jpg")).unwrap();
    let run = predict(&place, &["--sidecar", "overwrite"]);
    let (_, failures) = run.failures();
    assert!(failures[0].contains("a link, or no file"), "{failures:?}");
    assert_eq!(place.read("elsewhere.txt"), "precious");
    // A text that would be its own picture.
    let run = predict(&place, &["--sidecar", "overwrite", "--sidecar-ext", "jpg"]);
    let (_, failures) = run.failures();
    assert_eq!(failures.len(), 2, "{failures:?}");
    assert_eq!(fs::read(place.path("in/rocket.jpg")).unwrap(), before);
    assert_eq!(
        fs::read(place.path("in/astronaut.jpg")).unwrap()[..2],
        [0xff, 0xd8]
    );
}
