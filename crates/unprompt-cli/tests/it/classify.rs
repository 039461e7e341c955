//! `unprompt classify`, with tiny networks of the user's own.

use crate::harness::{Place, json, json_lines, keys, workspace};

#[test]
fn paths_are_looked_at_before_the_model() {
    let place = Place::new();
    let run = place.run(&["classify", "missing.png", "--offline"]);
    let expected = "unprompt: missing.png: no such file or folder\n";
    assert_eq!(run.refusal(), expected);
}

#[test]
fn a_model_of_another_kind_is_refused_by_name() {
    let place = Place::new();
    let picture = workspace("examples/pictures/cat.png");
    let model = workspace("fixtures/models/tiny-sbert");
    let (picture, model) = (picture.to_str().unwrap(), model.to_str().unwrap());
    let run = place.run(&["classify", picture, "--model", model]);
    let stderr = run.refusal();
    assert!(
        stderr.starts_with(&format!("unprompt: model `{model}`: ")),
        "{stderr}"
    );
    // Its ten classes have no names here.
    let tiny = workspace("fixtures/models/tiny-efficientnet-lite/model.safetensors");
    let run = place.run(&["classify", picture, "--model", tiny.to_str().unwrap()]);
    assert!(run.refusal().starts_with("unprompt: model `"), "{run:?}");
}

#[test]
fn a_network_of_convolutions_says_that_it_stays_in_f32() {
    let place = Place::new();
    let picture = workspace("examples/pictures/cat.png");
    let model = workspace("fixtures/models/tiny-efficientnet-lite");
    let copy = place.copy(&model.join("model.safetensors"), "lite/model.safetensors");
    place.copy(&model.join("config.json"), "lite/config.json");
    let (picture, model) = (picture.to_str().unwrap(), copy.parent().unwrap());
    let model = model.to_str().unwrap();
    let exact = place.run(&["classify", picture, "--model", model]);
    let arguments = ["classify", picture, "--model", model, "--dtype", "int8"];
    let int8 = place.run(&arguments);
    assert_eq!((int8.code, &*int8.stdout), (0, exact.output()));
    assert!(int8.stderr.contains("always computes in f32"), "{int8:?}");
    let quiet = place.run(&[&arguments[..], &["--quiet"]].concat());
    assert_eq!(quiet.stderr, "");
}

#[test]
fn labels_are_spelt_as_the_configuration_has_them() {
    let place = Place::new();
    let picture = workspace("examples/pictures/cat.png");
    let model = workspace("fixtures/models/tiny-vit-transformers");
    let (picture, model) = (picture.to_str().unwrap(), model.to_str().unwrap());
    let arguments = ["classify", picture, "--model", model];
    let run = place.run(&[&arguments[..], &["--format", "json"]].concat());
    let records = json(run.output());
    assert_eq!(keys(&records[0]), ["labels", "path"]);
    let labels = records[0]["labels"].as_array().unwrap();
    // Fewer than were asked for: all there are.
    assert_eq!(labels.len(), 3);
    let spelt = ["comic book", "triceratops", "coffee mug, cup"];
    let [mut total, mut last] = [0.0, f64::INFINITY];
    let exponentials = labels.iter().map(|l| l["logit"].as_f64().unwrap().exp());
    let sum: f64 = exponentials.sum();
    for label in labels {
        assert_eq!(keys(label), ["index", "label", "logit", "probability"]);
        let index = label["index"].as_u64().unwrap() as usize;
        assert_eq!(label["label"], spelt[index]);
        let probability = label["probability"].as_f64().unwrap();
        let logit = label["logit"].as_f64().unwrap();
        assert!((probability - logit.exp() / sum).abs() < 1e-6, "{label}");
        assert!(probability <= last);
        (total, last) = (total + probability, probability);
    }
    assert!((total - 1.0).abs() < 1e-6);

    // The logits are what `embed image --raw` gives.
    let raw = [
        "embed", "image", picture, "--model", model, "--raw", "--format", "json",
    ];
    let raw = json(place.run(&raw).output());
    for label in labels {
        let index = label["index"].as_u64().unwrap() as usize;
        assert_eq!(raw[0]["embedding"][index], label["logit"]);
    }

    let text = place.run(&[&arguments[..], &["--top", "1"]].concat());
    let (probability, best) = (&labels[0]["probability"], &labels[0]["label"]);
    let expected = format!(
        "{:.4}\t{}\n",
        probability.as_f64().unwrap(),
        best.as_str().unwrap()
    );
    assert_eq!(text.output(), expected);
    assert_eq!(
        place
            .run(&[&arguments[..], &["--top", "0"]].concat())
            .output(),
        ""
    );
}

#[test]
fn classes_without_names_are_numbers() {
    let place = Place::new();
    place.copy(&workspace("examples/pictures/cat.png"), "in/cat.png");
    place.copy(&workspace("examples/pictures/rocket.jpg"), "in/rocket.jpg");
    place.write("in/broken.png", "no picture");
    for (name, classes) in [("tiny-vit-timm", 5), ("tiny-vit-bare.pth", 7)] {
        let model = workspace("fixtures/models").join(name);
        let arguments = [
            "classify",
            "in",
            "--top",
            "9",
            "--quiet",
            "--format",
            "jsonl",
            "--allow-pickle",
            "--model",
            model.to_str().unwrap(),
        ];
        let run = place.run(&arguments);
        let (stdout, stderr) = run.failures();
        assert_eq!(stderr.len(), 1, "{stderr:?}");
        let records = json_lines(stdout);
        assert_eq!(keys(&records[0]), ["error", "path"]);
        for record in &records[1..] {
            let labels = record["labels"].as_array().unwrap();
            let mut found: Vec<u64> = labels
                .iter()
                .inspect(|label| assert_eq!(label["label"], label["index"].to_string()))
                .map(|label| label["index"].as_u64().unwrap())
                .collect();
            found.sort_unstable();
            assert_eq!(found, (0..classes).collect::<Vec<u64>>());
        }
        assert_ne!(records[1]["labels"], records[2]["labels"]);
    }
}

#[test]
fn a_network_without_classes_is_refused_by_name() {
    let place = Place::new();
    let picture = workspace("examples/pictures/cat.png");
    let picture = picture.to_str().unwrap();
    for (name, expected) in [
        ("tiny-clip", "a CLIP, where a classifier is needed"),
        ("tiny-vit-model", "where a network with a head is needed"),
        ("tiny-vit-timm-gap", "where a network with a head is needed"),
        ("tiny-vit-bare.pth", "--allow-pickle"),
    ] {
        let path = workspace("fixtures/models").join(name);
        let path = path.to_str().unwrap();
        let run = place.run(&["classify", picture, "--model", path]);
        let refusal = run.refusal();
        assert!(
            refusal.starts_with(&format!("unprompt: model `{path}`")),
            "{refusal}"
        );
        assert!(refusal.contains(expected), "{refusal}");
    }
    // A CLIP by its name is not fetched first to be refused then.
    for (name, kind) in [
        ("ViT-H-14/laion2b_s32b_b79k", "a CLIP"),
        ("ViT-B-16-SigLIP/webli", "a SigLIP"),
    ] {
        let run = place.run(&["classify", picture, "--model", name, "--offline"]);
        let expected = format!("unprompt: model `{name}`: ");
        assert!(run.refusal().starts_with(&expected), "{run:?}");
        let expected = format!("{kind}, where a classifier is needed");
        assert!(run.stderr.contains(&expected), "{run:?}");
    }
}
