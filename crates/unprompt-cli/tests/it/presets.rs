//! `unprompt predict` with presets of captioners, interrogators and regressors, all of them tiny.

use crate::harness::{Place, json_lines, workspace};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::Value;

const SUFFIX: &str = ", fine details, masterpiece";

pub fn model(name: &str) -> String {
    let path = workspace("fixtures/models").join(name);
    path.to_str().unwrap().to_owned()
}

/// The blend of the paper with tiny networks, and what the commands need to compute it by parts.
fn place() -> Place {
    let place = Place::new();
    for picture in ["cat.png", "coffee.webp", "rocket.jpg"] {
        let path = workspace("examples/pictures").join(picture);
        place.copy(&path, &format!("in/{picture}"));
    }
    place.write(
        "labels/flavors.txt",
        "glass\nfire\nold tower\nmisty forest\n",
    );
    place.write("labels/mediums.txt", "a photo\na mosaic\n");
    place.write("labels/movements.txt", "goldism\nmistism\n");
    regressor(&place, 32);
    let preset = format!(
        r#"
        name = "tiny-paper"
        encoder = "{encoder}"
        normalize_members = false
        [[member]]
        name = "vit"
        kind = "regressor"
        model = "vit"
        tta = "flip"
        weight = 0.7488
        [[member]]
        name = "clip-interrogator"
        kind = "interrogator"
        clip = "{clip}"
        captioner = "{captioner}"
        mode = "competition"
        labels = "labels"
        weight = 0.2112
        [[member]]
        name = "ofa"
        kind = "captioner"
        model = "{captioner}"
        beams = 3
        no_repeat_ngram = 2
        suffix = "{SUFFIX}"
        weight = 0.04
        "#,
        encoder = model("tiny-sbert"),
        clip = model("tiny-clip"),
        captioner = model("tiny-blip"),
    );
    place.write("paper.toml", preset);
    place
}

/// A Vision Transformer with as many outputs as the sentence encoder has numbers, the folder `vit`.
pub fn regressor(place: &Place, width: usize) {
    let folder = workspace("fixtures/models/tiny-vit-timm");
    let config = std::fs::read_to_string(folder.join("config.json")).unwrap();
    let mut config: Value = serde_json::from_str(&config).unwrap();
    config["num_classes"] = width.into();
    config.as_object_mut().unwrap().remove("label_names");
    place.write("vit/config.json", config.to_string());
    let bytes = std::fs::read(folder.join("model.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let numbers = |count: usize| -> Vec<u8> {
        let number = |index: usize| ((index * 7919 % 1009) as f32 / 504.5 - 1.0).to_le_bytes();
        (0..count).flat_map(number).collect()
    };
    let (weight, bias) = (numbers(width * 32), numbers(width));
    let mut kept: Vec<(String, TensorView)> = tensors.tensors();
    kept.retain(|(name, _)| !name.starts_with("head."));
    let view = |shape: Vec<usize>, data| TensorView::new(Dtype::F32, shape, data).unwrap();
    kept.push(("head.weight".into(), view(vec![width, 32], &weight)));
    kept.push(("head.bias".into(), view(vec![width], &bias)));
    place.write(
        "vit/model.safetensors",
        safetensors::serialize(kept, None).unwrap(),
    );
}

pub fn lines(place: &Place, arguments: &[&str]) -> Vec<Value> {
    let common = ["--quiet", "--offline", "--format", "jsonl"];
    json_lines(place.run(&[arguments, &common].concat()).output())
}

pub fn numbers(record: &Value) -> Vec<f64> {
    let row = record["embedding"].as_array().unwrap();
    row.iter().map(|value| value.as_f64().unwrap()).collect()
}

#[test]
fn the_papers_blend_is_the_weighted_sum_of_what_its_parts_give() {
    let place = place();
    let found = lines(
        &place,
        &["predict", "in", "--no-metadata", "--preset", "paper.toml"],
    );
    assert_eq!(found.len(), 3);

    let (clip, captioner, encoder) = (model("tiny-clip"), model("tiny-blip"), model("tiny-sbert"));
    let regressed = lines(
        &place,
        &["embed", "image", "in", "--model", "vit", "--tta", "flip"],
    );
    let interrogate = [
        &[
            "interrogate",
            "in",
            "--clip",
            clip.as_str(),
            "--captioner",
            &captioner,
        ][..],
        &["--mode", "competition", "--labels", "labels"],
    ];
    let prompts = lines(&place, &interrogate.concat());
    let caption = [
        "caption",
        "in",
        "--model",
        captioner.as_str(),
        "--beams",
        "3",
    ];
    let captions = lines(
        &place,
        &[&caption[..], &["--no-repeat-ngram", "2"]].concat(),
    );

    for (index, record) in found.iter().enumerate() {
        let prompt = prompts[index]["prompt"].as_str().unwrap();
        let caption = captions[index]["caption"].as_str().unwrap().to_owned() + SUFFIX;
        assert_eq!(record["members"][1]["text"], prompt);
        assert_eq!(record["members"][2]["text"], caption.as_str());
        let texts = lines(
            &place,
            &["embed", "text", prompt, &caption, "--model", &encoder],
        );
        let parts = [&regressed[index], &texts[0], &texts[1]].map(numbers);
        let blend = |index: usize| {
            0.7488 * parts[0][index] + 0.2112 * parts[1][index] + 0.04 * parts[2][index]
        };
        let blend: Vec<f64> = (0..32).map(blend).collect();
        let length = blend.iter().map(|value| value * value).sum::<f64>().sqrt();
        for (found, expected) in numbers(record).iter().zip(&blend) {
            assert!(
                (found - expected / length).abs() < 1e-5,
                "{found} {expected}"
            );
        }
        // The prompt is at least as near to the blend as the nearer of the two texts.
        let cosine = |row: &[f64]| {
            let product: f64 = row.iter().zip(&blend).map(|(a, b)| a * b).sum();
            product / length
        };
        let chosen = record["prompt"].as_str().unwrap();
        let chosen = lines(&place, &["embed", "text", chosen, "--model", &encoder]);
        let found = cosine(&numbers(&chosen[0]));
        let best = cosine(&parts[1]).max(cosine(&parts[2]));
        assert!(found >= best - 1e-6, "{found} {best}");
        assert_eq!(record["receipt"]["models"].as_array().unwrap().len(), 4);
    }
}

#[test]
fn records_are_the_same_whatever_the_batch_and_the_threads() {
    let place = place();
    let predict = |more: &[&str]| {
        let arguments = ["predict", "in", "--no-metadata", "--preset", "paper.toml"];
        let mut records = lines(&place, &[&arguments[..], more].concat());
        for record in &mut records {
            record["elapsed_ms"].take();
        }
        records
    };
    let first = predict(&[]);
    assert_eq!(predict(&["--threads", "1", "--batch-size", "1"]), first);
    assert_eq!(predict(&["--threads", "3", "--batch-size", "2"]), first);
}

#[test]
fn a_member_that_cannot_be_had_is_named() {
    let place = place();
    let run = place.run(&["predict", "in", "--preset", "paper", "--offline", "--quiet"]);
    assert!(run.refusal().contains("all-MiniLM-L6-v2"), "{run:?}");
}
