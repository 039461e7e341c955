//! Each layout's samples, from small data sets that `fixtures/make.py` makes.

use std::path::Path;
use unprompt_data::{DataError, Limits, Sample, Source, SourceSpec};

fn open(spec: &str, limits: Limits) -> Result<Source, DataError> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let spec: SourceSpec = folder.join(spec).to_str().unwrap().parse().unwrap();
    Source::open(&spec, limits)
}

/// Samples and what is wrong with the rest, both in order.
fn read(spec: &str, limits: Limits) -> (Vec<Sample>, Vec<String>) {
    let mut source = open(spec, limits).unwrap();
    let (mut samples, mut errors) = (Vec::new(), Vec::new());
    for found in source.by_ref() {
        match found {
            Ok(sample) => samples.push(sample),
            Err(error) => errors.push(error.to_string()),
        }
    }
    let tally = source.tally();
    assert_eq!((tally.samples, tally.bad), (samples.len(), errors.len()));
    (samples, errors)
}

fn said(samples: &[Sample]) -> Vec<(&str, Vec<&str>)> {
    let mut said = Vec::new();
    for sample in samples {
        assert!(sample.picture.starts_with(b"\x89PNG"), "{}", sample.id);
        let captions = sample.captions.iter().map(String::as_str).collect();
        said.push((sample.id.as_str(), captions));
    }
    said
}

#[test]
fn a_folder_with_its_list() {
    let (samples, errors) = read("csv", Limits::default());
    let expected = [
        ("red.png", vec!["a red dot", "something red"]),
        ("deep/green", vec!["a green dot, alone"]),
    ];
    assert_eq!(said(&samples), expected);
    let expected = [
        "row 8: too few fields",
        "missing.png: no picture",
        "../csv/red.png: the name leads out of its folder",
        "/etc/hostname: the name leads out of its folder",
    ];
    assert_eq!(errors, expected);
}

#[test]
fn captions_beside_their_pictures() {
    let (samples, errors) = read("sidecar,strip-leads,first-sentence", Limits::default());
    let expected = [
        ("a.png", vec!["a red dot"]),
        ("below/c.PNG", vec!["a blue dot"]),
    ];
    assert_eq!(said(&samples), expected);
    assert_eq!(errors, ["b.png: no caption"]);
}

#[test]
fn shards_in_order_of_their_names() {
    let (samples, errors) = read("shards", Limits::default());
    let expected = [
        ("000000000", vec!["a red dot"]),
        ("000000001", vec!["a green dot"]),
        ("000010000", vec!["a blue dot"]),
    ];
    assert_eq!(said(&samples), expected);
    assert_eq!(errors, [""; 0]);
    let (samples, _) = read("shards/00001.tar", Limits::default());
    assert_eq!(said(&samples), expected[2..]);
    let (samples, _) = read("shards/0000*.tar,name=both", Limits::default());
    assert_eq!(said(&samples), expected);
    let (samples, _) = read("shards/*1.tar", Limits::default());
    assert_eq!(said(&samples), expected[2..]);
    let (samples, _) = read("shards,most=1", Limits::default());
    assert_eq!(said(&samples), expected[..1]);
}

#[test]
fn lists_in_files() {
    let limits = Limits {
        text: 4096,
        ..Limits::default()
    };
    let (samples, errors) = read("lists/lines.jsonl", limits);
    let expected = [
        ("red.png", vec!["a red dot"]),
        ("green.png", vec!["a green dot", "a dot"]),
        ("red.png", vec!["again"]),
    ];
    assert_eq!(said(&samples), expected);
    assert!(errors[0].starts_with("line 3: "), "{errors:?}");
    let expected = [
        "..\\red.png: the name leads out of its folder",
        "line 6: longer than 4096 bytes",
    ];
    assert_eq!(errors[1..], expected);

    let (samples, errors) = read("lists/captions.json", Limits::default());
    let expected = [
        ("green.png", vec!["a green dot"]),
        ("red.png", vec!["a red dot", "red"]),
    ];
    assert_eq!(said(&samples), expected);
    assert_eq!(errors.len(), 4, "{errors:?}");
    assert!(errors[0].starts_with("image 2: ") && errors[1].starts_with("annotation 3: "));
    assert_eq!(errors[3], "red.gif: no picture");

    let (samples, errors) = read("lists/results.token", Limits::default());
    let expected = [
        ("red.png", vec!["a red dot .", "red ."]),
        ("green.png", vec!["a green dot ."]),
    ];
    assert_eq!(said(&samples), expected);
    assert_eq!(errors, ["line 4: a line is PICTURE#N, a tab and a caption"]);
}

