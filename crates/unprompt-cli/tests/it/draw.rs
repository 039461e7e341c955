//! `unprompt draw` with a tiny random Stable Diffusion.

use crate::harness::{Place, Run, json_lines, keys, workspace};
use safetensors::{Dtype, tensor::TensorView};
use std::{
    process::Stdio,
    time::{Duration, Instant},
};

const SMALL: [&str; 8] = [
    "--quiet", "--steps", "2", "--size", "64x72", "--out", "drawn", "--model",
];

fn model(name: &str) -> String {
    let folder = workspace("crates/unprompt-diffusion/tests/fixtures").join(name);
    folder.to_str().unwrap().to_owned()
}

fn draw(place: &Place, more: &[&str]) -> Run {
    let model = model("sd1");
    place.run(&[&["draw"], &SMALL[..], &[&model], more].concat())
}

#[test]
fn pictures_carry_their_prompts_and_replace_nothing() {
    let place = Place::new();
    let prompts = ["A cat, in the sun", "the sea"];
    let run = draw(
        &place,
        &[&prompts[..], &["--count", "2", "--seed", "3"]].concat(),
    );
    let names = [
        "0001-a-cat-in-the-sun-3.png",
        "0001-a-cat-in-the-sun-4.png",
        "0002-the-sea-3.png",
        "0002-the-sea-4.png",
    ];
    assert_eq!(place.names_in("drawn"), names);
    let lines: Vec<String> = names.iter().map(|name| format!("drawn/{name}")).collect();
    assert_eq!(run.output().lines().collect::<Vec<_>>(), lines);

    let run = place.run(&["metadata", "drawn", "--format", "jsonl"]);
    for (index, found) in json_lines(run.output()).iter().enumerate() {
        assert_eq!(found["prompt"], prompts[index / 2], "{found}");
        let settings = &found["settings"];
        assert_eq!(settings["Seed"], 3 + index % 2, "{found}");
        assert_eq!(settings["Sampler"], "PLMS", "{found}");
        assert_eq!(settings["Model"], "sd1", "{found}");
        assert_eq!(
            (&settings["Size-1"], &settings["Size-2"]),
            (&64.into(), &72.into())
        );
    }

    let before = std::fs::read(place.path("drawn/0002-the-sea-3.png")).unwrap();
    let run = draw(&place, &["other", "the sea", "--seed", "3"]);
    let refusal = run.refusal();
    assert!(
        refusal.contains("drawn/0002-the-sea-3.png: there already"),
        "{refusal}"
    );
    let after = std::fs::read(place.path("drawn/0002-the-sea-3.png")).unwrap();
    assert_eq!(before, after);
    assert_eq!(place.names_in("drawn"), names);
}

#[test]
fn a_picture_is_the_same_in_any_batch() {
    let (alone, together) = (Place::new(), Place::new());
    let more = [
        "a",
        "b",
        "--scheduler",
        "euler-a",
        "--negative",
        "c",
        "--format",
        "jsonl",
    ];
    let records = json_lines(draw(&alone, &more).output());
    draw(
        &together,
        &[&more[..], &["--batch", "2", "--threads", "1"]].concat(),
    )
    .output();
    for name in ["0001-a-0.png", "0002-b-0.png"] {
        let read = |place: &Place| std::fs::read(place.path("drawn").join(name)).unwrap();
        assert!(read(&alone) == read(&together), "{name}");
    }
    assert_eq!(
        keys(&records[1]),
        [
            "elapsed_ms",
            "guidance",
            "height",
            "model",
            "negative_prompt",
            "path",
            "prompt",
            "scheduler",
            "seed",
            "steps",
            "width"
        ]
    );
    assert_eq!(records[1]["path"], "drawn/0002-b-0.png");
    assert_eq!(records[1]["scheduler"], "euler-a");
}

#[test]
fn prompts_come_from_records_and_tables() {
    for (name, text) in [
        (
            "from.jsonl",
            "{\"path\":\"x.png\",\"prompt\":\"the sea\"}\n{\"path\":\"y.png\",\"error\":\"broken\"}\n",
        ),
        ("from.csv", "id,prompt\n7,the sea\n"),
    ] {
        let place = Place::new();
        place.write(name, text);
        let run = draw(&place, &["a cat", "--from", name, "--guidance", "1"]);
        assert_eq!(run.output().lines().count(), 2, "{run:?}");
        let expected = ["0001-a-cat-0.png", "0002-the-sea-0.png"];
        assert_eq!(place.names_in("drawn"), expected);
    }
    let place = Place::new();
    place.write("from.csv", "id,text\n7,the sea\n");
    let run = draw(&place, &["--from", "from.csv"]);
    assert!(run.refusal().contains("a column `prompt`"), "{run:?}");
}

#[test]
fn noise_is_taken_from_a_file() {
    let place = Place::new();
    let values: Vec<u8> = (0..4 * 9 * 8)
        .flat_map(|index| ((index % 7) as f32 - 3.0).to_le_bytes())
        .collect();
    let tensor = TensorView::new(Dtype::F32, vec![1, 1, 4, 9, 8], &values).unwrap();
    let file = safetensors::serialize([("noise", tensor)], None).unwrap();
    place.write("noise.safetensors", file);
    let more = ["a", "--noise", "noise.safetensors", "--format", "jsonl"];
    let run = draw(&place, &more);
    assert_eq!(json_lines(run.output())[0].get("seed"), None);
    // There is none for the steps, nor for a second picture.
    let place_2 = Place::new();
    place_2.copy(&place.path("noise.safetensors"), "noise.safetensors");
    let run = draw(&place_2, &[&more[..], &["--scheduler", "euler-a"]].concat());
    let (records, errors) = run.failures();
    assert!(errors[0].contains("noise given ends before"), "{errors:?}");
    assert_eq!(json_lines(records)[0]["prompt"], "a");
    let run = draw(&place_2, &[&more[..], &["--count", "2"]].concat());
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.stderr.contains("1 pictures only"), "{run:?}");
}

