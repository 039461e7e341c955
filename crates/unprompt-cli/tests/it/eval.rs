//! `unprompt eval` and its report, with a preset of tiny networks.

use crate::harness::{Place, json, json_lines, keys, workspace};
use scraper::{Html, Selector};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// A prompt that tries to be more than text.
const HOSTILE: &str = r#"</bdi></dd><script src="https://example.org/x.js">alert(1)</script><img src=x onerror='a()'> & "quoted" {{ score }}"#;

fn model(name: &str) -> String {
    let path = workspace("fixtures/models").join(name);
    path.to_str().unwrap().to_owned()
}

/// Three pictures with their prompts, one of them with a hostile prompt and name.
fn place() -> Place {
    let place = Place::new();
    let picture = |from: &str, to: &str| {
        place.copy(
            &workspace("examples/pictures").join(from),
            &format!("in/{to}"),
        );
    };
    picture("cat.png", "cat.png");
    picture("rocket.jpg", "rocket.jpg");
    picture("coffee.webp", "<b onclick='a()'>&amp;.webp");
    let hostile = HOSTILE.replace('"', "\"\"");
    place.write(
        "in/prompts.csv",
        format!(
            "imgId,prompt\ncat,a cat on a mat\nrocket,a rocket\n<b onclick='a()'>&amp;,\"{hostile}\"\n"
        ),
    );
    let preset = format!(
        r#"
        name = "<i>tiny</i>"
        encoder = "{encoder}"
        [[member]]
        name = "first"
        kind = "captioner"
        model = "{captioner}"
        weight = 1.0
        [[member]]
        name = "second"
        kind = "captioner"
        model = "{captioner}"
        suffix = ", a painting"
        weight = 0.0
        [calibration]
        feature = "text"
        points = [[0.0, 0.25]]
        "#,
        encoder = model("tiny-sbert"),
        captioner = model("tiny-blip"),
    );
    place.write("tiny.toml", preset);
    place
}

const EVAL: [&str; 8] = [
    "eval",
    "in",
    "--truth",
    "in/prompts.csv",
    "--preset",
    "tiny.toml",
    "--quiet",
    "--offline",
];

fn evaluate(place: &Place, more: &[&str]) -> Value {
    json(
        place
            .run(&[&EVAL[..], &["--format", "json"], more].concat())
            .output(),
    )
}

fn numbers(row: &Value) -> Vec<f64> {
    row.as_array()
        .unwrap()
        .iter()
        .map(|value| value.as_f64().unwrap())
        .collect()
}

fn cosine(left: &[f64], right: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    dot(left, right) / (dot(left, left) * dot(right, right)).sqrt()
}

fn near(found: &Value, expected: f64) {
    assert!(
        (found.as_f64().unwrap() - expected).abs() < 1e-6,
        "{found} {expected}"
    );
}

