//! Tiny random checkpoints against what sentence-transformers and efficientnet-lite-pytorch give
//! for them; `fixtures/models` has the scripts.

mod common;

use common::{TestResult, edited, fixture, relative_error, tensor};
use serde_json::Value;
use unprompt_checkpoint::{Checkpoint, Pickle};
use unprompt_models::{EfficientNetLite, SentenceEncoder};

#[test]
fn sentence_encoders_of_every_layout_equal_the_reference() -> TestResult {
    for name in ["tiny-sbert", "tiny-sbert-cls", "tiny-sbert-tanh"] {
        let folder = fixture(name);
        let encoder = SentenceEncoder::load(&folder, Pickle::Deny)?;
        let expected: Value =
            serde_json::from_slice(&std::fs::read(folder.join("expected.json"))?)?;
        let records = expected["texts"].as_array().ok_or("no texts")?;
        let texts: Vec<&str> = records.iter().filter_map(|r| r["text"].as_str()).collect();
        assert_eq!(texts.len(), 12);
        for (record, text) in records.iter().zip(&texts) {
            let ids: Vec<u32> = serde_json::from_value(record["ids"].clone())?;
            assert_eq!(encoder.tokenize(text)?, ids, "{name}: {text:?}");
        }

        let checkpoint = Checkpoint::open(folder.join("expected.safetensors"), Pickle::Deny)?;
        let (shape, expected) = tensor(&checkpoint, "embeddings");
        assert_eq!(shape, [texts.len(), encoder.width()]);
        let found = encoder.embed(&texts)?;
        let error = relative_error(&found.concat(), &expected);
        assert!(error < 1e-5, "{name}: {error}");

        // Alone, and in the opposite order: the same bits.
        for (text, embedding) in texts.iter().zip(&found) {
            assert_eq!(
                encoder.embed(&[text])?,
                std::slice::from_ref(embedding),
                "{name}: {text:?}"
            );
        }
        let reversed: Vec<&str> = texts.iter().rev().copied().collect();
        assert!(encoder.embed(&reversed)?.iter().rev().eq(&found));
    }
    Ok(())
}

#[test]
fn the_encoder_equals_the_reference_token_by_token() -> TestResult {
    for name in ["tiny-sbert", "tiny-sbert-cls", "tiny-sbert-tanh"] {
        let folder = fixture(name);
        let encoder = SentenceEncoder::load(&folder, Pickle::Deny)?;
        let bert = unprompt_models::Bert::load(&folder, Pickle::Deny)?;
        let expected: Value =
            serde_json::from_slice(&std::fs::read(folder.join("expected.json"))?)?;
        let checkpoint = Checkpoint::open(folder.join("expected.safetensors"), Pickle::Deny)?;
        for (index, record) in expected["texts"]
            .as_array()
            .ok_or("no texts")?
            .iter()
            .enumerate()
        {
            let ids = encoder.tokenize(record["text"].as_str().ok_or("no text")?)?;
            let (shape, expected) = tensor(&checkpoint, &format!("hidden.{index:02}"));
            let hidden = bert.forward(&ids, &[ids.len()])?;
            assert_eq!(hidden.dims(), shape);
            let error = relative_error(&hidden.flatten_all()?.to_vec1::<f32>()?, &expected);
            assert!(error < 1e-5, "{name}, text {index}: {error}");
        }
    }
    Ok(())
}

#[test]
fn efficientnet_lite_equals_the_reference_at_odd_sizes() -> TestResult {
    let folder = fixture("tiny-efficientnet-lite");
    let model = EfficientNetLite::load(&folder, Pickle::Deny)?;
    let expected = Checkpoint::open(folder.join("expected.safetensors"), Pickle::Deny)?;
    let inputs: Vec<&str> = expected
        .names()
        .filter_map(|n| n.strip_suffix(".input"))
        .collect();
    assert!(inputs.len() >= 6);
    for size in inputs {
        let (shape, planes) = tensor(&expected, &format!("{size}.input"));
        let (height, width) = (shape[2], shape[3]);
        let pixels = (0..height * width)
            .flat_map(|i| [0, 1, 2].map(|channel| planes[channel * height * width + i]))
            .collect();
        let logits = model.logits(pixels, height, width)?;
        let error = relative_error(&logits, &tensor(&expected, &format!("{size}.logits")).1);
        assert!(error < 1e-5, "{size}: {error}");
    }
    Ok(())
}

