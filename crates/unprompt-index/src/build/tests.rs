//! The disk fails at every step, one after the other.

use super::*;
use crate::{PromptIndex, durable::failure::GOOD_STEPS};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

fn content(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut content = BTreeMap::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let below = self::content(&path).into_iter();
            let name = PathBuf::from(path.file_name().unwrap());
            content.extend(below.map(|(path, bytes)| (name.join(path), bytes)));
        } else {
            let bytes = std::fs::read(&path).unwrap();
            content.insert(path.file_name().unwrap().into(), bytes);
        }
    }
    content
}

fn build_in(folder: &Path) -> (Result<Manifest>, u64) {
    let identity = |name: &str| ModelIdentity {
        name: name.to_owned(),
        revision: "local".to_owned(),
        sha256: name.to_owned(),
        dtype: "f32".to_owned(),
    };
    let embed = |texts: &[String]| {
        let vector = |text: &String| vec![text.len() as f32, 1.0, f32::from(text.as_bytes()[0])];
        Ok(texts.iter().map(vector).collect())
    };
    let embedders = Embedders {
        clip_model: identity("clip"),
        clip: &embed,
        sentence_model: identity("sentence"),
        sentence: &embed,
    };
    let prompts = || {
        let texts = (0..10).map(|row| Ok("x".repeat(row + 1)));
        Ok(Box::new(texts) as PromptIterator)
    };
    let options = BuildOptions {
        batch: 2,
        segment_rows: 3,
    };
    let mut embedded = 0;
    let result = build(folder, &prompts, &embedders, options, &mut |progress| {
        if let BuildProgress::Embedded(by) = progress {
            embedded += by;
        }
    });
    (result, embedded)
}

#[test]
fn whichever_step_fails_the_next_run_ends_with_the_same_bytes() {
    let whole = tempfile::tempdir().unwrap();
    build_in(whole.path()).0.unwrap();
    let expected = content(whole.path());
    let names: Vec<_> = expected
        .keys()
        .map(|name| name.display().to_string())
        .collect();
    assert_eq!(
        names,
        [
            "lock",
            "manifest.json",
            "segments/000000.segment",
            "segments/000001.segment",
            "segments/000002.segment",
            "segments/000003.segment",
        ]
    );
    let mut failures = 0;
    for step in 0.. {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("index");
        GOOD_STEPS.set(Some(step));
        let (result, embedded) = build_in(&folder);
        GOOD_STEPS.set(None);
        if result.is_ok() {
            assert_eq!(content(&folder), expected);
            break;
        }
        failures += 1;
        let message = result.unwrap_err().to_string();
        assert!(message.contains("the disk is full"), "{message}");
        // What is there is no index, or the whole of one; never something in between.
        match PromptIndex::open(&folder) {
            Ok(index) => assert_eq!(index.rows(), 10),
            Err(IndexError::Missing { .. } | IndexError::Unfinished { .. }) => {}
            Err(other) => panic!("step {step}: {other}"),
        }
        let (result, again) = build_in(&folder);
        result.unwrap();
        assert_eq!(content(&folder), expected, "step {step}");
        // One segment is done twice at most.
        assert!(
            embedded + again <= 10 + 3,
            "step {step}: {embedded} {again}"
        );
    }
    assert!(failures > 30, "{failures}");
}

/// A manifest whose own digest agrees can still be anything.
#[test]
fn a_manifest_that_lies_is_found_out() {
    let place = tempfile::tempdir().unwrap();
    let good = build_in(place.path()).0.unwrap();
    let lies: [fn(&mut Manifest); 9] = [
        |manifest| manifest.segment_rows = 0,
        |manifest| manifest.segment_rows = 4,
        |manifest| manifest.segment_rows = u64::MAX,
        |manifest| manifest.prompts.rows = 11,
        |manifest| manifest.clip_width = u64::MAX,
        |manifest| manifest.sentence_width = 0,
        |manifest| manifest.segments[1].rows = u64::MAX,
        |manifest| manifest.segments.swap(0, 3),
        |manifest| {
            manifest.prompts.rows += 3;
            manifest.segments.push(manifest.segments[0].clone());
        },
    ];
    for (index, lie) in lies.iter().enumerate() {
        let mut manifest = good.clone();
        lie(&mut manifest);
        manifest.write(place.path()).unwrap();
        let error = PromptIndex::open(place.path()).unwrap_err();
        let is_found = matches!(error, IndexError::Damaged { .. } | IndexError::Io { .. });
        assert!(is_found, "{index}: {error}");
    }
    // Of nothing, nothing is found, and nothing is divided by its number of rows.
    let mut manifest = good.clone();
    manifest.segments.clear();
    (manifest.prompts.rows, manifest.segment_rows) = (0, 0);
    manifest.write(place.path()).unwrap();
    let empty = PromptIndex::open(place.path()).unwrap();
    let found = empty.nearest_rows(crate::Space::Clip, &[vec![1.0; 3]], 5);
    assert_eq!(found.unwrap(), [vec![]]);
    good.write(place.path()).unwrap();
    PromptIndex::open(place.path()).unwrap();
}

#[test]
fn a_segment_of_no_rows_is_refused_whatever_its_width() {
    let place = tempfile::tempdir().unwrap();
    let mut manifest = build_in(place.path()).0.unwrap();
    let mut bytes = b"UNPRIDX1".to_vec();
    bytes.extend([0u32, 1 << 30, 1 << 30].map(u32::to_le_bytes).concat());
    bytes.resize(64, 0);
    let digest = Sha256::digest(&bytes);
    bytes.extend(digest);
    std::fs::write(crate::file_names::segment_path(place.path(), 0), &bytes).unwrap();
    (manifest.clip_width, manifest.sentence_width) = (1 << 30, 1 << 30);
    (manifest.prompts.rows, manifest.segment_rows) = (0, 0);
    manifest.segments.truncate(1);
    manifest.segments[0].rows = 0;
    manifest.segments[0].bytes = bytes.len() as u64;
    manifest.segments[0].sha256 = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    manifest.write(place.path()).unwrap();
    let error = PromptIndex::open(place.path()).unwrap_err();
    assert!(error.to_string().contains("it holds 0 rows"), "{error}");
}