#[test]
fn what_cannot_be_drawn_is_refused_before_anything_is() {
    let place = Place::new();
    for (more, named) in [
        (&["a", "--size", "100x64"][..], "96 or 104 wide"),
        (&["a", "--size", "large"], "such as 512x768"),
        (&["a", "--scheduler", "magic"], "ddim, euler, euler-a"),
        (&["a", "--guidance", "inf"], "a number is needed"),
        (&["a", "--steps", "1001"], "from 1 to 1000"),
        (&["a", "--dtype", "int8"], "leave out int8"),
        (
            &["a", "--seed", "18446744073709551615", "--count", "2"],
            "seeds",
        ),
        (&[], "<TEXT"),
    ] {
        let model = model("sd1");
        let begin = ["draw", "--quiet", "--out", "drawn", "--model", &model];
        let run = place.run(&[&begin[..], more].concat());
        assert_eq!(run.code, 1, "{run:?}");
        assert!(run.stderr.contains(named), "{more:?}: {run:?}");
    }
    assert!(place.names().is_empty());
    let run = place.run(&["draw", "a", "--model", "nowhere/at/all"]);
    assert!(run.refusal().contains("--out DIR"), "{run:?}");
    let run = place.run(&["draw", "a", "--out", "drawn", "--model", "./nowhere"]);
    assert!(run.refusal().contains("nowhere"), "{run:?}");
}

#[test]
fn what_it_will_take_is_said_before() {
    let place = Place::new();
    let arguments = [
        "draw",
        "a",
        "--steps",
        "1",
        "--out",
        "drawn",
        "--model",
        &model("sd1"),
    ];
    let run = place.run(&arguments);
    assert_eq!(run.code, 0, "{run:?}");
    let said: Vec<&str> = run.stderr.lines().collect();
    assert!(said[0].contains("safety checker"), "{said:?}");
    assert!(
        said[1].contains("1 picture of 64x64, 1 steps of pndm: about "),
        "{said:?}"
    );
}

#[test]
fn a_job_that_is_killed_goes_on_to_the_same_bytes() {
    let arguments = |model: &str| {
        let arguments = [
            "draw", "a cat", "the sea", "a cat", "--count", "3", "--job", "job", "--dedup", "1",
            "--quiet", "--steps", "2", "--size", "64x64", "--format", "jsonl", "--model", model,
        ];
        arguments.map(str::to_owned)
    };
    let arguments = arguments(&model("sd1"));
    let (whole, killed) = (Place::new(), Place::new());
    whole.run(&arguments).output();
    let pairs = whole.read("job/pairs.csv");
    assert_eq!(pairs.lines().count(), 10, "{pairs}");
    assert!(
        pairs.starts_with("file,prompt\npictures/0001-a-cat-0.png,a cat\n"),
        "{pairs}"
    );

    // Killed as soon as there is a picture, whatever was noted of it.
    let mut child = killed
        .command(&arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let pictures = killed.path("job/pictures");
    while child.try_wait().unwrap().is_none() {
        let one = std::fs::read_dir(&pictures).is_ok_and(|mut found| found.next().is_some());
        if one {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    child.wait().unwrap();
    // Its worker may still be about to see that nobody listens.
    let start = Instant::now();
    let run = loop {
        let run = killed.run(&arguments);
        if run.code == 0 || start.elapsed() > Duration::from_secs(20) {
            break run;
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    run.output();
    assert_eq!(killed.read("job/pairs.csv"), pairs);
    let names = whole.names_in("job/pictures");
    assert_eq!(names.len(), 9);
    assert_eq!(killed.names_in("job/pictures"), names);
    for name in &names {
        let read = |place: &Place| std::fs::read(place.path("job/pictures").join(name)).unwrap();
        assert!(read(&whole) == read(&killed), "{name}");
    }
    let refused = killed.run(&["draw", "another", "--job", "job", "--model", &model("sd1")]);
    assert_eq!(refused.code, 1, "{refused:?}");
}

#[test]
fn shards_make_one_set_of_pairs() {
    let place = Place::new();
    let shard = |shard: &str| {
        let model = model("sd2");
        let arguments = [
            "draw",
            "a",
            "b",
            "c",
            "--count",
            "7",
            "--job",
            "job",
            "--dedup",
            "1",
            "--quiet",
            "--part-size",
            "1",
            "--steps",
            "1",
            "--size",
            "64x64",
            "--guidance",
            "1",
            "--format",
            "jsonl",
            "--shard",
            shard,
            "--model",
            &model,
        ];
        place.run(&arguments).output().to_owned()
    };
    shard("1/2");
    assert!(!place.names_in("job").contains(&"pairs.csv".to_owned()));
    shard("2/2");
    assert_eq!(place.read("job/pairs.csv").lines().count(), 22);
    let run = place.run(&["merge", "job", "--out", "merged.jsonl", "--quiet"]);
    assert_eq!(run.code, 0, "{run:?}");
}
