//! Tiny random CLIPs against what open_clip and transformers give for them;
//! `fixtures/models/clip.py` makes them.

mod common;

use common::{
    TestResult, assert_independent, assert_near, assert_refused, edited, edited_tensors, expected,
    fixture, ids, rows,
};
use serde_json::json;
use std::path::Path;
use unprompt_checkpoint::Pickle;
use unprompt_models::{ClipCheckpoint, known_clip};

const ALL: [&str; 6] = [
    "tiny-clip-open-clip",
    "tiny-clip-open-clip-variant",
    "tiny-clip-transformers",
    "tiny-clip-transformers-old",
    "tiny-clip-text",
    "tiny-clip-vision",
];

fn open(name: &str) -> ClipCheckpoint {
    ClipCheckpoint::open(&fixture(name), Pickle::Allow).unwrap()
}

#[test]
fn every_layout_equals_the_reference() {
    for name in ALL {
        let clip = open(name);
        if name != "tiny-clip-text" {
            let (pixels, expected) = (
                rows(&expected(name), "pixels"),
                rows(&expected(name), "image"),
            );
            let tower = clip.image_tower().unwrap();
            assert_eq!(tower.width(), expected[0].len());
            let found = tower.forward(&pixels).unwrap();
            assert_near(&format!("{name}, image"), &found, &expected);
            // The same bits with one block in memory at a time, twice.
            let by_blocks = open(name).into_image_tower_by_blocks().unwrap();
            assert_eq!(by_blocks.image_size(), tower.image_size());
            for _ in 0..2 {
                assert_eq!(by_blocks.forward(&pixels).unwrap(), found, "{name}");
            }
            let many: Vec<_> = pixels.iter().cycle().take(71).collect();
            let found = by_blocks.forward(&many).unwrap();
            assert_eq!(found, tower.forward(&many).unwrap(), "{name}");
        }
        if name != "tiny-clip-vision" {
            let (ids, expected) = (ids(&expected(name)), rows(&expected(name), "text"));
            let tower = clip.text_tower().unwrap();
            assert_eq!(
                (tower.width(), tower.context_length()),
                (expected[0].len(), 9)
            );
            let found = tower.forward(&ids).unwrap();
            assert_near(&format!("{name}, text"), &found, &expected);
        }
        let scale = clip.logit_scale().unwrap();
        if name == "tiny-clip-text" || name == "tiny-clip-vision" {
            assert_eq!(scale, None);
        } else {
            let expected = rows(&expected(name), "logit_scale")[0][0];
            assert!(
                (scale.unwrap() - expected).abs() < 1e-5 * expected,
                "{name}"
            );
        }
    }
}

#[test]
fn padding_the_batch_and_its_order_change_no_bit() -> TestResult {
    for name in [
        "tiny-clip-open-clip",
        "tiny-clip-open-clip-variant",
        "tiny-clip-transformers",
    ] {
        let clip = open(name);
        let tower = clip.text_tower()?;
        let padded = ids(&expected(name));
        let found = tower.forward(&padded)?;
        // Without what comes after the first end token.
        let end = padded.iter().flatten().copied().max().ok_or("no ids")?;
        let cut: Vec<&[u32]> = padded
            .iter()
            .map(|text| &text[..=text.iter().position(|id| *id == end).unwrap()])
            .collect();
        assert!(cut.iter().any(|text| text.len() < 4));
        assert_eq!(tower.forward(&cut)?, found);
        assert_independent(name, &cut, 2000, |texts| tower.forward(texts))?;

        let tower = clip.image_tower()?;
        let pixels = rows(&expected(name), "pixels");
        assert_independent(name, &pixels, 11, |pictures| tower.forward(pictures))?;
    }
    Ok(())
}

