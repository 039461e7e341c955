//! Tiny random Vision Transformers against what timm and transformers give for them;
//! `fixtures/models/vit.py` makes them.

mod common;

use common::{TestResult, edited, edited_tensors, fixture, relative_error, rows};
use serde_json::json;
use std::path::{Path, PathBuf};
use unprompt_checkpoint::Pickle;
use unprompt_models::Vit;

/// The model's path and its expected values.
fn all() -> Vec<(PathBuf, PathBuf)> {
    let mut models: Vec<_> = [
        "tiny-vit-timm",
        "tiny-vit-timm-gap",
        "tiny-vit-timm-saved",
        "tiny-vit-timm-siglip",
        "tiny-vit-timm-clip",
        "tiny-vit-transformers",
        "tiny-vit-model",
    ]
    .map(|name| (fixture(name), fixture(name).join("expected.safetensors")))
    .into();
    models.push((
        fixture("tiny-vit-bare.pth"),
        fixture("tiny-vit-bare.expected.safetensors"),
    ));
    models
}

fn load(path: &Path) -> Vit {
    // A folder without its expectations: they are a second weight file to a folder with one.
    Vit::load(path, Pickle::Allow).unwrap()
}

#[test]
fn every_layout_equals_the_reference() {
    for (path, expected) in all() {
        let model = load(&path);
        let (pixels, expected) = (rows(&expected, "pixels"), rows(&expected, "outputs"));
        assert_eq!(model.outputs(), expected[0].len());
        let found = model.forward(&pixels).unwrap();
        let error = relative_error(&found.concat(), &expected.concat());
        assert!(error < 1e-5, "{}: {error}", path.display());
    }
}

#[test]
fn a_siglip_needs_its_name_to_be_read() -> TestResult {
    // With the tensors alone, or another name, the activation is not the one of the reference.
    let siglip = fixture("tiny-vit-timm-siglip");
    let message = Vit::load(&siglip.join("model.safetensors"), Pickle::Deny).unwrap_err();
    assert!(message.to_string().contains("GELU"), "{message}");
    let pixels = rows(&siglip.join("expected.safetensors"), "pixels");
    let found = load(&siglip).forward(&pixels)?;
    let renamed = |to: &str| -> Result<Vec<Vec<f32>>, Box<dyn std::error::Error>> {
        let copy = edited("tiny-vit-timm-siglip", "config.json", |text| {
            text.replace("vit_base_patch32_siglip_256", to)
        })?;
        Ok(load(copy.path()).forward(&pixels)?)
    };
    assert_ne!(renamed("vit_base_patch16_siglip_256")?, found);
    assert_eq!(renamed("vit_so400m_patch16_siglip_256")?, found);
    let copy = edited("tiny-vit-timm-siglip", "config.json", |text| {
        text.replace("patch32_siglip", "patch16_siglip").replace(
            "\"num_heads\"",
            "\"act_layer\": \"gelu_tanh\", \"num_heads\"",
        )
    })?;
    assert_eq!(load(copy.path()).forward(&pixels)?, found);
    Ok(())
}

#[test]
fn the_pooling_is_the_one_that_the_folder_says() -> TestResult {
    let expected = fixture("tiny-vit-timm").join("expected.safetensors");
    let pixels = rows(&expected, "pixels");
    for pooling in ["avg", "max"] {
        let copy = edited("tiny-vit-timm", "config.json", |text| {
            text.replace("\"token\"", &format!("\"{pooling}\""))
        })?;
        let found = load(copy.path()).forward(&pixels)?;
        let expected = rows(&expected, &format!("outputs.{pooling}"));
        let error = relative_error(&found.concat(), &expected.concat());
        assert!(error < 1e-5, "{pooling}: {error}");
    }
    Ok(())
}

