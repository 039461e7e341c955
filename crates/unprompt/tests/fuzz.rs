//! What the fuzz targets do, on the fixtures and on some changes of each: they compile, nothing panics, and a
//! change that once cost something can be added as a file.

#[path = "../../../fuzz/bodies.rs"]
mod bodies;

use bodies::BODIES;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Longer files take too long to be changed again and again without optimisation.
const LONGEST: u64 = 48 << 10;
/// Files of one folder, evenly chosen.
const FILES: usize = 12;
/// Changes of a file.
const CHANGES: u64 = 12;

fn seeds(body: &str) -> &'static [&'static str] {
    match body {
        "picture" => &["unprompt-image/fixtures/pictures"],
        "picture_metadata" => &[
            "unprompt-metadata/tests/fixtures",
            "unprompt-metadata/tests/photographs",
        ],
        "safetensors" | "pickle" => &["unprompt-checkpoint/tests/fixtures"],
        "preset" => &["unprompt-engine/presets"],
        "scores" => &["unprompt-eval/tests/fixtures"],
        "prompt_list" => &[
            "unprompt-index/fixtures",
            "unprompt-data/tests/fixtures/lists",
        ],
        _ => &[],
    }
}

/// Small files of their own for what has no fixtures.
fn written(body: &str) -> Vec<Vec<u8>> {
    let text: &[&str] = match body {
        "tokenizer_json" => &[
            r###"{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],"normalizer":
            {"type":"Lowercase"},"pre_tokenizer":{"type":"Whitespace"},"decoder":null,"post_processor":
            {"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"[CLS]","type_id":0}},
            {"Sequence":{"id":"A","type_id":0}}],"pair":[],"special_tokens":{"[CLS]":{"id":"[CLS]","ids":[1],
            "tokens":["[CLS]"]}}},"model":{"type":"WordPiece","vocab":{"a":0,"[CLS]":1,"[UNK]":2,"c":3,
            "##at":4},"unk_token":"[UNK]","continuing_subword_prefix":"##","max_input_chars_per_word":9}}"###,
            r#"{"version":"1.0","added_tokens":[{"id":2,"content":"<u>","single_word":false,"lstrip":false,
            "rstrip":false,"normalized":false,"special":true}],"model":{"type":"Unigram","unk_id":2,
            "vocab":[["a",-1.0],["\u2581c",-2.5],["<u>",0.0]]}}"#,
        ],
        "vocabulary_and_merges" => &[
            "{\"<|startoftext|>\":0,\"<|endoftext|>\":1,\"a\":2,\"c\":3,\"a</w>\":4,\"ca\":5}\0#version: 0.2\nc a\nca t</w>\n",
        ],
        "preprocessing" => &[
            r#"{"image_processor_type":"CLIPImageProcessor","do_resize":true,"size":{"shortest_edge":224},
            "do_center_crop":true,"crop_size":{"height":224,"width":224},"resample":3,"do_rescale":true,
            "rescale_factor":0.00392,"do_normalize":true,"image_mean":[0.5,0.5,0.5],"image_std":[0.5,0.5,0.5]}"#,
        ],
        "index" => &["{\"format\":1,\"rows\":1,\"clip\":{},\"sentence\":{}}\0\0\0\0\0"],
        "bundle" => &["unprompt-bundle.json"],
        _ => &[],
    };
    text.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn files(folder: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(folder);
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            fs::metadata(path).is_ok_and(|found| found.is_file() && found.len() <= LONGEST)
        })
        .collect();
    paths.sort();
    let step = paths.len().div_ceil(FILES).max(1);
    paths
        .iter()
        .step_by(step)
        .map(|path| fs::read(path).unwrap())
        .collect()
}

/// Numbers that are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below.max(1) as u64) as usize
    }
}

fn changed(seed: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=numbers.next(4) {
        let at = numbers.next(bytes.len());
        match numbers.next(5) {
            _ if bytes.is_empty() => bytes.push(0),
            0 => bytes[at] ^= 1 << numbers.next(8),
            1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][numbers.next(5)],
            2 => bytes.truncate(at),
            3 => {
                let end = (at + 1 + numbers.next(16)).min(bytes.len());
                bytes.drain(at..end);
            }
            _ => {
                let end = (at + 4).min(bytes.len());
                bytes[at..end].fill(0xff);
            }
        }
    }
    bytes
}

#[test]
fn every_body_takes_every_fixture_and_what_becomes_of_it() {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let mut runs = 0;
    for (name, body) in BODIES {
        let mut inputs = written(name);
        inputs.extend(seeds(name).iter().flat_map(|folder| files(folder)));
        assert!(!inputs.is_empty(), "{name}");
        inputs.push(Vec::new());
        for input in inputs {
            body(&input);
            for _ in 0..CHANGES {
                body(&changed(&input, &mut numbers));
                runs += 1;
            }
        }
    }
    assert!(runs > 500, "{runs}");
    let root = std::env::temp_dir().join(format!("unprompt-fuzz-{}", std::process::id()));
    let _ = fs::remove_dir_all(root);
}