#[test]
fn texts_that_do_not_fit_are_errors() {
    let tower = open("tiny-clip-transformers").text_tower().unwrap();
    for (text, expected) in [
        (vec![], "0 ids"),
        (vec![39; 10], "10 ids"),
        (vec![38, 400, 39], "400"),
    ] {
        let message = tower.forward(&[text]).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
    let error = open("tiny-clip-vision")
        .text_tower()
        .unwrap_err()
        .to_string();
    assert!(error.contains("image tower only"), "{error}");
    let error = open("tiny-clip-text")
        .image_tower()
        .unwrap_err()
        .to_string();
    assert!(error.contains("text tower only"), "{error}");
    let error = open("tiny-clip-text")
        .into_image_tower_by_blocks()
        .unwrap_err();
    assert!(error.to_string().contains("text tower only"), "{error}");
}

#[test]
fn a_folder_with_both_layouts_is_read_as_open_clip_where_that_needs_no_pickle() -> TestResult {
    // Both kinds of file in one folder, as LAION's repositories have it.
    let both = tempfile::tempdir()?;
    let copy = |name: &str, file: &str| {
        std::fs::copy(fixture(name).join(file), both.path().join(file)).map(drop)
    };
    copy("tiny-clip-transformers", "config.json")?;
    copy("tiny-clip-transformers", "model.safetensors")?;
    copy("tiny-clip-open-clip-variant", "open_clip_config.json")?;
    copy("tiny-clip-open-clip-variant", "open_clip_pytorch_model.bin")?;
    assert!(!ClipCheckpoint::open(both.path(), Pickle::Deny)?.is_open_clip());
    assert!(ClipCheckpoint::open(both.path(), Pickle::Allow)?.is_open_clip());
    copy("tiny-clip-open-clip", "open_clip_config.json")?;
    copy("tiny-clip-open-clip", "open_clip_model.safetensors")?;
    let clip = ClipCheckpoint::open(both.path(), Pickle::Deny)?;
    assert!(clip.is_open_clip());
    clip.image_tower()?;
    Ok(())
}

#[test]
fn the_tokenizer_is_the_one_of_the_layout() -> TestResult {
    let failed = |clip: &ClipCheckpoint| clip.tokenizer(None).unwrap_err().to_string();
    let message = failed(&open("tiny-clip-open-clip"));
    assert!(message.contains("bpe_simple_vocab_16e6"), "{message}");
    // A folder of open_clip may bring the same list in the two files of transformers, which then must
    // be one.
    let folder = tempfile::tempdir()?;
    for file in ["open_clip_config.json", "open_clip_model.safetensors"] {
        std::fs::copy(
            fixture("tiny-clip-open-clip").join(file),
            folder.path().join(file),
        )?;
    }
    std::fs::write(folder.path().join("merges.txt"), "#version: 0.2\n")?;
    assert!(!ClipCheckpoint::open(folder.path(), Pickle::Deny)?.brings_vocabulary());
    std::fs::write(folder.path().join("vocab.json"), r#"{"a": 1}"#)?;
    let clip = ClipCheckpoint::open(folder.path(), Pickle::Deny)?;
    assert!(clip.brings_vocabulary());
    let message = failed(&clip);
    assert!(message.contains("vocab.json"), "{message}");
    let message = failed(&open("tiny-clip-vision"));
    assert!(message.contains("image tower only"), "{message}");
    // That of a folder of transformers is in it.
    let message = failed(&open("tiny-clip-transformers"));
    assert!(message.contains("tokenizer.json"), "{message}");
    let folder = tempfile::tempdir()?;
    for (name, file) in [
        ("tiny-clip-transformers", "config.json"),
        ("tiny-clip-transformers", "model.safetensors"),
        ("tiny-clip-tokenizer", "tokenizer.json"),
        ("tiny-clip-tokenizer", "tokenizer_config.json"),
    ] {
        std::fs::copy(fixture(name).join(file), folder.path().join(file))?;
    }
    let tokenizer = ClipCheckpoint::open(folder.path(), Pickle::Deny)?.tokenizer(None)?;
    assert_eq!(tokenizer.context_length(), 9);
    // Towers of CLIP with another tokenizer: pictures can be read, texts cannot.
    let copy = edited("tiny-clip-open-clip", "open_clip_config.json", |text| {
        text.replace(
            "\"heads\": 3",
            "\"heads\": 3, \"hf_tokenizer_name\": \"facebook/xlm-v-base\"",
        )
    })?;
    let clip = ClipCheckpoint::open(copy.path(), Pickle::Deny)?;
    clip.image_tower()?;
    let message = failed(&clip);
    assert!(message.contains("xlm-v-base"), "{message}");
    Ok(())
}

#[test]
fn weights_without_a_configuration_are_opened_by_name() -> TestResult {
    let known = known_clip("ViT-B-32/laion2b_s34b_b79k").ok_or("no such name")?;
    let weights = fixture("tiny-clip-open-clip").join("open_clip_model.safetensors");
    let clip = ClipCheckpoint::open_as(&known, &weights, Pickle::Deny)?;
    // The tiny weights are no ViT-B-32, and the error says in what.
    let message = clip.image_tower().unwrap_err().to_string();
    assert!(
        message.contains("visual.conv1.weight")
            && message.contains("[768, 3, 32, 32]")
            && message.contains("[24, 3, 4, 4]"),
        "{message}"
    );
    Ok(())
}

#[test]
fn wrong_configurations_are_named() -> TestResult {
    let (open_clip, transformers) = ("tiny-clip-open-clip", "tiny-clip-transformers");
    let cases = [
        (
            open_clip,
            "\"head_width\": 8",
            "\"head_width\": 0",
            "0 heads",
        ),
        (
            open_clip,
            "\"mlp_ratio\": 2.3",
            "\"mlp_ratio\": 2.5",
            "mlp.c_fc.weight",
        ),
        (
            open_clip,
            "\"image_size\": 12",
            "\"image_size\": 16",
            "[17, 24]",
        ),
        (
            open_clip,
            "\"image_size\": 12",
            "\"image_size\": -1",
            "image_size",
        ),
        (
            open_clip,
            "\"layers\": 2",
            "\"layers\": [3, 4, 6, 3]",
            "ResNet",
        ),
        (
            open_clip,
            "\"head_width\": 8",
            "\"timm_model_name\": \"vit_base_mci_224\"",
            "MobileCLIP",
        ),
        (
            open_clip,
            "\"head_width\": 8",
            "\"attentional_pool\": true",
            "attentional_pool",
        ),
        (
            open_clip,
            "\"head_width\": 8",
            "\"new_thing\": 3",
            "new_thing",
        ),
        (
            open_clip,
            "\"head_width\": 8",
            "\"head_width\": 8, \"pool_type\": \"none\"",
            "pool_type",
        ),
        (
            open_clip,
            "\"heads\": 3",
            "\"heads\": 3, \"hf_model_name\": \"roberta\"",
            "roberta",
        ),
        (
            open_clip,
            "\"heads\": 3",
            "\"heads\": 3, \"no_causal_mask\": true",
            "no_causal_mask",
        ),
        (
            open_clip,
            "\"heads\": 3",
            "\"heads\": 3, \"pool_type\": \"last\"",
            "pool_type",
        ),
        (
            open_clip,
            "\"heads\": 3",
            "\"heads\": 3, \"proj_type\": \"mlp\"",
            "proj_type",
        ),
        (open_clip, "\"heads\": 3", "\"heads\": 5", "5 heads"),
        (
            open_clip,
            "\"context_length\": 9",
            "\"context_length\": 8",
            "[8, 24]",
        ),
        (
            open_clip,
            "\"vocab_size\": 40",
            "\"vocab_size\": 41",
            "[41, 24]",
        ),
        (
            open_clip,
            "\"embed_dim\": 20",
            "\"embed_dim\": 21",
            "[24, 21]",
        ),
        (
            open_clip,
            "\"embed_dim\": 20",
            "\"embed_dim\": 20, \"multimodal_cfg\": {}",
            "multimodal_cfg",
        ),
        (open_clip, "\"embed_dim\"", "\"embed_dims\"", "embed_dim"),
        (transformers, "\"clip\"", "\"siglip\"", "siglip"),
        (transformers, "\"quick_gelu\"", "\"mish\"", "mish"),
        (
            transformers,
            "\"projection_dim\": 20",
            "\"projection_dim\": 22",
            "[22, 24]",
        ),
        (
            transformers,
            "\"num_attention_heads\": 3",
            "\"num_attention_heads\": 7",
            "7 heads",
        ),
        (
            transformers,
            "\"num_hidden_layers\": 2",
            "\"num_hidden_layers\": 1",
            "not used",
        ),
        (
            transformers,
            "\"patch_size\": 4",
            "\"patch_size\": 0",
            "patch_size",
        ),
        (transformers, "{", "", "config.json"),
    ];
    let build = |folder: &Path| {
        let clip = ClipCheckpoint::open(folder, Pickle::Deny)?;
        clip.image_tower()?;
        clip.text_tower().map(drop)
    };
    assert_refused(&cases, build)?;
    // A head width that does not divide is not seen in the tensors: the reference rounds too.
    let copy = edited(open_clip, "open_clip_config.json", |text| {
        text.replacen("\"head_width\": 8", "\"head_width\": 7", 1)
    })?;
    build(copy.path())?;
    Ok(())
}

#[test]
fn missing_extra_and_misshapen_tensors_are_named() -> TestResult {
    const TINY: &str = "tiny-clip-open-clip";
    let file = "open_clip_model.safetensors";
    for tensor in [
        "visual.proj",
        "visual.transformer.resblocks.1.attn.in_proj_weight",
        "visual.ln_pre.weight",
        "token_embedding.weight",
        "text_projection",
        "transformer.resblocks.0.mlp.c_proj.bias",
    ] {
        let copy = edited_tensors(TINY, file, |header| {
            let entry = header.remove(tensor).unwrap();
            header.insert("visual.something_else".into(), entry);
        })?;
        let clip = ClipCheckpoint::open(copy.path(), Pickle::Deny)?;
        let built = clip
            .image_tower()
            .map(drop)
            .and(clip.text_tower().map(drop));
        let (image, text) = (clip.image_tower().err(), clip.text_tower().err());
        assert!(built.is_err());
        let by_blocks = clip.into_image_tower_by_blocks();
        let seen = by_blocks.and_then(|tower| tower.forward(&rows(&expected(TINY), "pixels")));
        let (seen, image_error) = (seen.unwrap_err(), image.as_ref().unwrap());
        assert_eq!(seen.to_string(), image_error.to_string());
        let messages = [image, text].map(|error| error.map_or(String::new(), |e| e.to_string()));
        assert!(messages.iter().any(|m| m.contains(tensor)), "{messages:?}");
        // The image tower sees the name that is none of its own.
        assert!(!messages[0].is_empty());
    }
    let copy = edited_tensors("tiny-clip-open-clip", file, |header| {
        header["visual.class_embedding"]["shape"] = json!([1, 24]);
    })?;
    let clip = ClipCheckpoint::open(copy.path(), Pickle::Deny)?;
    let message = clip.image_tower().unwrap_err().to_string();
    assert!(
        message.contains("visual.class_embedding")
            && message.contains("[24]")
            && message.contains("[1, 24]"),
        "{message}"
    );
    let copy = edited_tensors("tiny-clip-transformers", "model.safetensors", |header| {
        let empty = json!({"dtype": "F32", "shape": [0], "data_offsets": [0, 0]});
        header.insert("adapter.weight".into(), empty);
    })?;
    let clip = ClipCheckpoint::open(copy.path(), Pickle::Deny)?;
    for message in [
        clip.image_tower().unwrap_err().to_string(),
        clip.text_tower().unwrap_err().to_string(),
    ] {
        assert!(message.contains("adapter.weight"), "{message}");
    }
    Ok(())
}

/// Texts after prefixes of every length, at the limit too, with and without common beginnings.
#[test]
fn a_text_after_a_prefix_equals_the_whole_text_bit_by_bit() {
    for name in ALL.iter().filter(|name| **name != "tiny-clip-vision") {
        let tower = open(name).text_tower().unwrap();
        let (start, end) = (38, 39);
        let mut prefix = tower.empty_prefix();
        let mut seed = 1u32;
        let mut word = move || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            2 + (seed >> 16) % 4
        };
        for length in [1, 4, 2, 7, 8, 3] {
            let mut ids = vec![start];
            ids.extend((1..length).map(|_| word()));
            tower.set_prefix(&mut prefix, &ids).unwrap();
            assert_eq!(prefix.ids(), ids);
            let room = tower.context_length() - length;
            let mut texts: Vec<Vec<u32>> = (0..50)
                .map(|i| (1..=i % room).map(|_| word()).chain([end]).collect())
                .collect();
            // What stands for the text may be followed by padding, or come early.
            if room > 2 {
                texts.push(vec![3, end, end]);
                texts.push(vec![end, 4]);
            }
            let found = tower.forward_after(&prefix, &texts).unwrap();
            let whole: Vec<Vec<u32>> = texts.iter().map(|t| [&ids[..], t].concat()).collect();
            assert_eq!(found, tower.forward(&whole).unwrap(), "{name}, {length}");
            let alone = tower.forward_after(&prefix, &texts[7..8]).unwrap();
            assert_eq!(alone[0], found[7]);
        }
        // The end token in the prefix already.
        tower.set_prefix(&mut prefix, &[start, 5, end, 6]).unwrap();
        let found = tower.forward_after(&prefix, &[[7, end]]).unwrap();
        let whole = tower.forward(&[[start, 5, end, 6, 7, end]]).unwrap();
        assert_eq!(found, whole);
        assert!(tower.set_prefix(&mut prefix, &[start; 10]).is_err());
        assert!(tower.set_prefix(&mut prefix, &[start, 4000]).is_err());
        tower.set_prefix(&mut prefix, &[start, 5]).unwrap();
        assert!(tower.forward_after(&prefix, &[[6; 8]]).is_err());
        assert!(tower.forward_after(&prefix, &[[4000, end]]).is_err());
        // Without any prefix.
        let whole = [
            vec![start, 5, 6, end],
            vec![start, end],
            vec![start, 5, 7, 7, end],
        ];
        let found = tower.forward_after(&tower.empty_prefix(), &whole).unwrap();
        assert_eq!(found, tower.forward(&whole).unwrap());
        assert!(
            tower
                .forward_after(&tower.empty_prefix(), &[[0u32; 0]])
                .is_err()
        );
    }
}
