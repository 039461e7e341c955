//! Lists of prompts in every layout, and broken ones.
#![allow(missing_docs)]

use std::{fs, path::PathBuf};
use unprompt_index::{MAX_PROMPT_BYTES, MAX_RECORD_BYTES, PromptFile, PromptFormat, Result};

fn read(name: &str, bytes: impl AsRef<[u8]>, column: &str) -> Result<Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    PromptFile::open(&path, column)?.read()?.collect()
}

#[track_caller]
fn refusal(name: &str, bytes: impl AsRef<[u8]>, expected: &str) {
    let error = read(name, bytes, "prompt").expect_err(expected).to_string();
    assert!(error.contains(expected) && error.contains(name), "{error}");
    assert!(error.len() < 600, "{error}");
}

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures")).join(name)
}

#[test]
fn lines() {
    let found = read("x.txt", "\u{feff}a fox\r\n\nb \"c\", d\nlast", "prompt").unwrap();
    assert_eq!(found, ["a fox", "", "b \"c\", d", "last"]);
    assert!(read("x.txt", "", "prompt").unwrap().is_empty());
    refusal("x.txt", b"good\n\xff\xfe\n", "line 2: not UTF-8");
    refusal(
        "x.txt",
        vec![b'x'; MAX_RECORD_BYTES + 1],
        "line 1: longer than",
    );
    refusal(
        "x.txt",
        vec![b'x'; MAX_PROMPT_BYTES + 1],
        "more than the 1048576",
    );
}

#[test]
fn tables() {
    let csv = "\u{feff}id,prompt\n1,\"a, \"\"b\"\"\nc\"\n2,\n3,狐\n";
    assert_eq!(
        read("x.csv", csv, "prompt").unwrap(),
        ["a, \"b\"\nc", "", "狐"]
    );
    let csv = "\u{feff}prompt , id\nfox,1\n";
    assert_eq!(read("X.CSV", csv, "prompt").unwrap(), ["fox"]);
    assert_eq!(read("x.csv", "text,prompt\na,b\n", "text").unwrap(), ["a"]);
    assert!(read("x.csv", "prompt\n", "prompt").unwrap().is_empty());
    refusal(
        "x.csv",
        "id,text\n1,a\n",
        "no column `prompt` among id, text; name another with --column",
    );
    refusal("x.csv", "", "no column `prompt`");
    refusal(
        "x.csv",
        "id,prompt\n1,a\n2,b,c\n",
        "line 3: 3 fields, expected 2",
    );
    refusal("x.csv", b"id,prompt\n1,a\n2,\xff\n", "line 3: not UTF-8");
    let endless = format!("prompt\n\"{}", "x".repeat(3 * MAX_RECORD_BYTES));
    refusal("x.csv", endless, "is a quote never closed?");
    refusal(
        "x.csv",
        "x".repeat(3 * MAX_RECORD_BYTES),
        "is a quote never closed?",
    );
}

#[test]
fn json_lines() {
    let lines =
        "{\"prompt\": \"a\\nfox\", \"seed\": 1}\n\n{\"prompt\": null}\r\n{\"prompt\": \"\"}";
    assert_eq!(
        read("x.jsonl", lines, "prompt").unwrap(),
        ["a\nfox", "", ""]
    );
    assert_eq!(
        read("x.ndjson", "{\"text\": \"a\"}", "text").unwrap(),
        ["a"]
    );
    let good = "{\"prompt\": \"a\"}\n";
    refusal(
        "x.jsonl",
        format!("{good}{{\"text\": 1}}"),
        "line 2: no object with the key `prompt`",
    );
    refusal(
        "x.jsonl",
        format!("{good}{{\"prompt\": 1}}"),
        "line 2: `prompt` is no text",
    );
    refusal("x.jsonl", format!("{good}[1]"), "line 2: no object");
    refusal("x.jsonl", format!("{good}{{\"prompt\": \"a"), "line 2: EOF");
    refusal("x.jsonl", "[".repeat(1 << 20), "line 1: recursion limit");
    refusal("x.jsonl", "{\"prompt\": \"\\ud800\"}", "line 1: ");
}

#[test]
fn parquet() {
    let file = PromptFile::open(&fixture("prompts.parquet"), "prompt").unwrap();
    assert_eq!(file.format(), PromptFormat::Parquet);
    let expected = [
        "a red fox",
        "  a castle at night ",
        "",
        "",
        "ünïcode 狐",
        "a red fox",
        "line\nbreak",
    ];
    // Twice, as a build does.
    for _ in 0..2 {
        let found: Result<Vec<String>> = file.read().unwrap().collect();
        assert_eq!(found.unwrap(), expected);
    }
    let file = PromptFile::open(&fixture("diffusiondb.parquet"), "prompt").unwrap();
    let found: Result<Vec<String>> = file.read().unwrap().collect();
    assert_eq!(
        found.unwrap(),
        ["a red fox", "a castle, oil on canvas", "a red fox"]
    );
    let plain = fs::read(fixture("plain.parquet")).unwrap();
    assert_eq!(
        read("no-extension", &plain, "text").unwrap(),
        ["one", "two", "one"]
    );
    let error = read("x", &plain, "number").unwrap_err().to_string();
    assert!(
        error.contains("the column `number` is INT64, expected text"),
        "{error}"
    );
    let error = read("x", &plain, "prompt").unwrap_err().to_string();
    assert!(
        error.contains("no column `prompt` among text, number"),
        "{error}"
    );
    refusal(
        "x.parquet",
        "prompt\nno parquet\n",
        "does not begin with `PAR1`",
    );
    refusal("x.parquet", "PAR1", "x.parquet: ");
    refusal("x.parquet", "PAR1PAR1", "x.parquet: ");
    refusal("x.parquet", b"PAR1\xff\xff\xff\x7fPAR1", "x.parquet: ");
}

/// No damage may end in anything but an error or prompts.
#[test]
fn damaged_parquet_ends_in_an_error_or_in_prompts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged");
    for (name, column) in [("prompts.parquet", "prompt"), ("plain.parquet", "text")] {
        let bytes = fs::read(fixture(name)).unwrap();
        let read = |bytes: &[u8]| -> Result<Vec<String>> {
            fs::write(&path, bytes).unwrap();
            PromptFile::open(&path, column)?.read()?.collect()
        };
        let mut errors = 0;
        for position in 4..bytes.len() {
            for value in [0xff, bytes[position] ^ 1] {
                let mut copy = bytes.clone();
                copy[position] = value;
                errors += usize::from(read(&copy).is_err());
            }
        }
        for length in (4..bytes.len()).step_by(7) {
            assert!(read(&bytes[..length]).is_err(), "{length}");
        }
        assert!(errors > 100, "{errors}");
    }
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_refused_without_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let error = PromptFile::open(folder.path(), "prompt")
        .unwrap_err()
        .to_string();
    assert!(error.contains("not a regular file"), "{error}");
    let missing = folder.path().join("missing.csv");
    let error = PromptFile::open(&missing, "prompt")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("cannot open") && error.contains("missing.csv"),
        "{error}"
    );
    let pipe = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    if made.is_ok_and(|status| status.success()) {
        let error = PromptFile::open(&pipe, "prompt").unwrap_err().to_string();
        assert!(error.contains("not a regular file"), "{error}");
    }
}
