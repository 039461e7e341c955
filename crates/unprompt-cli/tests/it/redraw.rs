//! `unprompt redraw` with a tiny random Stable Diffusion.

use crate::{
    harness::{Place, Run, json_lines, keys, workspace},
    presets,
};

fn redraw(place: &Place, more: &[&str]) -> Run {
    let model = workspace("crates/unprompt-diffusion/tests/fixtures/sd2");
    let model = model.to_str().unwrap();
    let arguments = ["redraw", "in", "--quiet", "--steps", "1", "--model", model];
    place.run(&[&arguments[..], more].concat())
}

fn place() -> Place {
    let place = Place::new();
    for name in ["cat.png", "coffee.webp"] {
        place.copy(
            &workspace("examples/pictures").join(name),
            &format!("in/{name}"),
        );
    }
    place
}

#[test]
fn pictures_stand_beside_what_is_drawn_from_their_prompts() {
    let place = place();
    let more = [
        "--preset",
        "lite",
        "--out",
        "drawn",
        "--report",
        "page.html",
        "--format",
        "jsonl",
    ];
    let run = redraw(&place, &more);
    let records = json_lines(run.output());
    assert_eq!(place.names_in("drawn"), ["0001-cat.png", "0002-coffee.png"]);
    assert_eq!(
        keys(&records[0]),
        [
            "cosine", "drawn", "judge", "path", "prompt", "seed", "source", "ssim"
        ]
    );
    for record in &records {
        assert_eq!(record["source"], "predicted");
        let judge = record["judge"].as_str().unwrap();
        assert!(judge.contains("EfficientNet-Lite0"), "{judge}");
        for number in ["cosine", "ssim"] {
            let value = record[number].as_f64().unwrap();
            assert!((-1.0..1.0).contains(&value), "{record}");
        }
    }
    let page = place.read("page.html");
    assert_eq!(page.matches("data:image/jpeg;base64,").count(), 4);
    assert!(page.contains("<bdi>in/cat.png</bdi>"));

    let again = redraw(&place, &more);
    assert!(
        again
            .refusal()
            .contains("drawn/0001-cat.png: there already"),
        "{again:?}"
    );
}

#[test]
fn a_prompt_can_be_given_and_a_judge_be_asked_for() {
    let place = place();
    place.write("in/broken.png", "no picture");
    let judge = presets::model("tiny-clip-transformers");
    let prompt = "<b>a cat</b>";
    let more = [
        "--prompt",
        prompt,
        "--judge",
        &judge,
        "--report",
        "page.html",
    ];
    let run = redraw(&place, &more);
    let (output, errors) = run.failures();
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines.len(), 2, "{output}");
    assert!(
        lines[0].starts_with("in/cat.png\t<b>a cat</b>\tcosine "),
        "{output}"
    );
    assert!(lines[0].contains("SSIM "), "{output}");
    assert!(errors[0].contains("in/broken.png: "), "{errors:?}");
    let page = place.read("page.html");
    assert!(!page.contains(prompt), "the prompt is escaped");
    assert!(page.contains("a cat"));
    let run = redraw(&place, &["--prompt", "a"]);
    assert!(run.refusal().contains("--out DIR"), "{run:?}");
}

/// The models of a user's shared cache, by the names of their fixtures.
fn cached(place: &Place, models: &[(&str, &str)]) {
    for (name, fixture) in models {
        let hub = place.caches().join("huggingface/hub");
        let folder = hub.join(format!("models--org--{name}"));
        let commit = "0123456789abcdef0123456789abcdef01234567";
        let snapshot = folder.join("snapshots").join(commit);
        std::fs::create_dir_all(&snapshot).unwrap();
        std::fs::create_dir_all(folder.join("refs")).unwrap();
        std::fs::write(folder.join("refs/main"), commit).unwrap();
        let fixture = std::fs::read_dir(workspace("fixtures/models").join(fixture)).unwrap();
        for file in fixture.map(|entry| entry.unwrap().path()) {
            std::fs::copy(&file, snapshot.join(file.file_name().unwrap())).unwrap();
        }
    }
}

#[test]
fn the_judge_is_the_smallest_clip_that_is_here() {
    let place = place();
    // Half a CLIP is smaller still, and no judge of pictures.
    cached(
        &place,
        &[
            ("half-a-clip", "tiny-clip-text"),
            ("large-clip", "tiny-clip-transformers"),
            ("small-clip", "tiny-clip-transformers-old"),
        ],
    );
    let prompt = ["--prompt", "a cat", "--format", "jsonl", "--out"];
    let records = |more: &[&str]| {
        let run = redraw(&place, &[&prompt[..], more].concat());
        json_lines(run.output())
    };
    let found = records(&["drawn"]);
    assert_eq!(found[0]["judge"], "org/small-clip");
    let asked = records(&["asked", "--judge", "org/small-clip"]);
    assert_eq!(found[0]["cosine"], asked[0]["cosine"]);
    let other = records(&["other", "--judge", "org/large-clip"]);
    assert_ne!(found[0]["cosine"], other[0]["cosine"]);
}

#[test]
fn the_text_has_a_score_where_the_file_carries_its_prompt() {
    let place = place();
    let carries = "crates/unprompt-metadata/tests/fixtures/a1111-text.png";
    place.copy(&workspace(carries), "in/carries.png");
    let (encoder, captioner) = (presets::model("tiny-sbert"), presets::model("tiny-blip"));
    place.write(
        "tiny.toml",
        format!(
            "name = 'tiny'\nencoder = '{encoder}'\n\
             [[member]]\nname = 'said'\nkind = 'captioner'\nmodel = '{captioner}'\nweight = 1.0\n"
        ),
    );
    let more = [
        "--preset",
        "tiny.toml",
        "--report",
        "page.html",
        "--format",
        "jsonl",
    ];
    let records = json_lines(redraw(&place, &more).output());
    let carried = records
        .iter()
        .find(|record| record["path"] == "in/carries.png")
        .unwrap();
    let scored = records
        .iter()
        .filter(|record| record.get("text_score").is_some());
    assert_eq!(scored.count(), 1);

    let read = place.run(&["metadata", "in/carries.png", "--format", "jsonl"]);
    let truth = json_lines(read.output())[0]["prompt"]
        .as_str()
        .unwrap()
        .to_owned();
    let said = carried["prompt"].as_str().unwrap();
    assert_ne!(said, truth, "the prompt is predicted, not read");
    // What a tiny network says may begin as a flag does.
    let common = ["--model", &encoder, "--quiet", "--format", "jsonl", "--"];
    let run = place.run(&[&["embed", "text"][..], &common, &[&truth, said]].concat());
    let rows: Vec<Vec<f64>> = json_lines(run.output())
        .iter()
        .map(|row| serde_json::from_value(row["embedding"].clone()).unwrap())
        .collect();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let (a, b) = (&rows[0], &rows[1]);
    let expected = dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
    let found = carried["text_score"].as_f64().unwrap();
    assert!((found - expected).abs() < 1e-6, "{found} {expected}");
    let shown = format!("score of the text {found:.3}");
    assert!(place.read("page.html").contains(&shown));
}
