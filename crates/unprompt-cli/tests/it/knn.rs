//! `unprompt predict` with kNN over a prompt index, and a preset of every kind of member.

use crate::{
    harness::{Place, json, json_lines, keys, workspace},
    presets::{lines, model, numbers, regressor},
};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::Value;
use std::{fs, process::Stdio};

const PICTURES: [&str; 3] = ["cat.png", "coffee.webp", "rocket.jpg"];

/// Pictures, a list of 150 prompts and its index `ix`, labels and a regressor.
pub fn place() -> Place {
    place_of(&model("tiny-sbert"), 32)
}

/// As [`place`], with a sentence encoder that gives so many numbers.
fn place_of(sentence: &str, width: usize) -> Place {
    let place = Place::new();
    for picture in PICTURES {
        let path = workspace("examples/pictures").join(picture);
        place.copy(&path, &format!("in/{picture}"));
    }
    let (colours, things) = (
        ["red", "pale", "golden"],
        ["fox", "castle", "ship", "robot"],
    );
    let line = |row: usize| {
        let (colour, thing) = (colours[row % 3], things[row % 4]);
        format!("a {colour} {thing}, number {row}, oil on canvas\n")
    };
    place.write("list.txt", (0..150).map(line).collect::<String>());
    place.write("few.txt", "a fox\na castle in the mist\na ship\n");
    for (table, labels) in [
        ("flavors", "glass\nfire\nold tower\nmisty forest\n"),
        ("mediums", "a photo\na mosaic\n"),
        ("movements", "goldism\nmistism\n"),
    ] {
        place.write(&format!("labels/{table}.txt"), labels);
    }
    regressor(&place, width);
    if sentence == WIDE {
        wide_encoder(&place);
    }
    let clip = model("tiny-clip");
    let arguments = ["index", "build", "list.txt", "--clip", &clip, "--sentence"];
    let more = [sentence, "--out", "ix", "--segment-rows", "40", "--quiet"];
    place.run(&[&arguments[..], &more].concat()).output();
    place
}

/// The folder of a tiny sentence encoder that gives 384 numbers, as a submission has them.
const WIDE: &str = "./wide";

/// The tiny sentence encoder with 384 numbers wherever it has 32.
fn wide_encoder(place: &Place) {
    let folder = workspace("fixtures/models/tiny-sbert");
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let name = path.file_name().unwrap().to_str().unwrap();
            place.copy(&path, &format!("wide/{name}"));
        }
    }
    for (name, key) in [
        ("config.json", "hidden_size"),
        ("1_Pooling/config.json", "word_embedding_dimension"),
    ] {
        let config = fs::read_to_string(folder.join(name)).unwrap();
        let mut config: Value = serde_json::from_str(&config).unwrap();
        config[key] = 384.into();
        place.write(&format!("wide/{name}"), config.to_string());
    }
    let bytes = fs::read(folder.join("model.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let widened = tensors.tensors().into_iter().map(|(name, tensor)| {
        let shape = tensor.shape().iter();
        let shape: Vec<usize> = shape
            .map(|side| if *side == 32 { 384 } else { *side })
            .collect();
        let number = |index: usize| ((index * 7919 % 1009) as f32 / 5045.0 - 0.1).to_le_bytes();
        let data: Vec<u8> = (0..shape.iter().product()).flat_map(number).collect();
        (name, shape, data)
    });
    let widened: Vec<(String, Vec<usize>, Vec<u8>)> = widened.collect();
    let views = widened.iter().map(|(name, shape, data)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), data).unwrap();
        (name.clone(), view)
    });
    let bytes = safetensors::serialize(views, None).unwrap();
    place.write("wide/model.safetensors", bytes);
}

pub fn member(name: &str, kind: &str, weight: f64, fields: &str) -> String {
    format!("[[member]]\nname = '{name}'\nkind = '{kind}'\nweight = {weight}\n{fields}\n")
}

pub fn preset(members: &[String]) -> String {
    let encoder = model("tiny-sbert");
    let head = format!("name = 'own'\nencoder = '{encoder}'\n");
    head + &members.concat()
}

fn interrogator(weight: f64) -> String {
    let (clip, captioner) = (model("tiny-clip"), model("tiny-blip"));
    let fields = format!(
        "clip = '{clip}'\ncaptioner = '{captioner}'\nmode = 'competition'\nlabels = 'labels'"
    );
    member("interrogator", "interrogator", weight, &fields)
}

fn captioner(weight: f64) -> String {
    let fields = format!("model = '{}'", model("tiny-blip"));
    member("captioner", "captioner", weight, &fields)
}

/// The published blend with tiny networks.
pub fn published() -> String {
    preset(&[
        member("knn", "knn", 0.60, "index = 'ix'\nas_published = true"),
        interrogator(0.15),
        member("vit", "regressor", 0.25, "model = 'vit'"),
    ])
}

