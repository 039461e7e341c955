//! `unprompt metadata --write`, `--from` and `--strip`.

use crate::harness::{Place, json_lines, workspace};
use serde_json::json;
use std::{fs, path::PathBuf};

fn photograph(name: &str) -> PathBuf {
    workspace("crates/unprompt-metadata/tests/photographs").join(name)
}

fn fixture(name: &str) -> PathBuf {
    workspace("crates/unprompt-metadata/tests/fixtures").join(name)
}

/// A place with a picture of each format that is written.
fn place() -> Place {
    let place = Place::new();
    place.copy(&photograph("edited.png"), "in/a.png");
    place.copy(&photograph("camera.jpg"), "in/b.jpg");
    place.copy(&photograph("lossless-alpha.webp"), "in/sub/c.webp");
    place
}

fn bytes(place: &Place, name: &str) -> Vec<u8> {
    fs::read(place.path(name)).unwrap()
}

const FILES: [&str; 3] = ["in/a.png", "in/b.jpg", "in/sub/c.webp"];

fn prompts(place: &Place) -> Vec<serde_json::Value> {
    let run = place.run(&["metadata", "in", "--format", "jsonl"]);
    let records = json_lines(&run.stdout).into_iter();
    records.map(|mut record| record["prompt"].take()).collect()
}

#[test]
fn a_prompt_is_written_read_again_and_stripped() {
    let place = place();
    let before = FILES.map(|name| bytes(&place, name));
    let text = "a cat,\n Negative prompt: \x1b[2J none";
    let run = place.run(&["metadata", "--write", text, "in", "--format", "jsonl"]);
    let record = |path: &str, changed| json!({"path": path, "written": ["xmp", "parameters"], "prompt": text, "changed": changed});
    let written = FILES.map(|name| record(name, true));
    assert_eq!(json_lines(run.output()), written);
    assert_eq!(prompts(&place), [text; 3]);
    let after = FILES.map(|name| bytes(&place, name));

    let again = place.run(&["metadata", "--write", text, "in", "--format", "jsonl"]);
    assert_eq!(
        json_lines(again.output()),
        FILES.map(|name| record(name, false))
    );
    assert!(FILES.map(|name| bytes(&place, name)) == after);
    let shown = place.run(&["metadata", "--write", "x", "--form", "xmp", "in/a.png"]);
    assert_eq!(shown.output(), "in/a.png\twritten: xmp\n");

    let run = place.run(&["metadata", "--strip", "in"]);
    let lines = FILES.map(|name| format!("{name}\tstripped\n")).concat();
    assert_eq!(run.output(), lines);
    assert!(FILES.map(|name| bytes(&place, name)) == before);
    let run = place.run(&["metadata", "--strip", "in", "--format", "jsonl"]);
    assert_eq!(
        json_lines(run.output()),
        FILES.map(|name| json!({"path": name, "stripped": false}))
    );
    assert_eq!(place.names(), ["in"]);
}

#[test]
fn records_find_their_pictures() {
    let place = place();
    let records = "{\"path\":\"in/a.png\",\"prompt\":\"one\",\"source\":\"predicted\"}\n\
        {\"path\":\"/old/place/b.jpg\",\"prompt\":\"two\"}\n\
        {\"path\":\"gone.png\",\"prompt\":\"three\"}\n";
    place.write("in/records.jsonl", records);
    let arguments = [
        "metadata",
        "--from",
        "in/records.jsonl",
        "in",
        "--format",
        "jsonl",
    ];
    let run = place.run(&arguments);
    let (stdout, stderr) = run.failures();
    let found = json_lines(stdout);
    assert_eq!(
        (&found[0]["prompt"], &found[1]["prompt"]),
        (&json!("one"), &json!("two"))
    );
    assert!(
        found[2]["error"]
            .as_str()
            .unwrap()
            .contains("no prompt for this picture")
    );
    assert_eq!(stderr.len(), 2, "{stderr:?}");
    assert!(stderr[0].contains("1 records have no picture here, the first is gone.png"));
    assert_eq!(prompts(&place), [json!("one"), json!("two"), json!(null)]);

    place.write("table.csv", "filename,prompt\na.png,x\nb.jpg,y\nc.webp,z\n");
    let run = place.run(&[
        "metadata",
        "--from",
        "table.csv",
        "in",
        "--form",
        "parameters",
    ]);
    assert!(
        run.output()
            .lines()
            .all(|line| line.ends_with("\twritten: parameters")),
        "{run:?}"
    );
    assert_eq!(prompts(&place), ["x", "y", "z"]);
}