#[test]
fn scores_are_those_of_the_predictions_and_the_embedded_truth() {
    let place = place();
    let found = evaluate(&place, &[]);
    assert_eq!(
        keys(&found),
        [
            "baselines",
            "expected_score",
            "failed",
            "from_metadata",
            "interval",
            "mean_cosine",
            "median",
            "members",
            "n",
            "per_image",
            "pictures_sha256",
            "preset",
            "prompt_groups",
            "prompts",
            "receipt",
            "run",
            "strata",
            "subject_cosine",
            "tenth_percentile",
            "text_interval",
            "text_mean_cosine",
            "text_median",
            "text_tenth_percentile",
            "without_picture",
            "without_truth"
        ]
    );
    let common = ["--quiet", "--offline", "--format", "jsonl"];
    let run = |arguments: &[&str]| json_lines(place.run(&[arguments, &common].concat()).output());
    let pictures = [
        "in/<b onclick='a()'>&amp;.webp",
        "in/cat.png",
        "in/rocket.jpg",
    ];
    let options = ["--preset", "tiny.toml", "--no-metadata"];
    let predicted = run(&[&["predict"], &pictures[..], &options].concat());
    let encoder = model("tiny-sbert");
    let truth = [HOSTILE, "a cat on a mat", "a rocket"];
    let truth = run(&[&["embed", "text"], &truth[..], &["--model", &encoder]].concat());
    let images = found["per_image"].as_array().unwrap();
    assert_eq!(images.len(), 3);
    let (mut sum, mut members) = (0.0, [0.0; 2]);
    for ((image, record), truth) in images.iter().zip(&predicted).zip(&truth) {
        assert_eq!(image["path"], record["path"]);
        assert_eq!(image["prompt"], record["prompt"]);
        assert_eq!(image["true_prompt"], truth["text"]);
        let truth = numbers(&truth["embedding"]);
        let expected = cosine(&numbers(&record["embedding"]), &truth);
        near(&image["cosine"], expected);
        near(&image["expected_score"], 0.25);
        sum += expected;
        for (member, sum) in members.iter_mut().enumerate() {
            let row = numbers(&record["members"][member]["embedding"]);
            *sum += cosine(&row, &truth);
        }
    }
    near(&found["mean_cosine"], sum / 3.0);
    near(&found["members"][0]["mean_cosine"], members[0] / 3.0);
    near(&found["members"][1]["mean_cosine"], members[1] / 3.0);

    // The constant prompt's score is what its own embedding gives.
    let constant = &found["baselines"]["constant_prompt"];
    assert_eq!(constant["list_prompts"], 1632);
    let prompt = constant["prompt"].as_str().unwrap();
    let row = numbers(&run(&["embed", "text", prompt, "--model", &encoder])[0]["embedding"]);
    let scores = truth
        .iter()
        .map(|truth| cosine(&row, &numbers(&truth["embedding"])));
    near(&constant["mean_cosine"], scores.sum::<f64>() / 3.0);
    assert!(found["baselines"]["mean_embedding"]["mean_cosine"].is_f64());
    // What the carried lists have in common is of no use in the space of another encoder.
    assert_eq!(found["baselines"]["priors"], serde_json::json!([]));
    let difference = &constant["difference"];
    let below = constant["mean_cosine"].as_f64().unwrap();
    near(&difference["mean"], sum / 3.0 - below);
    for (interval, mean) in [
        (&found["interval"], &found["mean_cosine"]),
        (&found["text_interval"], &found["text_mean_cosine"]),
        (&constant["interval"], &constant["mean_cosine"]),
        (&difference["interval"], &difference["mean"]),
    ] {
        let at = |value: &Value| value.as_f64().unwrap();
        let (low, high) = (at(&interval["low"]), at(&interval["high"]));
        assert!(low < at(mean) && at(mean) < high, "{interval} {mean}");
    }
    let mut cosines: Vec<f64> = images
        .iter()
        .map(|one| one["cosine"].as_f64().unwrap())
        .collect();
    cosines.sort_by(f64::total_cmp);
    near(&found["median"], cosines[1]);
    near(
        &found["tenth_percentile"],
        cosines[0] + 0.2 * (cosines[1] - cosines[0]),
    );
    assert!(found["run"]["pictures_per_second"].as_f64().unwrap() > 0.0);
    let text = place.run(&EVAL);
    for part in [
        "constant prompt",
        "3 pictures of 3 prompts",
        "expected was 0.2500",
        "better than",
        "pictures a second",
    ] {
        assert!(text.output().contains(part), "{text:?}");
    }
}

