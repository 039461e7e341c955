//! `unprompt index`, with tiny networks of the user's own.

use crate::harness::{Place, json, json_lines, keys, workspace};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

fn model(name: &str) -> String {
    let path = workspace("fixtures/models").join(name);
    path.to_str().unwrap().to_owned()
}

fn example(name: &str) -> String {
    let path = workspace("examples/pictures").join(name);
    path.to_str().unwrap().to_owned()
}

/// The arguments of a build with the tiny models.
fn build_arguments(list: &str, folder: &str, more: &[&str]) -> Vec<String> {
    let (clip, sentence) = (model("tiny-clip"), model("tiny-sbert"));
    let arguments = [
        "index",
        "build",
        list,
        "--clip",
        &clip,
        "--sentence",
        &sentence,
    ];
    let arguments = [&arguments[..], &["--out", folder], more].concat();
    arguments.into_iter().map(str::to_owned).collect()
}

fn prompts(count: usize) -> String {
    let colours = ["red", "blue", "pale green", "golden"];
    let things = [
        "fox",
        "castle",
        "ship in a storm",
        "portrait of a king",
        "robot",
    ];
    let line = |row: usize| {
        let (colour, thing) = (colours[row % 4], things[row % 5]);
        format!("a {colour} {thing}, number {row}, highly detailed\n")
    };
    (0..count).map(line).collect()
}

fn content(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut content = BTreeMap::new();
    for folder in [folder.to_owned(), folder.join("segments")] {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                content.insert(path.file_name().unwrap().into(), fs::read(&path).unwrap());
            }
        }
    }
    content
}

fn embedding(record: &Value) -> Vec<f64> {
    let numbers = record["embedding"].as_array().unwrap();
    numbers
        .iter()
        .map(|number| number.as_f64().unwrap())
        .collect()
}

#[test]
fn an_index_is_built_from_every_layout_of_a_list() {
    let place = Place::new();
    place.write("a.txt", "a red fox\n\n a red fox \na castle\n");
    place.write(
        "a.csv",
        "id,text\n1,a red fox\n2,\n3, a red fox \n4,a castle\n",
    );
    let lines = ["a red fox", "", " a red fox ", "a castle"];
    let lines = lines.map(|prompt| serde_json::json!({ "prompt": prompt }).to_string());
    place.write("a.jsonl", lines.join("\n"));
    let mut first = None;
    for (list, more) in [
        ("a.txt", &[][..]),
        ("a.csv", &["--column", "text"]),
        ("a.jsonl", &[]),
    ] {
        let folder = format!("index-{list}");
        let run = place.run(&build_arguments(
            list,
            &folder,
            &[more, &["--format", "json"]].concat(),
        ));
        let record = json(run.output())[0].clone();
        assert_eq!(record["prompts"], 2, "{list}");
        assert_eq!(
            (&record["duplicates"], &record["empty"]),
            (&1.into(), &1.into()),
            "{list}"
        );
        assert_eq!(record["clip_width"], 8);
        let found = content(&place.path(&folder));
        assert_eq!(*first.get_or_insert_with(|| found.clone()), found, "{list}");
    }
    let parquet = workspace("crates/unprompt-index/fixtures/prompts.parquet");
    let run = place.run(&build_arguments(
        parquet.to_str().unwrap(),
        "p",
        &["--format", "jsonl"],
    ));
    assert_eq!(json(run.output())["prompts"], 4);
    let text = place.run(&["index", "info", "index-a.txt", "--check"]);
    let output = text.output();
    assert!(
        output.starts_with("2 prompts (1 duplicates and 1 empty rows left out)\n"),
        "{output}"
    );
    assert!(
        output.contains("tiny-clip, local, 8 numbers computed in f32, SHA-256 "),
        "{output}"
    );
}

