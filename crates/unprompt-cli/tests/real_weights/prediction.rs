//! What `unprompt predict` says of a picture, and in which formats.

use crate::{
    Test,
    harness::{Place, json, json_lines, keys, workspace},
    reference::{blend, cosine, embedding, embedding_f32, largest_difference},
    weights::{CLASSIFIER, ENCODER, Weights},
};
use serde_json::{Value, json};

pub const TESTS: &[Test] = &[
    ("predict::the_record_has_what_is_promised", record),
    ("predict::the_embedding_equals_its_formula", formula),
    ("predict::int8_is_near_and_says_so", int8),
    ("predict::five_formats_tell_the_same", formats),
    ("predict::a_prompt_in_the_file_is_no_prediction", metadata),
    (
        "predict::metadata_that_cannot_be_read_are_told",
        damaged_metadata,
    ),
    ("predict::a_preset_of_ones_own", own_preset),
    ("predict::a_complete_preset_is_offered", offer),
    (
        "predict::the_expected_score_is_the_calibration's",
        expected_score,
    ),
];

pub const PICTURES: [&str; 5] = [
    "astronaut.jpg",
    "cat.png",
    "coffee.webp",
    "photographer.png",
    "rocket.jpg",
];

/// A place with the example pictures in the folder `in`.
pub fn place(weights: &Weights) -> Place {
    let place = weights.place();
    for name in PICTURES {
        let path = workspace("examples/pictures").join(name);
        place.copy(&path, &format!("in/{name}"));
    }
    place
}

/// The records of a run, without the time that each took.
#[track_caller]
pub fn records(stdout: &str) -> Vec<Value> {
    let mut records = json_lines(stdout);
    for record in &mut records {
        if let Some(record) = record.as_object_mut()
            && let Some(elapsed) = record.remove("elapsed_ms")
        {
            assert!(elapsed.as_f64().unwrap() > 0.0);
        }
    }
    records
}

#[track_caller]
pub fn predict(place: &Place, more: &[&str]) -> Vec<Value> {
    let arguments = ["predict", "--offline", "--quiet", "--format", "jsonl"];
    records(place.run(&[&arguments[..], more].concat()).output())
}

fn assert_unit(numbers: &[f64]) {
    assert_eq!(numbers.len(), 384);
    let length = numbers.iter().map(|x| x * x).sum::<f64>().sqrt();
    assert!((length - 1.0).abs() < 1e-6, "{length}");
}

fn record(weights: &Weights) {
    let place = place(weights);
    let run = place.run(&[
        "predict",
        "in/cat.png",
        "--offline",
        "--quiet",
        "--format",
        "json",
    ]);
    let found = json(run.output());
    let record = &found[0];
    let expected = [
        "elapsed_ms",
        "embedding",
        "evidence",
        "expected_score",
        "members",
        "path",
        "preset",
        "prompt",
        "receipt",
        "source",
    ];
    assert_eq!(keys(record), expected);
    assert_eq!(record["path"], "in/cat.png");
    assert_eq!(record["source"], "predicted");
    assert_eq!(record["preset"], "labels");
    assert_unit(&embedding(record));

    let members = record["members"].as_array().unwrap();
    let named: Vec<(&str, f64, bool)> = members
        .iter()
        .map(|m| {
            assert_unit(&embedding(m));
            let name = m["name"].as_str().unwrap();
            (name, m["weight"].as_f64().unwrap(), m["text"].is_string())
        })
        .collect();
    let expected = [
        ("labels", 0.0, true),
        ("conse", 0.0, false),
        ("retrieval", 1.0, true),
    ];
    assert_eq!(named, expected);
    let evidence = record["evidence"].as_array().unwrap();
    assert_eq!(evidence.len(), 5);
    assert_eq!(evidence[0]["prompt"], members[2]["text"]);
    let similarity = |e: &Value| e["similarity"].as_f64().unwrap();
    assert!(evidence.is_sorted_by(|a, b| similarity(a) >= similarity(b)));
    let mut texts: Vec<&Value> = evidence.iter().map(|e| &e["prompt"]).collect();
    texts.push(&members[0]["text"]);
    assert!(texts.contains(&&record["prompt"]));

    let receipt = &record["receipt"];
    assert_eq!(keys(receipt), ["dtype", "models", "version"]);
    assert_eq!(receipt["dtype"], "f32");
    assert_eq!(receipt["version"], env!("CARGO_PKG_VERSION"));
    let models = receipt["models"].as_array().unwrap();
    let names: Vec<&str> = models.iter().filter_map(|m| m["name"].as_str()).collect();
    assert_eq!(names, [ENCODER, CLASSIFIER]);
    for model in models {
        assert_eq!(keys(model), ["dtype", "name", "revision", "sha256"]);
        assert_eq!(model["dtype"], "f32");
        let digest = model["sha256"].as_str().unwrap();
        assert!(digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit()));
        assert!(!model["revision"].as_str().unwrap().is_empty());
    }
}

