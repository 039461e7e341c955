//! Tiny random SigLIPs against what open_clip, timm and transformers give for them;
//! `fixtures/models/siglip.py` makes them.

mod common;

use common::{
    TestResult, assert_independent, assert_near, assert_refused, edited, edited_tensors, expected,
    fixture, ids, rows,
};
use serde_json::{Value, json};
use std::path::Path;
use unprompt_checkpoint::Pickle;
use unprompt_models::{SiglipCheckpoint, SiglipTokenizer, is_siglip};

const BOTH: [&str; 3] = [
    "tiny-siglip-open-clip",
    "tiny-siglip2-open-clip",
    "tiny-siglip",
];

fn open(path: &Path) -> unprompt_models::Result<SiglipCheckpoint> {
    SiglipCheckpoint::open(path, Pickle::Deny)
}

#[test]
fn every_layout_equals_the_reference_alone_and_in_a_batch() -> TestResult {
    for name in BOTH.into_iter().chain(["tiny-siglip-vision"]) {
        let tower = open(&fixture(name))?.image_tower()?;
        let (pixels, expected) = (
            rows(&expected(name), "pixels"),
            rows(&expected(name), "image"),
        );
        assert_eq!(tower.outputs(), expected[0].len());
        assert_near(name, &tower.forward(&pixels)?, &expected);
        assert_independent(name, &pixels, 21, |pictures| tower.forward(pictures))?;
    }
    for name in BOTH.into_iter().chain(["tiny-siglip-text"]) {
        let tower = open(&fixture(name))?.text_tower()?;
        let (ids, expected) = (ids(&expected(name)), rows(&expected(name), "text"));
        assert_eq!(
            (tower.width(), tower.context_length()),
            (expected[0].len(), 10)
        );
        assert_near(name, &tower.forward(&ids)?, &expected);
        assert_independent(name, &ids, 900, |texts| tower.forward(texts))?;
    }
    Ok(())
}

/// The texts of CLIP's tokenizer test: emoji, CJK, references, damage, 500-character words.
fn texts() -> Vec<String> {
    let file = std::fs::read(fixture("clip_tokenizer.json")).unwrap();
    let document: Value = serde_json::from_slice(&file).unwrap();
    let texts = document["texts"].as_array().unwrap();
    let text = |entry: &Value| entry["text"].as_str().unwrap().to_owned();
    texts.iter().map(text).collect()
}

fn tokenizer(path: &Path) -> SiglipTokenizer {
    open(path).unwrap().tokenizer().unwrap()
}

#[test]
fn the_tokenizer_gives_the_references_ids() -> TestResult {
    for name in BOTH {
        let tokenizer = tokenizer(&fixture(name));
        let file = std::fs::read(fixture(name).join("expected.json"))?;
        let expected: Value = serde_json::from_slice(&file)?;
        let expected = expected["texts"].as_array().ok_or("no texts")?;
        assert_eq!(expected.len(), texts().len());
        let mut different = Vec::new();
        for (text, expected) in texts().iter().zip(expected) {
            let ids = tokenizer.encode(text)?;
            let found = json!({"ids": ids, "count": tokenizer.count(text)?});
            if found != *expected {
                different.push(format!("{text:?}: {found} where {expected}"));
            }
        }
        assert!(different.is_empty(), "{name}:\n{}", different.join("\n"));
    }
    Ok(())
}

