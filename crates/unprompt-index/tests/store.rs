//! What is on disk: the same every time, gone on with, and not believed when it is damaged.
#![allow(missing_docs)]

mod common;

use common::{build_plain, build_with, content, embedding, texts};
use std::{fs, path::Path};
use unprompt_index::{BuildOptions, BuildProgress, IndexError, NearestPrompts, PromptIndex, Space};

const OPTIONS: BuildOptions = BuildOptions {
    batch: 7,
    segment_rows: 20,
};

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn prompts_are_trimmed_and_kept_once_in_the_order_of_first_appearance() {
    let folder = tempfile::tempdir().unwrap();
    let given = [
        "b",
        " a\t",
        "",
        "b ",
        "A",
        "  \n",
        "a",
        "a b",
        "\u{3000}狐\u{3000}",
        "狐",
    ];
    let manifest = build_plain(folder.path(), &strings(&given), OPTIONS).unwrap();
    let counts = &manifest.prompts;
    assert_eq!((counts.rows, counts.duplicates, counts.empty), (5, 3, 2));
    let index = PromptIndex::open(folder.path()).unwrap();
    for (row, prompt) in ["b", "a", "A", "a b", "狐"].into_iter().enumerate() {
        let query = embedding(prompt, 24);
        let found = index
            .nearest(Space::Clip, &[query], 1)
            .unwrap()
            .remove(0)
            .remove(0);
        assert_eq!((found.row, found.prompt.as_str()), (row as u64, prompt));
        assert!(found.similarity > 0.999);
    }
}

#[test]
fn a_hundred_thousand_duplicates_are_one_prompt() {
    let folder = tempfile::tempdir().unwrap();
    let mut given = vec!["the same".to_owned(); 100_000];
    given.push("another".to_owned());
    let manifest = build_plain(folder.path(), &given, OPTIONS).unwrap();
    assert_eq!(
        (manifest.prompts.rows, manifest.prompts.duplicates),
        (2, 99_999)
    );
}

#[test]
fn a_list_without_prompts_makes_no_index() {
    let folder = tempfile::tempdir().unwrap();
    for given in [&[][..], &["", "  ", "\n"]] {
        let error = build_plain(folder.path(), &strings(given), OPTIONS).unwrap_err();
        assert!(error.to_string().contains("holds no prompt"), "{error}");
    }
    let error = PromptIndex::open(folder.path()).unwrap_err();
    assert!(matches!(error, IndexError::Missing { .. }), "{error}");
}

#[test]
fn batches_and_repetitions_change_no_byte() {
    let texts = texts(90);
    let first = tempfile::tempdir().unwrap();
    build_plain(first.path(), &texts, OPTIONS).unwrap();
    let expected = content(first.path());
    let second = tempfile::tempdir().unwrap();
    let options = BuildOptions {
        batch: 1000,
        ..OPTIONS
    };
    build_plain(second.path(), &texts, options).unwrap();
    assert_eq!(content(second.path()), expected);
    // Once more: nothing is embedded, nothing changes.
    let never = |_: &str| -> Vec<f32> { panic!("embedded again") };
    build_with(first.path(), &texts, &never, &never, OPTIONS, &mut |_| ()).unwrap();
    assert_eq!(content(first.path()), expected);
}

#[test]
fn a_build_that_failed_goes_on_where_it_ended() {
    let texts = texts(90);
    let whole = tempfile::tempdir().unwrap();
    build_plain(whole.path(), &texts, OPTIONS).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let limited = |text: &str| match text {
        "prompt 70" => vec![f32::NAN; 24],
        _ => embedding(text, 24),
    };
    let sentence = |text: &str| embedding(text, 16);
    let error = build_with(
        folder.path(),
        &texts,
        &limited,
        &sentence,
        OPTIONS,
        &mut |_| (),
    );
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("the embedding of `prompt 70` has the length NaN"),
        "{error}"
    );
    let error = PromptIndex::open(folder.path()).unwrap_err();
    assert!(matches!(error, IndexError::Unfinished { .. }), "{error}");
    // A segment that was damaged meanwhile is made again, and so is one that was cut short.
    let segments = folder.path().join("segments");
    let mut bytes = fs::read(segments.join("000001.segment")).unwrap();
    bytes[100] ^= 1;
    fs::write(segments.join("000001.segment"), &bytes).unwrap();
    fs::write(segments.join("000003.segment"), &bytes[..50]).unwrap();
    fs::write(segments.join(".unprompt-abc.tmp"), "left over").unwrap();
    let (mut found, mut embedded) = (0, 0);
    let clip = |text: &str| embedding(text, 24);
    build_with(
        folder.path(),
        &texts,
        &clip,
        &sentence,
        OPTIONS,
        &mut |progress| match progress {
            BuildProgress::Found(by) => found += by,
            BuildProgress::Embedded(by) => embedded += by,
            _ => {}
        },
    )
    .unwrap();
    assert_eq!((found, embedded), (40, 50));
    assert_eq!(content(folder.path()), content(whole.path()));
}

#[test]
fn another_list_another_model_or_another_folder_is_not_mixed_in() {
    let folder = tempfile::tempdir().unwrap();
    build_plain(folder.path(), &texts(30), OPTIONS).unwrap();
    let error = build_plain(folder.path(), &texts(31), OPTIONS)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("another index is here: its list of prompts is"),
        "{error}"
    );
    let options = BuildOptions {
        segment_rows: 10,
        ..OPTIONS
    };
    let error = build_plain(folder.path(), &texts(30), options)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("rows a segment is 20, and 10 was asked for"),
        "{error}"
    );

    let foreign = tempfile::tempdir().unwrap();
    fs::write(foreign.path().join("thesis.txt"), "years of work").unwrap();
    let error = build_plain(foreign.path(), &texts(3), OPTIONS)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("holds other files, such as thesis.txt"),
        "{error}"
    );

    // An unfinished one is as particular.
    fs::remove_file(folder.path().join("manifest.json")).unwrap();
    let error = build_plain(folder.path(), &texts(30), OPTIONS)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("holds other files, such as 000000.segment"),
        "{error}"
    );
}