/// The sentence encoder computes with int8 weights, the labeller in f32 as ever.
fn int8(weights: &Weights) {
    let place = place(weights);
    let exact = predict(&place, &["in/cat.png"]);
    let found = predict(&place, &["in/cat.png", "--dtype", "int8"]);
    let receipt = &found[0]["receipt"];
    assert_eq!(receipt["dtype"], "int8");
    let dtypes: Vec<&Value> = [0, 1].map(|i| &receipt["models"][i]["dtype"]).into();
    assert_eq!(dtypes, ["int8", "f32"]);
    assert_eq!(found[0]["prompt"], exact[0]["prompt"]);
    let near = cosine(&embedding(&found[0]), &embedding(&exact[0]));
    assert!((0.999..0.999_999_9).contains(&near), "{near}");
    for threads in ["1", "3"] {
        let again = ["in/cat.png", "--dtype", "int8", "--threads", threads];
        assert_eq!(predict(&place, &again), found);
    }
}

/// A preset of two members over the same labels.
const LABELS_ALONE: &str = r#"
name = "own"
encoder = "all-MiniLM-L6-v2"
[[member]]
name = "labels"
kind = "label-text"
model = "efficientnet-lite0"
top = 5
weight = 0.25
[[member]]
name = "conse"
kind = "label-mean"
model = "efficientnet-lite0"
top = 10
weight = 0.75
"#;

/// `normalise(0.25 * E(text) + 0.75 * normalise(sum of p * E(label)))`, of the outputs of
/// `classify` and `embed text`.
fn formula(weights: &Weights) {
    let place = place(weights);
    place.write("own.toml", LABELS_ALONE);
    for name in PICTURES {
        let path = format!("in/{name}");
        let record = &predict(&place, &[&path, "--preset", "own.toml"])[0];
        let arguments = ["classify", "--offline", "--top", "10", "--format", "json"];
        let labels = json(place.run(&[&arguments[..], &[&path]].concat()).output());
        let labels = labels[0]["labels"].as_array().unwrap().clone();
        let names: Vec<&str> = labels.iter().filter_map(|l| l["label"].as_str()).collect();
        assert_eq!(names.len(), 10);
        let text = names[..5].join(", ");
        assert_eq!(record["members"][0]["text"], text.as_str());

        let texts = [&names[..], &[&text]].concat();
        let arguments = ["embed", "text", "--offline", "--format", "json"];
        let embedded = json(place.run(&[&arguments[..], &texts].concat()).output());
        let embedded = embedded.as_array().unwrap();
        let weighted = |(label, record): (&Value, &Value)| {
            (label["probability"].as_f64().unwrap(), embedding(record))
        };
        let mean = blend(
            &labels
                .iter()
                .zip(embedded)
                .map(weighted)
                .collect::<Vec<_>>(),
        );
        let of_text = embedding(&embedded[10]);
        let expected = blend(&[(0.25, of_text.clone()), (0.75, mean.clone())]);

        let members = &record["members"];
        for (found, expected) in [
            (embedding(record), expected),
            (embedding(&members[0]), of_text),
            (embedding(&members[1]), mean),
        ] {
            let difference = largest_difference(&found, &expected);
            assert!(difference < 1e-6, "{name}: {difference}");
        }
    }
}