#[test]
fn pictures_of_a_kind_have_scores_of_their_own() {
    let place = place();
    place.copy(&workspace("examples/pictures/cat.png"), "in/again.png");
    place.write(
        "in/prompts.csv",
        "file,prompt,generator\ncat.png,\"a cat, oil on canvas, 4k\",SD 1.5\n\
         again.png,\"A  cat, oil on canvas, 4K\",SD 2.1\nrocket.jpg,a rocket,SD 1.5\n",
    );
    // The hostile name has no row any more.
    let found = evaluate(&place, &["--report", "r.html"]);
    assert_eq!((&found["n"], &found["prompts"]), (&3.into(), &2.into()));
    // Tiny networks may find the two near to each other.
    assert!([1, 2].contains(&found["prompt_groups"].as_u64().unwrap()));
    let strata = found["strata"].as_array().unwrap();
    let shown: Vec<String> = strata
        .iter()
        .map(|one| format!("{}: {} of {}", one["value"], one["n"], one["prompts"]))
        .collect();
    assert_eq!(
        shown,
        [
            "\"SD 1.5\": 2 of 2",
            "\"SD 2.1\": 1 of 1",
            "\"up to 5 words\": 1 of 1",
            "\"6 to 10 words\": 2 of 1"
        ]
    );
    let images = found["per_image"].as_array().unwrap();
    let of = |id: &str| images.iter().find(|one| one["id"] == id).unwrap();
    assert_eq!(of("again")["generator"], "SD 2.1");
    near(
        &strata[1]["mean_cosine"],
        of("again")["cosine"].as_f64().unwrap(),
    );
    // One prompt has no interval.
    assert!(strata[1].get("interval").is_none() && strata[0]["interval"]["low"].is_f64());
    // The tiny captioner says none of it; `a rocket` has no such phrase.
    assert_eq!(found["modifier_recall"]["n"], 2);
    assert_eq!(found["modifier_recall"]["mean"], 0.0);
    assert!(of("rocket").get("modifier_recall").is_none());
    assert_eq!(found["subject_cosine"]["n"], 3);
    let page = Html::parse_document(&place.read("r.html"));
    assert_eq!(all(&page, ".strata tbody tr").len(), 4);
    let text = place.run(&EVAL);
    assert!(text.output().contains("6 to 10 words"), "{text:?}");
}

fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_digest_of_the_pictures_is_that_of_what_sha256sum_writes() {
    let place = place();
    let digest = |place: &Place| evaluate(place, &[])["pictures_sha256"].clone();
    let before = digest(&place);
    let lines: String = [
        ("<b onclick='a()'>&amp;", "in/<b onclick='a()'>&amp;.webp"),
        ("cat", "in/cat.png"),
        ("rocket", "in/rocket.jpg"),
    ]
    .iter()
    .map(|(id, path)| {
        format!(
            "{}  {id}\n",
            sha256(&std::fs::read(place.path(path)).unwrap())
        )
    })
    .collect();
    assert_eq!(before, sha256(lines.as_bytes()));
    place.copy(&workspace("examples/pictures/rocket.jpg"), "in/cat.png");
    assert_ne!(digest(&place), before);
}

#[test]
fn a_judge_looks_at_the_pictures_itself() {
    let place = place();
    let judge = model("tiny-clip");
    let found = evaluate(&place, &["--judge", &judge]);
    let scores = &found["clip_t"];
    assert_eq!(scores["judge"], judge.as_str());
    assert_eq!(scores["sha256"].as_str().unwrap().len(), 64);
    let embed = |arguments: &[&str]| {
        let common = [
            "--model",
            &judge,
            "--quiet",
            "--offline",
            "--format",
            "jsonl",
        ];
        json_lines(
            place
                .run(&[&["embed"], arguments, &common].concat())
                .output(),
        )
    };
    let picture = numbers(&embed(&["image", "in/cat.png"])[0]["embedding"]);
    let images = found["per_image"].as_array().unwrap();
    let cat = images.iter().find(|image| image["id"] == "cat").unwrap();
    for (key, text) in [("clip_t", "prompt"), ("true_clip_t", "true_prompt")] {
        let text = numbers(&embed(&["text", cat[text].as_str().unwrap()])[0]["embedding"]);
        near(&cat[key], cosine(&picture, &text));
    }
    let mean = |key: &str| {
        let values = images.iter().map(|image| image[key].as_f64().unwrap());
        values.sum::<f64>() / 3.0
    };
    near(&scores["predicted"]["mean"], mean("clip_t"));
    near(&scores["truth"]["mean"], mean("true_clip_t"));
    near(
        &scores["difference"]["mean"],
        mean("clip_t") - mean("true_clip_t"),
    );
    let text = place.run(&[&EVAL[..], &["--judge", &judge]].concat());
    assert!(text.output().contains("CLIP-T by"), "{text:?}");
    // What gives texts no vector is no judge.
    let run = place.run(&[&EVAL[..], &["--judge", &model("tiny-vit-timm")]].concat());
    assert!(run.refusal().contains("a CLIP or a SigLIP"), "{run:?}");
}