#[test]
fn a_picture_gives_the_same_bits_alone_and_anywhere_in_a_batch() -> TestResult {
    for (path, expected) in all() {
        let model = load(&path);
        // More pictures than go through the network at once.
        let pixels = rows(&expected, "pixels");
        let pixels: Vec<_> = pixels.iter().cycle().take(11).collect();
        let found = model.forward(&pixels)?;
        for (picture, output) in pixels.iter().zip(&found) {
            assert_eq!(model.forward(&[picture])?, std::slice::from_ref(output));
        }
        let reversed: Vec<_> = pixels.iter().rev().collect();
        assert!(model.forward(&reversed)?.iter().rev().eq(&found));
    }
    Ok(())
}

#[test]
fn what_the_folders_say_is_there() {
    let model = load(&fixture("tiny-vit-transformers"));
    let labels = ["comic book", "triceratops", "coffee mug, cup"].map(String::from);
    assert_eq!(model.labels(), Some(&labels[..]));
    assert!(model.has_head());
    let model = load(&fixture("tiny-vit-timm-gap"));
    assert_eq!(model.image_size(), (12, 8));
    assert!(!model.has_head() && model.labels().is_none());
    let model = load(&fixture("tiny-vit-bare.pth"));
    assert_eq!((model.image_size(), model.outputs()), ((12, 12), 7));
    assert!(!load(&fixture("tiny-vit-model")).has_head());
}

#[test]
fn heads_of_tensors_alone_are_told_or_guessed() -> TestResult {
    let path = fixture("tiny-vit-bare.pth");
    let pixels = rows(&fixture("tiny-vit-bare.expected.safetensors"), "pixels");
    let guessed = load(&path);
    assert_eq!(guessed.guessed_heads(), Some(1));
    let told = |heads| Vit::load_with_heads(&path, heads, Pickle::Allow);
    let one = told(1)?;
    assert_eq!(one.guessed_heads(), None);
    assert_eq!(one.forward(&pixels)?, guessed.forward(&pixels)?);
    assert_ne!(told(4)?.forward(&pixels)?, guessed.forward(&pixels)?);
    let refused = told(5).unwrap_err().to_string();
    assert!(
        refused.contains("64") && refused.contains("5 heads"),
        "{refused}"
    );

    // The tensors of a folder by themselves are the folder's network, once the number is told.
    let folder = fixture("tiny-vit-timm");
    let tensors = folder.join("model.safetensors");
    let pixels = rows(&folder.join("expected.safetensors"), "pixels");
    let unknown = Vit::load(&tensors, Pickle::Deny).unwrap_err().to_string();
    assert!(unknown.contains("--heads"), "{unknown}");
    let found = Vit::load_with_heads(&tensors, 2, Pickle::Deny)?.forward(&pixels)?;
    assert_eq!(found, load(&folder).forward(&pixels)?);
    let refused = Vit::load_with_heads(&folder, 2, Pickle::Deny).unwrap_err();
    assert!(refused.to_string().contains("config.json"), "{refused}");
    assert_eq!(load(&folder).guessed_heads(), None);
    Ok(())
}

#[test]
fn the_names_of_transformers_5_in_memory_are_read_too() -> TestResult {
    let renames = [
        ("encoder.layer.", "layers."),
        ("attention.attention.query", "attention.q_proj"),
        ("attention.attention.key", "attention.k_proj"),
        ("attention.attention.value", "attention.v_proj"),
        ("attention.output.dense", "attention.o_proj"),
        ("intermediate.dense", "mlp.fc1"),
        (".output.dense", ".mlp.fc2"),
    ];
    let copy = edited_tensors("tiny-vit-transformers", "model.safetensors", |header| {
        *header = std::mem::take(header)
            .into_iter()
            .map(|(name, entry)| {
                let rename = |name: String, (from, to): &(&str, &str)| name.replace(from, to);
                (renames.iter().fold(name, rename), entry)
            })
            .collect();
        assert!(header.contains_key("vit.layers.1.mlp.fc2.weight"));
    })?;
    let original = fixture("tiny-vit-transformers");
    let pixels = rows(&original.join("expected.safetensors"), "pixels");
    let expected = load(&original).forward(&pixels)?;
    assert_eq!(load(copy.path()).forward(&pixels)?, expected);
    Ok(())
}