fn formats(weights: &Weights) {
    let place = place(weights);
    let records = predict(&place, &["in"]);
    let paths: Vec<&str> = records.iter().filter_map(|r| r["path"].as_str()).collect();
    assert_eq!(paths, PICTURES.map(|name| format!("in/{name}")));

    let run = |format: &str| {
        let run = place.run(&["predict", "in", "--offline", "--format", format]);
        run.output().to_owned()
    };
    let mut array = json(&run("json"));
    for record in array.as_array_mut().unwrap() {
        record.as_object_mut().unwrap().remove("elapsed_ms");
    }
    assert_eq!(array, Value::from(records.clone()));

    let line = |record: &Value| {
        let [path, prompt] = ["path", "prompt"].map(|key| record[key].as_str().unwrap());
        format!("{path}\t{prompt}\n")
    };
    assert_eq!(run("text"), records.iter().map(line).collect::<String>());
    let single = place.run(&["predict", "in/cat.png", "--offline"]);
    let prompt = records[1]["prompt"].as_str().unwrap();
    assert_eq!(single.output(), format!("{prompt}\n"));

    let table = run("csv");
    assert!(table.starts_with("path,prompt\n"));
    let mut reader = csv::Reader::from_reader(table.as_bytes());
    let rows: Vec<csv::StringRecord> = reader.records().map(|row| row.unwrap()).collect();
    assert_eq!(rows.len(), records.len());
    for (row, record) in rows.iter().zip(&records) {
        assert_eq!([&row[0], &row[1]], [&record["path"], &record["prompt"]]);
    }

    let submission = run("submission");
    assert!(submission.starts_with("imgId_eId,val\nastronaut_0,"));
    let mut rows = csv::Reader::from_reader(submission.as_bytes()).into_records();
    for (record, name) in records.iter().zip(PICTURES) {
        let id = name.split('.').next().unwrap();
        for (dimension, expected) in embedding(record).into_iter().enumerate() {
            let row = rows.next().unwrap().unwrap();
            assert_eq!(row[0], format!("{id}_{dimension}"));
            assert_eq!(row[1].parse::<f32>().unwrap(), expected as f32);
        }
    }
    assert!(rows.next().is_none());
}

const CARRIED: &str = "a cat, (sitting:1.2) on \"Steps: 5\" sign,\nNegative space, masterpiece";

fn metadata(weights: &Weights) {
    let place = place(weights);
    let path = workspace("crates/unprompt-metadata/tests/fixtures/a1111-text.png");
    place.copy(&path, "carries.png");
    let found = predict(&place, &["carries.png", "in/cat.png"]);
    assert_eq!(found[0]["source"], "metadata");
    assert_eq!(found[0]["prompt"], CARRIED);
    assert_eq!(found[0]["members"], json!([]));
    let expected = weights.encoder.embed(&[CARRIED]).unwrap();
    assert!(embedding_f32(&found[0]) == expected[0]);
    assert_eq!(found[1]["source"], "predicted");

    let guessed = predict(&place, &["carries.png", "in/cat.png", "--no-metadata"]);
    assert_eq!(guessed[0]["source"], "predicted");
    assert_ne!(guessed[0]["prompt"], CARRIED);
    assert_eq!(guessed[0]["members"].as_array().unwrap().len(), 3);
    assert_eq!(guessed[1], found[1]);

    // One picture alone shows its prompt as it is; in a list each has one line.
    let run = place.run(&["predict", "carries.png", "--offline"]);
    assert_eq!(run.output(), format!("{CARRIED}\n"));
    let run = place.run(&["predict", "carries.png", "in/cat.png", "--offline"]);
    let line = format!("carries.png\t{}", CARRIED.replace('\n', "\\n"));
    assert_eq!(run.output().lines().next(), Some(line.as_str()));
    assert_eq!(run.stdout.lines().count(), 2);
}

