//! Every picture of `fixtures/` gives exactly the record beside it.

use std::path::{Path, PathBuf};

use serde_json::Value;
use unprompt_metadata::{Metadata, MetadataErrorKind, read, read_file, read_text};

fn fixtures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut pictures: Vec<PathBuf> = [folder.join("as-found"), folder]
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let extension = path
                .extension()
                .and_then(|e| e.to_str())
                .unwrap_or_default();
            path.is_file() && !["json", "md", "py"].contains(&extension)
        })
        .collect();
    pictures.sort();
    pictures
}

fn expected(picture: &Path) -> Value {
    let mut path = picture.as_os_str().to_owned();
    path.push(".json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn every_picture_gives_its_record() {
    let mut wrong = Vec::new();
    let pictures = fixtures();
    assert!(
        pictures.len() >= 150,
        "only {} fixtures found",
        pictures.len()
    );
    for picture in pictures {
        let name = picture.file_name().unwrap().to_string_lossy().into_owned();
        let expected = expected(&picture);
        let found = match read_file(&picture) {
            Ok(found) => serde_json::to_value(found).unwrap(),
            Err(error) => error.to_string().into(),
        };
        if found != expected {
            wrong.push(format!("{name}\n   found: {found}\nexpected: {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_variant_gives_its_prompts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/variants");
    let mut wrong = Vec::new();
    let mut count = 0;
    for expected_path in std::fs::read_dir(folder).unwrap() {
        let expected_path = expected_path.unwrap().path();
        if expected_path.extension().is_none_or(|end| end != "json") {
            continue;
        }
        count += 1;
        let picture = expected_path.with_extension("");
        let expected: Value =
            serde_json::from_str(&std::fs::read_to_string(&expected_path).unwrap()).unwrap();
        let found = match read_file(&picture) {
            Ok(found) => serde_json::json!(found.map(|found| serde_json::json!({
                "generator": found.generator,
                "prompt": found.prompt,
                "negative_prompt": found.negative_prompt,
            }))),
            Err(error) => error.to_string().into(),
        };
        if found != expected {
            let name = picture.file_name().unwrap().to_string_lossy().into_owned();
            wrong.push(format!("{name}\n   found: {found}\nexpected: {expected}"));
        }
    }
    assert!(count >= 90, "only {count} variants found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn records_round_trip_through_json() {
    for picture in fixtures() {
        if let Some(found) = read_file(&picture).unwrap() {
            let text = serde_json::to_string(&found).unwrap();
            assert_eq!(serde_json::from_str::<Metadata>(&text).unwrap(), found);
        }
    }
}

#[test]
fn the_name_of_a_file_does_not_matter() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let bytes = std::fs::read(folder.join("a1111-text.png")).unwrap();
    let elsewhere =
        std::env::temp_dir().join(format!("unprompt-metadata-{}.jpg", std::process::id()));
    std::fs::write(&elsewhere, &bytes).unwrap();
    let found = read_file(&elsewhere);
    std::fs::remove_file(&elsewhere).unwrap();
    assert_eq!(found.unwrap(), read(&bytes).unwrap());
}

#[test]
fn pixels_are_not_looked_at_by_read_text() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let bytes = std::fs::read(folder.join("stealth_pngcomp.png")).unwrap();
    assert_eq!(read_text(&bytes).unwrap(), None);
    assert!(
        read(&bytes)
            .unwrap()
            .is_some_and(|found| found.has_prompt())
    );
}

#[test]
fn a_file_that_cannot_be_read_or_is_no_picture_is_an_error() {
    let missing = read_file(Path::new("/nonexistent/cat.png")).unwrap_err();
    assert_eq!(missing.kind(), MetadataErrorKind::Io);
    assert!(missing.to_string().contains("/nonexistent/cat.png"));
    for bytes in [b"".as_slice(), b"%PDF-1.7", b"{\"prompt\": \"a cat\"}"] {
        assert_eq!(
            read(bytes).unwrap_err().kind(),
            MetadataErrorKind::UnknownFormat
        );
    }
}