fn predict(place: &Place, more: &[&str]) -> Vec<Value> {
    let arguments = ["predict", "in", "--no-metadata", "--preset", "own.toml"];
    let mut records = lines(place, &[&arguments[..], more].concat());
    for record in &mut records {
        record["elapsed_ms"].take();
    }
    records
}

fn unit(row: &[f64]) -> Vec<f64> {
    let length = row.iter().map(|value| value * value).sum::<f64>().sqrt();
    row.iter().map(|value| value / length).collect()
}

#[track_caller]
fn assert_near(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-5, "{found} {expected}");
    }
}

/// The evidence of a record is the matches of a search.
#[track_caller]
fn assert_evidence(record: &Value, matches: &[Value]) {
    let evidence = record["evidence"].as_array().unwrap();
    assert_eq!(evidence.len(), matches.len());
    for (evidence, found) in evidence.iter().zip(matches) {
        assert_eq!(keys(evidence), ["prompt", "similarity"]);
        assert_eq!(evidence["prompt"], found["prompt"]);
        let similarities = [evidence, found].map(|one| one["similarity"].as_f64().unwrap());
        assert!((similarities[0] - similarities[1]).abs() < 1e-7);
    }
}

/// The sum of weighted rows, each at unit length, at unit length.
fn blend(parts: &[(f64, Vec<f64>)]) -> Vec<f64> {
    let mut sum = vec![0.0; parts[0].1.len()];
    for (weight, row) in parts {
        let row = unit(row);
        sum.iter_mut()
            .zip(row)
            .for_each(|(sum, value)| *sum += weight * value);
    }
    unit(&sum)
}

fn texts(place: &Place, texts: &[&str]) -> Vec<Vec<f64>> {
    let encoder = model("tiny-sbert");
    let arguments = [&["embed", "text", "--model", &encoder][..], texts].concat();
    lines(place, &arguments).iter().map(numbers).collect()
}

#[test]
fn the_public_blend_is_the_weighted_sum_of_what_its_parts_give() {
    let place = place();
    place.write("own.toml", published());
    let found = predict(&place, &[]);
    assert_eq!(found.len(), 3);
    let looked_up = lines(
        &place,
        &[
            "index",
            "search",
            "ix",
            "in",
            "--top",
            "5",
            "--as-published",
        ],
    );
    let regressed = lines(&place, &["embed", "image", "in", "--model", "vit"]);
    for (index, record) in found.iter().enumerate() {
        let members = record["members"].as_array().unwrap();
        assert_near(&numbers(&members[0]), &numbers(&looked_up[index]));
        assert_near(&numbers(&members[2]), &unit(&numbers(&regressed[index])));
        let prompt = members[1]["text"].as_str().unwrap();
        let parts = [
            (0.60, numbers(&looked_up[index])),
            (0.15, texts(&place, &[prompt]).remove(0)),
            (0.25, numbers(&regressed[index])),
        ];
        let expected = blend(&parts);
        assert_near(&numbers(record), &expected);

        // The evidence is what a search of the index shows, and the first is the member's text.
        let matches = looked_up[index]["matches"].as_array().unwrap();
        assert_evidence(record, matches);
        assert_eq!(members[0]["text"], matches[0]["prompt"]);
        let nearest = matches[0]["prompt"].as_str().unwrap();
        let chosen = texts(
            &place,
            &[record["prompt"].as_str().unwrap(), nearest, prompt],
        );
        let cosine = |row: &[f64]| -> f64 { row.iter().zip(&expected).map(|(a, b)| a * b).sum() };
        let best = cosine(&chosen[1]).max(cosine(&chosen[2]));
        // Stored embeddings are in half precision.
        assert!(cosine(&chosen[0]) >= best - 1e-4);

        // The CLIP is named once: the interrogator's tower looks the picture up, too.
        let models = record["receipt"]["models"].as_array().unwrap();
        let names: Vec<&str> = models.iter().map(|m| m["name"].as_str().unwrap()).collect();
        assert_eq!(names.len(), 5, "{names:?}");
        assert_eq!(names[4], "ix");
        assert_eq!(models[4]["revision"], "prompt index");
    }
}