#[test]
fn wrong_configurations_are_named() -> TestResult {
    let cases = [
        (
            "tiny-vit-timm",
            "vit_tiny_patch4_12",
            "resnet50",
            "resnet50",
        ),
        (
            "tiny-vit-timm",
            "vit_tiny_",
            "vit_tiny_clip_",
            "norm_pre.weight",
        ),
        (
            "tiny-vit-timm",
            "\"num_classes\": 5,\n \"num_f",
            "\"num_classes\": 6,\n \"num_f",
            "[6, 32]",
        ),
        (
            "tiny-vit-timm",
            "\"num_heads\": 2",
            "\"num_heads\": 5",
            "5 heads",
        ),
        (
            "tiny-vit-timm",
            "\"num_heads\": 2",
            "\"pos_embed\": 2",
            "pos_embed",
        ),
        (
            "tiny-vit-timm",
            "\"num_heads\": 2",
            "\"qkv_bias\": true",
            "num_heads",
        ),
        ("tiny-vit-timm", "\"token\"", "\"map\"", "attn_pool.latent"),
        ("tiny-vit-timm", "\"token\"", "\"prr\"", "global_pool"),
        ("tiny-vit-timm-siglip", "\"map\"", "\"avg\"", "attn_pool"),
        (
            "tiny-vit-timm-siglip",
            "\"num_heads\": 3",
            "\"act_layer\": \"mish\"",
            "mish",
        ),
        ("tiny-vit-timm", "\n   12,", "\n   16,", "position table"),
        (
            "tiny-vit-timm",
            "\"architecture\"",
            "\"arch\"",
            "model_type",
        ),
        ("tiny-vit-timm-gap", "\"avg\"", "\"token\"", "cls_token"),
        ("tiny-vit-transformers", "\"vit\"", "\"deit\"", "deit"),
        ("tiny-vit-transformers", "\"gelu\"", "\"mish\"", "mish"),
        (
            "tiny-vit-transformers",
            "\"hidden_size\": 32",
            "\"hidden_size\": 36",
            "[36, 3, 4, 4]",
        ),
        (
            "tiny-vit-transformers",
            "\"num_hidden_layers\": 2",
            "\"num_hidden_layers\": 1",
            "not used",
        ),
        (
            "tiny-vit-transformers",
            "\"num_hidden_layers\": 2",
            "\"num_hidden_layers\": 3",
            "layer.2.",
        ),
        (
            "tiny-vit-transformers",
            "\"image_size\": 12",
            "\"image_size\": 16",
            "[1, 17, 32]",
        ),
        (
            "tiny-vit-transformers",
            "\"2\": \"coffee",
            "\"3\": \"coffee",
            "no entry 2",
        ),
        ("tiny-vit-transformers", "{", "", "config.json"),
    ];
    for (name, from, to, expected) in cases {
        let copy = edited(name, "config.json", |text| {
            assert!(text.contains(from), "{name}: {from}");
            text.replacen(from, to, 1)
        })?;
        let message = Vit::load(copy.path(), Pickle::Deny)
            .unwrap_err()
            .to_string();
        assert!(message.contains(expected), "{name}, {to}: {message}");
    }
    Ok(())
}