#[test]
fn table_1_has_every_members_text_with_its_score() {
    let place = place();
    let table = [
        "eval",
        "--table1",
        "in/cat.png",
        "--preset",
        "tiny.toml",
        "--offline",
    ];
    let run = |more: &[&str]| place.run(&[&table[..], more].concat());
    let found = json(run(&["--truth", "in/prompts.csv", "--format", "json"]).output());
    assert_eq!(found["true_prompt"], "a cat on a mat");
    let rows = found["rows"].as_array().unwrap();
    let names: Vec<&Value> = rows.iter().map(|row| &row["name"]).collect();
    assert_eq!(names, ["first", "second", "<i>tiny</i>"]);
    // The preset's scores are those of the evaluation, and a member's text is embedded as any other.
    let whole = evaluate(&place, &[]);
    let cat = whole["per_image"].as_array().unwrap().iter();
    let cat = cat.clone().find(|image| image["id"] == "cat").unwrap();
    assert_eq!(rows[2]["text"], cat["prompt"]);
    near(
        &rows[2]["text_cosine"],
        cat["text_cosine"].as_f64().unwrap(),
    );
    near(&rows[2]["cosine"], cat["cosine"].as_f64().unwrap());
    near(&rows[0]["text_cosine"], rows[0]["cosine"].as_f64().unwrap());
    let text = run(&["--truth", "in/prompts.csv"]);
    assert!(text.output().contains("true prompt"), "{text:?}");

    // Without a truth the prompt in the file is one.
    assert!(run(&[]).refusal().contains("--truth"));
    let carries = "crates/unprompt-metadata/tests/fixtures/a1111-text.png";
    place.copy(&workspace(carries), "in/cat.png");
    let found = json(run(&["--format", "json"]).output());
    assert!(!found["true_prompt"].as_str().unwrap().is_empty());
    assert_ne!(found["rows"][2]["text"], found["true_prompt"]);
    for more in [&["in"][..], &["--report", "r.html"], &["--judge", "x"]] {
        assert!(run(more).refusal().contains("--table1"), "{more:?}");
    }
}

#[test]
fn what_the_preset_knows_beforehand_is_counted() {
    let place = place();
    place.write("known.txt", "a rocket\na lighthouse\n");
    let preset = place.read("tiny.toml");
    let prior =
        "[[member]]\nname = \"common\"\nkind = \"prior\"\nprompts = \"known.txt\"\nweight = 0.5\n";
    place.write(
        "tiny.toml",
        preset.replace("[calibration]", &format!("{prior}[calibration]")),
    );
    let found = evaluate(&place, &[]);
    let leakage = &found["leakage"];
    assert_eq!(leakage["lists"], serde_json::json!(["known.txt"]));
    let images = found["per_image"].as_array().unwrap();
    let known: Vec<bool> = images
        .iter()
        .map(|image| image["nearest_known"].as_f64().unwrap() >= 0.9)
        .collect();
    let rocket = images.iter().find(|image| image["id"] == "rocket").unwrap();
    near(&rocket["nearest_known"], 1.0);
    let count = known.iter().filter(|known| **known).count();
    assert_eq!(leakage["prompts"], count);
    let rest = images.iter().zip(&known).filter(|(_, known)| !**known);
    let rest: Vec<f64> = rest
        .map(|(image, _)| image["cosine"].as_f64().unwrap())
        .collect();
    if !rest.is_empty() {
        near(
            &leakage["without"]["mean"],
            rest.iter().sum::<f64>() / rest.len() as f64,
        );
    }
    let text = place.run(&EVAL);
    assert!(
        text.output()
            .contains("have a neighbour of 0.9 in `known.txt`"),
        "{text:?}"
    );
}

