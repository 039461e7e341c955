//! What each fuzz target does with its bytes. A file of its own, so that the tests run the same on the fixtures
//! and on changed ones (`crates/unprompt/tests/fuzz.rs`), and nothing here stops compiling unnoticed.

use std::{
    fs,
    path::{Path, PathBuf},
};
use unprompt::{
    Hub, HubOptions, NoProgress, Preset,
    eval::{Answers, Predictions},
    hub::{Environment, Manifest},
    image::{DecodeOptions, Layout, Preprocessor, decode, decoding_bytes},
    index::{PromptFile, PromptIndex},
    metadata,
    models::{Checkpoint, ClipTokenizer, Pickle, SentenceTokenizer},
};

/// A body: it may return or fail as it likes, and must neither panic nor need much.
pub type Body = fn(&[u8]);

/// All of them, by the name of their target.
pub const BODIES: [(&str, Body); 12] = [
    ("picture", picture),
    ("picture_metadata", picture_metadata),
    ("safetensors", safetensors),
    ("pickle", pickle),
    ("tokenizer_json", tokenizer_json),
    ("vocabulary_and_merges", vocabulary_and_merges),
    ("preprocessing", preprocessing),
    ("preset", preset),
    ("scores", scores),
    ("prompt_list", prompt_list),
    ("index", index),
    ("bundle", bundle),
];

/// Every decoder, and the preprocessing of a ViT after it.
pub fn picture(data: &[u8]) {
    let needs = decoding_bytes(data);
    let Ok(image) = decode(data, &DecodeOptions::default()) else {
        return;
    };
    let pixels = image.pixels.len() as u64;
    assert!(
        needs.is_some_and(|needs| needs >= pixels),
        "{needs:?} for {pixels}"
    );
    let vit =
        Preprocessor::from_preprocessor_config(r#"{"image_processor_type": "ViTImageProcessor"}"#);
    let _ = vit.and_then(|vit| vit.apply(&image, Layout::Chw));
}

/// The prompt in every container, and taking it out again.
pub fn picture_metadata(data: &[u8]) {
    let _ = metadata::read(data);
}

/// A file of tensors, all of them read.
pub fn safetensors(data: &[u8]) {
    tensors(data, "model.safetensors");
}

/// A pickle of PyTorch, all of its tensors read.
pub fn pickle(data: &[u8]) {
    tensors(data, "model.pth");
}

fn tensors(data: &[u8], name: &str) {
    let folder = folder(name, &[(name, data)]);
    if let Ok(checkpoint) = Checkpoint::open(folder.join(name), Pickle::Allow) {
        for name in checkpoint.names() {
            let _ = checkpoint
                .tensor(name)
                .map(|tensor| tensor.data().map(drop));
        }
    }
}

/// A tokenizer of a sentence encoder.
pub fn tokenizer_json(data: &[u8]) {
    let folder = folder(
        "tokenizer",
        &[("tokenizer.json", data), ("config.json", b"{}")],
    );
    if let Ok(tokenizer) = SentenceTokenizer::load(&folder) {
        let _ = tokenizer.encode("a cat, \u{1f600} and more");
    }
}

/// CLIP's vocabulary, and its merges after the first zero byte.
pub fn vocabulary_and_merges(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == 0);
    let (vocabulary, merges) = data.split_at(end.unwrap_or(data.len()));
    let merges = merges.get(1..).unwrap_or_default();
    let folder = folder(
        "merges",
        &[("vocab.json", vocabulary), ("merges.txt", merges)],
    );
    if let Ok(tokenizer) = ClipTokenizer::from_folder(&folder, 77) {
        let _ = tokenizer.encode("a cat, \u{1f600} and more");
    }
}

/// The configurations of preprocessing.
pub fn preprocessing(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = Preprocessor::from_preprocessor_config(text);
        let _ = Preprocessor::from_open_clip_config(text);
        let _ = Preprocessor::from_timm_config(text);
    }
}

/// A preset.
pub fn preset(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = Preset::parse("fuzzed", text);
    }
}

/// Truths and predictions as CSV and as JSON lines.
pub fn scores(data: &[u8]) {
    for name in ["a.csv", "a.jsonl"] {
        let _ = Answers::read(name, data);
        let _ = Predictions::read(name, data);
    }
}

/// A list of prompts in each of its forms.
pub fn prompt_list(data: &[u8]) {
    for name in ["list.txt", "list.csv", "list.jsonl", "list.parquet"] {
        let path = folder("list", &[(name, data)]).join(name);
        if let Ok(prompts) = PromptFile::open(&path, "prompt").and_then(|file| file.read()) {
            prompts.take(10_000).for_each(drop);
        }
    }
}

/// The manifest of an index, and a segment after the first zero byte.
pub fn index(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == 0);
    let (manifest, segment) = data.split_at(end.unwrap_or(data.len()));
    let files = [("manifest.json", manifest), ("segments/00000000", segment)];
    let folder = folder("index", &files);
    if let Ok(index) = PromptIndex::open(&folder) {
        let _ = index.check(&|_| ());
    }
}

/// A bundle of models, on a machine without a network.
pub fn bundle(data: &[u8]) {
    let folder = folder("bundle", &[("bundle.tar", data)]);
    let mut environment = Environment::read(|_| None, Some(folder.clone()));
    environment.python = Vec::new();
    let options = HubOptions {
        offline: true,
        ..HubOptions::default()
    };
    if let Ok(manifest) = Manifest::builtin() {
        let hub = Hub::new(environment, options, manifest.clone());
        let _ = hub.import(&folder.join("bundle.tar"), &NoProgress);
    }
    // What it has brought must not be there for the next one.
    let _ = fs::remove_dir_all(folder);
}

/// A folder of this process with these files in it.
fn folder(name: &str, files: &[(&str, &[u8])]) -> PathBuf {
    let root = std::env::temp_dir().join(format!("unprompt-fuzz-{}", std::process::id()));
    let folder = root.join(name);
    for (name, bytes) in files {
        let path = folder.join(name);
        let made = fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))
            .and_then(|()| fs::write(&path, bytes));
        made.expect("a folder for temporary files");
    }
    folder
}
