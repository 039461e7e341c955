//! `unprompt draw --job` over prompts of which some say nearly the same.

use crate::{Test, harness::workspace, reference::cosine, weights::Weights};

pub const TESTS: &[Test] = &[(
    "drawing::prompts_that_nearly_repeat_an_earlier_one_are_left_out",
    near_duplicates,
)];

fn near_duplicates(weights: &Weights) {
    let prompts = [
        "a photo of a cat sitting on a red sofa",
        "a lighthouse in a storm, oil painting",
        "a photo of a cat sitting on a red couch",
        "A photo of a cat, sitting on a red sofa",
        "a spaceship over the desert, concept art",
    ];
    let rows = weights.encoder.embed(&prompts).unwrap();
    let rows: Vec<Vec<f64>> = rows
        .into_iter()
        .map(|row| row.into_iter().map(f64::from).collect())
        .collect();
    // By the limit itself: what is kept has no such neighbour among what was kept before it.
    let kept = |limit: f64| -> Vec<&str> {
        let mut kept: Vec<usize> = Vec::new();
        for (place, row) in rows.iter().enumerate() {
            if kept.iter().all(|other| cosine(row, &rows[*other]) < limit) {
                kept.push(place);
            }
        }
        kept.into_iter().map(|place| prompts[place]).collect()
    };
    assert_eq!(kept(0.9), [prompts[0], prompts[1], prompts[4]]);
    let all = kept(0.999_9);
    assert!(all.len() > 3, "{all:?}");

    let model = workspace("crates/unprompt-diffusion/tests/fixtures/sd2");
    let model = model.to_str().unwrap();
    for (more, expected) in [(&[][..], kept(0.9)), (&["--dedup", "0.9999"], all)] {
        let place = weights.place();
        let how = [
            "--job",
            "job",
            "--count",
            "2",
            "--steps",
            "1",
            "--guidance",
            "1",
            "--size",
            "64x64",
        ];
        let rest = ["--offline", "--format", "jsonl", "--model", model];
        let run = place.run(&[&["draw"], &prompts[..], &how, &rest, more].concat());
        assert_eq!(run.code, 0, "{run:?}");
        let left = prompts.len() - expected.len();
        let said = format!("{left} of 5 prompts are nearly the same as an earlier one");
        assert!(run.stderr.contains(&said), "{run:?}");
        let pairs = place.read("job/pairs.csv");
        let mut rows = csv::Reader::from_reader(pairs.as_bytes());
        let drawn: Vec<String> = rows
            .records()
            .map(|row| row.unwrap()[1].to_owned())
            .collect();
        let twice: Vec<&str> = expected.iter().flat_map(|prompt| [*prompt; 2]).collect();
        assert_eq!(drawn, twice);
    }
}