#[test]
fn two_builds_in_one_folder_do_not_meet() {
    let folder = tempfile::tempdir().unwrap();
    let texts = texts(5);
    let busy = |text: &str| {
        let error = build_plain(folder.path(), &common::texts(5), OPTIONS).unwrap_err();
        assert!(matches!(error, IndexError::Busy { .. }), "{error}");
        embedding(text, 4)
    };
    build_with(folder.path(), &texts, &busy, &busy, OPTIONS, &mut |_| ()).unwrap();
}

#[test]
fn embeddings_that_do_not_fit_are_refused() {
    let texts = texts(3);
    let good = |text: &str| embedding(text, 4);
    let ragged = |text: &str| embedding(text, if text.ends_with('2') { 5 } else { 4 });
    let zero = |_: &str| vec![0.0; 4];
    let empty = |_: &str| Vec::new();
    let cases: [(common::Embed<'_>, &str); 3] = [
        (&ragged, "`prompt 2` has 5 numbers, expected 4"),
        (&zero, "`prompt 0` has the length 0"),
        (&empty, "embeddings of width 0"),
    ];
    for (clip, expected) in cases {
        let folder = tempfile::tempdir().unwrap();
        let error = build_with(folder.path(), &texts, clip, &good, OPTIONS, &mut |_| ());
        let error = error.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn every_damaged_byte_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    build_plain(folder.path(), &texts(45), OPTIONS).unwrap();
    let query = || vec![embedding("prompt 3", 24)];
    let search = || PromptIndex::open(folder.path())?.nearest(Space::Clip, &query(), 3);
    let intact = search().unwrap();
    let check = || PromptIndex::open(folder.path())?.check(&|_| ());
    for name in [
        "segments/000000.segment",
        "segments/000002.segment",
        "manifest.json",
    ] {
        let path = folder.path().join(name);
        let bytes = fs::read(&path).unwrap();
        let damaged = |damage: &dyn Fn(&mut Vec<u8>), what: &str| {
            let mut copy = bytes.clone();
            damage(&mut copy);
            fs::write(&path, &copy).unwrap();
            let error = search().map(|_| ()).expect_err(what);
            assert!(error.is_of_the_index(), "{error}");
            let named = matches!(&error, IndexError::Damaged { path: found, .. } if *found == path);
            assert!(named, "{name} {what}: {error}");
            assert!(check().is_err(), "{name} {what}");
        };
        let step = if name == "manifest.json" { 1 } else { 13 };
        for position in (0..bytes.len()).step_by(step) {
            // White space of the manifest may change: it says nothing.
            if name == "manifest.json" && bytes[position].is_ascii_whitespace() {
                continue;
            }
            damaged(&|copy| copy[position] ^= 1, &format!("byte {position}"));
        }
        for length in [0, 1, 8, 63, 64, bytes.len() / 2, bytes.len() - 2] {
            damaged(&|copy| copy.truncate(length), &format!("cut to {length}"));
        }
        damaged(&|copy| copy.extend([b'x'; 9]), "longer");
        fs::write(&path, &bytes).unwrap();
        assert_eq!(search().unwrap(), intact);
        check().unwrap();
    }
}

#[test]
fn a_missing_or_exchanged_file_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    build_plain(folder.path(), &texts(45), OPTIONS).unwrap();
    let segment = |index: usize| folder.path().join(format!("segments/{index:06}.segment"));
    let [first, second] = [segment(0), segment(1)].map(|path| fs::read(path).unwrap());
    // Each is whole, but not what the manifest says of its place.
    fs::write(segment(0), &second).unwrap();
    fs::write(segment(1), &first).unwrap();
    let error = PromptIndex::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("the manifest expects"), "{error}");
    fs::write(segment(0), &first).unwrap();
    fs::remove_file(segment(1)).unwrap();
    let error = PromptIndex::open(folder.path()).unwrap_err().to_string();
    assert!(
        error.contains("000001.segment") && error.contains("cannot open"),
        "{error}"
    );
    fs::create_dir(segment(1)).unwrap();
    let error = PromptIndex::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("not a regular file"), "{error}");
    let error = PromptIndex::open(Path::new("/nonexistent")).unwrap_err();
    assert!(error.to_string().contains("no index here"), "{error}");
}

/// Headers that ask for more than there is, with a digest that agrees.
#[test]
fn sizes_of_a_hostile_header_are_checked() {
    use sha2::{Digest, Sha256};
    let folder = tempfile::tempdir().unwrap();
    build_plain(folder.path(), &texts(5), OPTIONS).unwrap();
    let path = folder.path().join("segments/000000.segment");
    let bytes = fs::read(&path).unwrap();
    for (start, value) in [
        (8, vec![0xff; 4]),
        (8, vec![0; 4]),
        (12, vec![0xff; 4]),
        (16, vec![0xff; 4]),
        (24, vec![0xff; 8]),
        (8, vec![0xff; 24]),
    ] {
        let mut copy = bytes.clone();
        copy[start..start + value.len()].copy_from_slice(&value);
        let end = copy.len() - 32;
        let digest = Sha256::digest(&copy[..end]);
        copy[end..].copy_from_slice(&digest);
        fs::write(&path, &copy).unwrap();
        let error = PromptIndex::open(folder.path()).unwrap_err();
        assert!(
            matches!(error, IndexError::Damaged { .. }),
            "{start}: {error}"
        );
    }
}