fn all<'a>(page: &'a Html, selector: &str) -> Vec<scraper::ElementRef<'a>> {
    page.select(&Selector::parse(selector).unwrap()).collect()
}

#[test]
fn the_report_is_one_page_that_shows_what_others_wrote_as_text() {
    let place = place();
    evaluate(&place, &["--report", "report.html"]);
    let html = place.read("report.html");
    let page = Html::parse_document(&html);
    assert!(page.errors.is_empty(), "{:?}", page.errors);
    for forbidden in [
        "script",
        "link",
        "iframe",
        "object",
        "b",
        "i",
        "[style]",
        "[onclick]",
        "[onerror]",
        "a",
    ] {
        assert!(all(&page, forbidden).is_empty(), "{forbidden}");
    }
    // Whatever is loaded is in the page.
    for element in all(&page, "[src], [href], [srcset], [action]") {
        let source = element.value().attr("src").unwrap_or_default();
        assert!(
            source.starts_with("data:image/jpeg;base64,"),
            "{}",
            element.html()
        );
    }
    let policy = all(&page, "meta[http-equiv=Content-Security-Policy]");
    let policy = policy[0].value().attr("content").unwrap();
    assert!(policy.starts_with("default-src 'none'; img-src data:; style-src 'sha256-"));
    assert!(!html.contains("url(") && !html.contains("@import"));

    let text: String = page.root_element().text().collect();
    for shown in [
        HOSTILE,
        "<i>tiny</i>",
        "<b onclick='a()'>&amp;.webp",
        "a cat on a mat",
    ] {
        assert!(text.contains(shown), "{shown}");
    }
    let images = all(&page, "img");
    assert_eq!(images.len(), 3);
    let alt = |image: &scraper::ElementRef| image.value().attr("alt").unwrap().to_owned();
    assert!(images.iter().any(|image| alt(image).contains(HOSTILE)));
    assert!(
        all(&page, "th")
            .iter()
            .all(|cell| cell.value().attr("scope").is_some())
    );
    assert_eq!(all(&page, "h1").len(), 1);
    assert_eq!(all(&page, "svg.histogram[role=img][aria-label]").len(), 1);
    // Members, the prediction, its text and both baselines; every model with its digest.
    assert_eq!(all(&page, ".members tbody tr").len(), 6);
    let models: Vec<String> = all(&page, ".models td.code:last-child")
        .iter()
        .map(|cell| cell.text().collect())
        .collect();
    assert_eq!(models.len(), 2);
    assert!(models.iter().all(|digest| digest.len() == 64));

    // The same page again, but for nothing.
    evaluate(&place, &["--report", "again.html", "--batch-size", "1"]);
    assert_eq!(place.read("again.html"), html);
}

#[test]
fn what_has_no_partner_is_counted_and_what_fails_is_named() {
    let place = place();
    place.write("in/stray.png", "");
    place.write("in/broken.png", "no picture");
    let truth = place.read("in/prompts.csv") + "broken,a vase\ngone,a ghost\n";
    place.write("in/prompts.csv", truth);
    let run = place.run(&[&EVAL[..], &["--format", "json", "--report", "r.html"]].concat());
    let (stdout, stderr) = run.failures();
    assert_eq!(stderr.len(), 1, "{stderr:?}");
    assert!(stderr[0].contains("broken.png"), "{stderr:?}");
    let found = json(stdout);
    assert_eq!(found["n"], 3);
    assert_eq!(found["without_truth"], serde_json::json!(["in/stray.png"]));
    assert_eq!(found["without_picture"], serde_json::json!(["gone"]));
    assert_eq!(found["failed"][0]["path"], "in/broken.png");
    let page = Html::parse_document(&place.read("r.html"));
    assert_eq!(all(&page, ".notes details").len(), 3);

    let loud: Vec<&str> = EVAL.into_iter().filter(|flag| *flag != "--quiet").collect();
    let run = place.run(&loud);
    let (stdout, stderr) = run.failures();
    for part in [
        "1 pictures failed",
        "1 files are not in the truth",
        "1 images of the truth",
    ] {
        assert!(stdout.contains(part), "{stdout}");
    }
    assert!(
        stderr.iter().any(|line| line.contains("stray.png")),
        "{stderr:?}"
    );
    assert!(
        stderr.iter().any(|line| line.contains("gone")),
        "{stderr:?}"
    );
}

