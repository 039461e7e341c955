//! Tiny pipelines of each family against what diffusers drew with them; see `fixtures/make.py`.

#![allow(clippy::print_stdout)] // How near the results are is worth seeing.

mod cases;
mod composed;

use cases::{Cases, cases, draw_case, fixture, largest_difference, link, open, values};
use safetensors::SafeTensors;
use serde_json::{Map, Value};
use std::{fs, path::Path};
use unprompt_checkpoint::{Checkpoint, Pickle};
use unprompt_diffusion::{Drawing, Noise, Pipeline, SchedulerKind, Settings};
use unprompt_models::Compute;

/// Every case of a folder: latents after each step, and the pixels.
fn draws_as_the_reference(name: &str) {
    let folder = fixture(name);
    for case in &cases(&folder).cases {
        let apart = draw_case(&folder, case, &Compute::default());
        let (difference, step) = apart.latents;
        println!("{name}, {}: {difference} at step {step}", case.name);
        assert!(difference < 1e-3, "{name}, {}: {difference}", case.name);
        let levels = apart.levels.unwrap_or(0);
        assert!(levels <= 2, "{name}, {}: {levels} levels", case.name);
    }
}

#[test]
fn stable_diffusion_1_draws_as_the_reference() {
    draws_as_the_reference("sd1");
}

#[test]
fn stable_diffusion_2_draws_as_the_reference() {
    draws_as_the_reference("sd2");
}

#[test]
fn stable_diffusion_xl_draws_as_the_reference() {
    draws_as_the_reference("sdxl");
}

#[test]
fn a_picture_is_the_same_alone_and_in_a_batch_on_one_thread_and_on_many() {
    let pipeline = open(&fixture("sd1"));
    let settings = Settings {
        width: 64,
        height: 72,
        steps: 3,
        guidance: 4.0,
        scheduler: SchedulerKind::EulerAncestral,
    };
    let drawings = [Drawing::new("a cat", 5), Drawing::new("the sea", 6)];
    let draw = |drawings: &[Drawing]| pipeline.draw(drawings, &settings, &mut |_, _| {}).unwrap();
    let together = draw(&drawings);
    assert_ne!(together[0].image, together[1].image);
    let one_thread = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .unwrap();
    for (index, together) in together.iter().enumerate() {
        let alone = one_thread.install(|| draw(&drawings[index..=index]));
        assert_eq!(alone[0].latents, together.latents);
        assert_eq!(alone[0].image, together.image);
    }
    assert!(draw(&[]).is_empty());
}

/// The numbers that the UNet is told, against transformers.
#[test]
fn texts_are_told_as_by_the_reference() {
    for (name, case) in [
        ("sd1", "ddim 7.5"),
        ("sd2", "ddim 7.5"),
        ("sdxl", "ddim 5"),
        ("sdxl", "no negative"),
    ] {
        let folder = fixture(name);
        let expected = Checkpoint::open(folder.join("expected.safetensors"), Pickle::Deny).unwrap();
        let Cases { cases, .. } = cases(&folder);
        let case = cases.iter().find(|one| one.name == case).unwrap();
        let pipeline = open(&folder);
        let states = values(&expected, &format!("{}.states", case.name));
        let pooled = expected
            .contains(&format!("{}.pooled", case.name))
            .then(|| values(&expected, &format!("{}.pooled", case.name)));
        let (negative, prompts) = states.split_at(states.len() / 2);
        let length = prompts.len() / case.prompts.len();
        for (index, prompt) in case.prompts.iter().enumerate() {
            let (tokens, summary) = pipeline.told(Some(prompt)).unwrap();
            let worst = largest_difference(&tokens, &prompts[index * length..][..length]);
            assert!(worst < 1e-5, "{name}: {worst}");
            if let Some(pooled) = &pooled {
                let pooled = &pooled[pooled.len() / 2..];
                let width = pooled.len() / case.prompts.len();
                let worst =
                    largest_difference(&summary.unwrap(), &pooled[index * width..][..width]);
                assert!(worst < 1e-5, "{name}: {worst}");
            }
            let (tokens, _) = pipeline.told(case.negative.as_deref()).unwrap();
            let worst = largest_difference(&tokens, &negative[index * length..][..length]);
            assert!(worst < 1e-5, "{name}, negative: {worst}");
        }
    }
}

