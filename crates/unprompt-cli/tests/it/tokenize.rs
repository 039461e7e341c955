//! `unprompt tokenize`, with tokenizers of the user's own.

use crate::harness::{Place, json, json_lines, keys, workspace};
use serde_json::Value;

fn model(name: &str) -> String {
    let path = workspace("fixtures/models").join(name);
    path.to_str().unwrap().to_owned()
}

/// Texts that a command line can carry, with the ids that transformers gives them.
fn texts(path: &str) -> Vec<Value> {
    let file = workspace("fixtures/models").join(path);
    let document = json(&std::fs::read_to_string(file).unwrap());
    let texts = document["texts"].as_array().unwrap().iter();
    let spoken = |record: &&Value| !record["text"].as_str().unwrap().contains('\0');
    texts.filter(spoken).cloned().collect()
}

#[track_caller]
fn tokenize(place: &Place, model: &str, texts: &[Value]) -> Vec<Value> {
    let mut arguments = vec![
        "tokenize",
        "--offline",
        "--format",
        "jsonl",
        "--model",
        model,
        "--",
    ];
    arguments.extend(texts.iter().map(|record| record["text"].as_str().unwrap()));
    json_lines(place.run(&arguments).output())
}

#[test]
fn a_clip_of_transformers_pads_as_its_own_tokenizer_does() {
    let place = Place::new();
    let texts = texts("tiny-clip-tokenizer/expected.json");
    assert!(texts.len() > 50);
    // Once with `tokenizer.json`, once with the two files that older folders have instead.
    for name in ["config.json", "model.safetensors", "tokenizer_config.json"] {
        place.copy(
            &workspace("fixtures/models/tiny-clip").join(name),
            &format!("old/{name}"),
        );
    }
    for name in ["vocab.json", "merges.txt"] {
        let file = workspace("fixtures/models/tiny-clip-tokenizer").join(name);
        place.copy(&file, &format!("old/{name}"));
    }
    for model in [&model("tiny-clip"), "./old"] {
        let found = tokenize(&place, model, &texts);
        assert_eq!(found.len(), texts.len());
        for (found, expected) in found.iter().zip(&texts) {
            assert_eq!(keys(found), ["ids", "text"]);
            assert_eq!(found["text"], expected["text"]);
            assert_eq!(found["ids"], expected["padded"], "{expected}");
        }
    }
}

#[test]
fn a_sentence_encoder_gives_its_word_pieces() {
    let texts = texts("tiny-sbert/expected.json");
    assert!(texts.len() >= 10);
    let found = tokenize(&Place::new(), &model("tiny-sbert"), &texts);
    assert_eq!(found.len(), texts.len());
    for (found, expected) in found.iter().zip(&texts) {
        assert_eq!(found["ids"], expected["ids"], "{expected}");
    }
}

#[test]
fn the_tokenizer_alone_is_enough() {
    let place = Place::new();
    let clip = texts("tiny-clip-tokenizer/expected.json");
    // This folder never had a network.
    let found = tokenize(&place, &model("tiny-clip-tokenizer"), &clip);
    let folder = workspace("fixtures/models/tiny-clip-tokenizer");
    for name in ["vocab.json", "merges.txt"] {
        place.copy(&folder.join(name), &format!("pairs/{name}"));
    }
    // Without its configuration nothing cuts a text before CLIP's usual length.
    let uncut = tokenize(&place, "./pairs", &clip);
    for ((found, uncut), expected) in found.iter().zip(&uncut).zip(&clip) {
        assert_eq!(found["ids"], expected["padded"], "{expected}");
        assert_eq!(uncut["ids"].as_array().unwrap().len(), 77, "{expected}");
    }

    let bert = texts("tiny-sbert/expected.json");
    let folder = workspace("fixtures/models/tiny-sbert");
    for name in [
        "tokenizer.json",
        "tokenizer_config.json",
        "sentence_bert_config.json",
    ] {
        place.copy(&folder.join(name), &format!("words/{name}"));
    }
    // With the network's configuration, but without its weights.
    for name in [
        "tokenizer.json",
        "sentence_bert_config.json",
        "modules.json",
        "config.json",
    ] {
        place.copy(&folder.join(name), &format!("weightless/{name}"));
    }
    for model in ["./words", "./weightless"] {
        for (found, expected) in tokenize(&place, model, &bert).iter().zip(&bert) {
            assert_eq!(found["ids"], expected["ids"], "{model}: {expected}");
        }
    }
}

#[test]
fn three_formats_tell_the_same() {
    let place = Place::new();
    let path = model("tiny-clip");
    let run = |format| {
        let arguments = [
            "tokenize", "a cat", "", "--model", &path, "--format", format,
        ];
        place.run(&arguments).output().to_owned()
    };
    let lines = json_lines(&run("jsonl"));
    assert_eq!(json(&run("json")), Value::from(lines));
    let expected = "632 320 66 536 633 633 633 633 633 633 633 633\n\
                    632 633 633 633 633 633 633 633 633 633 633 633\n";
    assert_eq!(run("text"), expected);
}

#[test]
fn a_model_without_texts_is_refused_by_name() {
    let place = Place::new();
    for (name, expected) in [
        (
            "tiny-vit-timm",
            "a Vision Transformer, where a sentence encoder, a CLIP or a SigLIP is needed",
        ),
        (
            "tiny-efficientnet-lite",
            "an EfficientNet-Lite, where a sentence encoder",
        ),
        ("tiny-clip-vision", "the folder holds an image tower only"),
        ("tiny-clip-transformers", "tokenizer.json"),
    ] {
        let path = model(name);
        let run = place.run(&["tokenize", "a cat", "--model", &path]);
        let refusal = run.refusal();
        assert!(
            refusal.starts_with(&format!("unprompt: model `{path}`: ")),
            "{refusal}"
        );
        assert!(refusal.contains(expected), "{name}: {refusal}");
    }
    // A folder of open_clip has no tokenizer in it; the one of all of them has a name.
    let path = model("tiny-clip-open-clip");
    for command in [&["tokenize"][..], &["embed", "text"]] {
        let run = place.run(&[command, &["a cat", "--model", &path, "--offline"]].concat());
        assert!(run.refusal().contains("`clip-bpe-vocabulary`"), "{run:?}");
    }
    for (arguments, named) in [
        (&["tokenize", "a cat"][..], "--model"),
        (&["tokenize", "--model", &path], "<TEXT>"),
        (
            &["tokenize", "a cat", "--model", &path, "--format", "csv"],
            "--format csv",
        ),
    ] {
        let run = place.run(arguments);
        assert!(run.refusal().contains(named), "{arguments:?}: {run:?}");
    }
}
