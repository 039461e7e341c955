//! OFA against modelscope and transformers 4.18, on tiny random checkpoints that
//! `fixtures/models/ofa.py` makes.

mod captions;
mod common;

use captions::{compare, compare_states, picture, pictures, same_alone};
use common::{TestResult, fixture};
use unprompt_checkpoint::Pickle;
use unprompt_models::{GenerationOptions, ImageToText, LengthPenalty, ModelError, Ofa};

const FOLDERS: [&str; 2] = ["tiny-ofa", "tiny-ofa-variant"];

fn load(name: &str) -> Ofa {
    Ofa::load(&fixture(name), Pickle::Allow).unwrap()
}

#[test]
fn states_and_logits_equal_the_reference() {
    for name in FOLDERS {
        let model = load(name);
        let expected = fixture(&format!("{name}.expected.safetensors"));
        let states = |pictures: &[Vec<f32>]| model.image_states(pictures).unwrap();
        let logits = |picture: &[f32], ids: &[u32]| model.logits(picture, ids).unwrap();
        compare_states(name, &expected, &model, 3, states, logits);
    }
}

#[test]
fn captions_equal_the_reference_token_for_token() {
    for name in FOLDERS {
        let model = load(name);
        let answers = captions::expected(name);
        let own = model.default_options();
        assert_eq!((own.beams, own.no_repeat_ngram, own.max_length), (5, 2, 20));
        assert_eq!(own.forced_end_token, Some(2));
        assert_eq!(own.length_penalty_of, LengthPenalty::WholeSequence);
        for (mode, expected) in answers["modes"].as_object().unwrap() {
            let base = if mode == "default" {
                own.clone()
            } else {
                GenerationOptions {
                    beams: 1,
                    no_repeat_ngram: 0,
                    ..own.clone()
                }
            };
            compare(&format!("{name}: {mode}"), &model, None, &base, expected);
        }
    }
}

#[test]
fn a_caption_is_the_same_alone_and_in_a_batch() {
    let model = load("tiny-ofa");
    let (pictures, options) = (pictures(&model, 6), model.default_options());
    let together = same_alone(&model, &pictures, Some(" what?"), &options);
    // Another question, another answer.
    let other = model.caption(&pictures, None, &options).unwrap();
    assert_ne!(other, together);
}

#[test]
fn texts_become_the_reference_s_ids_and_texts_again() -> TestResult {
    let model = load("tiny-ofa");
    let answers = captions::expected("tiny-ofa");
    for pair in answers["texts"].as_array().unwrap() {
        let ids: Vec<u32> = serde_json::from_value(pair[1].clone())?;
        let text = pair[0].as_str().unwrap();
        assert_eq!(model.encode(text)?, ids, "{text}");
    }
    for pair in answers["decoded"].as_array().unwrap() {
        let ids: Vec<u32> = serde_json::from_value(pair[0].clone())?;
        assert_eq!(model.decode(&ids)?, pair[1].as_str().unwrap(), "{ids:?}");
    }
    Ok(())
}

#[test]
fn int8_weights_are_near_and_depend_on_no_batch() {
    let model = captions::int8(|options| Ofa::load(&fixture("tiny-ofa"), options));
    let pictures = pictures(&model, 2);
    let exact = load("tiny-ofa").image_states(&pictures).unwrap();
    captions::near(&model.image_states(&pictures).unwrap(), &exact);
    same_alone(&model, &pictures, None, &model.default_options());
}

#[test]
fn weights_that_are_no_numbers_are_a_clear_error() -> TestResult {
    for name in [
        "encoder.embed_images.layer2.0.conv2.weight",
        "encoder.layers.1.fc1.weight",
        "decoder.layers.0.cross_attn.v_proj.bias",
        "decoder.embed_tokens.weight",
    ] {
        let folder = captions::broken("tiny-ofa", name);
        let model = Ofa::load(folder.path(), Pickle::Deny)?;
        let picture = picture(0, model.image_size().0);
        let error = model
            .caption(&[picture], None, &model.default_options())
            .unwrap_err();
        assert!(
            matches!(error, ModelError::NotFinite { model: "ofa" }),
            "{name}: {error}"
        );
    }
    Ok(())
}

#[test]
fn what_does_not_fit_is_an_error() -> TestResult {
    let model = load("tiny-ofa");
    let own = model.default_options();
    let picture = picture(0, model.image_size().0);
    assert!(model.caption(&[vec![0.0; 7]], None, &own).is_err());
    let long = " dog".repeat(70);
    assert!(model.caption(&[picture], Some(&long), &own).is_err());
    let denied = Ofa::load(&fixture("tiny-ofa"), Pickle::Deny).unwrap_err();
    assert!(denied.to_string().contains("pickle"), "{denied}");
    for addition in [
        r#""model_type": "bart""#,
        r#""use_ofasys": true"#,
        r#""use_gamma_feature": true"#,
        r#""resnet_type": "resnet9000""#,
        r#""token_bucket_size": 0"#,
        r#""image_bucket_size": 9000"#,
        r#""encoder_attention_heads": 5"#,
        r#""decoder_layers": 90000"#,
        r#""attn_scale_factor": -1.0"#,
        r#""interpolate_position": true, "orig_patch_image_size": 4000"#,
        r#""d_model": 64"#,
        r#""vocab_size": 7"#,
        r#""activation_function": "gone""#,
    ] {
        let key = addition.split(':').next().unwrap();
        let folder = common::edited("tiny-ofa", "config.json", |text| {
            let kept: Vec<&str> = text
                .lines()
                .filter(|line| !line.trim_start().starts_with(key))
                .collect();
            kept.join("\n").replacen('{', &format!("{{{addition},"), 1)
        })?;
        let error = Ofa::load(folder.path(), Pickle::Allow);
        assert!(error.is_err(), "{addition}");
    }
    for (file, text) in [
        ("merges.txt", "#version: 0.2\nzz yy\n"),
        ("vocab.json", "{}"),
        ("vocab.json", "[]"),
    ] {
        let folder = common::edited("tiny-ofa", file, |_| text.into())?;
        assert!(Ofa::load(folder.path(), Pickle::Allow).is_err(), "{file}");
    }
    Ok(())
}