#[test]
fn a_seed_is_the_noise_that_it_is_to_the_reference() {
    let path = fixture("noise.safetensors");
    let expected = Checkpoint::open(path, Pickle::Deny).unwrap();
    assert_eq!(expected.names().len(), 8);
    for name in expected.names() {
        let (seed, length) = name.split_once('.').unwrap();
        let pieces = values(&expected, name);
        let noise = Noise::Seed(seed.parse().unwrap());
        let found = noise.pieces(length.parse().unwrap(), 2).unwrap();
        let worst = largest_difference(&found.concat(), &pieces);
        assert!(worst < 2e-6, "{name}: {worst}");
    }
}

#[test]
fn sizes_and_steps_that_cannot_be_are_refused_with_what_can() {
    let pipeline = open(&fixture("sd1"));
    assert_eq!((pipeline.multiple(), pipeline.usual_side()), (8, 64));
    let refused = |width, height, steps| {
        let settings = Settings {
            width,
            height,
            steps,
            ..Settings::of(&pipeline)
        };
        let drawings = [Drawing::new("a", 0)];
        let error = pipeline.draw(&drawings, &settings, &mut |_, _| {});
        error.unwrap_err().to_string()
    };
    let error = refused(100, 64, 2);
    assert!(error.contains("96 or 104 wide and 64 high"), "{error}");
    let error = refused(64, 5000, 2);
    assert!(error.contains("64 wide and 4096 high"), "{error}");
    let error = refused(0, 8, 2);
    assert!(error.contains("64 wide and 64 high"), "{error}");
    assert!(refused(64, 64, 0).contains("from 1 to 1000"));
    let noise = Noise::Given {
        start: vec![0.0; 3],
        steps: Vec::new(),
    };
    let drawing = Drawing {
        noise,
        ..Drawing::new("a", 0)
    };
    let error = pipeline.draw(&[drawing], &Settings::of(&pipeline), &mut |_, _| {});
    assert!(error.unwrap_err().to_string().contains("another size"));
}

#[test]
fn what_stands_in_and_what_is_left_out_is_said() {
    let mut notes = Vec::new();
    let mut note = |text: &str| notes.push(text.to_owned());
    let pipeline = Pipeline::open(&fixture("sd1"), &Default::default(), &mut note).unwrap();
    assert_eq!(pipeline.scheduler(), SchedulerKind::Pndm);
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].contains("safety checker"), "{notes:?}");
    assert!(pipeline.cut("a cat").unwrap() == 0);
    assert!(pipeline.cut(&"a cat ".repeat(20)).unwrap() > 20);

    let lms = changed("sd1", "scheduler/scheduler_config.json", |values| {
        values.insert("_class_name".into(), "LMSDiscreteScheduler".into());
    });
    let mut notes = Vec::new();
    let mut note = |text: &str| notes.push(text.to_owned());
    let folder = lms.path().join("model");
    let pipeline = Pipeline::open(&folder, &Default::default(), &mut note).unwrap();
    assert_eq!(pipeline.scheduler(), SchedulerKind::Ddim);
    assert!(notes[1].contains("LMSDiscreteScheduler"), "{notes:?}");
}

/// A copy of a fixture, one file of which is changed as JSON.
fn changed(
    name: &str,
    file: &str,
    change: impl FnOnce(&mut Map<String, Value>),
) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    link(&fixture(name), &copy.path().join("model"));
    let path = copy.path().join("model").join(file);
    let mut values = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut values);
    fs::remove_file(&path).unwrap();
    fs::write(&path, serde_json::to_vec(&values).unwrap()).unwrap();
    copy
}

