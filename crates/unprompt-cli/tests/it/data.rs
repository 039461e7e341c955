//! `unprompt data check`: captions that repeat each other, and a test set beside them.

use crate::{
    harness::{Place, Run, json, workspace},
    presets::model,
};
use serde_json::Value;

/// Captioned pictures in two sources; one has no caption, and one caption is there twice.
fn place() -> Place {
    let place = Place::new();
    let picture = workspace("examples/pictures/cat.png");
    for (name, caption) in [
        ("one/a", "a cat on a mat"),
        ("one/b", "a rocket in the sky"),
        ("two/c", "a rocket in the sky"),
        ("two/d", "an astronaut riding a horse"),
    ] {
        place.copy(&picture, &format!("{name}.png"));
        place.write(&format!("{name}.txt"), caption);
    }
    place.copy(&picture, "two/alone.png");
    place.write(
        "truth.csv",
        "imgId,prompt\nx,a rocket in the sky\ny,A rocket  in the sky\nz,\"seven purple tulips, oil on canvas\"\n",
    );
    place
}

fn check(place: &Place, more: &[&str]) -> Run {
    let encoder = model("tiny-sbert");
    let arguments = [
        "data",
        "check",
        "one",
        "two",
        "--offline",
        "--quiet",
        "--encoder",
        &encoder,
    ];
    place.run(&[&arguments[..], more].concat())
}

fn checked(place: &Place, more: &[&str]) -> Value {
    json(
        check(place, &[&["--format", "json"], more].concat())
            .failures()
            .0,
    )
}

#[test]
fn captions_that_repeat_others_are_counted_and_grouped() {
    let place = place();
    let found = checked(&place, &["--groups", "groups.csv"]);
    let two = &found["sources"][1];
    assert_eq!((&two["samples"], &two["bad"]), (&2.into(), &1.into()));
    assert_eq!(found["captions"], 4);
    let groups = place.read("groups.csv");
    let rows: Vec<Vec<&str>> = groups
        .lines()
        .map(|line| line.split(',').collect())
        .collect();
    assert_eq!(rows[0], ["source", "id", "caption", "group", "repeats"]);
    assert_eq!(rows[1][..4], ["one", "a.png", "a cat on a mat", "0"]);
    // The same caption is of one group, and says what it repeats.
    assert_eq!(rows[3][..3], ["two", "c.png", "a rocket in the sky"]);
    assert_eq!(rows[3][3], rows[2][3]);
    assert!(!rows[3][4].is_empty());
    let repeats = rows[1..].iter().filter(|row| !row[4].is_empty()).count();
    assert_eq!(found["distinct"], 4 - repeats);
    let text = check(&place, &[]);
    assert!(
        text.failures().0.contains("groups to keep together"),
        "{text:?}"
    );
    // In any batches.
    let again = checked(&place, &["--groups", "again.csv", "--threads", "1"]);
    assert_eq!(again, found);
    assert_eq!(place.read("again.csv"), groups);
}

#[test]
fn a_test_set_is_scored_with_and_without_what_is_known() {
    let place = place();
    place.write(
        "pred.csv",
        "imgId,prompt\nx,a rocket in the sky\ny,a rocket in the sky\nz,a fish\n",
    );
    let found = checked(&place, &["--against", "truth.csv", "--pred", "pred.csv"]);
    let against = &found["against"];
    assert_eq!((&against["n"], &against["prompts"]), (&3.into(), &2.into()));
    let rocket = &against["per_prompt"][0];
    assert_eq!(rocket["n"], 2);
    assert_eq!(rocket["nearest_caption"]["text"], "a rocket in the sky");
    assert_eq!(rocket["nearest_caption"]["source"], "one");
    // The program's own lists are in the space of another encoder.
    assert!(rocket.get("nearest_listed").is_none());
    let threshold = &against["thresholds"][0];
    assert!((threshold["similarity"].as_f64().unwrap() - 0.9).abs() < 1e-6);
    let tulips = against["per_prompt"][1]["nearest_caption"]["similarity"]
        .as_f64()
        .unwrap();
    let known = 1 + usize::from(tulips >= 0.9);
    assert_eq!(threshold["in_captions"]["prompts"], known);
    assert_eq!(threshold["in_any"]["prompts"], known);
    if known == 1 {
        assert_eq!(threshold["without"]["n"], 1);
        assert_ne!(threshold["without"]["mean_cosine"], against["mean_cosine"]);
    }
    let text = check(&place, &["--against", "truth.csv"]);
    assert!(text.failures().0.contains("neighbour of 0.9"), "{text:?}");
}

#[test]
fn what_cannot_be_checked_is_refused() {
    let place = place();
    for (more, expected) in [
        (&["--pred", "truth.csv"][..], "--against"),
        (&["--against", "gone.csv"], "gone.csv"),
        (
            &["--groups", "truth.csv", "--against", "truth.csv"],
            "--groups",
        ),
        (&["gone"], "gone"),
    ] {
        let run = check(&place, more);
        assert!(run.refusal().contains(expected), "{more:?}: {run:?}");
    }
}