#[test]
fn what_cannot_be_done_changes_nothing() {
    let place = place();
    place.copy(&fixture("none.gif"), "d.gif");
    place.copy(&fixture("swarmui.png"), "swarm.png");
    place.write("bad.csv", "a,b\n1,2\n");
    let everything = || -> Vec<Vec<u8>> {
        let names = FILES.into_iter().chain(["d.gif", "swarm.png"]);
        names.map(|name| bytes(&place, name)).collect()
    };
    let before = everything();
    for (arguments, named) in [
        (&["--write", " ", "in"][..], "empty"),
        (&["--write", "a cat", "-"], "standard input"),
        (&["--write", "a cat", "missing.png"], "missing.png"),
        (&["--write", "a cat", "--strip", "in"], "--strip"),
        (&["--write", "a cat", "--from", "bad.csv", "in"], "--from"),
        (&["--form", "xmp", "in"], "--form"),
        (&["--from", "bad.csv", "in"], "column `prompt`"),
        (&["--from", "gone.csv", "in"], "gone.csv"),
        (&["--write", "a cat", "in", "--format", "csv"], "--format"),
    ] {
        let run = place.run(&[&["metadata"][..], arguments].concat());
        assert!(run.refusal().contains(named), "{run:?}");
        assert!(everything() == before, "{arguments:?}");
    }
    for (arguments, named) in [
        (&["--write", "a cat", "d.gif"][..], "convert it"),
        (&["--strip", "d.gif"], "a GIF"),
        (
            &["--write", "a cat", "--form", "both", "swarm.png"],
            "would be lost",
        ),
        (
            &["--write", &"long ".repeat(20_000), "in/b.jpg"],
            "does not fit",
        ),
    ] {
        let run = place.run(&[&["metadata"][..], arguments].concat());
        let (_, stderr) = run.failures();
        assert!(stderr.len() == 1 && stderr[0].contains(named), "{run:?}");
        assert!(everything() == before, "{arguments:?}");
    }
}

#[test]
fn a_prompt_in_the_pixels_is_told() {
    let place = Place::new();
    place.copy(&fixture("stealth-and-text.png"), "hidden.png");
    let run = place.run(&["metadata", "--strip", "hidden.png", "--format", "jsonl"]);
    let (stdout, stderr) = run.failures();
    assert!(stderr[0].contains("hidden in the pixels"), "{stderr:?}");
    assert!(json_lines(stdout)[0]["error"].is_string());
}

#[cfg(unix)]
#[test]
fn links_are_refused_and_permissions_stay() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let place = place();
    fs::create_dir(place.path("other")).unwrap();
    place.copy(&photograph("scan.jpg"), "other/d.jpg");
    symlink("../other/d.jpg", place.path("in/d.jpg")).unwrap();
    symlink("../other", place.path("in/linked")).unwrap();
    symlink("in", place.path("in-link")).unwrap();
    let before = bytes(&place, "other/d.jpg");
    let permissions = fs::Permissions::from_mode(0o600);
    fs::set_permissions(place.path("in/a.png"), permissions).unwrap();
    fs::set_permissions(place.path("in/b.jpg"), fs::Permissions::from_mode(0o444)).unwrap();
    let run = place.run(&["metadata", "--write", "a cat", "in"]);
    let (stdout, stderr) = run.failures();
    assert_eq!(stdout.lines().count(), 2, "{run:?}");
    assert!(
        stderr[0].contains("in/b.jpg") && stderr[0].contains("read-only"),
        "{stderr:?}"
    );
    assert!(stderr[1].contains("in/d.jpg is a link"), "{stderr:?}");
    assert!(stderr[2].contains("in/linked is a link"), "{stderr:?}");
    assert!(bytes(&place, "other/d.jpg") == before);
    let mode = fs::metadata(place.path("in/a.png"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    for path in ["in-link", "in/d.jpg"] {
        let run = place.run(&["metadata", "--write", "a dog", path]);
        let (stdout, stderr) = run.failures();
        assert_eq!(stdout, "");
        assert!(stderr[0].contains("is a link"), "{stderr:?}");
    }
    assert!(bytes(&place, "other/d.jpg") == before);
}