#[test]
fn a_class_of_transformers_says_what_happens_to_case_and_padding() -> TestResult {
    // The same pieces, in a folder of transformers.
    let copy = |class: &str, more: &str| -> Result<tempfile::TempDir, Box<dyn std::error::Error>> {
        let copy = edited("tiny-siglip", "tokenizer_config.json", |text| {
            assert!(text.contains("SiglipTokenizer") && text.contains(": true"));
            text.replace("SiglipTokenizer", class)
                .replace("\"do_lower_case\": true", more)
        })?;
        if class.contains("Gemma") || class.contains("Siglip2") {
            for file in ["tokenizer.json", "tokenizer_config.json"] {
                let from = fixture("tiny-siglip2-open-clip").join(file);
                std::fs::copy(from, copy.path().join(file))?;
            }
            let path = copy.path().join("tokenizer_config.json");
            let text = std::fs::read_to_string(&path)?;
            assert!(text.contains("TokenizersBackend") && text.contains("padding_side"));
            let text = text.replace("TokenizersBackend", class);
            std::fs::write(path, text.replace("\"padding_side\": \"left\"", more))?;
        }
        Ok(copy)
    };
    let ids =
        |class: &str, more: &str, text: &str| -> Result<Vec<u32>, Box<dyn std::error::Error>> {
            Ok(tokenizer(copy(class, more)?.path()).encode(text)?)
        };
    let lower = "\"do_lower_case\": true";
    let keep = "\"do_lower_case\": false";
    assert_eq!(
        ids("SiglipTokenizer", lower, "A CAT, by day")?,
        ids("SiglipTokenizer", lower, "a cat by day")?
    );
    assert_ne!(
        ids("SiglipTokenizer", keep, "A CAT, by day")?,
        ids("SiglipTokenizer", keep, "a cat by day")?
    );
    assert_ne!(
        ids("T5TokenizerFast", lower, "a cat, by day")?,
        ids("T5TokenizerFast", lower, "a cat by day")?
    );
    let right = "\"padding_side\": \"right\"";
    assert_eq!(
        ids("Siglip2Tokenizer", right, "A Cat")?,
        ids("Siglip2Tokenizer", right, "a cat")?
    );
    assert_ne!(
        ids("GemmaTokenizer", right, "A Cat")?,
        ids("GemmaTokenizer", right, "a cat")?
    );
    // Where the file does not say it, the class does.
    let unsaid = "\"nothing\": 1";
    let (left, right) = (
        ids("GemmaTokenizerFast", unsaid, "a cat")?,
        ids("GemmaTokenizerFast", right, "a cat")?,
    );
    assert_eq!((left[0], right[right.len() - 1]), (0, 0));
    assert_eq!(left.last(), Some(&1));
    Ok(())
}

#[test]
fn a_shorter_limit_is_followed_and_a_megabyte_is_cut() -> TestResult {
    let short = edited("tiny-siglip", "tokenizer_config.json", |text| {
        assert!(text.contains("64"));
        text.replace("64", "4")
    })?;
    let ids = tokenizer(short.path()).encode("a photo of a cat in the park at night")?;
    assert_eq!(ids.len(), 10);
    assert!(ids[..3].iter().all(|id| *id > 1) && ids[3..].iter().all(|id| *id == 1));
    let tokenizer = tokenizer(&fixture("tiny-siglip"));
    let (long, longer) = ("a ".repeat(100), "a ".repeat(1 << 20));
    assert_eq!(tokenizer.encode(&longer)?, tokenizer.encode(&long)?);
    Ok(())
}

#[test]
fn only_a_siglip_is_taken_for_one() -> TestResult {
    let is = |name: &str, file: &str| -> Result<bool, Box<dyn std::error::Error>> {
        let text = std::fs::read(fixture(name).join(file))?;
        Ok(is_siglip(&serde_json::from_slice(&text)?))
    };
    for name in &BOTH[..2] {
        assert!(is(name, "open_clip_config.json")?, "{name}");
    }
    for name in ["tiny-siglip", "tiny-siglip-vision", "tiny-siglip-text"] {
        assert!(is(name, "config.json")?, "{name}");
    }
    assert!(!is("tiny-clip-open-clip", "open_clip_config.json")?);
    for name in [
        "tiny-clip-transformers",
        "tiny-vit-timm-siglip",
        "tiny-vit-model",
    ] {
        assert!(!is(name, "config.json")?, "{name}");
    }
    Ok(())
}