#[test]
fn pictures_and_texts_find_what_their_embeddings_say() {
    let place = Place::new();
    place.write("list.txt", prompts(300));
    place
        .run(&build_arguments(
            "list.txt",
            "ix",
            &["--segment-rows", "64"],
        ))
        .output();
    let (cat, rocket) = (example("cat.png"), example("rocket.jpg"));
    let search = |more: &[&str]| {
        let arguments = ["index", "search", "ix", &cat, &rocket, "--format", "jsonl"];
        place
            .run(&[&arguments[..], more].concat())
            .output()
            .to_owned()
    };
    let records = json_lines(&search(&[]));
    for (record, path) in records.iter().zip([&cat, &rocket]) {
        assert_eq!(keys(record), ["embedding", "matches", "path"]);
        assert_eq!(record["path"], **path);
        assert_eq!(embedding(record).len(), 32);
        let length = embedding(record).iter().map(|x| x * x).sum::<f64>().sqrt();
        assert!((length - 1.0).abs() < 1e-6);
        let matches = record["matches"].as_array().unwrap();
        assert_eq!(matches.len(), 10);
        let cosines: Vec<f64> = matches
            .iter()
            .map(|found| found["similarity"].as_f64().unwrap())
            .collect();
        assert!(cosines.is_sorted_by(|a, b| a >= b), "{cosines:?}");
    }
    // The best is the best of all cosines.
    let clip = model("tiny-clip");
    let of_cat = place.run(&["embed", "image", &cat, "--model", &clip, "--format", "json"]);
    let of_cat = embedding(&json(of_cat.output())[0]);
    let texts = place.run(&[
        "embed", "text", "--file", "list.txt", "--model", &clip, "--format", "jsonl",
    ]);
    let cosine = |record: &Value| -> f64 {
        embedding(record)
            .iter()
            .zip(&of_cat)
            .map(|(a, b)| a * b)
            .sum()
    };
    let best = json_lines(texts.output())
        .iter()
        .map(cosine)
        .fold(f64::NEG_INFINITY, f64::max);
    let found = records[0]["matches"][0]["similarity"].as_f64().unwrap();
    assert!((found - best).abs() < 1e-3, "{found} {best}");
    // More are shown than are averaged, or fewer; batches and threads change nothing.
    let many = json_lines(&search(&["--top", "250"]));
    assert_eq!(many[0]["matches"].as_array().unwrap().len(), 250);
    assert_eq!(many[0]["embedding"], records[0]["embedding"]);
    assert_eq!(
        search(&["--batch-size", "1", "--threads", "1"]),
        search(&["--threads", "3"])
    );
    // A text of the list finds itself.
    let text = "a golden ship in a storm, number 7, highly detailed";
    let run = place.run(&[
        "index", "search", "ix", "--text", text, "--top", "1", "--format", "json",
    ]);
    let record = json(run.output())[0].clone();
    assert_eq!(keys(&record), ["embedding", "matches", "text"]);
    assert_eq!(record["matches"][0]["prompt"], text);
    let run = place.run(&["index", "search", "ix", &cat, "--top", "1"]);
    assert_eq!(run.output().lines().count(), 2);
}

#[test]
fn a_siglip_makes_and_searches_an_index() {
    let place = Place::new();
    let siglip = model("tiny-siglip");
    place.write("list.txt", "a golden fox\nA castle at night!\n");
    let build = ["index", "build", "list.txt", "--out", "ix", "--clip"];
    let sentence = model("tiny-sbert");
    let more = [siglip.as_str(), "--sentence", &sentence];
    place.run(&[&build[..], &more].concat()).output();
    // The best is the one whose text tower's vector is nearest to the picture's.
    let cat = example("cat.png");
    let vectors = |arguments: &[&str]| -> Vec<Vec<f64>> {
        let more = ["--model", &siglip, "--format", "jsonl"];
        let run = place.run(&[arguments, &more].concat());
        json_lines(run.output()).iter().map(embedding).collect()
    };
    let of_cat = vectors(&["embed", "image", &cat]).remove(0);
    let texts = vectors(&["embed", "text", "--file", "list.txt"]);
    let cosine = |text: &Vec<f64>| text.iter().zip(&of_cat).map(|(a, b)| a * b).sum::<f64>();
    let best = texts.iter().map(cosine).fold(f64::NEG_INFINITY, f64::max);
    let run = place.run(&["index", "search", "ix", &cat, "--format", "json"]);
    let found = json(run.output())[0]["matches"][0]["similarity"]
        .as_f64()
        .unwrap();
    assert!((found - best).abs() < 1e-3, "{found} {best}");
    let text = "a castle, at night";
    let run = place.run(&["index", "search", "ix", "--text", text, "--format", "json"]);
    let record = json(run.output())[0].clone();
    assert_eq!(record["matches"][0]["prompt"], "A castle at night!");
}

