//! What a graphics card computes, candle's own operations on whole tensors, computed here on the
//! processor: in double precision it is an oracle of the fused layers, in half precision it shows
//! that nothing on the way needs f32.

use super::*;
use crate::{ClipCheckpoint, SentenceEncoder, SiglipCheckpoint, Vit};
use std::path::{Path, PathBuf};
use unprompt_checkpoint::Checkpoint;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fixtures/models")
        .join(name)
}

fn options(compute: Compute) -> LoadOptions {
    LoadOptions {
        pickle: Pickle::Allow,
        compute,
    }
}

/// The rows of a tensor of the expected values of a tiny checkpoint.
fn inputs(folder: &Path, name: &str) -> Vec<Vec<f32>> {
    let checkpoint = Checkpoint::open(folder.join("expected.safetensors"), Pickle::Deny).unwrap();
    let shape = checkpoint.tensor(name).unwrap().shape.to_vec();
    let values = checkpoint.tensor_f32(name, &shape).unwrap();
    let row = values.len() / shape[0];
    values.chunks(row).map(<[f32]>::to_vec).collect()
}

/// The types, f32 in double precision, and by how much each may miss the fused layers as a part of the
/// largest value.
const TYPES: [(Dtype, f32); 3] = [(Dtype::F32, 2e-6), (Dtype::F16, 0.02), (Dtype::Bf16, 0.1)];

fn check(name: &str, run: impl Fn(LoadOptions) -> Vec<Vec<f32>>) {
    let expected = run(options(Compute::default()));
    assert!(!expected.is_empty(), "{name}");
    let largest = expected
        .iter()
        .flatten()
        .fold(0.0f32, |most, v| most.max(v.abs()));
    for (dtype, tolerance) in TYPES {
        let found = run(options(Compute::composed(dtype)));
        assert_ne!(found, expected, "{name}, {dtype:?}: the fused layers ran");
        for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
            let error = (found - expected).abs() / largest;
            assert!(error <= tolerance, "{name}, {dtype:?}: {error}");
        }
    }
}

#[test]
fn vision_transformers() {
    for name in [
        "tiny-vit-timm",
        "tiny-vit-timm-gap",
        "tiny-vit-timm-siglip",
        "tiny-vit-transformers",
    ] {
        let folder = fixture(name);
        let pixels = inputs(&folder, "pixels");
        check(name, |options| {
            Vit::load(&folder, options)
                .unwrap()
                .forward(&pixels)
                .unwrap()
        });
    }
}

#[test]
fn both_towers_of_clip_and_the_prefix_of_a_text() {
    for name in ["tiny-clip-open-clip", "tiny-clip-transformers"] {
        let folder = fixture(name);
        let pixels = inputs(&folder, "pixels");
        check(name, |options| {
            let tower = ClipCheckpoint::open(&folder, options)
                .unwrap()
                .image_tower();
            tower.unwrap().forward(&pixels).unwrap()
        });
        let whole = |text: Vec<f32>| text.into_iter().map(|id| id as u32).collect();
        let texts: Vec<Vec<u32>> = inputs(&folder, "ids").into_iter().map(whole).collect();
        let tower = |options| ClipCheckpoint::open(&folder, options).unwrap().text_tower();
        check(name, |options| {
            tower(options).unwrap().forward(&texts).unwrap()
        });
        check(name, |options| {
            let tower = tower(options).unwrap();
            let mut prefix = tower.empty_prefix();
            tower.set_prefix(&mut prefix, &texts[0][..2]).unwrap();
            let continuations: Vec<&[u32]> = texts
                .iter()
                .filter(|text| text[..2] == texts[0][..2])
                .map(|text| &text[2..])
                .collect();
            tower.forward_after(&prefix, &continuations).unwrap()
        });
    }
}

#[test]
fn both_towers_of_siglip() {
    for name in ["tiny-siglip-open-clip", "tiny-siglip"] {
        let folder = fixture(name);
        let pixels = inputs(&folder, "pixels");
        let open = |options| SiglipCheckpoint::open(&folder, options).unwrap();
        check(name, |options| {
            let tower = open(options).image_tower();
            tower.unwrap().forward(&pixels).unwrap()
        });
        let whole = |text: Vec<f32>| text.into_iter().map(|id| id as u32).collect();
        let texts: Vec<Vec<u32>> = inputs(&folder, "ids").into_iter().map(whole).collect();
        check(name, |options| {
            let tower = open(options).text_tower();
            tower.unwrap().forward(&texts).unwrap()
        });
    }
}

#[test]
fn sentence_encoders() {
    let texts = [
        "a red fox",
        "",
        "the photo of a castle at night, oil",
        "fox",
    ];
    let folder = fixture("tiny-sbert");
    check("tiny-sbert", |options| {
        let encoder = SentenceEncoder::load(&folder, options).unwrap();
        encoder.embed_raw(&texts).unwrap()
    });
}

#[test]
fn a_device_computes_in_its_own_types_only() {
    for dtype in [None, Some(Dtype::F32), Some(Dtype::Int8)] {
        for device in [DeviceChoice::Auto, DeviceChoice::Cpu] {
            let compute = Compute::new(device, dtype).unwrap();
            assert_eq!(compute.dtype(), dtype.unwrap_or(Dtype::F32));
        }
    }
    let refused = |device, dtype| Compute::new(device, Some(dtype)).unwrap_err().to_string();
    for dtype in [Dtype::F16, Dtype::Bf16] {
        let message = refused(DeviceChoice::Cpu, dtype);
        assert!(message.starts_with(dtype.name()), "{message}");
        assert!(
            message.contains("f32") && message.contains("int8"),
            "{message}"
        );
    }
    if cfg!(not(feature = "cuda")) {
        assert!(refused(DeviceChoice::Cuda, Dtype::F16).contains("--features cuda"));
        assert!(refused(DeviceChoice::Auto, Dtype::F16).contains("on the cpu"));
    }
}
