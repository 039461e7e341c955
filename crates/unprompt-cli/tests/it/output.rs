//! Where results go: `--out`, and a reader that leaves early.

use crate::harness::{Place, json, workspace};
use std::process::Stdio;

fn fixture(name: &str) -> std::path::PathBuf {
    workspace("crates/unprompt-metadata/tests/fixtures").join(name)
}

#[test]
fn a_file_holds_what_standard_output_would() {
    let place = Place::new();
    place.copy(&fixture("a1111-text.png"), "cat.png");
    for format in ["text", "json", "jsonl"] {
        let arguments = ["metadata", "cat.png", "--format", format];
        let shown = place.run(&arguments);
        let run = place.run(&[&arguments[..], &["--out", "out"]].concat());
        assert_eq!(run.output(), "");
        assert_eq!(place.read("out"), shown.output());
    }
    // Nothing else is left beside it.
    assert_eq!(place.names(), ["cat.png", "out"]);
}

#[test]
fn a_run_that_cannot_start_leaves_the_old_file_untouched() {
    let place = Place::new();
    place.copy(&fixture("none.png"), "none.png");
    place.write("out", "old");
    place.write("bad.csv", "imgId_eId,val\nx_0,NaN\n");
    for arguments in [
        &["metadata", "none.png", "missing.png"][..],
        &["metadata", "none.png", "--format", "submission"],
        &["classify", "none.png", "--offline"],
        &["predict", "none.png", "--offline"],
        &["predict", "none.png", "--offline", "--format", "submission"],
        &["predict", "none.png", "--preset", "heavy"],
        &["embed", "text", "a cat", "--offline"],
        &["score", "--pred", "bad.csv", "--truth", "bad.csv"],
        &["models", "path", "all-MiniLM-L6-v2"],
        &["models", "export", "all-MiniLM-L6-v2", "--offline"],
    ] {
        let run = place.run(&[arguments, &["--out", "out"]].concat());
        assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{arguments:?}");
        assert_eq!(place.read("out"), "old", "{arguments:?}");
        assert_eq!(
            place.names(),
            ["bad.csv", "none.png", "out"],
            "{arguments:?}"
        );
    }
}

#[test]
fn inputs_that_fail_do_not_keep_the_others_from_the_file() {
    let place = Place::new();
    place.copy(&fixture("none.png"), "none.png");
    place.write("bad.png", "");
    place.write("out", "old");
    let arguments = [
        "metadata", "bad.png", "none.png", "--format", "json", "--out", "out",
    ];
    let run = place.run(&arguments);
    let (stdout, _) = run.failures();
    assert_eq!(stdout, "");
    let records = json(&place.read("out"));
    assert!(records[0]["error"].is_string());
    assert_eq!(records[1]["found"], false);
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let place = Place::new();
    place.copy(&fixture("none.png"), "none.png");
    place.write("folder/x", "");
    let run = place.run(&["metadata", "none.png", "--out", "missing/out"]);
    let next = "--out missing/out: there is no folder missing; make it first";
    assert!(run.refusal().contains(next), "{run:?}");
    let run = place.run(&["metadata", "none.png", "--out", "folder"]);
    assert!(run.refusal().contains("folder"), "{run:?}");
    assert_eq!(place.names(), ["folder", "none.png"]);
}

#[test]
fn the_name_of_a_file_says_its_format() {
    let place = Place::new();
    place.copy(&fixture("none.png"), "none.png");
    let written = |arguments: &[&str], out: &str| {
        let run = place.run(&[&["metadata", "none.png", "--out", out], arguments].concat());
        assert_eq!(run.output(), "");
        place.read(out)
    };
    let record = r#"{"path":"none.png","found":false}"#;
    assert_eq!(written(&[], "a.jsonl"), format!("{record}\n"));
    assert_eq!(written(&[], "a.JSON"), format!("[\n{record}\n]\n"));
    let table = "path,prompt,negative_prompt,generator\nnone.png,,,\n";
    assert_eq!(written(&[], "a.csv"), table);
    for (arguments, out) in [
        (&["--format", "text"][..], "b.csv"),
        (&[], "b.txt"),
        (&[], "csv"),
    ] {
        assert_eq!(written(arguments, out), "no prompt in this file\n");
    }
    let run = place.run(&["tokenize", "a", "--model", "m", "--out", "a.csv"]);
    assert!(run.refusal().contains("--format csv"), "{run:?}");
}

