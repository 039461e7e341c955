//! `unprompt embed image`, with tiny networks of the user's own.

use crate::harness::{Place, huge_png, json, json_lines, keys, workspace};
use serde_json::Value;

fn model(name: &str) -> String {
    let path = workspace("fixtures/models").join(name);
    path.to_str().unwrap().to_owned()
}

fn example(name: &str) -> String {
    let path = workspace("examples/pictures").join(name);
    path.to_str().unwrap().to_owned()
}

fn numbers(record: &Value) -> Vec<f64> {
    let numbers = record["embedding"].as_array().unwrap();
    numbers.iter().map(|n| n.as_f64().unwrap()).collect()
}

fn length(numbers: &[f64]) -> f64 {
    numbers.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// The one vector of a run on one picture.
#[track_caller]
fn one(place: &Place, more: &[&str]) -> Vec<f64> {
    let arguments = ["embed", "image", "--format", "json", "--quiet"];
    let records = json(place.run(&[&arguments[..], more].concat()).output());
    assert_eq!(records.as_array().unwrap().len(), 1);
    numbers(&records[0])
}

#[test]
fn three_formats_tell_the_same() {
    let place = Place::new();
    let (clip, cat, rocket) = (
        model("tiny-clip"),
        example("cat.png"),
        example("rocket.jpg"),
    );
    let arguments = ["embed", "image", &cat, &rocket, "--model", &clip];
    let run = |format| place.run(&[&arguments[..], &["--format", format]].concat());
    let lines = run("jsonl");
    let records = json_lines(lines.output());
    assert_eq!(records.len(), 2);
    for (record, path) in records.iter().zip([&cat, &rocket]) {
        assert_eq!(keys(record), ["embedding", "path"]);
        assert_eq!(record["path"], **path);
        assert_eq!(numbers(record).len(), 8);
        assert!((length(&numbers(record)) - 1.0).abs() < 1e-6);
    }
    assert_eq!(json(run("json").output()), Value::from(records.clone()));
    let text = run("text");
    assert_eq!(text.output().lines().count(), 2);
    for (line, record) in text.stdout.lines().zip(&records) {
        let (path, found) = line.split_once('\t').unwrap();
        let found: Vec<f64> = found.split(' ').map(|n| n.parse().unwrap()).collect();
        assert_eq!(record["path"], path);
        assert_eq!(found, numbers(record));
    }
    // One file needs no name, and standard input has none.
    let bytes = std::fs::read(&cat).unwrap();
    let (_, vector) = text
        .stdout
        .lines()
        .next()
        .unwrap()
        .split_once('\t')
        .unwrap();
    let alone = place.run(&["embed", "image", &cat, "--model", &clip]);
    let piped = place.run_on(&["embed", "image", "-", "--model", &clip], &bytes);
    for run in [alone, piped] {
        assert_eq!(run.output(), format!("{vector}\n"));
    }
}

#[test]
fn int8_weights_give_near_vectors_and_the_same_bits_in_any_batch() {
    let place = Place::new();
    let pictures = ["cat.png", "rocket.jpg", "coffee.webp"].map(example);
    let pictures = pictures.each_ref().map(String::as_str);
    for name in ["tiny-clip", "tiny-vit-timm"] {
        let path = model(name);
        let model = ["--format", "jsonl", "--model", &path];
        let run = |more: &[&str]| {
            let arguments = [&["embed", "image"], &pictures[..], &model, more].concat();
            json_lines(place.run(&arguments).output())
        };
        let (exact, int8) = (run(&[]), run(&["--dtype", "int8"]));
        assert_ne!(exact, int8, "{name}");
        for (exact, int8) in exact.iter().zip(&int8) {
            let (exact, int8) = (numbers(exact), numbers(int8));
            let dot: f64 = exact.iter().zip(&int8).map(|(a, b)| a * b).sum();
            assert!(
                dot / (length(&exact) * length(&int8)) > 0.99,
                "{name}: {dot}"
            );
        }
        for more in [
            ["--batch-size", "1"],
            ["--batch-size", "2"],
            ["--threads", "1"],
        ] {
            assert_eq!(
                run(&[&more[..], &["--dtype", "int8"]].concat()),
                int8,
                "{name}"
            );
        }
    }
}

#[test]
fn a_named_model_without_pictures_is_refused_before_it_is_fetched() {
    let place = Place::new();
    let cat = example("cat.png");
    for (name, found) in [
        ("all-MiniLM-L6-v2", "a sentence encoder"),
        ("clip-bpe-vocabulary", "a vocabulary without a network"),
    ] {
        for arguments in [&["embed", "image"][..], &["classify"]] {
            // Offline, the refusal of a fetch would come first.
            let arguments = [arguments, &[&cat, "--offline", "--model", name]].concat();
            let run = place.run(&arguments);
            let expected = format!("unprompt: model `{name}`: {name}: {found}, where a ");
            assert!(run.refusal().starts_with(&expected), "{run:?}");
        }
    }
}

#[test]
fn raw_vectors_are_the_others_before_they_are_normalised() {
    let place = Place::new();
    let cat = example("cat.png");
    for name in ["tiny-clip", "tiny-vit-timm", "tiny-vit-bare.pth"] {
        let path = model(name);
        let arguments = [&cat, "--model", &path, "--allow-pickle"];
        let unit = one(&place, &arguments);
        let raw = one(&place, &[&arguments[..], &["--raw"]].concat());
        let norm = length(&raw);
        assert!((norm - 1.0).abs() > 1e-2, "{name}: {norm}");
        for (unit, raw) in unit.iter().zip(&raw) {
            assert!((unit - raw / norm).abs() < 1e-6, "{name}");
        }
    }
}

#[test]
fn two_views_are_averaged_and_a_symmetric_picture_has_two_equal_ones() {
    let place = Place::new();
    let (bare, cat) = (model("tiny-vit-bare.pth"), example("cat.png"));
    let arguments = [&cat, "--model", &bare, "--allow-pickle"];
    let none = one(&place, &arguments);
    assert_eq!(
        one(&place, &[&arguments[..], &["--tta", "none"]].concat()),
        none
    );
    let flip = one(&place, &[&arguments[..], &["--tta", "flip"]].concat());
    assert_ne!(flip, none);
    // The mean of two unit vectors, as it is.
    assert!(length(&flip) < 1.0 - 1e-6);
    // A picture of one pixel is its own mirror image.
    let dot = workspace("crates/unprompt-image/fixtures/pictures/rgb_1x1.png");
    let arguments = [dot.to_str().unwrap(), "--model", &bare, "--allow-pickle"];
    let none = one(&place, &arguments);
    let flip = one(&place, &[&arguments[..], &["--tta", "flip"]].concat());
    assert_eq!(flip, none);
}

#[test]
fn heads_of_tensors_alone_are_told_or_a_note_says_what_was_taken() {
    let place = Place::new();
    let (bare, cat) = (model("tiny-vit-bare.pth"), example("cat.png"));
    let arguments = ["embed", "image", &cat, "--model", &bare, "--allow-pickle"];
    let run = |more: &[&str]| place.run(&[&arguments[..], more].concat());
    let guessed = run(&[]);
    assert_eq!(guessed.code, 0, "{guessed:?}");
    assert!(guessed.stderr.contains("guessed: 1,") && guessed.stderr.contains("--heads"));
    assert_eq!(run(&["--heads", "1"]).output(), guessed.stdout);
    assert_ne!(run(&["--heads", "4"]).output(), guessed.stdout);
    assert!(run(&["--heads", "5"]).refusal().contains("5 heads"));
    // What says it itself cannot be told otherwise.
    for name in ["tiny-vit-timm", "tiny-clip"] {
        let with = ["embed", "image", &cat, "--heads", "2", "--model"];
        let run = place.run(&[&with[..], &[&model(name)]].concat());
        assert!(!run.refusal().is_empty(), "{run:?}");
    }
    let with = [
        "classify",
        &cat,
        "--heads",
        "4",
        "--allow-pickle",
        "--model",
    ];
    place.run(&[&with[..], &[&bare]].concat()).output();
}

#[test]
fn broken_files_in_a_folder_cost_their_own_records_and_no_other() {
    let place = Place::new();
    for name in ["cat.png", "rocket.jpg", "coffee.webp"] {
        place.copy(example(name).as_ref(), &format!("in/{name}"));
    }
    place.write("in/a.dat", [0, 1, 2, 3]);
    place.write("in/a.txt", "plainly no picture");
    place.write("in/huge.png", huge_png());
    let cat = std::fs::read(example("cat.png")).unwrap();
    place.write("in/sub/cut.png", &cat[..cat.len() / 2]);
    // By content, whatever the name says; standard files lie before and after the broken ones.
    place.write("in/sub/z.jpg", &cat);
    let clip = model("tiny-clip");
    let arguments = ["embed", "image", "in", "--model", &clip];
    let order = [
        ("in/a.dat", false),
        ("in/cat.png", true),
        ("in/coffee.webp", true),
        ("in/huge.png", false),
        ("in/rocket.jpg", true),
        ("in/sub/cut.png", false),
        ("in/sub/z.jpg", true),
    ];
    let mut first = None;
    for size in ["1", "2", "16"] {
        let more = ["--format", "jsonl", "--batch-size", size];
        let run = place.run(&[&arguments[..], &more].concat());
        let (stdout, stderr) = run.failures();
        let records = json_lines(stdout);
        assert_eq!(records.len(), order.len());
        for (record, (path, good)) in records.iter().zip(order) {
            assert_eq!(record["path"], path);
            let key = if good { "embedding" } else { "error" };
            assert_eq!(
                keys(record),
                if good {
                    [key, "path"]
                } else {
                    ["error", "path"]
                }
            );
        }
        let bad: Vec<&str> = order
            .iter()
            .filter(|(_, good)| !good)
            .map(|(path, _)| *path)
            .collect();
        assert_eq!(stderr.len(), bad.len(), "{stderr:?}");
        for (line, path) in stderr.iter().zip(bad) {
            assert!(line.starts_with(&format!("unprompt: {path}: ")), "{line}");
        }
        assert_eq!(numbers(&records[1]), numbers(&records[6]));
        // Not one digit depends on the neighbours.
        assert_eq!(
            first.get_or_insert_with(|| stdout.to_owned()),
            stdout,
            "{size}"
        );
    }
    // Text has lines for the good ones only.
    let run = place.run(&arguments);
    let (stdout, stderr) = run.failures();
    let paths: Vec<&str> = stdout
        .lines()
        .filter_map(|line| Some(line.split_once('\t')?.0))
        .collect();
    assert_eq!(
        paths,
        [
            "in/cat.png",
            "in/coffee.webp",
            "in/rocket.jpg",
            "in/sub/z.jpg"
        ]
    );
    assert_eq!(stderr.len(), 3);
}

#[test]
fn batches_and_threads_change_no_bit_in_any_network() {
    let place = Place::new();
    for name in ["cat.png", "rocket.jpg", "coffee.webp", "photographer.png"] {
        place.copy(example(name).as_ref(), &format!("in/{name}"));
    }
    for name in [
        "tiny-clip-open-clip",
        "tiny-clip-transformers",
        "tiny-vit-timm",
        "tiny-vit-transformers",
        "tiny-vit-bare.pth",
    ] {
        let path = model(name);
        let run = |more: &[&str]| {
            let arguments = [
                "embed",
                "image",
                "in",
                "--model",
                &path,
                "--allow-pickle",
                "--format",
                "jsonl",
                "--tta",
                "flip",
                "--quiet",
            ];
            place
                .run(&[&arguments[..], more].concat())
                .output()
                .to_owned()
        };
        let alone = run(&["--batch-size", "1"]);
        assert_eq!(alone.lines().count(), 4);
        assert_eq!(run(&["--batch-size", "16"]), alone, "{name}");
        assert_eq!(
            run(&["--batch-size", "3", "--threads", "1"]),
            alone,
            "{name}"
        );
    }
}

#[test]
fn a_model_that_gives_pictures_no_vector_is_refused_by_name() {
    let place = Place::new();
    let cat = example("cat.png");
    for (name, expected) in [
        (
            "tiny-sbert",
            "a sentence encoder, where a CLIP, a SigLIP or a Vision Transformer is needed",
        ),
        (
            "tiny-efficientnet-lite",
            "an EfficientNet-Lite, where a CLIP",
        ),
        ("tiny-clip-text", "the folder holds a text tower only"),
        ("tiny-clip-tokenizer", "the folder holds no weights"),
        (
            "tiny-vit-transformers/preprocessor_config.json",
            "preprocessor_config.json",
        ),
        ("tiny-clip/config.json", "config.json"),
    ] {
        let path = model(name);
        let run = place.run(&["embed", "image", &cat, "--model", &path]);
        let refusal = run.refusal();
        assert!(
            refusal.starts_with(&format!("unprompt: model `{path}`")),
            "{refusal}"
        );
        assert!(refusal.contains(expected), "{name}: {refusal}");
    }
    place.write("mine/config.json", r#"{"model_type": "swin"}"#);
    place.write("damaged/config.json", r#"{"model_type": "vit""#);
    for (path, expected) in [
        ("./mine", "`model_type` is swin"),
        ("./damaged", "config.json"),
    ] {
        let run = place.run(&["embed", "image", &cat, "--model", path]);
        assert!(
            run.refusal()
                .starts_with(&format!("unprompt: model `{path}`: ")),
            "{run:?}"
        );
        assert!(run.stderr.contains(expected), "{run:?}");
    }
    let run = place.run(&["embed", "image", &cat]);
    assert!(run.refusal().contains("--model"), "{run:?}");
    let run = place.run(&["embed", "image", "missing.png", "--model", "nosuch"]);
    assert_eq!(
        run.refusal(),
        "unprompt: missing.png: no such file or folder\n"
    );
}

#[test]
fn a_pickle_is_read_only_where_that_is_allowed() {
    let place = Place::new();
    let cat = example("cat.png");
    for name in ["tiny-vit-bare.pth", "tiny-clip-open-clip-variant"] {
        let path = model(name);
        let arguments = ["embed", "image", &cat, "--quiet", "--model", &path];
        let run = place.run(&arguments);
        assert!(run.refusal().contains("--allow-pickle"), "{run:?}");
        assert!(run.stderr.contains(name), "{run:?}");
        let run = place.run(&[&arguments[..], &["--allow-pickle"]].concat());
        assert_eq!(run.output().lines().count(), 1);
    }
}

#[test]
fn a_name_of_open_clip_is_a_repository_on_the_hub() {
    let place = Place::new();
    let cat = example("cat.png");
    for (name, repository) in [
        (
            "ViT-H-14/laion2b_s32b_b79k",
            "laion/CLIP-ViT-H-14-laion2B-s32B-b79K",
        ),
        ("ViT-L-14/openai", "timm/vit_large_patch14_clip_224.openai"),
        (
            "ViT-L-14-quickgelu/openai",
            "timm/vit_large_patch14_clip_224.openai",
        ),
        (
            "ViT-SO400M-14-SigLIP-384/webli",
            "timm/ViT-SO400M-14-SigLIP-384",
        ),
    ] {
        for arguments in [["embed", "image", &cat], ["embed", "text", "a cat"]] {
            let run = place.run(&[&arguments[..], &["--model", name, "--offline"]].concat());
            assert!(
                run.refusal().contains(&format!("`{repository}`")),
                "{run:?}"
            );
        }
    }
    // The weights are misspelt: those that there are help more than a repository nobody has.
    let run = place.run(&[
        "embed",
        "image",
        &cat,
        "--model",
        "ViT-H-14/laion2b",
        "--offline",
    ]);
    assert!(
        run.refusal()
            .starts_with("unprompt: model `ViT-H-14/laion2b`: "),
        "{run:?}"
    );
    assert!(run.stderr.contains("laion2b_s32b_b79k"), "{run:?}");
    let name = "ViT-B-16-SigLIP2/laion2b";
    let run = place.run(&["embed", "image", &cat, "--model", name, "--offline"]);
    assert!(run.refusal().contains("known are webli"), "{run:?}");
    // A folder of such a name is that folder.
    let tiny = workspace("fixtures/models/tiny-clip");
    for name in ["config.json", "processor_config.json", "model.safetensors"] {
        place.copy(&tiny.join(name), &format!("ViT-L-14/openai/{name}"));
    }
    let run = place.run(&[
        "embed",
        "image",
        &cat,
        "--model",
        "ViT-L-14/openai",
        "--offline",
    ]);
    assert_eq!(run.output().split(' ').count(), 8);
}