#[test]
fn missing_extra_and_misshapen_tensors_are_named() -> TestResult {
    let file = "model.safetensors";
    for (name, tensor) in [
        ("tiny-vit-timm", "patch_embed.proj.weight"),
        ("tiny-vit-timm", "blocks.1.attn.qkv.weight"),
        ("tiny-vit-timm", "pos_embed"),
        ("tiny-vit-timm", "head.bias"),
        ("tiny-vit-timm-gap", "fc_norm.bias"),
        ("tiny-vit-transformers", "classifier.weight"),
        (
            "tiny-vit-transformers",
            "vit.encoder.layer.0.attention.attention.key.weight",
        ),
        (
            "tiny-vit-transformers",
            "vit.encoder.layer.0.attention.attention.key.bias",
        ),
        ("tiny-vit-model", "embeddings.cls_token"),
    ] {
        // Data must be covered without gaps, so a missing tensor is one of another name.
        let copy = edited_tensors(name, file, |header| {
            let entry = header.remove(tensor).unwrap();
            header.insert("something.else".into(), entry);
        })?;
        let message = Vit::load(copy.path(), Pickle::Deny)
            .unwrap_err()
            .to_string();
        assert!(message.contains(tensor), "{name}: {message}");
    }
    for (name, tensor, shape, expected) in [
        (
            "tiny-vit-timm",
            "blocks.0.attn.proj.weight",
            json!([16, 64]),
            "[32, 32]",
        ),
        (
            "tiny-vit-timm",
            "pos_embed",
            json!([10, 32]),
            "[1, positions, 32]",
        ),
        (
            "tiny-vit-timm",
            "patch_embed.proj.weight",
            json!([32, 3, 2, 8]),
            "[32, 3, 2, 8]",
        ),
        ("tiny-vit-timm", "cls_token", json!([32]), "[1, 1, 32]"),
        (
            "tiny-vit-transformers",
            "vit.layernorm.weight",
            json!([1, 32]),
            "[32]",
        ),
    ] {
        let copy = edited_tensors(name, file, |header| header[tensor]["shape"] = shape.clone())?;
        let message = Vit::load(copy.path(), Pickle::Deny)
            .unwrap_err()
            .to_string();
        let found = shape.to_string().replace(',', ", ");
        assert!(
            message.contains(tensor) && message.contains(expected) && message.contains(&found),
            "{name}: {message}"
        );
    }
    let extra = |header: &mut serde_json::Map<_, _>| {
        let empty = json!({"dtype": "F32", "shape": [0], "data_offsets": [0, 0]});
        header.insert("dist_token".into(), empty);
    };
    for name in ["tiny-vit-timm", "tiny-vit-model"] {
        let copy = edited_tensors(name, file, extra)?;
        let message = Vit::load(copy.path(), Pickle::Deny)
            .unwrap_err()
            .to_string();
        assert!(message.contains("dist_token"), "{name}: {message}");
    }
    Ok(())
}

#[test]
fn a_clip_tower_of_timm_is_refused() -> TestResult {
    let copy = edited_tensors("tiny-vit-timm", "model.safetensors", |header| {
        for kind in ["weight", "bias"] {
            let entry = header.remove(&format!("norm.{kind}")).unwrap();
            header.insert(format!("norm_pre.{kind}"), entry);
        }
    })?;
    std::fs::remove_file(copy.path().join("config.json"))?;
    std::fs::remove_file(copy.path().join("expected.safetensors"))?;
    let message = Vit::load(copy.path(), Pickle::Deny)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("norm_pre.weight") && message.contains("CLIP"),
        "{message}"
    );
    Ok(())
}

#[test]
fn wrong_pictures_are_errors() {
    let model = load(&fixture("tiny-vit-timm"));
    let message = model.forward(&[vec![0.0; 100]]).unwrap_err().to_string();
    assert!(
        message.contains("100") && message.contains("12 x 12 x 3"),
        "{message}"
    );
    let message = model
        .forward(&[vec![f32::NAN; 432]])
        .unwrap_err()
        .to_string();
    assert!(message.contains("finite"), "{message}");
    assert_eq!(
        model.forward::<Vec<f32>>(&[]).unwrap(),
        Vec::<Vec<f32>>::new()
    );
    assert!(Vit::load(&fixture("tiny-vit-bare.pth"), Pickle::Deny).is_err());
}