fn damaged_metadata(weights: &Weights) {
    let place = place(weights);
    let path = workspace("crates/unprompt-metadata/tests/fixtures/a1111-text.png");
    let mut picture = std::fs::read(path).unwrap();
    let word = b"masterpiece";
    let at = picture
        .windows(word.len())
        .position(|window| window == word);
    picture[at.unwrap()] = b'M';
    place.write("damaged.png", picture);
    for format in ["jsonl", "text", "csv", "submission"] {
        let arguments = [
            "predict",
            "damaged.png",
            "in",
            "--offline",
            "--format",
            format,
        ];
        let run = place.run(&arguments);
        assert_eq!(run.code, 0, "{run:?}");
        let lines: Vec<&str> = run.stderr.lines().collect();
        assert_eq!(lines.len(), 1, "{run:?}");
        let begin = "unprompt: damaged.png: predicted, for its metadata cannot be read: ";
        assert!(lines[0].starts_with(begin), "{run:?}");
    }
    let found = predict(&place, &["damaged.png", "in/cat.png"]);
    assert_eq!(found[0]["source"], "predicted");
    assert!(
        found[0]["metadata_error"]
            .as_str()
            .unwrap()
            .contains("checksum")
    );
    assert!(!keys(&found[1]).contains(&"metadata_error"));
    let run = place.run(&["predict", "damaged.png", "--offline", "--no-metadata"]);
    run.output();
}

fn own_preset(weights: &Weights) {
    let place = place(weights);
    let preset = format!(
        "name = \"mine\"\nencoder = \"{ENCODER}\"\n\
         [[member]]\nname = \"words\"\nkind = \"label-text\"\nmodel = \"{CLASSIFIER}\"\n\
         top = 1\nweight = 2.0\n"
    );
    place.write("mine.toml", preset);
    let record = &predict(&place, &["in/cat.png", "--preset", "mine.toml"])[0];
    assert_eq!(record["preset"], "mine");
    let prompt = record["prompt"].as_str().unwrap();
    let expected = weights.encoder.embed(&[prompt]).unwrap();
    let difference = largest_difference(&embedding(record), &expected[0]);
    assert!(difference < 1e-6, "{difference}");
    let full = &predict(&place, &["in/cat.png"])[0];
    let labels = full["members"][0]["text"].as_str().unwrap();
    assert!(
        labels.starts_with(&format!("{prompt}, ")),
        "{prompt} {labels}"
    );
}

/// Where a model of a preset is missing, `lite` is offered.
fn offer(weights: &Weights) {
    let place = place(weights);
    let own = LABELS_ALONE.replacen("efficientnet-lite0", "./missing.pth", 1);
    place.write("own.toml", own);
    let run = place.run(&["predict", "in", "--offline", "--preset", "own.toml"]);
    let stderr = run.refusal();
    for expected in [
        "preset `own`: 1 of its 3 models is not on this machine",
        "\n  ./missing.pth  no such file or folder; put the model there\n",
        "`--preset lite` is complete on this machine",
    ] {
        assert!(stderr.contains(expected), "{expected}: {stderr}");
    }
}

/// Every feature, worked out again from the records, through a map that is not constant.
fn expected_score(weights: &Weights) {
    let place = place(weights);
    for feature in ["text", "agreement", "length"] {
        let map =
            format!("[calibration]\nfeature = \"{feature}\"\npoints = [[-1, -0.5], [1, 0.5]]");
        place.write("own.toml", format!("{LABELS_ALONE}\n{map}\n"));
        let record = &predict(&place, &["in/cat.png", "--preset", "own.toml"])[0];
        let prompt = record["prompt"].as_str().unwrap();
        let members = &record["members"];
        let value = match feature {
            "text" => cosine(
                &weights.encoder.embed(&[prompt]).unwrap()[0]
                    .iter()
                    .map(|x| f64::from(*x))
                    .collect::<Vec<_>>(),
                &embedding(record),
            ),
            "agreement" => cosine(&embedding(&members[0]), &embedding(&members[1])),
            _ => {
                let rows = embedding(&members[0])
                    .into_iter()
                    .zip(embedding(&members[1]));
                let squares = rows.map(|(text, mean)| (0.25 * text + 0.75 * mean).powi(2));
                squares.sum::<f64>().sqrt()
            }
        };
        let found = record["expected_score"].as_f64().unwrap();
        assert!(
            (found - value / 2.0).abs() < 1e-6,
            "{feature}: {found} {value}"
        );
    }
    place.write("own.toml", LABELS_ALONE);
    assert!(
        predict(&place, &["in/cat.png", "--preset", "own.toml"])[0]
            .get("expected_score")
            .is_none()
    );
}
