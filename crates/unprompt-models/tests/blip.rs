//! BLIP against transformers, on tiny random checkpoints that `fixtures/models/blip.py` makes.

mod captions;
mod common;

use captions::{compare, compare_states, options, picture, pictures, same_alone};
use common::{TestResult, edited_tensors, fixture};
use unprompt_checkpoint::Pickle;
use unprompt_models::{Blip, GenerationOptions, ImageToText, ModelError};

const FOLDERS: [&str; 2] = ["tiny-blip", "tiny-blip-64"];

fn load(name: &str) -> Blip {
    Blip::load(&fixture(name), None, Pickle::Deny).unwrap()
}

#[test]
fn states_and_logits_equal_transformers() {
    for name in FOLDERS {
        let model = load(name);
        let expected = fixture(name).join("expected.safetensors");
        let states = |pictures: &[Vec<f32>]| model.image_states(pictures).unwrap();
        let logits = |picture: &[f32], ids: &[u32]| model.logits(picture, ids).unwrap();
        compare_states(name, &expected, &model, 4, states, logits);
    }
}

#[test]
fn captions_equal_transformers_token_for_token() {
    for name in FOLDERS {
        let model = load(name);
        let answers = captions::expected(name);
        let prompt = answers["prompt"].as_str().unwrap();
        for (mode, expected) in answers["modes"].as_object().unwrap() {
            let prompt = mode.starts_with("prompt").then_some(prompt);
            let base = GenerationOptions {
                max_new_tokens: None,
                ..model.default_options()
            };
            compare(&format!("{name}: {mode}"), &model, prompt, &base, expected);
        }
    }
}

#[test]
fn a_caption_is_the_same_alone_and_in_a_batch() {
    let model = load("tiny-blip");
    for beams in [1, 4] {
        let options = GenerationOptions {
            beams,
            ..model.default_options()
        };
        same_alone(&model, &pictures(&model, 11), None, &options);
    }
}

#[test]
fn the_authors_layout_gives_the_same_captions() {
    let file = fixture("tiny-blip-original").join("model.pth");
    let refused = Blip::load(&file, None, Pickle::Deny).unwrap_err();
    assert!(matches!(refused, ModelError::Checkpoint(_)), "{refused}");
    let original = Blip::load(&file, None, Pickle::Allow).unwrap();
    let vocabulary = fixture("tiny-blip-64").join("tokenizer.json");
    let with_json = Blip::load(&file, Some(&vocabulary), Pickle::Allow).unwrap();
    let model = load("tiny-blip-64");
    let pictures = pictures(&model, 24);
    for (beams, prompt) in [
        (1, None),
        (3, None),
        (1, Some("a picture of ")),
        (3, Some("The Dog")),
    ] {
        let options = GenerationOptions {
            beams,
            ..model.default_options()
        };
        let expected = model.caption(&pictures, prompt, &options).unwrap();
        for other in [&original, &with_json] {
            assert_eq!(other.default_options(), model.default_options());
            let found = other.caption(&pictures, prompt, &options).unwrap();
            for (found, expected) in found.iter().zip(&expected) {
                assert_eq!(found.token_ids, expected.token_ids);
                assert_eq!(found.score, expected.score);
                // The authors' code is of the time when contractions were joined.
                let apart = expected.text.replace(" ' ", "'");
                assert_eq!(found.text.replace(" ' ", "'"), apart);
            }
        }
    }
}

#[test]
fn text_is_decoded_as_the_folder_says() -> TestResult {
    let answers = captions::expected("tiny-blip");
    let model = load("tiny-blip");
    for pair in answers["decoded"].as_array().unwrap() {
        let ids: Vec<u32> = serde_json::from_value(pair[0].clone())?;
        assert_eq!(model.decode(&ids)?, pair[1].as_str().unwrap());
    }
    let ids = |words: &str| -> Vec<u32> {
        let text =
            std::fs::read_to_string(fixture("tiny-blip-original").join("vocab.txt")).unwrap();
        let id = |word| text.lines().position(|line| line == word).unwrap() as u32;
        words.split(' ').map(id).collect()
    };
    let contracted = ids("woman ' s dog is n ' t red , do n ' t .");
    assert_eq!(
        model.decode(&contracted)?,
        "woman ' s dog is n ' t red, do n ' t."
    );
    let config = r#"{"clean_up_tokenization_spaces": true}"#;
    let edited = common::edited("tiny-blip", "tokenizer_config.json", |_| config.into())?;
    let cleaned = Blip::load(edited.path(), None, Pickle::Deny)?;
    assert_eq!(
        cleaned.decode(&contracted)?,
        "woman's dog isn't red, don't."
    );
    Ok(())
}

