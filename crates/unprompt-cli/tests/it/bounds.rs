//! What a stranger sends costs no more than is said, whatever it claims.

#[path = "../../../../attacks/png.rs"]
pub mod png;
#[path = "../../../../attacks/progressive_jpeg.rs"]
mod progressive_jpeg;

use crate::{
    harness::{Place, json, workspace},
    presets::model,
};
use std::{
    process::{Command, Stdio},
    time::Duration,
};

fn pipe(place: &Place, name: &str) {
    let path = place.path(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let made = Command::new("mkfifo").arg(path).status();
    assert!(made.unwrap().success());
}

#[test]
fn a_pipe_in_the_place_of_a_small_file_is_refused_at_once() {
    let place = Place::new();
    place.copy(
        &workspace("crates/unprompt-metadata/tests/fixtures/none.png"),
        "a.png",
    );
    for name in [
        "preset.toml",
        "list.txt",
        "model/tokenizer.json",
        "model/config.json",
        "tokens/tokenizer.json",
        "deny.txt",
    ] {
        pipe(&place, name);
    }
    place.write(
        "own.toml",
        "name = 'own'\nencoder = 'all-MiniLM-L6-v2'\n[[member]]\nname = 'p'\nkind = 'retrieval'\n\
         prompts = 'list.txt'\nquery = 'q'\ntop = 1\nweight = 1\n",
    );
    for arguments in [
        &["predict", "a.png", "--preset", "preset.toml", "--offline"][..],
        &["predict", "a.png", "--preset", "own.toml", "--offline"],
        &["tokenize", "a", "--model", "./model", "--offline"],
        &["tokenize", "a", "--model", "./tokens", "--offline"],
        &[
            "tokenize",
            "a",
            "--model",
            "./tokens/tokenizer.json",
            "--offline",
        ],
        &[
            "index",
            "build",
            "list.txt",
            "--clip",
            "./model",
            "--out",
            "index",
            "--offline",
        ],
    ] {
        let run = place.run(arguments);
        assert_eq!(run.code, 1, "{arguments:?}: {run:?}");
    }
    let run = place.run(&["predict", "a.png", "--preset", "preset.toml"]);
    assert!(run.refusal().contains("it is no file"), "{run:?}");
}

#[test]
fn a_picture_that_needs_more_memory_than_there_is_fails_alone() {
    let place = Place::new();
    let cat = workspace("examples/pictures/cat.png");
    place.copy(&cat, "a.png");
    place.write("b.jpg", progressive_jpeg::file(8000));
    let arguments = [
        "predict",
        "a.png",
        "b.jpg",
        "--preset",
        "lite",
        "--no-metadata",
        "--format",
        "jsonl",
        "--memory",
        "64MiB",
    ];
    let run = place.run(&arguments);
    let (records, lines) = run.failures();
    assert_eq!(records.lines().count(), 2);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].starts_with("unprompt: b.jpg: picture refused: to decode it needs "),
        "{lines:?}"
    );
    for wrong in ["0", "lots", "2TB"] {
        let run = place.run(&["predict", "a.png", "--memory", wrong]);
        assert!(run.refusal().contains("2GiB"), "{run:?}");
    }
}

/// The most memory that a running process had so far, in bytes; 0 when it has just ended.
#[cfg(target_os = "linux")]
pub fn peak_of(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}

/// Pixels a side of a picture that takes 64 MB, and is said to need 144.
#[cfg(target_os = "linux")]
pub const SIDE: u32 = 4000;
/// Enough for one of them at a time.
#[cfg(target_os = "linux")]
pub const MEMORY: &str = "160MiB";
/// What a process takes with one of them and tiny networks; with eight at once it would be half a gigabyte.
#[cfg(target_os = "linux")]
pub const MOST: u64 = (160 + 64) << 20;

#[cfg(target_os = "linux")]
#[test]
fn every_command_that_decodes_stays_within_the_memory_of_pictures() {
    let place = Place::new();
    let picture = png::black(SIDE);
    for index in 0..8 {
        place.write(&format!("in/{index}.png"), &picture);
    }
    let (clip, tower) = (model("tiny-clip"), model("tiny-vit-transformers"));
    let captioner = model("tiny-blip");
    place.write("labels/flavors.txt", "glass\nfire\n");
    let interrogate = ["interrogate", "in", "--clip", &clip, "--labels", "labels"];
    for command in [
        &["predict", "in", "--preset", "lite", "--no-metadata"][..],
        &["embed", "image", "in", "--model", &clip],
        &["classify", "in", "--model", &tower],
        &["caption", "in", "--model", &captioner],
        &[&interrogate[..], &["--caption", ""]].concat(),
    ] {
        let more = ["--quiet", "--offline", "--threads", "8", "--memory", MEMORY];
        let mut command = place.command(&[command, &more].concat());
        let mut child = command.stdout(Stdio::null()).spawn().unwrap();
        let mut peak = 0;
        while child.try_wait().unwrap().is_none() {
            peak = peak.max(peak_of(child.id()));
            std::thread::sleep(Duration::from_millis(2));
        }
        assert!(child.wait().unwrap().success(), "{command:?}");
        assert!(peak < MOST, "{command:?}: {peak}");
    }
}

#[test]
fn credentials_in_the_endpoint_are_never_shown() {
    let place = Place::new();
    for endpoint in ["http://user:hunter2@127.0.0.1:1", "hunter2@127.0.0.1"] {
        for arguments in [
            &["doctor", "--format", "json"][..],
            &["models", "pull", "org/model"],
            &["models", "pull", "all-MiniLM-L6-v2"],
        ] {
            let mut command = place.command(arguments);
            let run = place.finish(command.env("HF_ENDPOINT", endpoint).env("PATH", ""));
            assert!(!format!("{run:?}").contains("hunter2"), "{run:?}");
        }
    }
    let mut command = place.command(&["doctor", "--format", "json"]);
    let run = place.finish(
        command
            .env("HF_ENDPOINT", "http://user:x@h")
            .env("PATH", ""),
    );
    let checks = json(run.output());
    let mut checks = checks.as_array().unwrap().iter();
    let network = checks.find(|check| check["name"] == "network").unwrap();
    assert!(
        network["found"].as_str().unwrap().contains("...@h"),
        "{network}"
    );
}
