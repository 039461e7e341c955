//! `unprompt blend fit` on files of embeddings.

use crate::harness::{Place, json, json_lines, keys};
use serde_json::{Value, json};

/// Numbers that are the same everywhere and look like none in particular.
fn noise(seed: usize) -> Vec<f64> {
    let number = |index: usize| ((seed * 7919 + index * 104_729) % 2003) as f64 / 1001.0 - 1.0;
    (0..384).map(number).collect()
}

fn mixed(seed: usize, other: usize, share: f64) -> Vec<f64> {
    let rows = noise(seed).into_iter().zip(noise(other));
    rows.map(|(own, other)| own * share + other * (1.0 - share))
        .collect()
}

/// 40 images of 20 prompts, and records with two members: one is mostly right, the other is less so.
fn place() -> Place {
    let place = Place::new();
    let (mut truth, mut records) = (String::new(), String::new());
    for image in 0..40 {
        let prompt = image / 2;
        let id = format!("image {image}");
        truth += &format!("{}\n", json!({"id": id, "embedding": noise(prompt)}));
        let good = mixed(prompt, 100 + image, 0.5 + 0.01 * image as f64);
        let fair = mixed(prompt, 200 + image, 0.4);
        let record = json!({
            "path": format!("in/{id}.png"), "prompt": "a cat", "embedding": good,
            "members": [{"name": "good", "weight": 1.0, "embedding": good},
                        {"name": "fair", "weight": 0.0, "embedding": fair}],
        });
        records += &format!("{record}\n");
    }
    place.write("truth.jsonl", truth);
    place.write("records.jsonl", records);
    place
}

const FIT: [&str; 6] = [
    "blend",
    "fit",
    "--truth",
    "truth.jsonl",
    "--member",
    "records.jsonl",
];

#[test]
fn members_of_records_are_weighed_and_written_with_their_calibration() {
    let place = place();
    let run = place.run(&[&FIT[..], &["--format", "json", "--out", "fitted.toml"]].concat());
    let found = json(run.output());
    assert_eq!(
        keys(&found),
        [
            "calibration",
            "constant_prompt",
            "cross_validated",
            "folds",
            "in_sample",
            "mean_embedding",
            "members",
            "n",
            "normalize_members",
            "per_fold",
            "prompts",
            "weights_fitted"
        ]
    );
    assert_eq!((&found["n"], &found["prompts"]), (&json!(40), &json!(20)));
    assert_eq!(found["per_fold"].as_array().unwrap().len(), 5);
    let score = |value: &Value| value.as_f64().unwrap();
    let members = found["members"].as_array().unwrap();
    for member in members {
        assert!(score(&member["weight"]) > 0.1);
        assert!(score(&found["cross_validated"]) > score(&member["alone"]));
    }
    assert_eq!(found["calibration"]["feature"], "agreement");

    // A preset that is none yet says so, and has all that was found.
    let text = place.read("fitted.toml");
    assert!(text.starts_with("# Weights that"), "{text}");
    for part in [
        "name = \"good\"",
        "normalize_members = true",
        "[calibration]",
        "points = [",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(
        place.names(),
        ["fitted.toml", "records.jsonl", "truth.jsonl"]
    );

    let lines = place.run(&[&FIT[..], &["--format", "jsonl"]].concat());
    assert_eq!(json_lines(lines.output()), std::slice::from_ref(&found));
    let table = place.run(&FIT);
    for part in [
        "40 pictures of 20 prompts",
        "good",
        "constant prompt",
        "from `agreement`",
    ] {
        assert!(table.output().contains(part), "{table:?}");
    }
}

#[test]
fn a_file_may_be_one_member_by_its_name_or_by_another() {
    let place = place();
    let files = ["records.jsonl", "best=records.jsonl", "truth.jsonl"];
    let fit = [&FIT[..5], &files, &["--quiet", "--format", "json"]].concat();
    let found = json(place.run(&fit).output());
    let members = found["members"].as_array().unwrap();
    let names: Vec<&str> = members
        .iter()
        .map(|m| m["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["good", "fair", "best", "truth"]);
    // The truth is a perfect member of itself, and gets all the weight.
    assert!(members[3]["weight"].as_f64().unwrap() > 0.999);
    assert!(found.get("calibration").is_none());
}

#[test]
fn the_weights_of_a_preset_are_set_in_it_or_kept() {
    let place = place();
    let member = |name: &str, weight: f64| {
        format!(
            "[[member]] # the {name} one\nname = \"{name}\"\nkind = \"label-text\"\nmodel = \"m\"\n\
             top = 3\nweight = {weight} # by hand\n"
        )
    };
    let (good, fair) = (member("good", 1.0), member("fair", 0.0));
    let preset = format!("# mine\nname = \"mine\"\nencoder = \"e\"\n{good}\n{fair}");
    place.write("mine.toml", &preset);
    let base = ["--preset", "mine.toml", "--quiet", "--out", "new.toml"];
    place.run(&[&FIT[..], &base].concat()).output();
    let text = place.read("new.toml");
    for kept in [
        "# mine",
        "# the fair one",
        "# by hand",
        "kind = \"label-text\"",
    ] {
        assert!(text.contains(kept), "{kept}: {text}");
    }
    assert!(
        text.contains("name = \"new\"") && !text.contains("weight = 1.0"),
        "{text}"
    );
    assert!(text.contains("feature = \"agreement\""), "{text}");
    assert_eq!(place.read("mine.toml"), preset);

    // One weight is left, and the texts cannot be embedded without a model: that is the error.
    let kept = place.run(&[&FIT[..], &base, &["--keep-weights", "--offline"]].concat());
    assert!(kept.refusal().contains("could not be embedded"), "{kept:?}");
    assert!(!kept.stderr.contains("other weights"), "{kept:?}");
}

#[test]
fn what_cannot_be_fitted_is_named() {
    let place = place();
    place.write("few.csv", "id,prompt\nimage 0,a cat\n");
    place.write(
        "other.toml",
        "name = 'o'\nencoder = 'e'\n[[member]]\nname = 'x'\nkind = 'label-text'\nmodel = 'm'\n\
         top = 1\nweight = 1\n",
    );
    let cases: [(&[&str], &str); 7] = [
        (
            &["--member", "few.csv"],
            "`image 1` has no prediction in few.csv",
        ),
        (&["--member", "gone.csv"], "gone.csv"),
        (&["--member", "good=records.jsonl"], "named `good`"),
        (&["--preset", "other.toml"], "no member `good`"),
        (&["--keep-weights"], "--preset"),
        (&["--folds", "1"], "--folds"),
        (&["--out", "preset.json"], ".toml"),
    ];
    for (arguments, expected) in cases {
        let run = place.run(&[&FIT[..], arguments].concat());
        assert!(run.refusal().contains(expected), "{arguments:?}: {run:?}");
    }
    let text = place.run(&[&FIT[..], &["--feature", "text"]].concat());
    assert!(text.refusal().contains("other weights"), "{text:?}");
}
