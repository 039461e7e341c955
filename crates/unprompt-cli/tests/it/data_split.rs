//! `unprompt data split`: parts that share no caption, as folders that every command reads.

use crate::{
    harness::{Place, Run, json, workspace},
    presets::model,
};
use std::collections::BTreeMap;

/// Captions no two of which are alike for the encoder of these tests.
pub(crate) const UNLIKE: [&str; 6] = [
    "photo on dog lake rocket",
    "astronaut fox cup canvas cat ? y mountain",
    "3",
    "light house",
    "river horse ? rocket",
    "light cat river city river river riding city",
];
/// The encoder for which they are so.
pub(crate) const ENCODER: &str = "tiny-sbert-cls";

/// Six pictures in two layouts, one more with the first one's caption, and one without any.
fn place() -> Place {
    let place = Place::new();
    let pictures = ["cat.png", "rocket.jpg", "coffee.webp"];
    let picture = |index: usize| workspace("examples/pictures").join(pictures[index % 3]);
    for (index, caption) in UNLIKE[..3].iter().enumerate() {
        // What a file is called is no matter.
        place.copy(&picture(index), &format!("one/{index}.png"));
        place.write(&format!("one/{index}.txt"), caption);
    }
    place.copy(&picture(0), "one/alone.png");
    let mut list = String::from("file,prompt\n");
    for (index, caption) in UNLIKE[3..].iter().chain(&UNLIKE[..1]).enumerate() {
        place.copy(&picture(index), &format!("two/{index}.png"));
        list.push_str(&format!("{index}.png,{caption}\n"));
    }
    list.push_str("0.png,light house\n");
    place.write("two/pairs.csv", list);
    place
}

fn split(place: &Place, more: &[&str]) -> Run {
    let encoder = model(ENCODER);
    let arguments = ["data", "split", "one", "two", "--offline"];
    place.run(&[&arguments[..], &["--encoder", &encoder], more].concat())
}

/// The part of each picture, by its source and its name there.
fn parts(place: &Place, folders: &[&str]) -> BTreeMap<String, usize> {
    let mut parts = BTreeMap::new();
    for (part, folder) in folders.iter().enumerate() {
        let list = place.read(&format!("{folder}/pairs.csv"));
        assert!(list.starts_with("file,prompt,source,key,group\n"), "{list}");
        for line in list.lines().skip(1) {
            let fields: Vec<&str> = line.split(',').collect();
            assert!(place.path(folder).join(fields[0]).is_file(), "{line}");
            let key = format!("{}/{}", fields[2], fields[3]);
            assert_eq!(*parts.entry(key).or_insert(part), part);
        }
    }
    parts
}

#[test]
fn folds_share_no_caption_and_are_read_back() {
    let place = place();
    let folders = ["out/fold-1", "out/fold-2", "out/fold-3"];
    let run = split(
        &place,
        &["--folds", "3", "--out", "out", "--format", "json"],
    );
    let (output, errors) = run.failures();
    let report = json(output);
    assert!(errors[0].contains("alone.png: no caption"), "{errors:?}");
    assert_eq!(report["repeats"], 1);
    assert_eq!(report["sources"][1]["captions"], 5);
    for part in report["parts"].as_array().unwrap() {
        assert_eq!((&part["pictures"], &part["groups"]), (&2.into(), &2.into()));
    }
    // The one that repeats another is left out; a picture with two captions has two rows.
    let found = parts(&place, &folders);
    assert_eq!(found.len(), 6);
    assert!(!found.contains_key("two/3.png"), "{found:?}");
    // The pictures end as what they are.
    let names: Vec<String> = folders
        .iter()
        .flat_map(|folder| place.names_in(folder))
        .collect();
    for ending in [".png", ".jpg", ".webp"] {
        assert!(names.iter().any(|name| name.ends_with(ending)), "{names:?}");
    }
    // Nothing is left of where it was made.
    assert!(
        place
            .names()
            .iter()
            .all(|name| !name.contains(".unprompt-"))
    );

    let encoder = model(ENCODER);
    let check = [
        "data",
        "check",
        "--offline",
        "--quiet",
        "--encoder",
        &encoder,
    ];
    let check = [&check[..], &folders, &["--format", "json"]].concat();
    let checked = json(place.run(&check).output());
    assert_eq!(
        (&checked["captions"], &checked["distinct"]),
        (&7.into(), &6.into())
    );
    assert_eq!(checked["groups"], 6);

    // The same again, and otherwise with another seed.
    let run = split(
        &place,
        &["--folds", "3", "--out", "again", "--threads", "1"],
    );
    assert_eq!(run.code, 2);
    for part in ["fold-1", "fold-2", "fold-3"] {
        let list = |folder: &str| place.read(&format!("{folder}/{part}/pairs.csv"));
        assert_eq!(list("out"), list("again"));
    }
    let seeds = (1..6).map(|seed: u32| {
        let (seed, out) = (seed.to_string(), format!("seed-{seed}"));
        split(&place, &["--folds", "3", "--out", &out, "--seed", &seed]);
        let folders: Vec<String> = (1..4).map(|part| format!("{out}/fold-{part}")).collect();
        parts(
            &place,
            &folders.iter().map(String::as_str).collect::<Vec<_>>(),
        )
    });
    assert!(
        seeds
            .collect::<Vec<_>>()
            .iter()
            .any(|other| *other != found)
    );
}

#[test]
fn what_repeats_others_can_be_kept_on_their_side() {
    let place = place();
    let run = split(
        &place,
        &["--fractions", ".7,.3", "--out", "out", "--keep-repeats"],
    );
    let (output, _) = run.failures();
    assert!(output.contains("0 pictures repeat others"), "{output}");
    assert!(output.contains("part-1: 5 pictures"), "{output}");
    let found = parts(&place, &["out/part-1", "out/part-2"]);
    assert_eq!(found.len(), 7);
    assert_eq!(found["one/0.png"], found["two/3.png"]);
}

#[test]
fn what_cannot_be_split_is_refused() {
    let place = place();
    place.write("taken/file", "");
    for (more, expected) in [
        (&["--folds", "2"][..], "--out DIR"),
        (&["--out", "x"], "--fractions"),
        (
            &["--out", "x", "--folds", "2", "--fractions", ".5,.5"],
            "--folds",
        ),
        (&["--out", "x", "--folds", "1"], "--folds"),
        (&["--out", "x", "--folds", "9"], "6 groups"),
        (&["--out", "x", "--fractions", ".9"], "two parts"),
        (&["--out", "x", "--fractions", ".9,0"], "above 0"),
        (&["--out", "taken", "--folds", "2"], "something is there"),
        (&["--out", "x", "--folds", "2", "gone"], "gone"),
    ] {
        let run = split(&place, more);
        assert_eq!(run.code, 1, "{run:?}");
        assert!(run.stderr.contains(expected), "{more:?}: {run:?}");
        assert!(!place.path("x").exists(), "{more:?}");
    }
}