#[test]
fn what_cannot_be_evaluated_is_refused_and_leaves_no_report() {
    let place = place();
    place.write("other.csv", "imgId,prompt\nghost,a ghost\n");
    place.copy(&workspace("examples/pictures/cat.png"), "twice/cat.png");
    let rest = [
        "--preset",
        "tiny.toml",
        "--offline",
        "--quiet",
        "--report",
        "r.html",
    ];
    let cases: [(&[&str], &str); 3] = [
        (&["in", "--truth", "other.csv"], "none of the pictures"),
        (
            &["in", "twice", "--truth", "in/prompts.csv"],
            "the same id `cat`",
        ),
        (&["in", "--truth", "gone.csv"], "gone.csv"),
    ];
    for (arguments, expected) in cases {
        let run = place.run(&[&["eval"], arguments, &rest].concat());
        assert!(run.refusal().contains(expected), "{run:?}");
    }
    assert!(!place.names().contains(&"r.html".to_owned()));
}

#[test]
fn a_prompt_in_the_file_is_taken_only_where_that_is_asked_for() {
    let place = place();
    let carries = "crates/unprompt-metadata/tests/fixtures/a1111-text.png";
    place.copy(&workspace(carries), "in/cat.png");
    let found = evaluate(&place, &[]);
    assert_eq!(found["from_metadata"], 0);
    let sources = |found: &Value| -> Vec<Value> {
        let images = found["per_image"].as_array().unwrap();
        images.iter().map(|image| image["source"].clone()).collect()
    };
    assert_eq!(sources(&found), ["predicted"; 3]);
    assert_eq!(
        evaluate(&place, &["--metadata", "--no-metadata"])["from_metadata"],
        0
    );

    let read = evaluate(&place, &["--metadata", "--report", "r.html"]);
    assert_eq!(read["from_metadata"], 1);
    assert_eq!(sources(&read), ["predicted", "metadata", "predicted"]);
    // Members looked at the other two only.
    assert_eq!(read["members"][0]["n"], 2);
    assert!(place.read("r.html").contains("Read from the file"));
}

/// A tiny random Stable Diffusion.
fn diffusion() -> String {
    let folder = workspace("crates/unprompt-diffusion/tests/fixtures/sd2");
    folder.to_str().unwrap().to_owned()
}

