//! `unprompt predict`, as far as it comes without weights.

use crate::harness::{Place, labels_preset, workspace};

fn picture() -> std::path::PathBuf {
    workspace("examples/pictures/cat.png")
}

#[test]
fn an_unknown_preset_is_answered_with_the_known_ones() {
    let place = Place::new();
    place.copy(&picture(), "cat.png");
    let run = place.run(&["predict", "cat.png", "--preset", "heavy"]);
    let expected = "unprompt: preset `heavy`: not one of lite, clip, open, paper, knn; a file of your own ends \
                    in .toml\n";
    assert_eq!(run.refusal(), expected);
    let run = place.run(&["predict", "cat.png", "--preset", "missing.toml"]);
    assert!(run.refusal().contains("preset `missing.toml`: "), "{run:?}");
}

#[test]
fn a_preset_file_with_a_mistake_is_named_with_it() {
    let place = Place::new();
    place.copy(&picture(), "cat.png");
    let labels = std::fs::read_to_string(labels_preset());
    let wrong = labels.unwrap().replace("weight = 0.0", "weight = -1.0");
    place.write("own.toml", wrong);
    let run = place.run(&["predict", "cat.png", "--preset", "own.toml"]);
    let expected = "unprompt: preset `own.toml`: member `labels`: weight -1\n";
    assert_eq!(run.refusal(), expected);
}

#[test]
fn paths_are_looked_at_before_any_model() {
    let place = Place::new();
    std::fs::create_dir(place.path("hollow")).unwrap();
    let run = place.run(&["predict", "missing.png"]);
    let expected = "unprompt: missing.png: no such file or folder\n";
    assert_eq!(run.refusal(), expected);
    let run = place.run(&["predict", "hollow"]);
    let expected = "unprompt: hollow: no pictures in this folder\n";
    assert_eq!(run.refusal(), expected);
}

#[test]
fn two_pictures_of_one_stem_cannot_stand_in_a_submission() {
    let place = Place::new();
    place.copy(&picture(), "in/a/cat.png");
    place.copy(&picture(), "in/cat.jpg");
    let run = place.run(&["predict", "in", "--format", "submission"]);
    let expected = "unprompt: in/a/cat.png and in/cat.jpg have the same id `cat`; a submission \
                    needs distinct file stems\n";
    assert_eq!(run.refusal(), expected);
}

#[test]
fn every_model_that_a_preset_lacks_is_named_with_its_size_and_the_next_step() {
    let place = Place::new();
    place.copy(&picture(), "cat.png");
    let run = place.run(&["predict", "cat.png", "--offline"]);
    let stderr = run.refusal();
    for expected in [
        "preset `labels`: 2 of its 2 models are not on this machine",
        "`unprompt models pull all-MiniLM-L6-v2 efficientnet-lite0` fetches what can be fetched",
        "models export all-MiniLM-L6-v2 efficientnet-lite0 --out BUNDLE.tar`",
        "\n  all-MiniLM-L6-v2      91.6 MB\n",
        "\n  efficientnet-lite0    17.4 MB\n",
        "\n  in all               108.9 MB\n",
    ] {
        assert!(stderr.contains(expected), "{expected}: {stderr}");
    }
    let offer = "`--preset lite` is complete on this machine";
    assert!(stderr.contains(offer), "{stderr}");
}
