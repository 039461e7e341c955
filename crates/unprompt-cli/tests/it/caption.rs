//! `unprompt caption`, with tiny networks; what they must say is made by
//! `fixtures/models/caption_end_to_end.py`, `blip.py` and `ofa.py`.

use crate::harness::{Place, json, json_lines, keys, workspace};
use serde_json::Value;
use std::fs;

fn model(name: &str) -> String {
    let path = workspace("fixtures/models").join(name);
    path.to_str().unwrap().to_owned()
}

fn expected() -> Vec<Value> {
    let path = workspace("fixtures/models/tiny-blip/end_to_end.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// A place with three pictures in `in`, and their captions.
fn place() -> (Place, Vec<String>) {
    let place = Place::new();
    let expected = expected();
    let names = ["astronaut.jpg", "cat.png", "rocket.jpg"];
    let captions = names.map(|name| {
        let path = format!("examples/pictures/{name}");
        place.copy(&workspace(&path), &format!("in/{name}"));
        let row = expected.iter().find(|row| row["path"] == *path).unwrap();
        row["caption"].as_str().unwrap().to_owned()
    });
    (place, captions.to_vec())
}

#[test]
fn every_picture_s_caption_equals_transformers() {
    let expected = expected();
    assert!(expected.len() >= 20);
    let place = Place::new();
    let mut arguments = vec!["caption".to_owned(), "--model".into(), model("tiny-blip")];
    arguments.extend(["--format".into(), "jsonl".into()]);
    for row in &expected {
        let path = workspace(row["path"].as_str().unwrap());
        arguments.push(path.to_str().unwrap().to_owned());
    }
    let found = place.run(&arguments);
    let found = json_lines(found.output());
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(keys(found), ["caption", "path", "score", "token_ids"]);
        assert_eq!(found["token_ids"], expected["token_ids"], "{expected}");
        assert_eq!(found["caption"], expected["caption"], "{expected}");
    }
    // In other batches, the same.
    arguments.extend([
        "--batch-size".into(),
        "5".into(),
        "--threads".into(),
        "1".into(),
    ]);
    let again = place.run(&arguments);
    assert_eq!(json_lines(again.output()), found);
}

#[test]
fn text_names_the_picture_only_among_several() {
    let (place, captions) = place();
    let blip = model("tiny-blip");
    let one = place.run(&["caption", "in/cat.png", "--model", &blip]);
    assert_eq!(one.output(), format!("{}\n", captions[1]));
    let all = place.run(&["caption", "in", "--model", &blip]);
    let lines: Vec<String> = ["astronaut.jpg", "cat.png", "rocket.jpg"]
        .iter()
        .zip(&captions)
        .map(|(name, caption)| format!("in/{name}\t{caption}\n"))
        .collect();
    assert_eq!(all.output(), lines.concat());
}

#[test]
fn flags_change_the_caption() {
    let (place, captions) = place();
    let blip = model("tiny-blip");
    let caption = |flags: &[&str]| {
        let arguments = [
            &[
                "caption",
                "in/cat.png",
                "--model",
                &blip,
                "--format",
                "json",
            ],
            flags,
        ];
        json(place.run(&arguments.concat()).output())[0].clone()
    };
    let length = |record: &Value| record["token_ids"].as_array().unwrap().len();
    assert_eq!(length(&caption(&["--max-new-tokens", "3"])), 4);
    assert_eq!(length(&caption(&["--max-length", "3"])), 3);
    assert!(length(&caption(&["--beams", "3", "--min-length", "30"])) >= 30);
    let prompted = caption(&["--prompt", "A picture of"]);
    let text = prompted["caption"].as_str().unwrap();
    assert!(text.starts_with("a picture of "), "{text}");
    let single = caption(&["--no-repeat-ngram", "1"]);
    let ids = single["token_ids"].as_array().unwrap();
    let mut different: Vec<u64> = ids.iter().map(|id| id.as_u64().unwrap()).collect();
    different.sort_unstable();
    different.dedup();
    assert_eq!(different.len(), ids.len());
    let drawn = ["--seed", "7", "--temperature", "2", "--top-k", "0"];
    assert_eq!(caption(&drawn), caption(&drawn));
    assert_ne!(caption(&drawn)["caption"], captions[1]);
}

#[test]
fn what_the_model_cannot_do_is_said_before_any_picture() {
    let (place, _) = place();
    let blip = model("tiny-blip");
    for (flags, named) in [
        (&["--beams", "0"][..], "0 beams"),
        (&["--beams", "500"], "500 beams"),
        (&["--max-length", "1"], "room"),
        (&["--max-length", "4000"], "positions"),
        (&["--seed", "1", "--beams", "2"], "sampling"),
        (&["--seed", "1", "--temperature", "0"], "temperature"),
        (&["--temperature", "2"], "--seed"),
        (
            &["--max-length", "9", "--max-new-tokens", "9"],
            "--max-new-tokens",
        ),
        (&["--sidecar", "maybe"], "maybe"),
        (&["--format", "csv"], "csv"),
    ] {
        let arguments = [&["caption", "in", "--model", &blip], flags].concat();
        let run = place.run(&arguments);
        assert!(run.refusal().contains(named), "{flags:?}: {run:?}");
    }
    let run = place.run(&["caption", "in", "--model", &model("tiny-clip")]);
    assert!(
        run.refusal().contains("where a captioner is needed"),
        "{run:?}"
    );
    let run = place.run(&["caption", "-", "--sidecar", "skip", "--model", &blip]);
    assert!(run.refusal().contains("standard input"), "{run:?}");
    let run = place.run(&["classify", "in", "--model", &blip]);
    assert!(
        run.refusal()
            .contains("a BLIP, where a classifier is needed"),
        "{run:?}"
    );
    let run = place.run(&["caption", "in", "--model"]);
    assert!(run.refusal().contains("--model"), "{run:?}");
}

#[test]
fn a_broken_picture_costs_its_own_record() {
    let (place, captions) = place();
    place.write("in/broken.png", "no picture");
    place.write("in/prompts.csv", "imgId,prompt\n");
    let blip = model("tiny-blip");
    let run = place.run(&["caption", "in", "--model", &blip, "--format", "jsonl"]);
    let (stdout, stderr) = run.failures();
    // The table is plainly no picture.
    assert_eq!(stderr.len(), 1, "{stderr:?}");
    let records = json_lines(stdout);
    let described: Vec<&Value> = records
        .iter()
        .filter(|r| r.get("caption").is_some())
        .collect();
    let found: Vec<&str> = described
        .iter()
        .map(|r| r["caption"].as_str().unwrap())
        .collect();
    assert_eq!(found, captions);
    assert_eq!(records.len(), 4);
    for record in records.iter().filter(|r| r.get("caption").is_none()) {
        assert_eq!(keys(record), ["error", "path"]);
    }
}

#[test]
fn sidecars_are_written_beside_the_pictures() {
    let (place, captions) = place();
    let blip = model("tiny-blip");
    let run = |mode: &str| {
        let arguments = [
            "caption",
            "in",
            "--model",
            &blip,
            "--quiet",
            "--sidecar",
            mode,
        ];
        let run = place.run(&[&arguments[..], &["--format", "jsonl"]].concat());
        json_lines(run.output())
    };
    let text = |name: &str| fs::read_to_string(place.path("in").join(name)).unwrap();
    place.write("in/cat.txt", "my cat\n");

    let records = run("skip");
    // The text is no picture: three records, of which one says that nothing was done.
    assert_eq!(records.len(), 3);
    assert_eq!(keys(&records[1]), ["path", "skipped"]);
    assert_eq!(text("cat.txt"), "my cat\n");
    assert_eq!(text("rocket.txt"), format!("{}\n", captions[2]));
    assert!(run("skip").iter().all(|record| record["skipped"] == true));

    run("append");
    assert_eq!(text("cat.txt"), format!("my cat, {}\n", captions[1]));
    assert_eq!(text("rocket.txt"), format!("{0}, {0}\n", captions[2]));
    place.write("in/cat.txt", " my cat ");
    fs::remove_file(place.path("in/rocket.txt")).unwrap();
    run("prepend");
    assert_eq!(text("cat.txt"), format!("{}, my cat\n", captions[1]));
    assert_eq!(text("rocket.txt"), format!("{}\n", captions[2]));
    run("overwrite");
    assert_eq!(text("cat.txt"), format!("{}\n", captions[1]));
    // Nothing else is left beside them.
    let mut names: Vec<_> = fs::read_dir(place.path("in"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let expected = [
        "astronaut.jpg",
        "astronaut.txt",
        "cat.png",
        "cat.txt",
        "rocket.jpg",
    ];
    assert_eq!(names, [&expected[..], &["rocket.txt"]].concat());
}

#[test]
fn a_sidecar_that_cannot_be_is_one_failure() {
    let (place, captions) = place();
    let blip = model("tiny-blip");
    // Another picture of the same name, a text that is none, a folder in its place.
    place.copy(&workspace("examples/pictures/coffee.webp"), "in/cat.webp");
    place.write("in/astronaut.txt", b"\xff\xfe\xfa");
    fs::create_dir(place.path("in/rocket.txt")).unwrap();
    let arguments = ["caption", "in", "--model", &blip, "--sidecar", "append"];
    let run = place.run(&arguments);
    let (stdout, stderr) = run.failures();
    assert_eq!(stdout, format!("in/cat.png\t{}\n", captions[1]));
    assert_eq!(stderr.len(), 3, "{stderr:?}");
    assert!(stderr[1].contains("another picture"), "{stderr:?}");
    assert_eq!(
        fs::read(place.path("in/astronaut.txt")).unwrap(),
        b"\xff\xfe\xfa"
    );
}

#[cfg(unix)]
#[test]
fn a_sidecar_is_no_way_out_of_the_folder() {
    use std::os::unix::fs::symlink;
    let (place, captions) = place();
    let blip = model("tiny-blip");
    place.write("elsewhere.txt", "precious");
    symlink("../elsewhere.txt", place.path("in/cat.txt")).unwrap();
    let pipe = place.path("in/rocket.txt");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    for mode in ["overwrite", "append", "prepend"] {
        let arguments = ["caption", "in/astronaut.jpg", "in/cat.png", "in/rocket.jpg"];
        let run = place.run(&[&arguments[..], &["--model", &blip, "--sidecar", mode]].concat());
        let (stdout, stderr) = run.failures();
        assert_eq!(stdout, format!("in/astronaut.jpg\t{}\n", captions[0]));
        assert_eq!(stderr.len(), 2, "{stderr:?}");
        assert!(
            stderr
                .iter()
                .all(|line| line.contains("a link, or no file")),
            "{stderr:?}"
        );
        assert_eq!(place.read("elsewhere.txt"), "precious");
    }
}

#[test]
fn the_authors_blip_and_an_ofa_caption_too() {
    let (place, _) = place();
    let file = model("tiny-blip-original/model.pth");
    let run = place.run(&["caption", "in/cat.png", "--model", &file]);
    assert!(run.refusal().contains("--allow-pickle"), "{run:?}");
    let caption = |model: &str, flags: &[&str]| {
        let arguments = ["caption", "in/cat.png", "--allow-pickle", "--model", model];
        let run = place.run(&[&arguments[..], flags].concat());
        run.output().to_owned()
    };
    // The folder of transformers that holds the same weights, at the same size.
    let same = caption(&model("tiny-blip-64"), &[]);
    assert_eq!(caption(&file, &[]), same);
    assert_eq!(caption(&model("tiny-blip-original"), &[]), same);
    for name in ["tiny-ofa", "tiny-ofa-variant"] {
        let own = caption(&model(name), &[]);
        let asked = [" what does the image describe?", "5", "2", "20", "whole"];
        let spelt = [
            "--prompt",
            asked[0],
            "--beams",
            asked[1],
            "--no-repeat-ngram",
            asked[2],
            "--max-length",
            asked[3],
            "--length-of",
            asked[4],
        ];
        assert_eq!(caption(&model(name), &spelt), own);
    }
}
