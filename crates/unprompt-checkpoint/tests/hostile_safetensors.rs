//! Malformed safetensors: each one a typed error.

mod common;

use common::{assert_refused, read_all, safetensors_file};
use unprompt_checkpoint::CheckpointErrorKind::{Malformed, TooLarge, Unsupported};

const FILE: &str = "model.safetensors";

#[test]
fn malformed_headers_are_refused() {
    let entry = |shape: &str, offsets: &str| {
        format!(r#"{{"a":{{"dtype":"U8","shape":{shape},"data_offsets":{offsets}}}}}"#)
    };
    let two = |first: &str, second: &str| {
        format!(
            r#"{{"a":{{"dtype":"U8","shape":[2],"data_offsets":{first}}},"b":{{"dtype":"U8","shape":[2],"data_offsets":{second}}}}}"#
        )
    };
    let deep = format!("{{\"a\":{}", "[".repeat(100_000));
    let max = usize::MAX;
    let cases = [
        ("not JSON", "{nonsense".to_owned(), 4, Malformed),
        ("empty header", String::new(), 4, Malformed),
        ("a list", "[]".to_owned(), 0, Malformed),
        ("leading space", " {}".to_owned(), 0, Malformed),
        ("two documents", "{}{}".to_owned(), 0, Malformed),
        ("deep nesting", deep, 0, Malformed),
        ("no data", entry("[4]", "[0,4]"), 0, Malformed),
        ("data cut short", entry("[4]", "[0,4]"), 3, Malformed),
        ("trailing bytes", entry("[4]", "[0,4]"), 5, Malformed),
        ("trailing bytes, no tensor", "{}".to_owned(), 1, Malformed),
        ("overlap", two("[0,2]", "[1,3]"), 3, Malformed),
        ("same place", two("[0,2]", "[0,2]"), 2, Malformed),
        ("gap", two("[0,2]", "[3,5]"), 5, Malformed),
        ("gap at the start", entry("[2]", "[1,3]"), 3, Malformed),
        ("backwards", entry("[2]", "[2,0]"), 2, Malformed),
        ("shape larger than place", entry("[5]", "[0,4]"), 4, Malformed),
        ("shape smaller than place", entry("[3]", "[0,4]"), 4, Malformed),
        ("shape overflow", entry(&format!("[{max},{max}]"), "[0,4]"), 4, Malformed),
        ("end past all counting", entry(&format!("[{max}]"), &format!("[0,{max}]")), 4, Malformed),
        ("negative size", entry("[-1]", "[0,4]"), 4, Malformed),
        ("fraction", entry("[1.5]", "[0,4]"), 4, Malformed),
        ("size beyond 64 bits", entry("[99999999999999999999]", "[0,4]"), 4, Malformed),
        ("one offset", entry("[4]", "[4]"), 4, Malformed),
        ("rank", entry(&format!("[{}4]", "1,".repeat(40)), "[0,4]"), 4, TooLarge),
        ("unknown type", entry("[4]", "[0,4]").replace("U8", "Q8"), 4, Malformed),
        ("type not read", entry("[4]", "[0,4]").replace("U8", "F8_E4M3"), 4, Unsupported),
        ("no type", r#"{"a":{"shape":[4],"data_offsets":[0,4]}}"#.to_owned(), 4, Malformed),
        ("entry no map", r#"{"a":3}"#.to_owned(), 0, Malformed),
        ("metadata no map", r#"{"__metadata__":3}"#.to_owned(), 0, Malformed),
        ("metadata no text", r#"{"__metadata__":{"a":{}}}"#.to_owned(), 0, Malformed),
        (
            "duplicate name",
            r#"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"\u0061":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}}"#.to_owned(),
            4,
            Malformed,
        ),
        (
            "duplicate field",
            r#"{"a":{"dtype":"U8","dtype":"I8","shape":[4],"data_offsets":[0,4]}}"#.to_owned(),
            4,
            Malformed,
        ),
        ("duplicate metadata", r#"{"__metadata__":{},"__metadata__":{}}"#.to_owned(), 0, Malformed),
    ];
    for (what, header, data_bytes, kind) in cases {
        match read_all(FILE, &safetensors_file(&header, &vec![7; data_bytes])) {
            Ok(_) => panic!("{what}: read"),
            Err(error) => assert_eq!(error.kind(), kind, "{what}: {error}"),
        }
    }
}

#[test]
fn malformed_lengths_are_refused() {
    let with_length = |length: u64| [&length.to_le_bytes()[..], b"{}"].concat();
    assert_refused(FILE, &[], Malformed, "empty");
    assert_refused(FILE, &[2, 0, 0], Malformed, "8 bytes");
    assert_refused(FILE, &with_length(3), Malformed, "cut short");
    assert_refused(FILE, &with_length(16 << 20), Malformed, "cut short");
    assert_refused(
        FILE,
        &with_length((16 << 20) + 1),
        TooLarge,
        "at most 16777216",
    );
    assert_refused(FILE, &with_length(u64::MAX), TooLarge, "at most 16777216");
    assert_eq!(read_all(FILE, &with_length(2)).unwrap(), 0);

    let not_utf8 = [&4u64.to_le_bytes()[..], b"{\"\xff\""].concat();
    assert_refused(FILE, &not_utf8, Malformed, "utf-8");
}

#[test]
fn a_hostile_name_cannot_control_the_terminal() {
    let header = r#"{"\u001b[2J\n":{"dtype":"U8","shape":[1],"data_offsets":[0,9]}}"#;
    let error = read_all(FILE, &safetensors_file(header, &[1]))
        .unwrap_err()
        .to_string();
    assert!(!error.contains(char::is_control), "{error:?}");
}
