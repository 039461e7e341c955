//! `unprompt score`, on files that hold embeddings: no model is needed for them.

use crate::harness::{Place, json, json_lines, keys, workspace};
use serde_json::Value;

/// A submission of two images; each row may be changed, or left out.
fn submission(change: impl Fn(&str) -> Option<(String, String)>) -> String {
    let mut text = "imgId_eId,val\n".to_owned();
    for id in ["first", "second"] {
        for dimension in 0..384 {
            let key = format!("{id}_{dimension}");
            if let Some((key, value)) = change(&key) {
                text.push_str(&format!("{key},{value}\n"));
            }
        }
    }
    text
}

fn plain(key: &str) -> Option<(String, String)> {
    Some((key.to_owned(), "0.5".to_owned()))
}

#[test]
fn both_formats_equal_numpy() {
    let place = Place::new();
    let folder = workspace("crates/unprompt-eval/tests/fixtures");
    let expected = json(&std::fs::read_to_string(folder.join("expected.json")).unwrap());
    for (pair, files) in [
        ("csv", ["prediction.csv", "truth.csv"]),
        ("json", ["prediction.jsonl", "truth.json"]),
    ] {
        let [pred, truth] = files.map(|file| folder.join(file).to_str().unwrap().to_owned());
        let arguments = ["score", "--pred", &pred, "--truth", &truth, "--format"];
        let run = place.run(&[&arguments[..], &["json"]].concat());
        let found = json(run.output());
        assert_eq!(keys(&found), ["mean_cosine", "n", "per_image"]);
        assert_eq!(found["n"], 5);
        let near = |found: &Value, expected: &Value| {
            let difference = found.as_f64().unwrap() - expected.as_f64().unwrap();
            assert!(difference.abs() < 1e-14, "{found} {expected}");
        };
        near(&found["mean_cosine"], &expected[pair]["mean_cosine"]);
        let images = found["per_image"].as_array().unwrap();
        assert_eq!(images.len(), 5);
        for image in images {
            assert_eq!(keys(image), ["cosine", "id"]);
            let id = image["id"].as_str().unwrap();
            near(&image["cosine"], &expected[pair]["per_image"][id]);
        }
        let lines = place.run(&[&arguments[..], &["jsonl"]].concat());
        assert_eq!(json_lines(lines.output()), [found]);

        let text = "0.7341\t20057f34d\n0.6878\twith_under_score\n0.7428\ta.b c\n\
                    0.7204\tcomma, quote\"\n-0.7082\t猫\n0.435393\tmean of 5\n";
        let run = place.run(&[&arguments[..], &["text"]].concat());
        assert_eq!(run.output(), text);
    }
}

#[test]
fn what_equals_the_truth_scores_one_and_its_opposite_minus_one() {
    let place = Place::new();
    place.write("truth.csv", submission(plain));
    let opposite = |key: &str| Some((key.to_owned(), "-0.25".to_owned()));
    place.write("opposite.csv", submission(opposite));
    let run = place.run(&["score", "--pred", "truth.csv", "--truth", "truth.csv"]);
    let expected = "1.0000\tfirst\n1.0000\tsecond\n1.000000\tmean of 2\n";
    assert_eq!(run.output(), expected);
    let run = place.run(&["score", "--pred", "opposite.csv", "--truth", "truth.csv"]);
    let expected = "-1.0000\tfirst\n-1.0000\tsecond\n-1.000000\tmean of 2\n";
    assert_eq!(run.output(), expected);
}

#[test]
fn a_mistake_is_named_with_its_file_and_line() {
    let place = Place::new();
    let some = |key: &str, value: &str| Some((key.to_owned(), value.to_owned()));
    place.write("truth.csv", submission(plain));
    place.write(
        "nan.csv",
        submission(|key| match key {
            "first_5" => some(key, "NaN"),
            _ => plain(key),
        }),
    );
    place.write(
        "twice.csv",
        submission(|key| match key {
            "first_5" => some("first_4", "0.5"),
            _ => plain(key),
        }),
    );
    place.write(
        "gap.csv",
        submission(|key| (key != "second_16").then(|| plain(key)).flatten()),
    );
    place.write(
        "other.csv",
        submission(|key| some(&key.replace("second", "third"), "0.5")),
    );
    place.write("notes.csv", "some notes\n1\n");
    place.write("empty.csv", "");
    for (pred, expected) in [
        ("nan.csv", "nan.csv:7: image `first`, dimension 5: `NaN`"),
        (
            "twice.csv",
            "twice.csv:7: image `first`: dimension 4 is given twice",
        ),
        (
            "gap.csv",
            "gap.csv:386: image `second` has 383 of 384 dimensions; dimension 16",
        ),
        (
            "other.csv",
            "other.csv:386: image `third` is not in the truth (truth.csv)",
        ),
        ("notes.csv", "notes.csv:1: the header is `some notes`"),
        ("empty.csv", "empty.csv"),
        ("missing.csv", "missing.csv: cannot be read"),
    ] {
        let run = place.run(&["score", "--pred", pred, "--truth", "truth.csv"]);
        let stderr = run.refusal();
        assert!(
            stderr.starts_with(&format!("unprompt: {expected}")),
            "{stderr}"
        );
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
}