#[test]
fn settings_that_are_not_built_are_named() -> TestResult {
    let (open_clip, transformers) = ("tiny-siglip-open-clip", "tiny-siglip");
    let cases = [
        (open_clip, "siglip_13", "rope_siglip_13", "rotations"),
        (
            open_clip,
            "vit_tiny_patch4_siglip_13",
            "mobilenetv4_siglip",
            "mobilenetv4_siglip",
        ),
        (open_clip, "\"none\"", "\"linear\"", "timm_proj"),
        (open_clip, "\"map\"", "\"token\"", "cls_token"),
        (open_clip, "\"map\"", "\"abs_attn\"", "global_pool"),
        (open_clip, "\"last\"", "\"argmax\"", "pool_type"),
        (
            open_clip,
            "\"no_causal_mask\": true",
            "\"no_causal_mask\": false",
            "no_causal_mask",
        ),
        (
            open_clip,
            "\"no_causal_mask\": true",
            "\"no_causal_mask\": true, \"qk_norm\": true",
            "qk_norm",
        ),
        (
            open_clip,
            "\"proj_bias\": true",
            "\"proj_type\": \"none\"",
            "proj_type",
        ),
        (
            open_clip,
            "\"proj_bias\": true",
            "\"act_kwargs\": {\"approximate\": \"mish\"}",
            "mish",
        ),
        (open_clip, "\"canonicalize\"", "\"upper\"", "upper"),
        (open_clip, "\"heads\": 3", "\"heads\": 5", "5 heads"),
        (
            open_clip,
            "\"context_length\": 10",
            "\"context_length\": 0",
            "0 tokens",
        ),
        (
            open_clip,
            "\"vocab_size\"",
            "\"hf_model_name\": \"roberta\", \"vocab_size\"",
            "roberta",
        ),
        (
            open_clip,
            "\"embed_dim\": 64",
            "\"embed_dim\": 60",
            "embed_dim",
        ),
        (open_clip, "13,", "17,", "position"),
        (transformers, "\"siglip\"", "\"siglip2\"", "NaFlex"),
        (transformers, "\"siglip\"", "\"clip\"", "model_type"),
        (
            transformers,
            "\"image_size\": 13",
            "\"image_size\": 16",
            "[16, 24]",
        ),
        (
            transformers,
            "\"vision_use_head\": true",
            "\"vision_use_head\": false",
            "vision_use_head",
        ),
        (
            transformers,
            "\"num_hidden_layers\": 2",
            "\"num_hidden_layers\": 1",
            "not used",
        ),
        (
            transformers,
            "\"projection_size\": 24",
            "\"projection_size\": 21",
            "[21, 24]",
        ),
        (transformers, "{", "", "config.json"),
    ];
    assert_refused(&cases, |folder| {
        let siglip = open(folder)?;
        siglip.image_tower()?;
        siglip.text_tower().map(drop)
    })
}

#[test]
fn missing_files_towers_and_tensors_are_named() -> TestResult {
    let copy = edited("tiny-siglip", "config.json", str::to_owned)?;
    std::fs::remove_file(copy.path().join("tokenizer.json"))?;
    let failed = |path: &Path| open(path).unwrap().tokenizer().unwrap_err().to_string();
    assert!(failed(copy.path()).contains("tokenizer.json"));
    std::fs::write(copy.path().join("spiece.model"), "pieces")?;
    assert!(failed(copy.path()).contains("spiece.model"));
    let vision = open(&fixture("tiny-siglip-vision"))?;
    assert!(
        vision
            .text_tower()
            .unwrap_err()
            .to_string()
            .contains("image tower only")
    );
    assert!(
        vision
            .tokenizer()
            .unwrap_err()
            .to_string()
            .contains("image tower only")
    );
    let text = open(&fixture("tiny-siglip-text"))?;
    assert!(
        text.image_tower()
            .unwrap_err()
            .to_string()
            .contains("text tower only")
    );
    let tower = text.text_tower()?;
    for (ids, expected) in [(vec![1; 9], "9 ids"), (vec![400; 10], "400")] {
        let message = tower.forward(&[ids]).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }

    for (name, file, tensor) in [
        (
            "tiny-siglip",
            "model.safetensors",
            "vision_model.head.probe",
        ),
        (
            "tiny-siglip",
            "model.safetensors",
            "vision_model.head.attention.in_proj_bias",
        ),
        ("tiny-siglip", "model.safetensors", "text_model.head.bias"),
        (
            "tiny-siglip-open-clip",
            "open_clip_model.safetensors",
            "visual.trunk.attn_pool.latent",
        ),
        (
            "tiny-siglip-open-clip",
            "open_clip_model.safetensors",
            "visual.trunk.attn_pool.kv.weight",
        ),
        (
            "tiny-siglip-open-clip",
            "open_clip_model.safetensors",
            "text.text_projection.weight",
        ),
    ] {
        let copy = edited_tensors(name, file, |header| {
            let entry = header.remove(tensor).unwrap();
            header.insert(format!("{tensor}.else"), entry);
        })?;
        let siglip = open(copy.path())?;
        let error = match tensor.contains("text") {
            true => siglip.text_tower().unwrap_err(),
            false => siglip.image_tower().unwrap_err(),
        };
        assert!(error.to_string().contains(tensor), "{error}");
        let copy = edited_tensors(name, file, |header| {
            header[tensor]["shape"] = json!([header[tensor]["shape"][0], 1, 2]);
        });
        let error =
            open(copy?.path()).and_then(|siglip| Ok((siglip.image_tower()?, siglip.text_tower()?)));
        assert!(error.is_err(), "{tensor}");
    }
    Ok(())
}