#[test]
fn parts_of_diffusiondb() {
    let limits = Limits {
        picture: 4096,
        ..Limits::default()
    };
    let (samples, errors) = read("diffusiondb", limits);
    let expected = [
        ("red.png", vec!["a red dot"]),
        ("green.png", vec!["a green dot"]),
        ("blue.png", vec!["a blue dot"]),
    ];
    assert_eq!(said(&samples), expected);
    let expected = [
        "gone.png: no picture",
        "link.png: not a file but a link",
        "bomb.png: longer than 4096 bytes",
        "../blue.png: the name leads out of its folder",
    ];
    assert_eq!(errors[..4], expected);
    assert!(errors[4].ends_with("part-000003.zip: no JSON file is in it"));
    assert!(errors[5].contains("part-000004.zip: the archive is damaged"));
    assert_eq!(errors.len(), 6);
}

#[test]
fn parquet_files_with_captions() {
    let of = |samples: &[Sample]| -> Vec<String> {
        let said = said(samples).into_iter();
        said.map(|(id, captions)| {
            format!("{}: {}", id.rsplit("train-").next().unwrap(), captions[0])
        })
        .collect()
    };
    let (samples, errors) = read("parquet/set", Limits::default());
    let expected = ["00000.parquet/0: a red dot", "00001.parquet/1: a green dot"];
    assert_eq!(of(&samples), expected);
    assert!(
        errors[0].ends_with("train-00000.parquet/1: no caption"),
        "{errors:?}"
    );
    assert!(
        errors[1].ends_with("train-00001.parquet/0: no picture"),
        "{errors:?}"
    );
    assert_eq!(errors.len(), 2);

    // Pictures by their names, in another folder.
    let (samples, errors) = read(
        "parquet/named.parquet,images=tests/fixtures/lists",
        Limits::default(),
    );
    assert_eq!(said(&samples), [("red.png", vec!["a red dot"])]);
    let expected = [
        "../red.png: the name leads out of its folder",
        "gone.png: no picture",
    ];
    assert_eq!(errors, expected);

    // Pictures in DiffusionDB's parts. What is wrong with a part is said once, and a part that is not
    // here is nobody's fault.
    let (samples, errors) = read(
        "parquet/metadata.parquet,images=tests/fixtures/diffusiondb",
        Limits::default(),
    );
    let expected = [
        ("red.png", vec!["a red dot"]),
        ("blue.png", vec!["a blue dot, 4k"]),
    ];
    assert_eq!(said(&samples), expected);
    assert_eq!(errors[0], "gone.png: no picture");
    assert!(
        errors[1].contains("part-000004.zip: the archive is damaged"),
        "{errors:?}"
    );
    assert_eq!(errors.len(), 2);

    // A caption or a picture that is too long costs its row.
    let short = Limits {
        text: 10,
        picture: 60,
        ..Limits::default()
    };
    assert_eq!(read("parquet/set", short).0, []);
    for (spec, expected) in [
        ("parquet/no-captions.parquet", "no column has captions"),
        ("lists/red.png,layout=parquet", "red.png"),
        ("csv,layout=parquet", "no parquet file"),
    ] {
        let error = open(spec, Limits::default()).err().unwrap().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn hostile_members_cost_themselves() {
    let limits = Limits {
        picture: 4096,
        ..Limits::default()
    };
    let (samples, errors) = read("hostile/members.tar", limits);
    assert_eq!(said(&samples), [("good", vec!["a red dot"])]);
    let expected = [
        "../outside: the name leads out of its folder",
        "link: not a file but a link",
        "hard: not a file but a link",
        "device: not a file but a device or something else",
        "large: longer than 4096 bytes",
        "alone: no caption",
        "wordless: no picture",
        "blank: no caption",
    ];
    assert_eq!(errors, expected);
}

#[test]
fn a_damaged_archive_costs_what_follows_in_it() {
    let (samples, errors) = read("hostile/cut", Limits::default());
    let expected = [("good", vec!["a red dot"]), ("next", vec!["a green dot"])];
    assert_eq!(said(&samples), expected);
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].contains("a.tar: the archive is damaged or cut off"));
    for name in ["hostile/noise", "hostile/bomb"] {
        let (samples, errors) = read(name, Limits::default());
        assert_eq!((samples.len(), errors.is_empty()), (0, false), "{name}");
    }
}

#[test]
fn what_is_not_there_is_said_at_once() {
    for (spec, expected) in [
        ("none", "cannot read"),
        ("none,layout=shards", "cannot read"),
        ("shards/x*.tar", "no tar file"),
        ("none.jsonl,layout=jsonl", "cannot read"),
        ("make.py", "layout="),
        ("sidecar,layout=csv", "neither pairs.csv nor prompts.csv"),
        ("lists/results.token,layout=coco", "expected"),
        ("csv/pairs.csv,layout=coco", "expected"),
    ] {
        let message = open(spec, Limits::default()).err().unwrap().to_string();
        assert!(message.contains(expected), "{spec}: {message}");
    }
}
