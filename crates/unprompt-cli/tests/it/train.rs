//! `unprompt train head`, and a preset with the head.

use crate::{
    data_split::{ENCODER, UNLIKE},
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

#[test]
fn the_strength_of_a_head_is_chosen_by_cross_validation() {
    let place = place();
    let endings = [
        ("cat", "png"),
        ("coffee", "webp"),
        ("rocket", "jpg"),
        ("astronaut", "jpg"),
    ];
    for ((stem, ending), caption) in endings.iter().zip(UNLIKE) {
        let picture = place.path(format!("in/{stem}.{ending}"));
        place.copy(&picture, &format!("data/{stem}.{ending}"));
        place.write(&format!("data/{stem}.txt"), caption);
    }
    // One more with the first one's caption.
    place.copy(&place.path("in/rocket.jpg"), "data/again.jpg");
    place.write("data/again.txt", UNLIKE[0]);
    let encoder = model(ENCODER);
    let own = [
        "--encoder",
        &encoder,
        "--data",
        "data",
        "--strength",
        "auto",
    ];
    let tower = model("tiny-vit-timm");
    let train = |more: &[&str]| {
        let arguments = ["train", "head", "--tower", &tower];
        place.run(&[&arguments[..], &own, more].concat())
    };
    let run = train(&["--folds", "4", "--out", "head", "--format", "jsonl"]);
    let lines = json_lines(run.output());
    assert_eq!(lines.len(), 9 + 1, "{lines:?}");
    let config = json(&place.read("head/config.json"));
    let cosine = |line: &serde_json::Value| line["mean_cosine"].as_f64().unwrap();
    let best = lines[..9].iter().map(cosine).fold(f64::MIN, f64::max);
    let chosen = lines[..9].iter().find(|line| cosine(line) == best).unwrap();
    assert_eq!(config["strength"], chosen["strength"]);
    assert_eq!(config["tried"].as_array().unwrap()[..], lines[..9]);
    assert_eq!(chosen["folds"].as_array().unwrap().len(), 4);
    assert_eq!(place.read("head/log.jsonl").lines().count(), 10);

    // The same strength by hand gives the same head.
    let strength = chosen["strength"].to_string();
    let by_hand = [
        "train",
        "head",
        "--tower",
        &tower,
        "--encoder",
        &encoder,
        "--data",
        "data",
        "--strength",
        &strength,
        "--out",
        "by-hand",
    ];
    assert_eq!(place.run(&by_hand).code, 0);
    let weights =
        |folder: &str| std::fs::read(place.path(folder).join("head.safetensors")).unwrap();
    assert_eq!(weights("head"), weights("by-hand"));
    let text = train(&["--folds", "4", "--out", "text", "--threads", "1"]);
    assert_eq!(text.output().matches(": chosen\n").count(), 1, "{text:?}");
    assert_eq!(weights("head"), weights("text"));

    // Five pictures, but four captions.
    let run = train(&["--folds", "5", "--out", "five"]);
    assert!(
        run.refusal().contains("--strength auto: 4 groups"),
        "{run:?}"
    );
}

#[test]
fn heads_by_gradient_are_kept_and_predict() {
    let place = place();
    for (solver, more) in [
        ("linear", &[][..]),
        ("mlp", &["--hidden", "8", "--vocabulary", "5"]),
    ] {
        let folder = format!("{solver}-1");
        let arguments = |folder: &str, threads: &str| {
            let own = [
                "--data",
                "in",
                "--solver",
                solver,
                "--epochs",
                "100",
                "--samples",
                "4",
            ];
            let own = [
                &own[..],
                more,
                &["--rate", "0.01", "--out", folder, "--threads", threads],
            ]
            .concat();
            train(&place, &[&own[..], &["--format", "jsonl"]].concat())
        };
        let lines = json_lines(arguments(&folder, "1").output());
        // Four pictures are learnt by heart.
        assert!(lines[0]["mean_cosine"].as_f64().unwrap() > 0.8, "{lines:?}");
        let config = json(&place.read(&format!("{folder}/config.json")));
        assert_eq!(
            (&config["solver"], &config["epochs"]),
            (&solver.into(), &100.into())
        );
        assert!(config.get("strength").is_none());
        let other = format!("{solver}-2");
        assert_eq!(arguments(&other, "2").code, 0);
        let weights =
            |folder: &str| std::fs::read(place.path(folder).join("head.safetensors")).unwrap();
        assert_eq!(weights(&folder), weights(&other));

        place.write("list.txt", "a cat\na rocket\na cup\n");
        let preset = format!(
            "name = 'own'\nencoder = '{}'\n\
             [[member]]\nname = 'head'\nkind = 'head'\nhead = '{folder}'\nweight = 1\n\
             [[member]]\nname = 'near'\nkind = 'retrieval'\nquery = 'head'\nprompts = 'list.txt'\n\
             temperature = 0.1\nweight = 0.5\n",
            model("tiny-sbert")
        );
        place.write("own.toml", &preset);
        let predict = ["predict", "in", "--preset", "own.toml", "--format", "jsonl"];
        let records = json_lines(place.run(&predict).output());
        assert_eq!(records.len(), 4);
        assert_ne!(records[0]["members"][0], records[1]["members"][0]);
    }
    let run = train(&place, &["--data", "in", "--out", "h", "--vocabulary", "5"]);
    assert!(run.refusal().contains("only --solver mlp"), "{run:?}");
}

fn train_vit(place: &Place, more: &[&str]) -> crate::harness::Run {
    let (tower, encoder) = (model("tiny-vit-timm"), model("tiny-sbert"));
    let arguments = [
        "train",
        "vit",
        "--tower",
        &tower,
        "--encoder",
        &encoder,
        "--data",
        "in",
        "--samples",
        "2",
        "--batch-size",
        "1",
        "--head-epochs",
        "1",
        "--epochs",
        "3",
        "--last-epochs",
        "1",
        "--rate",
        "0.001",
    ];
    place.run(&[&arguments[..], more].concat())
}

#[test]
fn a_vit_is_trained_goes_on_where_it_stopped_and_predicts() {
    let place = place();
    let run = train_vit(&place, &["--out", "whole", "--format", "jsonl"]);
    let summary = json_lines(run.output());
    assert_eq!(
        (&summary[0]["step"], &summary[0]["done"]),
        (&10.into(), &true.into())
    );
    assert_eq!(place.read("whole/log.jsonl").lines().count(), 10);
    assert!(place.read("whole/report.html").contains("Step 10 of 10"));
    assert!(!place.path("whole/training").exists());
    let config = json(&place.read("whole/config.json"));
    assert_eq!(config["num_classes"], 32);
    assert!(
        train_vit(&place, &["--out", "whole"])
            .refusal()
            .contains("is there already")
    );

    // Three steps, then one that is killed after its state was kept, then the rest.
    assert_eq!(
        train_vit(
            &place,
            &["--out", "parts", "--steps", "3", "--threads", "1"]
        )
        .code,
        0
    );
    assert!(!place.path("parts/config.json").exists());
    assert!(
        train_vit(&place, &["--out", "parts"])
            .refusal()
            .contains("--resume")
    );
    let other = train_vit(&place, &["--out", "parts", "--resume", "--seed", "1"]);
    assert!(other.refusal().contains("other options"), "{other:?}");
    place.write(
        "parts/log.jsonl",
        place.read("parts/log.jsonl") + "{\"step\": 4, \"torn",
    );
    place.write("parts/training/.unprompt-killed", "half a state");
    assert_eq!(
        train_vit(&place, &["--out", "parts", "--resume", "--steps", "1"]).code,
        0
    );
    assert!(!place.path("parts/training/.unprompt-killed").exists());
    assert_eq!(train_vit(&place, &["--out", "parts", "--resume"]).code, 0);
    let file = |name: &str| std::fs::read(place.path(name)).unwrap();
    assert_eq!(
        file("whole/model.safetensors"),
        file("parts/model.safetensors")
    );
    let losses = |folder: &str| {
        let lines = json_lines(&place.read(&format!("{folder}/log.jsonl")));
        lines
            .iter()
            .map(|line| line["loss"].to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(losses("whole"), losses("parts"));

    let preset = format!(
        "name = 'own'\nencoder = '{}'\n\
         [[member]]\nname = 'vit'\nkind = 'regressor'\nmodel = 'whole'\nweight = 1\n\
         [[member]]\nname = 'near'\nkind = 'retrieval'\nquery = 'vit'\nprompts = 'list.txt'\n\
         temperature = 0.1\nweight = 0.5\n",
        model("tiny-sbert")
    );
    place.write("list.txt", "a cat\na rocket\na cup\n");
    place.write("own.toml", &preset);
    let predict = ["predict", "in", "--preset", "own.toml", "--format", "jsonl"];
    let records = json_lines(place.run(&predict).output());
    assert_eq!(records.len(), 4);
}

#[test]
fn a_vit_sees_sources_by_their_weight_and_goes_on_so() {
    let place = place();
    place.copy(&place.path("in/cat.png"), "more/cat.png");
    place.write("more/cat.txt", "another cat");
    let mixed = |more: &[&str]| {
        let data = ["--data", "more,weight=2"];
        train_vit(&place, &[&data[..], more].concat())
    };
    // Four pictures and twice one, in three steps each of five epochs.
    let run = mixed(&["--out", "whole", "--format", "jsonl"]);
    let summary = json_lines(run.output());
    assert_eq!(summary[0]["steps"], 15);
    assert_eq!(summary[0]["data"][1]["items"], 1);
    assert_eq!(mixed(&["--out", "parts", "--steps", "7"]).code, 0);
    let other = train_vit(
        &place,
        &["--data", "more,weight=3", "--out", "parts", "--resume"],
    );
    assert!(other.refusal().contains("other options"), "{other:?}");
    let other = train_vit(&place, &["--out", "parts", "--resume"]);
    assert!(other.refusal().contains("other data"), "{other:?}");
    assert_eq!(mixed(&["--out", "parts", "--resume"]).code, 0);
    let model = |folder: &str| std::fs::read(place.path(folder).join("model.safetensors")).unwrap();
    assert_eq!(model("whole"), model("parts"));
}

#[test]
fn a_vit_that_cannot_be_trained_is_refused() {
    let place = place();
    for (arguments, expected) in [
        (&[][..], "--out DIR"),
        (&["--out", "t", "--data", "in,weight=2000"], "weight 2000"),
        (
            &["--out", "u", "--dtype", "bf16"],
            "bf16 is not computed on the cpu",
        ),
        (&["--out", "u", "--heads", "2"], "--heads"),
        (&["--out", "v", "--layer-decay", "2"], "layer decay"),
        (
            &["--out", "w", "--dtype", "int8"],
            "--dtype int8: train vit computes",
        ),
        (&["--out", "x", "--head-rate", "1e39"], "it saw in: "),
    ] {
        let run = train_vit(&place, arguments);
        assert_eq!(run.code, 1, "{run:?}");
        assert!(run.stderr.contains(expected), "{run:?}");
    }
    let (tower, encoder) = (model("tiny-vit-timm-gap"), model("tiny-sbert"));
    let run = place.run(&[
        "train",
        "vit",
        "--tower",
        &tower,
        "--encoder",
        &encoder,
        "--data",
        "in",
        "--out",
        "y",
    ]);
    assert!(run.refusal().contains("cls_token"), "{run:?}");
    assert!(!place.path("y").exists());
}

#[test]
fn a_bare_state_dict_is_trained_and_says_all_that_it_is() {
    let place = place();
    let tower = workspace("fixtures/models/tiny-vit-bare.pth");
    let (tower, encoder) = (tower.to_string_lossy().into_owned(), model("tiny-sbert"));
    let arguments = [
        "train",
        "vit",
        "--tower",
        &tower,
        "--encoder",
        &encoder,
        "--data",
        "in",
        "--out",
        "bare",
        "--allow-pickle",
        "--epochs",
        "1",
        "--samples",
        "4",
    ];
    let run = place.run(&arguments);
    assert_eq!(run.code, 0);
    assert!(
        run.stderr.contains("attention heads is guessed: 1"),
        "{run:?}"
    );
    let config = json(&place.read("bare/config.json"));
    assert_eq!(config["model_args"]["num_heads"], 1);
    let mut told = arguments;
    told[told.iter().position(|one| *one == "bare").unwrap()] = "told";
    let run = place.run(&[&told[..], &["--heads", "2"]].concat());
    assert_eq!(run.code, 0, "{run:?}");
    assert!(!run.stderr.contains("guessed"), "{run:?}");
    let config = json(&place.read("told/config.json"));
    assert_eq!(config["model_args"]["num_heads"], 2);
    let run = place.run(&[
        "embed",
        "image",
        "in/cat.png",
        "--model",
        "bare",
        "--format",
        "jsonl",
    ]);
    let records = json_lines(run.output());
    assert_eq!(records[0]["embedding"].as_array().unwrap().len(), 32);
}

#[test]
fn the_image_tower_of_a_clip_becomes_a_vit_of_timm() {
    let place = place();
    let encoder = model("tiny-sbert");
    for (clip, architecture) in [
        ("tiny-clip-open-clip", "vit_base_patch16_clip_"),
        ("tiny-clip-transformers", "vit_base_patch16_clip_"),
    ] {
        let tower = model(clip);
        let arguments = [
            "train",
            "vit",
            "--tower",
            &tower,
            "--encoder",
            &encoder,
            "--data",
            "in",
            "--out",
            clip,
            "--epochs",
            "1",
            "--samples",
            "4",
        ];
        assert_eq!(place.run(&arguments).code, 0);
        let config = json(&place.read(&format!("{clip}/config.json")));
        assert!(
            config["architecture"]
                .as_str()
                .unwrap()
                .starts_with(architecture)
        );
        let run = place.run(&[
            "embed",
            "image",
            "in/cat.png",
            "--model",
            clip,
            "--format",
            "jsonl",
        ]);
        let records = json_lines(run.output());
        assert_eq!(records[0]["embedding"].as_array().unwrap().len(), 32);
    }
}

#[test]
fn towers_of_every_kind_carry_heads() {
    let place = place();
    let encoder = model("tiny-sbert");
    place.write("list.txt", "a cat\na rocket\na cup\n");
    for (tower, inputs) in [
        ("tiny-clip-transformers", None),
        ("tiny-siglip", None),
        ("tiny-vit-timm", Some(5)),
    ] {
        let path = model(tower);
        let run = place.run(&[
            "train",
            "head",
            "--tower",
            &path,
            "--encoder",
            &encoder,
            "--data",
            "in",
            "--out",
            tower,
        ]);
        assert_eq!(run.code, 0, "{run:?}");
        let config = json(&place.read(&format!("{tower}/config.json")));
        assert_eq!(config["features"], "vector");
        assert!(inputs.is_none_or(|inputs: u64| config["inputs"] == inputs));
        let preset = format!(
            "name = 'own'\nencoder = '{encoder}'\n\
             [[member]]\nname = 'head'\nkind = 'head'\nhead = '{tower}'\nweight = 1\n\
             [[member]]\nname = 'near'\nkind = 'retrieval'\nquery = 'head'\nprompts = 'list.txt'\n\
             temperature = 0.1\nweight = 0.5\n"
        );
        place.write("own.toml", &preset);
        let predict = ["predict", "in", "--preset", "own.toml", "--format", "jsonl"];
        let records = json_lines(place.run(&predict).output());
        assert_ne!(records[0]["members"][0], records[1]["members"][0]);
    }
}

#[test]
fn a_head_takes_the_features_of_several_towers() {
    let place = place();
    let encoder = model("tiny-sbert");
    let (first, second) = (model("tiny-efficientnet-lite"), model("tiny-vit-timm"));
    let run = place.run(&[
        "train",
        "head",
        "--tower",
        &first,
        "--tower",
        &second,
        "--encoder",
        &encoder,
        "--data",
        "in",
        "--out",
        "both",
    ]);
    assert_eq!(run.code, 0, "{run:?}");
    let config = json(&place.read("both/config.json"));
    assert_eq!(
        (&config["tower"], &config["features"]),
        (&first.as_str().into(), &"pooled".into())
    );
    assert_eq!(config["more_towers"][0]["tower"], second.as_str());
    assert_eq!(config["more_towers"][0]["features"], "vector");
    let preset = |more: &str| {
        format!(
            "name = 'own'\nencoder = '{encoder}'\n\
             [[member]]\nname = 'head'\nkind = 'head'\nhead = 'both'\n{more}weight = 1\n\
             [[member]]\nname = 'near'\nkind = 'retrieval'\nquery = 'head'\nprompts = 'list.txt'\n\
             temperature = 0.1\nweight = 0.5\n"
        )
    };
    place.write("list.txt", "a cat\na rocket\na cup\n");
    place.write("own.toml", preset(""));
    let predict = ["predict", "in", "--preset", "own.toml", "--format", "jsonl"];
    let records = json_lines(place.run(&predict).output());
    assert_ne!(records[0]["members"][0], records[1]["members"][0]);
    place.write("own.toml", preset(&format!("tower = '{first}'\n")));
    assert!(place.run(&predict).refusal().contains("several towers"));
    let run = place.run(&[
        "train",
        "head",
        "--tower",
        &first,
        "--tower",
        &first,
        "--encoder",
        &encoder,
        "--data",
        "in",
        "--out",
        "twice",
    ]);
    assert!(run.refusal().contains("it is there already"), "{run:?}");
}
