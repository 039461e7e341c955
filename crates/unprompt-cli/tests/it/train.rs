//! `unprompt train head`, and a preset with the head.

use crate::{
    harness::{Place, json, json_lines, workspace},
    presets::model,
};

const PICTURES: [(&str, &str); 4] = [
    ("cat.png", "This photograph shows a cat. It sits."),
    ("coffee.webp", "a cup of coffee"),
    ("rocket.jpg", "a rocket in the sky"),
    ("astronaut.jpg", "an astronaut"),
];

/// Pictures with their captions beside them, one without, one that is none.
fn place() -> Place {
    let place = Place::new();
    for (picture, caption) in PICTURES {
        let path = workspace("examples/pictures").join(picture);
        place.copy(&path, &format!("in/{picture}"));
        let stem = picture.split('.').next().unwrap();
        place.write(&format!("in/{stem}.txt"), caption);
    }
    place.write("bad/alone.png", "no picture");
    place.write("bad/none.png", "no picture");
    place.write("bad/none.txt", "a caption");
    place
}

fn train(place: &Place, more: &[&str]) -> crate::harness::Run {
    let (tower, encoder) = (model("tiny-efficientnet-lite"), model("tiny-sbert"));
    let arguments = ["train", "head", "--tower", &tower, "--encoder", &encoder];
    place.run(&[&arguments[..], more].concat())
}

#[test]
fn a_head_is_trained_once_for_all_and_predicts() {
    let place = place();
    let spec = "in,name=ours,weight=2,strip-leads,first-sentence";
    let both = ["--data", spec, "--data", "bad", "--format", "jsonl"];
    let run = train(&place, &[&both[..], &["--out", "head"]].concat());
    let (output, errors) = run.failures();
    let lines = json_lines(output);
    assert_eq!(lines[0]["samples"], 4, "{lines:?}");
    assert_eq!(
        (&lines[0]["name"], &lines[0]["bad"]),
        (&"ours".into(), &0.into())
    );
    assert_eq!(
        (&lines[1]["samples"], &lines[1]["bad"]),
        (&0.into(), &2.into())
    );
    assert!(
        errors[0].contains("bad: alone.png: no caption"),
        "{errors:?}"
    );
    assert!(errors[1].contains("bad: none.png: "), "{errors:?}");
    let config = json(&place.read("head/config.json"));
    assert_eq!(config["data"][0]["weight"], 2.0);
    assert_eq!(place.read("head/log.jsonl").lines().count(), 2);

    // A head is never written over, and the same data give the same bytes on any number of threads.
    let again = train(&place, &[&both[..], &["--out", "head"]].concat());
    assert!(again.refusal().contains("a head is there already"));
    let run = train(
        &place,
        &[&both[..], &["--out", "other", "--threads", "1"]].concat(),
    );
    assert_eq!(run.code, 2);
    let weights =
        |folder: &str| std::fs::read(place.path(folder).join("head.safetensors")).unwrap();
    assert_eq!(weights("head"), weights("other"));

    place.write("list.txt", "a cat\na rocket\na cup\n");
    place.write("other.txt", "a dog\na house\n");
    let encoder = model("tiny-sbert");
    let preset = format!(
        "name = 'own'\nencoder = '{encoder}'\nnormalize_members = false\n\
         [[member]]\nname = 'prior'\nkind = 'prior'\nprompts = ['list.txt', 'other.txt']\nweight = 1\n\
         [[member]]\nname = 'head'\nkind = 'head'\nhead = 'head'\nweight = 0.2\n\
         [[member]]\nname = 'near'\nkind = 'retrieval'\nquery = 'head'\nprompts = 'list.txt'\n\
         temperature = 0.1\ncentred = true\nunit_query = true\nresidual = true\nweight = 0.5\n"
    );
    place.write("own.toml", &preset);
    let predict = [
        "predict", "in", "--preset", "own.toml", "--format", "jsonl", "--quiet",
    ];
    let records = json_lines(place.run(&predict).output());
    assert_eq!(records.len(), 4);
    for record in &records {
        let members = record["members"].as_array().unwrap();
        assert_eq!(members.len(), 3);
        assert_ne!(record["prompt"], "");
        assert_eq!(record["evidence"].as_array().unwrap().len(), 3);
    }
    assert_ne!(records[0]["members"][1], records[1]["members"][1]);

    // A head of another encoder, and no head.
    let config = place.read("head/config.json").replace(&encoder, "another");
    place.write("foreign/config.json", config);
    place.copy(
        &place.path("head/head.safetensors"),
        "foreign/head.safetensors",
    );
    place.write(
        "foreign.toml",
        preset.replace("head = 'head'", "head = 'foreign'"),
    );
    let run = place.run(&["predict", "in", "--preset", "foreign.toml"]);
    assert!(
        run.refusal().contains("sentence encoder `another`"),
        "{run:?}"
    );
    place.write("none.toml", preset.replace("head = 'head'", "head = 'in'"));
    let run = place.run(&["predict", "in", "--preset", "none.toml"]);
    assert!(run.refusal().contains("config.json"), "{run:?}");
}

#[test]
fn what_cannot_be_trained_is_said_before_anything_is_computed() {
    let place = place();
    for (arguments, expected) in [
        (&["--data", "in"][..], "--out DIR"),
        (&["--out", "h", "--data", "nowhere"], "cannot read nowhere"),
        (&["--out", "h", "--data", "in,weight=0"], "weight `0`"),
        (
            &["--out", "h", "--data", "in,layout=poems"],
            "layout `poems`",
        ),
        (
            &["--out", "h", "--data", "in", "--strength", "0"],
            "strength 0",
        ),
    ] {
        let run = train(&place, arguments);
        assert_eq!(run.code, 1, "{run:?}");
        assert!(run.stderr.contains(expected), "{run:?}");
        assert!(!place.path("h/config.json").exists());
    }
}
