//! exiftool reads what is written, word for word, and finds nothing damaged.
//!
//! Without exiftool these tests only say that they are left out; with `UNPROMPT_REQUIRE_WEIGHTS=1`
//! they fail.

#![allow(clippy::print_stderr, reason = "tests say what they leave out")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use unprompt_metadata::write::{Form, strip, write};

const PHOTOGRAPHS: [&str; 9] = [
    "animated.webp",
    "camera-big-endian.jpg",
    "camera.jpg",
    "edited.jpg",
    "edited.png",
    "edited.webp",
    "lossless-alpha.webp",
    "lossy.webp",
    "palette.png",
];

fn photograph(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/photographs");
    std::fs::read(folder.join(name)).unwrap()
}

fn is_here() -> bool {
    let found = Command::new("exiftool")
        .arg("-ver")
        .output()
        .is_ok_and(|run| run.status.success());
    if !found {
        let required = std::env::var_os("UNPROMPT_REQUIRE_WEIGHTS").is_some_and(|v| v == "1");
        assert!(
            !required,
            "exiftool is not here; install libimage-exiftool-perl"
        );
        eprintln!("skipped: exiftool is not here");
    }
    found
}

/// Every tag by group and name, with a list as a list.
fn tags(picture: &[u8]) -> Value {
    let arguments = [
        "-json",
        "-G1",
        "-a",
        "-struct",
        "-validate",
        "-warning",
        "-error",
        "-all",
        "-",
    ];
    let mut child = Command::new("exiftool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(picture).unwrap();
    let output = child.wait_with_output().unwrap();
    let mut found: Value = serde_json::from_slice(&output.stdout).unwrap();
    found[0].take()
}

#[test]
fn every_place_has_the_text() {
    if !is_here() {
        return;
    }
    for name in PHOTOGRAPHS {
        let before = photograph(name);
        let old = tags(&before);
        for text in [
            "a cat, oil on canvas, 4k",
            "a cat é 猫 😀\nNegative prompt: <b> \"quoted\" & more\nSteps: 20, Sampler: Euler a, Seed: 1",
        ] {
            let written = write(&before, text, Form::Both).unwrap().bytes;
            let new = tags(&written);
            assert_eq!(new["XMP-dc:Description"], text, "{name}");
            let parameters = if name.ends_with("png") {
                "PNG:Parameters"
            } else {
                "ExifIFD:UserComment"
            };
            assert_eq!(new[parameters], text, "{name}: {new}");
            if text.contains("4k") {
                let keywords = serde_json::json!(["a cat", "oil on canvas", "4k"]);
                assert_eq!(new["XMP-dc:Subject"], keywords, "{name}");
            }
            for (tag, value) in old.as_object().unwrap() {
                // Sizes of the file, and the list of complaints about fixtures that are bare.
                let is_of_file = tag.starts_with("System:") || tag.starts_with("ExifTool:");
                let is_of_form = matches!(tag.as_str(), "RIFF:WebP_Flags" | "File:FileType");
                if !is_of_file && !is_of_form {
                    assert_eq!(new.get(tag), Some(value), "{name}: {tag}");
                }
            }
            let complaints = |found: &Value| found["ExifTool:Error"].clone();
            assert_eq!(complaints(&new), Value::Null, "{name}: {new}");
        }
    }
}

#[test]
fn what_exiftool_rewrote_still_gives_the_prompt_and_is_stripped() {
    if !is_here() {
        return;
    }
    let text = "  a cat, \u{1} oil\nNegative prompt: none";
    for name in PHOTOGRAPHS
        .into_iter()
        .filter(|name| *name != "animated.webp")
    {
        let written = write(&photograph(name), text, Form::Both).unwrap().bytes;
        let mut child = Command::new("exiftool")
            .args([
                "-q",
                "-m",
                "-XMP-dc:Creator=A. Nobody",
                "-Artist=A. Nobody",
                "-o",
                "-",
                "-",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&written).unwrap();
        let rewritten = child.wait_with_output().unwrap().stdout;
        assert!(rewritten != written, "{name}");
        let found = unprompt_metadata::read(&rewritten).unwrap().unwrap();
        assert_eq!(found.prompt, text, "{name}");
        let stripped = strip(&rewritten).unwrap().bytes;
        let left = tags(&stripped);
        assert_eq!(left["XMP-dc:Creator"][0], "A. Nobody", "{name}: {left}");
        assert_eq!(left["XMP-dc:Description"], Value::Null, "{name}");
        assert_eq!(unprompt_metadata::read(&stripped).unwrap(), None, "{name}");
    }
}