#[test]
fn a_broken_picture_costs_its_own_record_and_a_broken_index_the_run() {
    let place = Place::new();
    place.write("list.txt", prompts(30));
    place.run(&build_arguments("list.txt", "ix", &[])).output();
    place.copy(example("cat.png").as_ref(), "in/b.png");
    place.write("in/a.png", "no picture");
    let arguments = ["index", "search", "ix", "in", "--format", "jsonl"];
    let run = place.run(&arguments);
    let (stdout, stderr) = run.failures();
    let records = json_lines(stdout);
    assert_eq!(records.len(), 2);
    assert_eq!(keys(&records[0]), ["error", "path"]);
    assert_eq!(records[1]["path"], "in/b.png");
    assert_eq!(stderr.len(), 1);

    let segment = place.path("ix/segments/000000.segment");
    let mut bytes = fs::read(&segment).unwrap();
    bytes[77] ^= 4;
    fs::write(&segment, bytes).unwrap();
    for arguments in [
        &["index", "search", "ix", "in/b.png"][..],
        &["index", "info", "ix", "--check"],
    ] {
        let run = place.run(arguments);
        let refusal = run.refusal();
        assert!(
            refusal.contains("000000.segment: damaged: its SHA-256 is "),
            "{refusal}"
        );
        assert!(refusal.contains("build the index again"), "{refusal}");
    }
}

#[test]
fn the_models_of_an_index_are_held_to() {
    let place = Place::new();
    place.write("list.txt", prompts(10));
    place.run(&build_arguments("list.txt", "ix", &[])).output();
    let (cat, other) = (example("cat.png"), model("tiny-clip-transformers"));
    let run = place.run(&["index", "search", "ix", &cat, "--clip", &other]);
    assert!(
        run.refusal().contains("the index was built with"),
        "{run:?}"
    );
    let other = model("tiny-sbert-cls");
    let run = place.run(&["index", "search", "ix", "--text", "a", "--sentence", &other]);
    assert!(run.refusal().contains("--sentence"), "{run:?}");
    // The same model elsewhere is the same model.
    for entry in fs::read_dir(model("tiny-clip")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        place.copy(&path, &format!("moved/{name}"));
    }
    place
        .run(&["index", "search", "ix", &cat, "--clip", "./moved"])
        .output();
    let sentence = model("tiny-sbert");
    let run = place.run(&[
        "index", "build", "list.txt", "--clip", &sentence, "--out", "other",
    ]);
    assert!(
        run.refusal()
            .contains("a sentence encoder, where a CLIP or a SigLIP is needed"),
        "{run:?}"
    );
    let run = place.run(&build_arguments("list.txt", "ix", &["--dtype", "int8"]));
    assert!(
        run.refusal().contains("another index is here: its CLIP"),
        "{run:?}"
    );
    place.write("changed.txt", prompts(11));
    let run = place.run(&build_arguments("changed.txt", "ix", &[]));
    assert!(
        run.refusal()
            .contains("another index is here: its list of prompts"),
        "{run:?}"
    );
}