#[test]
fn features_are_the_references_and_change_no_bit_with_batch_or_threads() -> TestResult {
    let folder = fixture("tiny-efficientnet-lite");
    let model = EfficientNetLite::load(&folder, Pickle::Deny)?;
    let expected = Checkpoint::open(folder.join("expected.safetensors"), Pickle::Deny)?;
    let (shape, planes) = tensor(&expected, "33x47.input");
    let (height, width) = (shape[2], shape[3]);
    let picture: Vec<f32> = (0..height * width)
        .flat_map(|i| [0, 1, 2].map(|channel| planes[channel * height * width + i]))
        .collect();
    let darker = |by: f32| picture.iter().map(|x| x - by).collect::<Vec<f32>>();
    let pictures: Vec<Vec<f32>> = (0..11).map(|i| darker(i as f32 * 0.1)).collect();

    let features = model.features(&pictures, height, width)?;
    assert!(features.iter().all(|row| row.len() == model.width()));
    let error = relative_error(&features[0], &tensor(&expected, "33x47.pooled").1);
    assert!(error < 1e-5, "{error}");
    let logits = model.logits_of(&features)?;
    for (picture, (features, logits)) in pictures.iter().zip(features.iter().zip(&logits)) {
        let alone = model.features(&[picture], height, width)?;
        assert_eq!(&alone[0], features);
        assert_eq!(&model.logits(picture.clone(), height, width)?, logits);
    }
    for threads in [1, 2, 5] {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()?;
        let found = pool.install(|| model.features(&pictures, height, width))?;
        assert!(found == features, "{threads} threads");
    }

    let none: [Vec<f32>; 0] = [];
    assert!(model.features(&none, height, width)?.is_empty());
    assert!(model.logits_of(&[])?.is_empty());
    let ragged = [vec![0.0; model.width() + 1], vec![0.0; model.width() - 1]];
    assert!(model.logits_of(&ragged).is_err());
    Ok(())
}

#[test]
fn an_empty_picture_or_one_that_is_no_number_is_an_error() -> TestResult {
    let model = EfficientNetLite::load(&fixture("tiny-efficientnet-lite"), Pickle::Deny)?;
    assert!(model.logits(vec![0.0; 11], 2, 2).is_err());
    assert!(model.logits(vec![], 0, 0).is_err());
    let message = model
        .logits(vec![f32::INFINITY; 12], 2, 2)
        .unwrap_err()
        .to_string();
    assert!(message.contains("finite"), "{message}");
    Ok(())
}

#[test]
fn a_wrong_configuration_is_named() -> TestResult {
    let cases = [
        (
            "config.json",
            "\"hidden_size\": 32",
            "\"hidden_size\": 48",
            "[142, 48]",
        ),
        (
            "config.json",
            "\"hidden_size\": 32",
            "\"hidden_size\": 33",
            "does not divide",
        ),
        (
            "config.json",
            "\"num_hidden_layers\": 2",
            "\"num_hidden_layers\": 3",
            "encoder.layer.2.",
        ),
        (
            "config.json",
            "\"num_hidden_layers\": 2",
            "\"num_hidden_layers\": 1",
            "not used",
        ),
        ("config.json", "\"gelu\"", "\"mish\"", "mish"),
        ("config.json", "\"bert\"", "\"roberta\"", "roberta"),
        ("config.json", "{", "", "config.json"),
        (
            "1_Pooling/config.json",
            "mean_tokens",
            "max_tokens",
            "pooling",
        ),
        ("modules.json", "Pooling\"", "Dense\"", "Dense"),
        (
            "modules.json",
            "1_Pooling",
            "../1_Pooling",
            "plain folder name",
        ),
        ("tokenizer.json", "WordPiece", "WordPeace", "tokenizer.json"),
    ];
    for (file, from, to, expected) in cases {
        let copy = edited("tiny-sbert", file, |text| text.replace(from, to))?;
        match SentenceEncoder::load(copy.path(), Pickle::Deny) {
            Ok(_) => panic!("{file} with {to} was accepted"),
            Err(error) => {
                let message = error.to_string();
                assert!(message.contains(expected), "{file} with {to}: {message}");
            }
        }
    }
    let copy = edited("tiny-efficientnet-lite", "config.json", |text| {
        text.replace("_o8", "_o16")
    })?;
    let message = EfficientNetLite::load(copy.path(), Pickle::Deny)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("_project_conv.weight") && message.contains("[16, 32, 1, 1]"),
        "{message}"
    );
    Ok(())
}
