//! Presets that cannot be run: what they ask for is wrong, or not there.

use crate::{
    knn::{member, place, preset, published},
    presets::model,
};
use std::fs;

#[test]
fn an_index_of_other_models_is_refused() {
    let place = place();
    let other = format!("index = 'ix'\nclip = '{}'", model("tiny-clip-transformers"));
    place.write("own.toml", preset(&[member("knn", "knn", 1.0, &other)]));
    let predict = || place.run(&["predict", "in", "--preset", "own.toml", "--offline"]);
    let refusal = predict().refusal().to_owned();
    assert!(refusal.contains("the index was built with"), "{refusal}");
    assert!(refusal.contains("`clip`"), "{refusal}");
    let own = preset(&[member("knn", "knn", 1.0, "index = 'ix'")]);
    place.write("own.toml", own.replace("tiny-sbert", "tiny-sbert-cls"));
    let refusal = predict().refusal().to_owned();
    assert!(refusal.contains("`encoder`"), "{refusal}");
}

#[test]
fn a_damaged_index_ends_the_run_with_one_error() {
    let place = place();
    place.write(
        "own.toml",
        preset(&[member("knn", "knn", 1.0, "index = 'ix'")]),
    );
    let segment = place.path("ix/segments/000001.segment");
    let mut bytes = fs::read(&segment).unwrap();
    bytes[200] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let run = place.run(&[
        "predict",
        "in",
        "--no-metadata",
        "--preset",
        "own.toml",
        "--quiet",
        "--offline",
    ]);
    let refusal = run.refusal();
    assert!(refusal.contains("000001.segment: damaged"), "{refusal}");
    assert_eq!(refusal.matches("damaged").count(), 1, "{refusal}");
}

#[test]
fn what_a_preset_lacks_is_named_with_the_next_step() {
    let place = place();
    let fields = "index = 'nowhere'\nclip = 'ViT-H-14/laion2b_s32b_b79k'";
    place.write("own.toml", preset(&[member("knn", "knn", 1.0, fields)]));
    let run = place.run(&["predict", "in", "--preset", "own.toml", "--offline"]);
    let refusal = run.refusal();
    for expected in [
        "nowhere: no index here",
        "`unprompt index build PROMPTS --clip ViT-H-14/laion2b_s32b_b79k --out nowhere --sentence",
        "`unprompt models pull ViT-H-14/laion2b_s32b_b79k clip-bpe-vocabulary`",
        "\n  ViT-H-14/laion2b_s32b_b79k    3.94 GB\n",
    ] {
        assert!(refusal.contains(expected), "{expected}: {refusal}");
    }
    let run = place.run(&["predict", "in", "--preset", "knn", "--offline"]);
    let refusal = run.refusal();
    for expected in [
        "prompts-index",
        "./vit_base_patch16_224.pth",
        "all-MiniLM-L6-v2",
    ] {
        assert!(refusal.contains(expected), "{expected}: {refusal}");
    }
    // What is advised is understood: these are asked of a network that is not to be used.
    for name in ["ViT-H-14/laion2b_s32b_b79k", "open"] {
        let run = place.run(&["models", "pull", name, "--offline"]);
        let refusal = run.refusal();
        let repository = ["laion/CLIP-ViT-H-14-laion2B-s32B-b79K", "all-MiniLM-L6-v2"];
        assert!(
            repository.iter().any(|name| refusal.contains(name)),
            "{refusal}"
        );
    }
}

#[test]
fn to_pull_a_preset_is_to_pull_what_can_be_fetched_and_name_the_rest() {
    let place = place();
    place.write("own.toml", published());
    let pull = || place.run(&["models", "pull", "own.toml", "--offline"]);
    assert_eq!(pull().output(), "", "all of it is local");
    place.write(
        "own.toml",
        published().replace("model = 'vit'", "model = './nowhere'"),
    );
    fs::remove_dir_all(place.path("ix")).unwrap();
    let run = pull();
    let (stdout, failures) = run.failures();
    assert_eq!(stdout, "");
    assert_eq!(failures.len(), 3, "{failures:?}");
    assert!(
        failures[0].contains("not all of it is here"),
        "{failures:?}"
    );
    assert!(
        failures[1].contains("./nowhere  no such file or folder"),
        "{failures:?}"
    );
    assert!(
        failures[2].contains("unprompt index build PROMPTS --clip CLIP --out ix"),
        "{failures:?}"
    );
}

#[test]
fn a_preset_that_asks_for_the_impossible_is_refused_with_the_reason() {
    let place = place();
    let cases = [
        ("index = 'ix'\nindx = 'ix'", "indx"),
        ("", "either `index`"),
        ("index = 'ix'\nprompts = 'parti'", "either `index`"),
        ("prompts = 'parti'", "`clip`"),
        ("index = 'ix'\nneighbours = 0", "neighbours 0"),
        ("index = 'ix'\nneighbours = -1", "knn"),
        ("index = 'ix'\nevidence = 1000000000", "evidence 1000000000"),
        ("index = 'ix'\nfrom = 'nobody'", "from `nobody`"),
        ("index = 'ix'\nfrom = 'knn'", "from `knn`"),
        // A circle: each would have to stand before the other.
        ("index = 'ix'\nfrom = 'after'", "from `after`"),
        ("index = 7", "knn"),
    ];
    for (fields, expected) in cases {
        let members = [
            member("knn", "knn", 1.0, fields),
            member("after", "knn", 1.0, "index = 'ix'\nfrom = 'knn'"),
        ];
        place.write("own.toml", preset(&members));
        let run = place.run(&["predict", "in", "--preset", "own.toml", "--offline"]);
        let refusal = run.refusal();
        assert!(refusal.contains("own.toml"), "{refusal}");
        assert!(refusal.contains(expected), "{fields}: {refusal}");
    }
    for weight in ["-0.1", "nan", "inf", "'1'"] {
        let own = published().replace("weight = 0.6", &format!("weight = {weight}"));
        place.write("own.toml", own);
        let run = place.run(&["predict", "in", "--preset", "own.toml", "--offline"]);
        assert!(run.refusal().contains("weight"), "{weight}: {run:?}");
    }
}