#[test]
fn int8_weights_are_near_and_depend_on_no_batch() {
    let model = captions::int8(|options| Blip::load(&fixture("tiny-blip"), None, options));
    let pictures = pictures(&model, 4);
    let exact = load("tiny-blip").image_states(&pictures).unwrap();
    captions::near(&model.image_states(&pictures).unwrap(), &exact);
    same_alone(&model, &pictures, None, &model.default_options());
}

#[test]
fn weights_that_are_no_numbers_are_a_clear_error() -> TestResult {
    for name in [
        "vision_model.encoder.layers.1.mlp.fc1.weight",
        "text_decoder.bert.encoder.layer.0.crossattention.self.value.weight",
        "text_decoder.cls.predictions.bias",
    ] {
        let folder = captions::broken("tiny-blip", name);
        let model = Blip::load(folder.path(), None, Pickle::Deny)?;
        for beams in [1, 3] {
            let options = GenerationOptions {
                beams,
                ..model.default_options()
            };
            let error = model
                .caption(&[picture(0, 24)], None, &options)
                .unwrap_err();
            assert!(matches!(error, ModelError::NotFinite { model: "blip" }));
        }
    }
    Ok(())
}

#[test]
fn what_does_not_fit_is_an_error() -> TestResult {
    let model = load("tiny-blip");
    let good = model.default_options();
    let pictures = [picture(0, 24)];
    assert!(model.caption(&[vec![0.0; 7]], None, &good).is_err());
    let long = "a ".repeat(60);
    let error = model.caption(&pictures, Some(&long), &good).unwrap_err();
    assert!(matches!(error, ModelError::Generation(_)), "{error}");
    let wide = options(&good, &serde_json::json!({"num_beams": 200}));
    assert!(model.caption(&pictures, None, &wide).is_err());

    for (from, to) in [
        ("\"model_type\": \"blip\",", "\"model_type\": \"blap\","),
        ("\"num_attention_heads\": 3", "\"num_attention_heads\": 5"),
        ("\"num_attention_heads\": 4", "\"num_attention_heads\": 0"),
        ("\"patch_size\": 8", "\"patch_size\": 0"),
        ("\"image_size\": 24", "\"image_size\": 40000"),
        ("\"hidden_act\": \"gelu\"", "\"hidden_act\": \"gone\""),
        ("\"vocab_size\": 86", "\"vocab_size\": 9"),
        ("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 5000"),
    ] {
        let folder = common::edited("tiny-blip", "config.json", |text| {
            assert!(text.contains(from), "{from}: {text}");
            text.replace(from, to)
        })?;
        assert!(
            Blip::load(folder.path(), None, Pickle::Deny).is_err(),
            "{to}"
        );
    }
    let folder = edited_tensors("tiny-blip", "model.safetensors", |header| {
        header.remove("vision_model.post_layernorm.bias");
    });
    // The hole that is left is an error too; whichever comes first.
    assert!(Blip::load(folder?.path(), None, Pickle::Deny).is_err());
    let folder = common::edited("tiny-blip", "tokenizer.json", |_| "{}".into())?;
    assert!(Blip::load(folder.path(), None, Pickle::Deny).is_err());
    std::fs::remove_file(folder.path().join("tokenizer.json"))?;
    let error = Blip::load(folder.path(), None, Pickle::Deny).unwrap_err();
    assert!(error.to_string().contains("vocab.txt"), "{error}");
    Ok(())
}
