//! The whole command beside clip-interrogator 0.6.0: CLIP's whole vocabulary, real pictures, a
//! tiny CLIP made from the recipe of `fixtures/models/interrogate.py`; and the package's own lists.

use crate::{
    Test,
    harness::{Place, json_lines, workspace},
    reference::document,
    weights::Weights,
};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::Value;
use unprompt::interrogate::{Behaviour, LabelSet};

pub const TESTS: &[Test] = &[
    (
        "interrogator::the_command_says_what_the_package_says",
        command,
    ),
    ("interrogator::the_lists_are_those_of_the_package", lists),
];

/// The recipe's tensors: a counter hashed by splitmix64.
fn write_model(place: &Place, expected: &Value, seed: u64) {
    let config = workspace("fixtures/models/tiny-interrogator/open_clip_config.json");
    place.copy(&config, "clip/open_clip_config.json");
    let mut tensors = Vec::new();
    for (index, tensor) in expected["tensors"].as_array().unwrap().iter().enumerate() {
        let shape: Vec<usize> = serde_json::from_value(tensor["shape"].clone()).unwrap();
        let number = |key: &str| tensor[key].as_f64().unwrap() as f32;
        let (offset, scale) = (number("offset"), number("scale"));
        let first = (seed << 48).wrapping_add((index as u64) << 32);
        let value = |counter: u64| {
            let x = first.wrapping_add(counter).wrapping_add(1);
            let x = x.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            let u = ((x ^ (x >> 31)) >> 40) as f32 / (1 << 23) as f32 - 1.0;
            offset + scale * u
        };
        let count = shape.iter().product::<usize>() as u64;
        let bytes: Vec<u8> = (0..count).flat_map(|at| value(at).to_le_bytes()).collect();
        tensors.push((tensor["name"].as_str().unwrap(), shape, bytes));
    }
    let view = |shape: &[usize], bytes| TensorView::new(Dtype::F32, shape.to_vec(), bytes).unwrap();
    let views: Vec<_> = tensors
        .iter()
        .map(|(name, shape, bytes)| (*name, view(shape, bytes)))
        .collect();
    let file = safetensors::serialize(views, None).unwrap();
    place.write("clip/open_clip_model.safetensors", file);
}

fn command(weights: &Weights) {
    let expected = document("tiny-interrogator/expected.json");
    let place = weights.place();
    let labels = workspace("fixtures/models/tiny-interrogator/labels");
    let [chunk, candidates] = ["chunk_size", "candidates"].map(|key| expected[key].to_string());
    for (name, picture) in expected["pictures"].as_object().unwrap() {
        let file = workspace("examples/pictures").join(name);
        // The cache of the picture before is noticed to be of other weights.
        write_model(&place, &expected, picture["seed"].as_u64().unwrap());
        for mode in ["classic", "fast", "best", "negative"] {
            let arguments = [
                "interrogate",
                file.to_str().unwrap(),
                "--offline",
                "--clip",
                "./clip",
                "--mode",
                mode,
                "--caption",
                picture["caption"].as_str().unwrap(),
                "--labels",
                labels.to_str().unwrap(),
                "--label-cache",
                "cache",
                "--compat",
                "0.6.0",
                "--chunk-size",
                &chunk,
                "--candidates",
                &candidates,
                "--format",
                "jsonl",
                "--quiet",
            ];
            let record = json_lines(place.run(&arguments).output()).swap_remove(0);
            assert_eq!(record["prompt"], picture[mode], "{name}, {mode}");
            let similarity = record["similarity"].as_f64().unwrap();
            let expected = picture["similarity"][mode].as_f64().unwrap();
            assert!((similarity - expected).abs() < 1e-5, "{name}, {mode}");
        }
    }
}

/// By the hashes that the package's caches carry.
fn lists(weights: &Weights) {
    let set = LabelSet::read(&weights.labels, Behaviour::Compat060).unwrap();
    let lists: Vec<(&str, usize, String)> = set
        .lists()
        .iter()
        .map(|list| (list.name(), list.labels().len(), list.sha256()))
        .collect();
    let expected = [
        (
            "artists",
            10_530,
            "d27dcd8c970debac6b1afcea9081ad0e933c687bf3f533de5c043c79113ffdae",
        ),
        (
            "flavors",
            100_970,
            "bb633ab8d979278bd66fa93c1c668a230f180e299723f4d602a206926d4f87ca",
        ),
        (
            "mediums",
            95,
            "7fff3ab0b0cf6b850156558b461aace10ffe8df724c9c69cda7960f8478bf74e",
        ),
        (
            "movements",
            200,
            "c1a02df83850cf77f19d60223fdd32cb01f3ce1d1e815528a3e7aed7087625a4",
        ),
        (
            "trendings",
            72,
            "7e8797d72ab579ead27ce9a5a87ee2c17bd47a2783caaf789cb3ad8f747b44de",
        ),
        (
            "negative",
            41,
            "7a92a1eb0c25f06c9ceefec560b9ec68f778aadc5c4831afa98aa5b9eba6afa8",
        ),
    ];
    for ((name, count, hash), expected) in lists.into_iter().zip(expected) {
        assert_eq!((name, count, hash.as_str()), expected);
    }
    // One list has a line without a label and some labels twice.
    let fixed = LabelSet::read(&weights.labels, Behaviour::Fixed).unwrap();
    let flavors = &fixed.lists()[1];
    let left_out = (0..flavors.labels().len()).filter(|index| !flavors.is_used(*index));
    assert_eq!(left_out.count(), 16);
}