#[test]
fn a_dash_is_standard_output() {
    let place = Place::new();
    place.copy(&fixture("none.png"), "none.png");
    let run = place.run(&["metadata", "none.png", "--out", "-"]);
    assert_eq!(run.output(), "no prompt in this file\n");
    assert_eq!(place.names(), ["none.png"]);
}

#[cfg(unix)]
#[test]
fn a_finished_file_is_readable_as_any_other() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    place.run(&["models", "list", "--out", "out"]).output();
    let mode = place.path("out").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
}

/// Renaming a file over `/dev/null` would harm the whole machine.
#[cfg(unix)]
#[test]
fn a_pipe_or_device_is_written_to_and_never_replaced() {
    use std::{fs::File, io::Read, os::unix::fs::FileTypeExt, process::Command};
    let place = Place::new();
    let pipe = place.path("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let both_ends = File::options().read(true).write(true).open(&pipe);
    place.copy(&fixture("none.png"), "none.png");
    let run = place.run(&["metadata", "none.png", "--out", "pipe"]);
    assert_eq!(run.output(), "");
    let is_pipe = || pipe.metadata().unwrap().file_type().is_fifo();
    assert!(is_pipe());
    let mut found = vec![0; "no prompt in this file\n".len()];
    both_ends.unwrap().read_exact(&mut found).unwrap();
    assert_eq!(found, b"no prompt in this file\n");

    let export = [
        "models",
        "export",
        "efficientnet-lite0",
        "--offline",
        "--out",
        "pipe",
    ];
    assert!(place.run(&export).refusal().contains("--out pipe"));
    assert!(is_pipe());
}

/// The bytes of every file of the working folder, by its name.
fn contents(place: &Place) -> Vec<(String, Vec<u8>)> {
    let names = place.names().into_iter();
    names
        .filter(|name| place.path(name).is_file())
        .map(|name| (name.clone(), std::fs::read(place.path(name)).unwrap()))
        .collect()
}

#[test]
fn no_picture_and_no_input_is_ever_replaced() {
    let place = Place::new();
    place.copy(&fixture("a1111-text.png"), "v1.png");
    place.copy(&fixture("none.png"), "v2.png");
    place.copy(&fixture("none.jpg"), "no-extension");
    place.write("broken.webp", "");
    place.write("photo.heic", b"\0\0\0\x18ftypheic\0\0\0\0");
    place.write("truth.csv", "imgId,prompt\nv1,a cat\n");
    place.write("pred.csv", "imgId,prompt\nv1,a dog\n");
    place.write("texts.txt", "a cat\n");
    place.write("model/config.json", "{}");
    std::fs::hard_link(place.path("truth.csv"), place.path("other-name.csv")).unwrap();
    let before = contents(&place);
    let score = ["score", "--pred", "pred.csv", "--truth", "truth.csv"];
    let eval = ["eval", "v1.png", "--truth", "truth.csv"];
    for arguments in [
        // What the shell makes of `--out v*.png`.
        &["metadata", "--out", "v1.png", "v2.png"][..],
        &["metadata", "v1.png", "--out", "v1.png"],
        &["metadata", "v1.png", "--out", "./v2.png"],
        &["metadata", "v1.png", "--out", "no-extension"],
        &["metadata", "v1.png", "--out", "broken.webp"],
        &["metadata", "v1.png", "--out", "photo.heic"],
        &["metadata", ".", "--out", "v2.png"],
        &[
            "metadata", "--from", "pred.csv", "v1.png", "--out", "pred.csv",
        ],
        &["metadata", "--write", "a cat", "v1.png", "--out", "v2.png"],
        &["predict", "v1.png", "--out", "v2.png"],
        &["classify", "v1.png", "--out", "v1.png"],
        &[
            "classify",
            "v1.png",
            "--model",
            "model",
            "--out",
            "model/config.json",
        ],
        &[
            "embed", "image", "v1.png", "--model", "m", "--out", "v2.png",
        ],
        &["embed", "text", "--file", "texts.txt", "--out", "texts.txt"],
        &["caption", "v1.png", "--model", "m", "--out", "v1.png"],
        &["interrogate", "v1.png", "--clip", "m", "--out", "v1.png"],
        &[
            "interrogate",
            "v1.png",
            "--clip",
            "m",
            "--deny",
            "texts.txt",
            "--out",
            "texts.txt",
        ],
        &["tokenize", "a cat", "--model", "m", "--out", "v1.png"],
        &[&score[..], &["--out", "truth.csv"]].concat(),
        &[&score[..], &["--out", "other-name.csv"]].concat(),
        &[&score[..], &["--out", "pred.csv"]].concat(),
        &[&eval[..], &["--report", "v1.png"]].concat(),
        &[&eval[..], &["--report", "truth.csv"]].concat(),
        &[&eval[..], &["--report", "result", "--out", "./result"]].concat(),
        &[
            "blend",
            "fit",
            "--truth",
            "truth.csv",
            "--member",
            "m=pred.csv",
            "--out",
            "pred.csv",
        ],
        &["index", "export", "model", "--out", "v1.png"],
        &["index", "export", "model", "--out", "model/config.json"],
        &["models", "export", "all-MiniLM-L6-v2", "--out", "v1.png"],
        &["models", "list", "--out", "v1.png"],
        &["doctor", "--offline", "--out", "v1.png"],
    ] {
        let run = place.run(arguments);
        let said = run.refusal();
        let is_named = ["replaced", "same file", "part of the input"]
            .iter()
            .any(|why| said.contains(why));
        assert!(is_named, "{arguments:?}: {said}");
        assert!(contents(&place) == before, "{arguments:?}");
    }
    assert_eq!(
        std::fs::read(place.path("model/config.json")).unwrap(),
        b"{}"
    );
}

#[cfg(unix)]
#[test]
fn what_a_link_leads_to_is_never_replaced() {
    use std::os::unix::fs::symlink;
    let place = Place::new();
    place.copy(&fixture("none.png"), "none.png");
    place.write("real/file", "old");
    symlink("real/file", place.path("link")).unwrap();
    symlink("real/missing", place.path("dangling")).unwrap();
    symlink("none.png", place.path("picture")).unwrap();
    for name in ["link", "dangling", "picture"] {
        let run = place.run(&["metadata", "none.png", "--out", name]);
        assert!(run.refusal().contains("this is a link"), "{run:?}");
        assert!(place.path(name).is_symlink());
    }
    assert_eq!(place.read("real/file"), "old");
    assert!(!place.path("real/missing").exists());
    // A link to a folder is a folder.
    symlink("real", place.path("folder")).unwrap();
    let run = place.run(&["metadata", "none.png", "--out", "folder/result"]);
    assert_eq!(run.output(), "");
    assert_eq!(place.read("real/result"), "no prompt in this file\n");
}

#[test]
fn results_in_the_folder_of_the_pictures_are_no_inputs() {
    let place = Place::new();
    place.copy(&fixture("a1111-text.png"), "in/a.png");
    let arguments = ["metadata", "in", "--format", "jsonl"];
    let expected = place.run(&arguments).output().to_owned();
    for _ in 0..2 {
        for out in ["in/b.jsonl", "in/sub/c", "in/z.png.json"] {
            std::fs::create_dir_all(place.path("in/sub")).unwrap();
            let run = place.run(&[&arguments[..], &["--out", out]].concat());
            assert_eq!(run.output(), "");
            assert_eq!(place.read(out), expected);
        }
        assert_eq!(place.run(&arguments).output(), expected);
    }
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let place = Place::new();
    let score = workspace("crates/unprompt-eval/tests/fixtures");
    let (pred, truth) = (score.join("prediction.csv"), score.join("truth.csv"));
    let fixtures = fixture("");
    let fixtures = fixtures.to_str().unwrap();
    let tiny = workspace("fixtures/models/tiny-sbert");
    let tiny = tiny.to_str().unwrap();
    // More than any buffer holds, so that the middle of a record meets the closed pipe.
    place.write("texts.txt", "a longer line of text\n".repeat(40));
    let embed = [
        "embed",
        "text",
        "--model",
        tiny,
        "--file",
        "texts.txt",
        "--batch-size",
        "40",
    ];
    let score = [
        "score",
        "--pred",
        pred.to_str().unwrap(),
        "--truth",
        truth.to_str().unwrap(),
    ];
    let mut cases: Vec<Vec<&str>> = vec![
        vec!["--help"],
        vec!["--version"],
        vec!["predict", "--help"],
        vec!["doctor", "--offline"],
    ];
    for format in ["text", "json", "jsonl"] {
        for arguments in [
            &embed[..],
            &score,
            &["metadata", fixtures],
            &["models", "list"],
        ] {
            cases.push([arguments, &["--format", format]].concat());
        }
    }
    for arguments in cases {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = place.command(&arguments);
        let child = command
            .stdout(writer)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {stderr}");
        assert!(!stderr.contains("panicked"), "{arguments:?}: {stderr}");
        assert!(
            !stderr.to_lowercase().contains("pipe"),
            "{arguments:?}: {stderr}"
        );
    }
}

/// Names and prompts come from strangers.
#[cfg(unix)]
#[test]
fn no_text_forges_a_record_or_acts_on_the_terminal() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    let place = Place::new();
    let forged = "a\n== other.png\nGenerator: x\x1b[2J\u{202e}.png";
    place.copy(&fixture("none.png"), &format!("in/{forged}"));
    place.copy(&fixture("a1111-text.png"), "in/b.png");
    let prompt = "cat\n== c.png\r\x1b]0;title\x07";
    let run = place.run(&["metadata", "--write", prompt, "in/b.png"]);
    assert_eq!(run.output(), "in/b.png\twritten: xmp, parameters\n");
    let run = place.run(&["metadata", "in"]);
    let output = run.output();
    assert_eq!(output.matches("== ").count(), 4, "{output}");
    let headings = output.lines().filter(|line| line.starts_with("== "));
    let name = "== in/a\\n== other.png\\nGenerator: x\\u{1b}[2J\\u{202e}.png";
    assert_eq!(headings.collect::<Vec<_>>(), [name, "== in/b.png"]);
    assert!(
        output.contains("\ncat\\n== c.png\\r\\u{1b}]0;title\\u{7}\n"),
        "{output}"
    );
    assert!(
        !output.contains(|c: char| c.is_control() && c != '\n'),
        "{output:?}"
    );

    // A name that is no UTF-8 can be told from its replacement.
    let name = OsStr::from_bytes(b"in/\xff.png");
    std::fs::copy(fixture("none.png"), place.path(name)).unwrap();
    place.write("in/\u{fffd}.png", "");
    let run = place.run(&["metadata", "in", "--format", "jsonl"]);
    let (stdout, _) = run.failures();
    let records: Vec<_> = stdout
        .lines()
        .map(json)
        .filter(|r| r["path"] == "in/\u{fffd}.png")
        .collect();
    assert_eq!(records.len(), 2);
    let bytes: Vec<_> = records
        .iter()
        .map(|record| record["path_bytes"].clone())
        .collect();
    assert_eq!(bytes, [serde_json::Value::Null, "aW4v/y5wbmc=".into()]);
}