#[test]
fn pictures_stand_beside_what_is_drawn_from_their_predicted_prompts() {
    let place = place();
    let model = diffusion();
    let how = ["--model", &model, "--steps", "1", "--seed", "3"];
    let more = [&["--redraw", "1", "--report", "r.html"][..], &how].concat();
    let found = evaluate(&place, &more);
    let redrawn = &found["redrawn"];
    for (key, value) in [("steps", 1), ("seed", 3), ("width", 64), ("height", 64)] {
        assert_eq!(redrawn[key], value, "{redrawn}");
    }
    assert_eq!(redrawn["model"], model.as_str());
    let judge = redrawn["judge"].as_str().unwrap();
    assert!(
        judge.contains("EfficientNet-Lite0, for want of a CLIP"),
        "{judge}"
    );
    assert!(redrawn.get("judge_sha256").is_none());
    assert_eq!(redrawn["failed"], serde_json::json!([]));

    // Each is what `redraw` says of the picture and the prompt.
    let mut images: Vec<&Value> = found["per_image"].as_array().unwrap().iter().collect();
    let at = |value: &Value| value.as_f64().unwrap();
    images.sort_by(|a, b| at(&b["cosine"]).total_cmp(&at(&a["cosine"])));
    let mut sum = 0.0;
    for (image, of) in images.iter().zip(["best", "middle", "worst"]) {
        let one = &image["redrawn"];
        assert_eq!(one["of"], of);
        let (path, prompt) = (
            image["path"].as_str().unwrap(),
            image["prompt"].as_str().unwrap(),
        );
        let arguments = [&["redraw", path, "--prompt", prompt, "--quiet"][..], &how].concat();
        let run = place.run(&[&arguments[..], &["--format", "jsonl", "--out", of]].concat());
        let alone = &json_lines(run.output())[0];
        near(&one["clip_i"], at(&alone["cosine"]));
        near(&one["ssim"], at(&alone["ssim"]));
        let ranks = redrawn["by_rank"].as_array().unwrap();
        let rank = ranks.iter().find(|rank| rank["of"] == of).unwrap();
        near(&rank["clip_i"]["mean"], at(&alone["cosine"]));
        sum += at(&alone["cosine"]);
    }
    near(&redrawn["clip_i"]["mean"], sum / 3.0);
    assert_eq!(redrawn["clip_i"]["n"], 3);
    assert_eq!(redrawn["ssim"]["n"], 3);

    let page = Html::parse_document(&place.read("r.html"));
    assert!(page.errors.is_empty(), "{:?}", page.errors);
    assert_eq!(all(&page, ".pairs img").len(), 6);
    let text: String = page.root_element().text().collect();
    for shown in [
        "Drawn again",
        "1 steps of ddim",
        "seed 3",
        judge,
        "in the middle",
    ] {
        assert!(text.contains(shown), "{shown}");
    }
    let text = place.run(&[&EVAL[..], &more].concat());
    assert!(
        text.output().contains("3 pictures drawn again by"),
        "{text:?}"
    );
}

#[test]
fn the_judge_of_drawn_pictures_is_named_and_some_may_fail() {
    let place = place();
    let (model, judge) = (diffusion(), model("tiny-clip"));
    let more = [
        "--redraw", "9", "--model", &model, "--steps", "1", "--judge", &judge,
    ];
    let found = evaluate(&place, &more);
    let redrawn = &found["redrawn"];
    assert_eq!(redrawn["judge"], judge.as_str());
    assert_eq!(redrawn["judge_sha256"], found["clip_t"]["sha256"]);
    // There are three only, all of them among the best.
    assert_eq!(redrawn["clip_i"]["n"], 3);
    assert_eq!(redrawn["by_rank"].as_array().unwrap().len(), 1);

    let negative = evaluate(&place, &[&more[..], &["--negative", "the sea"]].concat());
    assert_eq!(negative["redrawn"]["negative_prompt"], "the sea");
    assert_ne!(negative["redrawn"]["clip_i"], redrawn["clip_i"]);

    // Standard input can be predicted, and not be looked at once more.
    place.write("stdin.csv", "imgId,prompt\n-,a cat\n");
    let cat = std::fs::read(place.path("in/cat.png")).unwrap();
    let arguments = ["eval", "-", "--truth", "stdin.csv", "--format", "json"];
    let run = place.run_on(&[&arguments[..], &EVAL[4..], &more[..6]].concat(), &cat);
    let (stdout, stderr) = run.failures();
    assert!(stderr[0].contains("a second time"), "{stderr:?}");
    let found = json(stdout);
    assert_eq!(found["redrawn"]["failed"][0]["path"], "-");
    assert!(found["redrawn"].get("clip_i").is_none());
    assert_eq!(found["n"], 1);
}

#[test]
fn what_cannot_be_drawn_is_said_before_anything_is_predicted() {
    let place = place();
    let model = diffusion();
    for (more, named) in [
        (&["--redraw", "1"][..], "--model"),
        (&["--steps", "3"], "--redraw"),
        (
            &["--redraw", "1", "--model", &model, "--size", "100x64"],
            "96 or 104 wide",
        ),
        (&["--redraw", "1", "--model", "./nowhere"], "nowhere"),
    ] {
        let run = place.run(&[&EVAL[..], more, &["--report", "r.html"]].concat());
        assert!(run.refusal().contains(named), "{run:?}");
        assert!(!place.names().contains(&"r.html".to_owned()));
    }
}