#[test]
fn what_is_missing_is_named() {
    let place = Place::new();
    let cat = example("cat.png");
    let cases: [(&[&str], &str); 7] = [
        (
            &["index", "search", "nowhere", &cat],
            "nowhere: no index here",
        ),
        (&["index", "info", "nowhere"], "nowhere: no index here"),
        (&["index", "export", "nowhere"], "--out FILE"),
        (
            &["index", "export", "nowhere", "--out", "x.parquet"],
            "no index here",
        ),
        (&["index", "search", "nowhere"], "<PATH>"),
        (&["index", "build", "x.csv", "--clip", "y"], "--out DIR"),
        (
            &["index", "build", "x.csv", "--clip", "y", "--out", "z"],
            "cannot open x.csv",
        ),
    ];
    for (arguments, expected) in cases {
        let run = place.run(arguments);
        assert!(run.refusal().contains(expected), "{arguments:?}: {run:?}");
    }
}

#[test]
fn the_exported_file_is_a_list_of_the_same_prompts() {
    let place = Place::new();
    place.write("list.txt", prompts(50));
    place
        .run(&build_arguments(
            "list.txt",
            "ix",
            &["--segment-rows", "20"],
        ))
        .output();
    assert_eq!(
        place
            .run(&["index", "export", "ix", "--out", "x.parquet"])
            .output(),
        ""
    );
    place
        .run(&build_arguments(
            "x.parquet",
            "again",
            &["--segment-rows", "20"],
        ))
        .output();
    assert_eq!(content(&place.path("ix")), content(&place.path("again")));
}

#[test]
fn the_bench_measures_what_it_can_without_the_peer() {
    let place = Place::new();
    let arguments = ["bench", "index", "--rows", "1000", "--runs", "1", "--quiet"];
    let run = place.run(&[&arguments[..], &["--python", "./none", "--format", "jsonl"]].concat());
    let rows = json_lines(run.output());
    assert_eq!(rows[0]["program"], "unprompt");
    assert!(rows[0]["median_ms"].as_f64().unwrap() > 0.0);
    for peer in &rows[1..3] {
        assert!(
            peer["missing"].as_str().unwrap().contains("./none"),
            "{peer}"
        );
    }
    assert!(place.names().is_empty());
}

/// Killed at moments spread over a whole run, again and again, until a run gets to its end.
#[cfg(unix)]
#[test]
fn killed_at_any_moment_and_gone_on_with_it_is_the_same_index() {
    let place = Place::new();
    place.write("list.txt", prompts(3000));
    let more = ["--segment-rows", "100", "--quiet"];
    let start = Instant::now();
    place
        .run(&build_arguments("list.txt", "whole", &more))
        .output();
    let whole = start.elapsed();
    let expected = content(&place.path("whole"));
    assert_eq!(expected.len(), 32);
    let mut kills = 0;
    for round in 0..6u32 {
        let folder = format!("killed-{round}");
        for attempt in 1u32.. {
            // A little longer each time, so that it ends however slow the machine becomes.
            let moment = whole.mul_f64(0.03 + f64::from(round) * 0.041) * attempt;
            let mut command = place.command(&build_arguments("list.txt", &folder, &more));
            let mut child = command
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let start = Instant::now();
            let ended = loop {
                if let Some(status) = child.try_wait().unwrap() {
                    assert!(status.success());
                    break true;
                }
                if start.elapsed() >= moment {
                    child.kill().unwrap();
                    break child.wait().unwrap().success();
                }
                std::thread::sleep(Duration::from_micros(300));
            };
            if ended {
                break;
            }
            kills += 1;
            let folder = place.path(&folder);
            if !folder.join("manifest.json").exists() {
                let run = place.run(&["index", "info", folder.to_str().unwrap()]);
                let refusal = run.refusal();
                let named = ["no index here", "the index is not finished"];
                assert!(
                    named.iter().any(|named| refusal.contains(named)),
                    "{refusal}"
                );
            }
        }
        assert_eq!(content(&place.path(&folder)), expected, "round {round}");
    }
    assert!(kills >= 3, "{kills} kills");
}
