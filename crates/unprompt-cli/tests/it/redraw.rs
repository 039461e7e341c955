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