#[test]
fn a_member_is_looked_up_among_the_sentences() {
    let place = place();
    let fields = "index = 'ix'\nfrom = 'captioner'\nneighbours = 7\nevidence = 3";
    place.write(
        "own.toml",
        preset(&[captioner(0.0), member("knn", "knn", 1.0, fields)]),
    );
    for record in predict(&place, &[]) {
        let caption = record["members"][0]["text"].as_str().unwrap();
        let encoder = model("tiny-sbert");
        let search = ["index", "search", "ix", "--text", caption, "--top", "3"];
        let found = lines(&place, &[&search[..], &["--sentence", &encoder]].concat());
        assert_evidence(&record, found[0]["matches"].as_array().unwrap());
        // Of another number of neighbours the regression is another.
        let seven: Vec<f64> = numbers(&record);
        assert!(seven != numbers(&found[0]));
    }
    let fields = "index = 'ix'\nfrom = 'captioner'";
    place.write(
        "own.toml",
        preset(&[captioner(0.0), member("knn", "knn", 1.0, fields)]),
    );
    for record in predict(&place, &[]) {
        let caption = record["members"][0]["text"].as_str().unwrap();
        let found = lines(&place, &["index", "search", "ix", "--text", caption]);
        assert_near(&numbers(&record), &numbers(&found[0]));
    }
}

/// A preset with every kind of member.
fn every_kind() -> String {
    let labeller = model("tiny-vit-timm");
    preset(&[
        member(
            "labels",
            "label-text",
            0.1,
            &format!("model = '{labeller}'\ntop = 2"),
        ),
        member("conse", "label-mean", 0.1, &format!("model = '{labeller}'")),
        member("vit", "regressor", 0.2, "model = 'vit'\ntta = 'flip'"),
        captioner(0.1),
        interrogator(0.1),
        member("prior", "prior", 0.1, "prompts = 'few.txt'"),
        member(
            "retrieval",
            "retrieval",
            0.1,
            "prompts = 'few.txt'\nquery = 'vit'\ntemperature = 0.5",
        ),
        member("knn", "knn", 0.1, "index = 'ix'"),
        member("knn-of-conse", "knn", 0.1, "index = 'ix'\nfrom = 'conse'"),
    ])
}

#[test]
fn every_kind_of_member_is_part_of_the_blend() {
    let place = place();
    place.write("own.toml", every_kind());
    let few: Vec<Vec<f64>> = texts(&place, &["a fox", "a castle in the mist", "a ship"]);
    let mean: Vec<f64> = (0..32)
        .map(|i| few.iter().map(|row| row[i]).sum())
        .collect();
    for record in predict(&place, &[]) {
        let members = record["members"].as_array().unwrap();
        let parts: Vec<(f64, Vec<f64>)> = members
            .iter()
            .map(|member| (member["weight"].as_f64().unwrap(), numbers(member)))
            .collect();
        assert_eq!(parts.len(), 9);
        assert_near(&numbers(&record), &blend(&parts));
        let has_text: Vec<bool> = members.iter().map(|m| m["text"].is_string()).collect();
        let expected = [true, false, false, true, true, false, true, true, true];
        assert_eq!(has_text, expected);
        for index in [0, 3, 4] {
            let text = members[index]["text"].as_str().unwrap();
            assert_near(&parts[index].1, &unit(&texts(&place, &[text])[0]));
        }
        assert_near(&parts[5].1, &unit(&mean));
        // Retrieval: the soft-max of the products with the regressor's own embedding, which is the
        // mean of two views and a little shorter than its record's.
        let regressed = lines(
            &place,
            &[
                "embed",
                "image",
                record["path"].as_str().unwrap(),
                "--model",
                "vit",
                "--tta",
                "flip",
            ],
        );
        let query = numbers(&regressed[0]);
        let products = few
            .iter()
            .map(|row| -> f64 { row.iter().zip(&query).map(|(a, b)| a * b).sum() });
        let weights: Vec<f64> = products.map(|product| (product / 0.5).exp()).collect();
        let retrieved: Vec<f64> = (0..32)
            .map(|i| {
                few.iter()
                    .zip(&weights)
                    .map(|(row, weight)| weight * row[i])
                    .sum()
            })
            .collect();
        assert_near(&parts[6].1, &unit(&retrieved));
        // Three of the list, five of each index.
        assert_eq!(record["evidence"].as_array().unwrap().len(), 13);
    }
}

#[test]
fn a_submission_is_the_same_whatever_the_run_the_batch_and_the_threads() {
    let place = place_of(WIDE, 384);
    for preset in [published(), every_kind()] {
        place.write("own.toml", preset.replace(&model("tiny-sbert"), WIDE));
        let submission = |more: &[&str]| {
            let arguments = ["predict", "in", "--no-metadata", "--preset", "own.toml"];
            let common = ["--quiet", "--offline", "--format", "submission"];
            let run = place.run(&[&arguments[..], &common, more].concat());
            run.output().to_owned()
        };
        let first = submission(&[]);
        assert_eq!(first.lines().count(), 1 + 3 * 384);
        for more in [
            &[][..],
            &["--threads", "1", "--batch-size", "1"],
            &["--threads", "3", "--batch-size", "2"],
            &["--threads", "2", "--batch-size", "8"],
        ] {
            assert_eq!(submission(more), first, "{more:?}");
        }
    }
}

