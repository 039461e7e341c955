//! Networks whose blocks hold weights of eight bits: near the reference, and the same bits
//! whatever the batch and the threads.

mod common;

use common::{TestResult, cosine, expected, fixture, ids, rows};
use std::path::Path;
use unprompt_checkpoint::Pickle;
use unprompt_models::{
    ClipCheckpoint, Compute, DeviceChoice, Dtype, LoadOptions, SentenceEncoder, SiglipCheckpoint,
    Vit,
};

fn int8() -> LoadOptions {
    LoadOptions {
        pickle: Pickle::Allow,
        compute: Compute::new(DeviceChoice::Cpu, Some(Dtype::Int8)).unwrap(),
    }
}

type Rows = Result<Vec<Vec<f32>>, Box<dyn std::error::Error>>;

/// Tiny networks have few values to average the rounding over, so the bound is a loose one; that
/// of real networks is in the tests of the real weights and in the check at full size.
fn check<T: Sync + Clone>(
    name: &str,
    inputs: &[T],
    exact: impl Fn(&[T]) -> Rows,
    rounded: impl Fn(&[T]) -> Rows + Sync,
) -> TestResult {
    let (exact, expected) = (exact(inputs)?, rounded(inputs)?);
    assert_ne!(exact, expected, "{name}: computed in f32");
    for (exact, found) in exact.iter().zip(&expected) {
        let cosine = cosine(exact, found);
        assert!(cosine > 0.99, "{name}: {cosine}");
    }
    for (input, expected) in inputs.iter().zip(&expected) {
        let alone = rounded(std::slice::from_ref(input))?;
        assert_eq!(alone, std::slice::from_ref(expected), "{name}: alone");
    }
    let reversed: Vec<T> = inputs.iter().rev().cloned().collect();
    let reversed = rounded(&reversed)?;
    assert!(reversed.iter().rev().eq(&expected), "{name}: reversed");
    for threads in [1, 2, 5] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        let found = pool.build()?.install(|| rounded(inputs).unwrap());
        assert_eq!(found, expected, "{name}: {threads} threads");
    }
    Ok(())
}

#[test]
fn vision_transformers() -> TestResult {
    for name in [
        "tiny-vit-timm",
        "tiny-vit-timm-gap",
        "tiny-vit-transformers",
    ] {
        let folder = fixture(name);
        let pixels = rows(&expected(name), "pixels");
        let exact = Vit::load(&folder, Pickle::Allow)?;
        let rounded = Vit::load(&folder, int8())?;
        check(
            name,
            &pixels,
            |pixels| Ok(exact.forward(pixels)?),
            |pixels| Ok(rounded.forward(pixels)?),
        )?;
    }
    Ok(())
}

/// The towers of a model, in f32 and with weights of eight bits.
macro_rules! check_towers {
    ($name:expr, $exact:expr, $rounded:expr) => {{
        let (exact, rounded) = ($exact, $rounded);
        let expected = expected($name);
        let (tower, image) = (exact.image_tower()?, rounded.image_tower()?);
        check(
            $name,
            &rows(&expected, "pixels"),
            |pixels| Ok(tower.forward(pixels)?),
            |pixels| Ok(image.forward(pixels)?),
        )?;
        let (tower, text) = (exact.text_tower()?, rounded.text_tower()?);
        check(
            $name,
            &ids(&expected),
            |ids| Ok(tower.forward(ids)?),
            |ids| Ok(text.forward(ids)?),
        )?;
    }};
}

#[test]
fn both_towers_of_clip() -> TestResult {
    for name in ["tiny-clip-open-clip", "tiny-clip-transformers"] {
        let open = |options: LoadOptions| ClipCheckpoint::open(&fixture(name), options);
        check_towers!(name, open(Pickle::Allow.into())?, open(int8())?);
    }
    Ok(())
}

#[test]
fn both_towers_of_siglip() -> TestResult {
    for name in ["tiny-siglip-open-clip", "tiny-siglip"] {
        let open = |options: LoadOptions| SiglipCheckpoint::open(&fixture(name), options);
        check_towers!(name, open(Pickle::Deny.into())?, open(int8())?);
    }
    Ok(())
}

#[test]
fn sentence_encoders() -> TestResult {
    let folder = fixture("tiny-sbert");
    let exact = SentenceEncoder::load(&folder, Pickle::Deny)?;
    let rounded = SentenceEncoder::load(&folder, int8())?;
    let texts = [
        "a red fox",
        "",
        "the photo of a castle at night, oil",
        "fox",
    ];
    check(
        "tiny-sbert",
        &texts,
        |texts| Ok(exact.embed_raw(texts)?),
        |texts| Ok(rounded.embed_raw(texts)?),
    )
}

#[test]
fn a_weight_that_is_no_number_is_an_error() -> TestResult {
    let copy = tempfile::tempdir()?;
    common::copy_folder(&fixture("tiny-vit-timm"), copy.path())?;
    let file = copy.path().join("model.safetensors");
    overwrite_first_value(&file, "blocks.0.mlp.fc1.weight", f32::NAN)?;
    let message = Vit::load(copy.path(), int8()).unwrap_err().to_string();
    assert!(message.contains("blocks.0.mlp.fc1"), "{message}");
    Ok(())
}

/// Writes a number over the first one of a tensor of a safetensors file.
fn overwrite_first_value(file: &Path, name: &str, value: f32) -> TestResult {
    let mut bytes = std::fs::read(file)?;
    let length = u64::from_le_bytes(bytes[..8].try_into()?) as usize;
    let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length])?;
    let offset = header[name]["data_offsets"][0]
        .as_u64()
        .ok_or("no tensor")? as usize;
    let place = 8 + length + offset;
    bytes[place..place + 4].copy_from_slice(&value.to_le_bytes());
    Ok(std::fs::write(file, bytes)?)
}
