//! CLIP's tokenizer, with its whole vocabulary, against open_clip.

use crate::{
    Test,
    harness::{json, json_lines, workspace},
    reference::document,
    weights::{VOCABULARY, Weights},
};
use serde_json::Value;

pub const TESTS: &[Test] = &[
    ("clip::token_ids_equal_the_reference", token_ids),
    ("clip::the_command_equals_the_reference", command),
    ("clip::a_folder_of_open_clip_uses_the_vocabulary", folder),
];

/// Tokens of a text, with the padding.
const CONTEXT: usize = 77;

fn texts() -> Vec<(String, Vec<u32>)> {
    let document = document("clip_tokenizer.json");
    let records = document["texts"].as_array().unwrap();
    assert!(records.len() >= 200);
    let one = |record: &Value| {
        let text = record["text"].as_str().unwrap().to_owned();
        let mut ids = ids(record);
        ids.resize(CONTEXT, 0);
        (text, ids)
    };
    records.iter().map(one).collect()
}

#[track_caller]
fn ids(record: &Value) -> Vec<u32> {
    let ids = record["ids"].as_array().unwrap().iter();
    ids.map(|id| id.as_u64().unwrap() as u32).collect()
}

fn token_ids(weights: &Weights) {
    for (text, expected) in texts() {
        let found = weights.clip_tokenizer.encode(&text).unwrap();
        assert_eq!(found, expected, "{text:?}");
    }
}

fn command(weights: &Weights) {
    // A command line cannot carry a zero.
    let spoken: Vec<_> = texts()
        .into_iter()
        .filter(|(text, _)| !text.contains('\0'))
        .collect();
    assert!(spoken.len() >= 200);
    let arguments = [
        "tokenize",
        "--offline",
        "--format",
        "jsonl",
        "--model",
        VOCABULARY,
        "--",
    ];
    let texts = spoken.iter().map(|(text, _)| text.as_str());
    let arguments: Vec<&str> = arguments.into_iter().chain(texts).collect();
    let records = json_lines(weights.place().run(&arguments).output());
    assert_eq!(records.len(), spoken.len());
    for (record, (text, expected)) in records.iter().zip(spoken) {
        assert_eq!(record["text"], text);
        assert_eq!(ids(record), expected, "{text:?}");
    }
}

fn folder(weights: &Weights) {
    let model = workspace("fixtures/models/tiny-clip-open-clip");
    let model = model.to_str().unwrap();
    let place = weights.place();
    let texts = ["a cat", "portrait of a weathered fisherman, oil on canvas"];
    let arguments = [
        "tokenize",
        "--offline",
        "--format",
        "json",
        "--model",
        model,
    ];
    let records = json(place.run(&[&arguments[..], &texts].concat()).output());
    // Its context is nine tokens; what is cut off ends with the end token all the same.
    let whole = [49406, 320, 2368, 49407, 0, 0, 0, 0, 0];
    let cut = [49406, 5352, 539, 320, 598, 34091, 25055, 267, 49407];
    assert_eq!([ids(&records[0]), ids(&records[1])], [whole, cut]);
    // Its network knows forty tokens only.
    let run = place.run(&["embed", "text", "a cat", "--offline", "--model", model]);
    assert!(run.refusal().contains("49406"), "{run:?}");
}