#[test]
fn the_index_of_a_list_is_made_once_and_made_again_when_damaged() {
    let place = place();
    let list = format!("prompts = 'list.txt'\nclip = '{}'", model("tiny-clip"));
    place.write("own.toml", preset(&[member("knn", "knn", 1.0, &list)]));
    let mut first = predict(&place, &[]);
    let indexes = place.caches().join("indexes");
    let folders = || -> Vec<_> {
        fs::read_dir(&indexes)
            .unwrap()
            .map(|e| e.unwrap().path())
            .filter(|path| path.is_dir())
            .collect()
    };
    assert_eq!(folders().len(), 1);
    let segment = folders()[0].join("segments/000000.segment");
    let made = fs::metadata(&segment).unwrap().modified().unwrap();
    assert_eq!(predict(&place, &[]), first);
    assert_eq!(fs::metadata(&segment).unwrap().modified().unwrap(), made);
    let good = fs::read(&segment).unwrap();
    let mut bytes = good.clone();
    bytes[90] ^= 1;
    fs::write(&segment, bytes).unwrap();
    assert_eq!(predict(&place, &[]), first);
    assert!(fs::read(&segment).unwrap() == good);
    fs::write(folders()[0].join("manifest.json"), "{}").unwrap();
    assert_eq!(predict(&place, &[]), first);
    // Neither an index nor the beginning of one.
    fs::remove_file(folders()[0].join("manifest.json")).unwrap();
    fs::write(folders()[0].join("stranger"), "").unwrap();
    assert_eq!(predict(&place, &[]), first);
    // The same as an index of one's own.
    place.write(
        "own.toml",
        preset(&[member("knn", "knn", 1.0, "index = 'ix'")]),
    );
    let mut own = predict(&place, &[]);
    for records in [&mut first, &mut own] {
        records
            .iter_mut()
            .for_each(|record| drop(record["receipt"].take()));
    }
    assert_eq!(own, first);
}

#[test]
fn several_first_uses_at_once_make_the_index_of_a_list_together() {
    let place = place();
    let list = format!("prompts = 'list.txt'\nclip = '{}'", model("tiny-clip"));
    place.write("own.toml", preset(&[member("knn", "knn", 1.0, &list)]));
    let runs: Vec<_> = (0..4)
        .map(|_| {
            let arguments = ["predict", "in", "--no-metadata", "--preset", "own.toml"];
            let more = ["--offline", "--format", "jsonl"];
            let mut command = place.command(&[&arguments[..], &more].concat());
            let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().unwrap()
        })
        .collect();
    let found: Vec<Vec<Value>> = runs
        .into_iter()
        .map(|run| {
            let run = run.wait_with_output().unwrap();
            assert!(run.status.success(), "{run:?}");
            let mut records = json_lines(&String::from_utf8(run.stdout).unwrap());
            records
                .iter_mut()
                .for_each(|record| drop(record["elapsed_ms"].take()));
            records
        })
        .collect();
    assert_eq!(found[0].len(), PICTURES.len());
    for other in &found[1..] {
        assert_eq!(other, &found[0]);
    }
}

#[test]
fn prompts_of_an_index_are_known_beforehand() {
    let place = place();
    place.write(
        "own.toml",
        preset(&[member("knn", "knn", 1.0, "index = 'ix'")]),
    );
    place.write(
        "truth.csv",
        "imgId,prompt\ncat,\"a red fox, number 0, oil on canvas\"\nrocket,seven tulips\n",
    );
    let eval = ["eval", "in", "--truth", "truth.csv", "--preset", "own.toml"];
    let more = ["--offline", "--quiet", "--format", "json"];
    let found = json(place.run(&[&eval[..], &more].concat()).output());
    assert_eq!(found["leakage"]["lists"], serde_json::json!(["ix"]));
    let images = found["per_image"].as_array().unwrap();
    let near = |image: usize| images[image]["nearest_known"].as_f64().unwrap();
    // Half precision on the disk.
    assert!((near(0) - 1.0).abs() < 2e-3, "{}", near(0));
    assert!(near(1) < 0.999);
}

#[test]
fn the_heads_of_a_regressors_tensors_are_told_in_the_preset() {
    let place = place();
    let run = |fields: &str| {
        let fields = format!("model = 'vit/model.safetensors'\n{fields}");
        let members = [captioner(0.0), member("vit", "regressor", 1.0, &fields)];
        place.write("own.toml", preset(&members));
        let predict = ["predict", "in/cat.png", "--no-metadata", "--preset"];
        let more = ["own.toml", "--offline", "--format", "json"];
        place.run(&[&predict[..], &more].concat())
    };
    let told = |heads: usize| numbers(&json(run(&format!("heads = {heads}")).output())[0]);
    assert_ne!(told(2), told(4));
    assert!(run("").refusal().contains("--heads"));
}
