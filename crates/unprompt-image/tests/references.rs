//! Pixels against Pillow, transformers, open_clip and timm: equal to the bit, on every fixture.

use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::{collections::HashMap, fs, path::PathBuf};
use unprompt_image::{
    Alpha, DecodeOptions, Filter, Layout, Limits, Orientation, Preprocessor, RgbImage, decode,
    decode_file, decode_rgba, resize,
};

#[derive(Deserialize)]
struct Expected {
    pictures: Vec<Picture>,
    resizes: Vec<Resized>,
    preprocessed: Vec<Preprocessed>,
}

#[derive(Deserialize)]
struct Picture {
    file: String,
    width: u32,
    height: u32,
    rgb: String,
    rgba: Option<String>,
    over_white: Option<String>,
    upright: Option<(u32, u32, String)>,
}

#[derive(Deserialize)]
struct Resized {
    file: String,
    width: u32,
    height: u32,
    filter: Filter,
    rgb: String,
}

#[derive(Deserialize)]
struct Preprocessed {
    kind: String,
    config: serde_json::Value,
    file: String,
    height: usize,
    width: usize,
    chw: String,
}

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

fn expected() -> Expected {
    let json = fs::read_to_string(fixtures().join("expected.json")).unwrap();
    serde_json::from_str(&json).unwrap()
}

fn bytes_of(file: &str) -> Vec<u8> {
    fs::read(fixtures().join("pictures").join(file)).unwrap()
}

fn sum(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Fails with the whole list, so that one run shows the extent.
fn none_of(failures: Vec<String>, of: usize) {
    assert!(
        failures.is_empty(),
        "{} of {of} differ from the reference:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

#[test]
fn every_picture_decodes_as_pillow_does() {
    let pictures = expected().pictures;
    assert!(pictures.len() >= 90, "only {} fixtures", pictures.len());
    let mut failures = Vec::new();
    for picture in &pictures {
        let path = fixtures().join("pictures").join(&picture.file);
        match decode_file(path, &DecodeOptions::default()) {
            Ok(image) => {
                if (image.width, image.height) != (picture.width, picture.height) {
                    failures.push(format!(
                        "{}: {} x {}",
                        picture.file, image.width, image.height
                    ));
                } else if sum(&image.pixels) != picture.rgb {
                    failures.push(format!("{}: pixels", picture.file));
                }
            }
            Err(error) => failures.push(format!("{}: {error}", picture.file)),
        }
    }
    none_of(failures, pictures.len());
}

#[test]
fn alpha_is_kept_or_composited_as_asked() {
    let pictures = expected().pictures;
    let mut failures = Vec::new();
    let mut transparent = 0;
    for picture in &pictures {
        let bytes = bytes_of(&picture.file);
        let rgba = decode_rgba(&bytes, &Limits::default()).unwrap();
        if let Some(expected) = &picture.rgba {
            transparent += 1;
            if sum(&rgba.pixels) != *expected || !rgba.has_alpha {
                failures.push(format!("{}: rgba", picture.file));
            }
        } else if rgba.has_alpha && rgba.pixels.iter().skip(3).step_by(4).any(|&a| a != 255) {
            failures.push(format!(
                "{}: transparency that Pillow does not see",
                picture.file
            ));
        }
        let options = DecodeOptions {
            alpha: Alpha::OverWhite,
            ..Default::default()
        };
        let over_white = decode(&bytes, &options).unwrap();
        let expected = picture.over_white.as_ref().unwrap_or(&picture.rgb);
        if sum(&over_white.pixels) != *expected {
            failures.push(format!("{}: over white", picture.file));
        }
    }
    assert!(transparent >= 10, "only {transparent} transparent fixtures");
    none_of(failures, pictures.len());
}

#[test]
fn the_exif_orientation_is_applied_when_asked() {
    let pictures = expected().pictures;
    let mut failures = Vec::new();
    for picture in &pictures {
        let options = DecodeOptions {
            orientation: Orientation::Applied,
            ..Default::default()
        };
        let image = decode(&bytes_of(&picture.file), &options).unwrap();
        let stored = (picture.width, picture.height, picture.rgb.clone());
        let expected = picture.upright.as_ref().unwrap_or(&stored);
        if (image.width, image.height, sum(&image.pixels)) != *expected {
            failures.push(picture.file.clone());
        }
    }
    let turned = pictures
        .iter()
        .filter(|picture| picture.upright.is_some())
        .count();
    assert!(turned >= 9, "only {turned} turned fixtures");
    none_of(failures, pictures.len());
}

fn decoded(cache: &mut HashMap<String, RgbImage>, file: &str) -> RgbImage {
    cache
        .entry(file.to_owned())
        .or_insert_with(|| decode(&bytes_of(file), &DecodeOptions::default()).unwrap())
        .clone()
}

#[test]
fn every_resize_equals_pillow() {
    let cases = expected().resizes;
    assert!(cases.len() >= 800, "only {} cases", cases.len());
    let mut cache = HashMap::new();
    let mut failures = Vec::new();
    for case in &cases {
        // A deliberate difference in decoding would show here as one in resizing.
        let image = decoded(&mut cache, &case.file);
        let resized = resize(&image, case.width, case.height, case.filter).unwrap();
        if sum(&resized.pixels) != case.rgb {
            failures.push(format!(
                "{} to {} x {} {:?}",
                case.file, case.width, case.height, case.filter
            ));
        }
    }
    none_of(failures, cases.len());
}

#[test]
fn preprocessing_equals_its_reference() {
    let cases = expected().preprocessed;
    assert!(cases.len() >= 100, "only {} cases", cases.len());
    let mut cache = HashMap::new();
    let mut failures = Vec::new();
    for case in &cases {
        let json = case.config.to_string();
        let preprocessor = match case.kind.as_str() {
            "hugging_face" => Preprocessor::from_preprocessor_config(&json),
            "open_clip" => Preprocessor::from_open_clip_config(&json),
            _ => Preprocessor::from_timm_config(&json),
        }
        .unwrap();
        let image = decoded(&mut cache, &case.file);
        let pixels = preprocessor.apply(&image, Layout::Chw).unwrap();
        let bytes: Vec<u8> = pixels
            .data
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        if (pixels.height, pixels.width) != (case.height, case.width) || sum(&bytes) != case.chw {
            failures.push(format!("{} {json} on {}", case.kind, case.file));
        }

        let interleaved = preprocessor.apply(&image, Layout::Hwc).unwrap();
        let plane = pixels.height * pixels.width;
        let same = (0..plane * 3)
            .all(|index| interleaved.data[index] == pixels.data[index % 3 * plane + index / 3]);
        assert!(same, "the two layouts disagree for {json}");
        if let Some(size) = preprocessor.output_size() {
            assert_eq!(size, (case.height, case.width), "announced size for {json}");
        }
        let text = serde_json::to_string(&preprocessor).unwrap();
        assert_eq!(
            serde_json::from_str::<Preprocessor>(&text).unwrap(),
            preprocessor
        );
    }
    none_of(failures, cases.len());
}