#[test]
fn every_part_that_does_not_fit_is_named_with_its_file() {
    let set = |key: &'static str, value: Value| {
        move |values: &mut Map<String, Value>| {
            values.insert(key.into(), value);
        }
    };
    let refused = |folder: tempfile::TempDir| {
        let folder = folder.path().join("model");
        let opened = Pipeline::open(&folder, &Default::default(), &mut |_| {});
        opened.unwrap_err().to_string()
    };
    let unet = "unet/config.json";
    let cases: Vec<(&str, &str, Value, &str)> = vec![
        (unet, "in_channels", 9.into(), "inpainting"),
        (unet, "act_fn", "mish".into(), "`act_fn` \"mish\""),
        (unet, "attention_head_dim", 3.into(), "does not divide"),
        (unet, "attention_head_dim", 0.into(), "does not divide"),
        (
            unet,
            "layers_per_block",
            7.into(),
            "down_blocks.0.resnets.1",
        ),
        (unet, "layers_per_block", u64::MAX.into(), "from 1 to 64"),
        (unet, "cross_attention_dim", 25.into(), "attn2.to_k.weight"),
        (
            unet,
            "block_out_channels",
            Vec::<u8>::new().into(),
            "block_out_channels",
        ),
        (unet, "norm_num_groups", 3.into(), "groups"),
        (
            unet,
            "addition_embed_type",
            "text_time".into(),
            "add_embedding",
        ),
        (unet, "time_cond_proj_dim", 256.into(), "time_cond_proj_dim"),
        (
            "vae/config.json",
            "latents_mean",
            vec![0.0].into(),
            "latents_mean",
        ),
        ("vae/config.json", "layers_per_block", 3.into(), "resnets.2"),
        (
            "model_index.json",
            "_class_name",
            "FluxPipeline".into(),
            "FluxPipeline",
        ),
        (
            "scheduler/scheduler_config.json",
            "_class_name",
            "Unknown".into(),
            "`_class_name` Unknown",
        ),
        (
            "text_encoder/config.json",
            "num_hidden_layers",
            4.into(),
            "encoder.layers.3",
        ),
    ];
    for (file, key, value, named) in cases {
        let error = refused(changed("sd1", file, set(key, value)));
        assert!(error.contains(named), "{key}: {error}");
    }
    // Fewer layers leave tensors over.
    let text = "text_encoder/config.json";
    let error = refused(changed("sd2", text, set("num_hidden_layers", 2.into())));
    assert!(error.contains("not used"), "{error}");
    // Numbers that JSON does not have, as Python writes them.
    let folder = changed("sd1", "scheduler/scheduler_config.json", |_| {});
    let path = folder.path().join("model/scheduler/scheduler_config.json");
    let text = fs::read_to_string(&path).unwrap();
    let text = text.replacen('{', "{\"lambda_min_clipped\": -Infinity,", 1);
    fs::write(&path, text).unwrap();
    open(&folder.path().join("model"));
    // A shard that is not there.
    let folder = tempfile::tempdir().unwrap();
    link(&fixture("sd2"), &folder.path().join("model"));
    let shard = "model/unet/diffusion_pytorch_model-00002-of-00003.safetensors";
    fs::remove_file(folder.path().join(shard)).unwrap();
    assert!(refused(folder).contains("00002-of-00003"));
    // No folder at all.
    let error = Pipeline::open(Path::new("nowhere"), &Default::default(), &mut |_| {});
    assert!(
        error
            .unwrap_err()
            .to_string()
            .contains("nowhere/model_index.json")
    );
}

/// The first published VAEs call the parts of their attention otherwise, and some have more numbers than
/// a decoder needs.
#[test]
fn a_vae_with_the_names_of_the_first_files_decodes_to_the_same_bits() {
    let copy = tempfile::tempdir().unwrap();
    let folder = copy.path().join("model");
    link(&fixture("sd1"), &folder);
    let path = folder.join("vae/diffusion_pytorch_model.fp16.safetensors");
    let bytes = fs::read(&path).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let renamed = tensors.tensors().into_iter().map(|(name, tensor)| {
        let names = [
            ("to_q", "query"),
            ("to_k", "key"),
            ("to_v", "value"),
            ("to_out.0", "proj_attn"),
        ];
        let old = names.iter().fold(name, |name, (new, old)| {
            name.replace(
                &format!("attentions.0.{new}."),
                &format!("attentions.0.{old}."),
            )
        });
        (old, tensor)
    });
    let file = safetensors::serialize(renamed.collect::<Vec<_>>(), None).unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(&path, file).unwrap();
    let draw = |pipeline: &Pipeline| {
        let settings = Settings {
            steps: 1,
            ..Settings::of(pipeline)
        };
        let drawn = pipeline.draw(&[Drawing::new("a", 0)], &settings, &mut |_, _| {});
        drawn.unwrap().swap_remove(0).image
    };
    assert_eq!(draw(&open(&folder)), draw(&open(&fixture("sd1"))));
}
