//! What each fuzz target does with its bytes. A file of its own, so that the tests run the same on the fixtures
//! and on changed ones (`crates/unprompt/tests/fuzz.rs`), and nothing here stops compiling unnoticed.

#[path = "hub_server.rs"]
mod hub_server;

use sha2::{Digest, Sha256};
use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};
use unprompt::{
    Hub, HubOptions, ModelRef, NoProgress, Preset,
    eval::{Answers, Predictions},
    hub::{Environment, Manifest},
    image::{DecodeOptions, Layout, Preprocessor, decode, decoding_bytes, set_memory},
    index::{NearestPrompts, PromptFile, PromptIndex, Space},
    metadata,
    models::{Checkpoint, ClipTokenizer, Pickle, SentenceTokenizer},
};

/// A body: it may return or fail as it likes, and must neither panic nor need much.
pub type Body = fn(&[u8]);

/// All of them, by the name of their target.
pub const BODIES: [(&str, Body); 13] = [
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
    ("hub_answers", hub_answers),
];

/// What pictures may take; with it a target stays within 512 MB exactly if [`decoding_bytes`] says the truth.
const MEMORY: u64 = 160 << 20;

/// Every decoder, and the preprocessing of a ViT after it.
pub fn picture(data: &[u8]) {
    set_memory(MEMORY);
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

/// The manifest of an index, and a segment after the first zero byte; or, of what begins as a segment, that segment
/// with the digest and the manifest that belong to it, for nobody finds a digest by chance.
pub fn index(data: &[u8]) {
    let (manifest, segment) = match data.starts_with(b"UNPRIDX1") {
        true => sealed(data),
        false => {
            let end = data.iter().position(|byte| *byte == 0);
            let (manifest, segment) = data.split_at(end.unwrap_or(data.len()));
            (
                manifest.to_vec(),
                segment.get(1..).unwrap_or_default().to_vec(),
            )
        }
    };
    let files = [
        ("manifest.json", &manifest[..]),
        ("segments/000000.segment", &segment),
    ];
    let folder = folder("index", &files);
    let Ok(index) = PromptIndex::open(&folder) else {
        return;
    };
    if index.check(&|_| ()).is_ok() {
        for space in [Space::Clip, Space::Sentence] {
            let query = vec![1.0; index.manifest().width(space) as usize];
            let _ = index.nearest(space, &[query], 3);
        }
    }
}

/// A segment with its digest, and the manifest of an index that has no other.
fn sealed(data: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let digest = |bytes: &[u8]| -> String {
        let digest = Sha256::digest(bytes);
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let segment = [data, &Sha256::digest(data)].concat();
    let number = |at: usize| {
        let bytes = data.get(at..).and_then(|rest| rest.first_chunk::<4>());
        bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
    };
    let (rows, clip, sentence) = (number(8), number(12), number(16));
    let model = r#"{"name":"","revision":"","sha256":"","dtype":""}"#;
    let (length, sha256) = (segment.len(), digest(data));
    let content = format!(
        r#"{{"format":"unprompt-index","version":1,"clip":{model},"clip_width":{clip},"sentence":{model},"sentence_width":{sentence},"prompts":{{"rows":{rows},"duplicates":0,"empty":0,"sha256":""}},"segment_rows":{rows},"segments":[{{"rows":{rows},"bytes":{length},"sha256":"{sha256}"}}]}}"#
    );
    let sha256 = digest(content.as_bytes());
    let manifest = format!(r#"{{"content":{content},"sha256":"{sha256}"}}"#);
    (manifest.into_bytes(), segment)
}

/// A bundle of models, on a machine without a network.
pub fn bundle(data: &[u8]) {
    let folder = folder("bundle", &[("bundle.tar", data)]);
    let options = HubOptions {
        offline: true,
        ..HubOptions::default()
    };
    let _ = hub(&folder, None, options).import(&folder.join("bundle.tar"), &NoProgress);
    // What it has brought must not be there for the next one.
    let _ = fs::remove_dir_all(folder);
}

/// What a hub answers when a repository is fetched: the listing of its files, an entity tag and the content of
/// every file, with zero bytes between.
pub fn hub_answers(data: &[u8]) {
    let endpoint = format!("http://{}", hub_server::answer(data));
    let folder = folder("hub", &[]);
    let options = HubOptions {
        allow_pickle: true,
        ..HubOptions::default()
    };
    let hub = hub(&folder, Some(endpoint), options);
    let model: ModelRef = hub_server::REPOSITORY.parse().expect("it is an id");
    if let Ok(found) = hub.resolve(&model, &NoProgress) {
        for file in found.files.values() {
            assert!(file.starts_with(&folder), "{file:?}");
        }
        let _ = hub.verify(&model);
    }
    let _ = fs::remove_dir_all(folder);
}

/// A hub whose caches are in a folder.
fn hub(folder: &Path, endpoint: Option<String>, options: HubOptions) -> Hub {
    let variable = |name: &str| {
        let endpoint = endpoint.clone().filter(|_| name == "HF_ENDPOINT");
        endpoint.map(OsString::from)
    };
    let mut environment = Environment::read(variable, Some(folder.to_owned()));
    environment.python = Vec::new();
    let manifest = Manifest::builtin().expect("it is a part of the program");
    Hub::new(environment, options, manifest.clone())
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
