//! Several commands in a row, as people chain them.

use crate::{
    Test,
    harness::{Place, json, json_lines},
    prediction::{PICTURES, place, predict},
    reference::{cosine, embedding},
    weights::{CLASSIFIER, ENCODER, Weights},
};

pub const TESTS: &[Test] = &[
    ("commands::predictions_are_scored", scored),
    (
        "commands::a_bundle_takes_the_models_to_another_machine",
        bundle,
    ),
    ("commands::doctor_finds_the_encoder", doctor),
];

const TRUTH: [&str; 5] = [
    "portrait of an astronaut in an orange suit, studio light",
    "a cat looking into the camera, close up",
    "a cup of coffee on a wooden table",
    "a man with a camera on a tripod, black and white photograph",
    "a rocket launch at night",
];

fn scored(weights: &Weights) {
    let place = place(weights);
    let submission = [
        "predict",
        "in",
        "--offline",
        "--format",
        "submission",
        "--out",
        "pred.csv",
    ];
    assert_eq!(place.run(&submission).output(), "");
    let records = predict(&place, &["in"]);
    let stems = PICTURES.map(|name| name.split('.').next().unwrap());

    let mut rows = csv::Writer::from_writer(Vec::new());
    rows.write_record(["imgId", "prompt"]).unwrap();
    for (stem, prompt) in stems.iter().zip(TRUTH) {
        rows.write_record([stem, prompt]).unwrap();
    }
    place.write("prompts.csv", rows.into_inner().unwrap());
    let truth = weights.encoder.embed(&TRUTH).unwrap();
    let expected: Vec<f64> = records
        .iter()
        .zip(&truth)
        .map(|(record, truth)| {
            let truth: Vec<f64> = truth.iter().map(|x| f64::from(*x)).collect();
            cosine(&embedding(record), &truth)
        })
        .collect();

    let score = |pred: &str, truth: &str| {
        let arguments = ["score", "--offline", "--format", "json", "--pred", pred];
        let run = place.run(&[&arguments[..], &["--truth", truth]].concat());
        json(run.output())
    };
    let found = score("pred.csv", "prompts.csv");
    assert_eq!(found["n"], 5);
    let images = found["per_image"].as_array().unwrap();
    for ((image, stem), expected) in images.iter().zip(stems).zip(&expected) {
        assert_eq!(image["id"], stem);
        let difference = image["cosine"].as_f64().unwrap() - expected;
        assert!(difference.abs() < 1e-9, "{image} {expected}");
    }
    let mean = expected.iter().sum::<f64>() / 5.0;
    assert!((found["mean_cosine"].as_f64().unwrap() - mean).abs() < 1e-9);

    // The records of the same pictures are predictions too, and score the same.
    let lines = [
        "predict",
        "in",
        "--offline",
        "--format",
        "jsonl",
        "--out",
        "pred.jsonl",
    ];
    assert_eq!(place.run(&lines).output(), "");
    assert_eq!(score("pred.jsonl", "prompts.csv"), found);
    let same = score("pred.jsonl", "pred.csv");
    assert!((same["mean_cosine"].as_f64().unwrap() - 1.0).abs() < 1e-9);
}

fn bundle(weights: &Weights) {
    let here = place(weights);
    let expected = predict(&here, &["in"]);
    let export = [
        "models",
        "export",
        ENCODER,
        CLASSIFIER,
        "--offline",
        "--out",
        "all.tar",
    ];
    assert_eq!(here.run(&export).output(), "");

    let there = Place::new();
    let bundle = here.path("all.tar");
    let import = [
        "models",
        "import",
        bundle.to_str().unwrap(),
        "--offline",
        "--format",
        "jsonl",
    ];
    let run = there.run(&import);
    let mut names: Vec<String> = json_lines(run.output())
        .iter()
        .map(|record| record["name"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    assert_eq!(names, [ENCODER, CLASSIFIER]);
    for name in PICTURES {
        there.copy(&here.path(format!("in/{name}")), &format!("in/{name}"));
    }
    assert_eq!(predict(&there, &["in"]), expected);

    // What is damaged afterwards is found.
    let verify = ["models", "verify", "--offline", "--format", "jsonl"];
    let checks = json_lines(there.run(&verify).output());
    assert!(checks.len() > 2);
    assert!(checks.iter().all(|check| check["good"] == true));
    let path = there.run(&["models", "path", CLASSIFIER, "--offline"]);
    let file = std::path::Path::new(path.output().trim_end()).join("model.safetensors");
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, bytes).unwrap();
    let run = there.run(&verify);
    let (stdout, stderr) = run.failures();
    let bad: Vec<_> = json_lines(stdout)
        .into_iter()
        .filter(|check| check["good"] == false)
        .collect();
    assert_eq!(bad.len(), 1);
    assert_eq!(bad[0]["name"], CLASSIFIER);
    assert_eq!(bad[0]["file"], "model.safetensors");
    assert!(stderr[0].contains("model.safetensors"), "{stderr:?}");

    // What is removed is gone, and nothing else.
    there
        .run(&["models", "rm", CLASSIFIER, "--offline"])
        .output();
    assert_eq!(
        there.run(&["models", "path", CLASSIFIER, "--offline"]).code,
        1
    );
    assert_eq!(there.run(&["models", "path", ENCODER, "--offline"]).code, 0);
    assert_eq!(there.run(&["predict", "in", "--offline"]).code, 1);
}

fn doctor(weights: &Weights) {
    let place = weights.place();
    let run = place.run(&["doctor", "--offline", "--format", "jsonl"]);
    let checks = json_lines(run.output());
    let check = checks.iter().find(|check| check["name"] == ENCODER);
    let check = check.unwrap();
    assert_eq!(check["good"], true, "{check}");
    let run = place.run(&["models", "path", ENCODER, "--offline"]);
    assert_eq!(check["found"], run.output().trim_end());
}
