//! `unprompt interrogate`, with a tiny CLIP and labels of the user's own.

use crate::harness::{Place, Run, json, json_lines, keys, workspace};
use serde_json::Value;

const LABELS: &str = "glass\nfire\n\nglass\nold tower\nmisty forest\n";

/// A place with label files, and the arguments that every run here has.
fn place() -> (Place, Vec<String>) {
    let place = Place::new();
    place.write("labels/flavors.txt", LABELS);
    place.write("labels/mediums.txt", "a photo\na mosaic\n");
    place.write("labels/artists.txt", "Anna Abel\n");
    place.write("labels/movements.txt", "goldism\nmistism\n");
    place.write("labels/negative.txt", "ugly\n");
    let clip = workspace("fixtures/models/tiny-clip");
    let arguments = [
        "interrogate",
        "--clip",
        clip.to_str().unwrap(),
        "--labels",
        "labels",
    ];
    let mut arguments = arguments.map(str::to_owned).to_vec();
    arguments.push("--quiet".into());
    (place, arguments)
}

/// Runs it; where nothing says what prompts begin with, with nothing, which needs no captioner.
fn run(place: &Place, arguments: &[String], more: &[&str]) -> Run {
    let begun = more.iter().any(|flag| flag.starts_with("--caption"));
    let nothing: &[&str] = if begun { &[] } else { &["--caption", ""] };
    let more = more.iter().chain(nothing);
    let more = more.map(|argument| (*argument).to_owned());
    let arguments: Vec<String> = arguments.iter().cloned().chain(more).collect();
    place.run(&arguments)
}

fn pictures() -> String {
    workspace("examples/pictures").to_str().unwrap().to_owned()
}

fn picture(name: &str) -> String {
    format!("{}/{name}", pictures())
}

#[test]
fn every_mode_makes_its_record() {
    let (place, arguments) = place();
    let cat = picture("cat.png");
    for mode in ["classic", "fast", "best", "negative", "competition"] {
        for compat in [&[][..], &["--compat", "0.6.0"]] {
            let more = [
                &[
                    cat.as_str(),
                    "--mode",
                    mode,
                    "--caption",
                    "a cat",
                    "--format",
                    "jsonl",
                ],
                compat,
            ];
            let run = run(&place, &arguments, &more.concat());
            let record = json(run.output());
            let mut expected = vec!["caption", "mode", "path", "prompt", "similarity"];
            expected.retain(|key| mode != "negative" || *key != "caption");
            assert_eq!(keys(&record), expected);
            assert_eq!(record["mode"], mode);
            let prompt = record["prompt"].as_str().unwrap();
            assert_eq!(
                prompt.starts_with("a cat"),
                mode != "negative",
                "{mode}: {prompt}"
            );
            let similarity = record["similarity"].as_f64().unwrap();
            assert!(similarity.abs() <= 1.0 + 1e-6, "{similarity}");
        }
    }
    let analyze = run(
        &place,
        &arguments,
        &[&cat, "--mode", "analyze", "--format", "json", "--top", "2"],
    );
    let record = &json(analyze.output())[0];
    assert_eq!(keys(record), ["mode", "path", "tables"]);
    let tables = &record["tables"];
    assert_eq!(
        keys(tables),
        [
            "artists",
            "flavors",
            "mediums",
            "movements",
            "negative",
            "trendings"
        ]
    );
    let flavors = tables["flavors"].as_array().unwrap();
    assert_eq!(flavors.len(), 2);
    assert_eq!(keys(&flavors[0]), ["label", "similarity"]);
    assert!(flavors[0]["similarity"].as_f64() >= flavors[1]["similarity"].as_f64());
}

#[test]
fn many_pictures_are_ranked_together_and_each_gets_its_own_prompt() {
    let (place, arguments) = place();
    let folder = pictures();
    let all = |size: &str, threads: &str| {
        let more = [
            folder.as_str(),
            "--format",
            "jsonl",
            "--batch-size",
            size,
            "--threads",
            threads,
        ];
        let run = run(&place, &arguments, &more);
        // The folder holds a README and a script too, which are plainly no pictures.
        run.output().to_owned()
    };
    let together = all("16", "2");
    let records = json_lines(&together);
    assert_eq!(records.len(), 5);
    assert!(records.iter().all(|record| record["prompt"].is_string()));
    assert_eq!(all("1", "1"), together);
    assert_eq!(all("2", "4"), together);
    let text = run(&place, &arguments, &[&folder]);
    assert_eq!(text.output().lines().count(), 5);
    let csv = run(&place, &arguments, &[&folder, "--format", "csv"]);
    let rows = csv.output();
    assert!(rows.starts_with("path,prompt\n"));
    assert_eq!(rows.lines().count(), 6);
}

#[test]
fn labels_are_embedded_once() {
    let (place, arguments) = place();
    let cat = picture("cat.png");
    let more = [cat.as_str(), "--label-cache", "cache", "--format", "jsonl"];
    let first = run(&place, &arguments, &more);
    let names = || {
        let mut names: Vec<String> = std::fs::read_dir(place.path("cache"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let found = names();
    assert_eq!(found.len(), 5);
    assert!(
        found[1].ends_with("tiny-clip_flavors.safetensors"),
        "{found:?}"
    );
    let time = |name: &str| {
        place
            .path("cache")
            .join(name)
            .metadata()
            .unwrap()
            .modified()
            .unwrap()
    };
    let times: Vec<_> = found.iter().map(|name| time(name)).collect();
    assert_eq!(run(&place, &arguments, &more).output(), first.output());
    assert_eq!(names(), found);
    assert_eq!(
        found.iter().map(|name| time(name)).collect::<Vec<_>>(),
        times
    );
    // A broken one is noticed, said and made again.
    let whole = std::fs::read(place.path("cache").join(&found[1])).unwrap();
    std::fs::write(place.path("cache").join(&found[1]), &whole[..100]).unwrap();
    let loud: Vec<String> = arguments
        .iter()
        .filter(|a| *a != "--quiet")
        .cloned()
        .collect();
    let again = run(&place, &loud, &more);
    assert_eq!((again.code, &again.stdout), (0, &first.stdout));
    assert!(again.stderr.contains("it is made again"), "{again:?}");
    assert_eq!(
        std::fs::read(place.path("cache").join(&found[1])).unwrap(),
        whole
    );
    // Eight bits only try candidates: the same embeddings, the same prompt and its similarity.
    let int8 = run(&place, &loud, &[&more[..], &["--dtype", "int8"]].concat());
    assert_eq!((int8.code, &int8.stdout), (0, &first.stdout));
    assert_eq!(int8.stderr, run(&place, &loud, &more).stderr);
}

#[test]
fn labels_can_be_left_out() {
    let (place, arguments) = place();
    place.write("deny", "FIRE\nold");
    place.write("allow", "misty forest\nphoto");
    let cat = picture("cat.png");
    let prompt = |more: &[&str]| {
        let more = [&[cat.as_str(), "--mode", "fast"], more].concat();
        run(&place, &arguments, &more).output().to_owned()
    };
    let all = prompt(&["--max-tokens", "7700", "--max-flavors", "200"]);
    let expected = [
        "glass",
        "fire",
        "old tower",
        "by Anna Abel",
        "goldism",
        "trending on reddit",
    ];
    for label in expected {
        assert!(all.contains(label), "{label}: {all}");
    }
    assert_eq!(all.matches("glass").count(), 1, "{all}");
    let none = [
        "--no-artists",
        "--max-tokens",
        "7700",
        "--max-flavors",
        "200",
    ];
    assert!(!prompt(&none).contains("Anna"));
    let few = prompt(&[
        "--without",
        "trendings,artists,movements",
        "--deny",
        "deny",
        "--max-tokens",
        "7700",
    ]);
    let mut few: Vec<&str> = few.trim_end().split(", ").collect();
    few.sort_unstable();
    assert_eq!(few, ["a mosaic", "a photo", "glass", "misty forest"]);
    let mut allowed = prompt(&["--allow", "allow", "--max-tokens", "7700"]);
    allowed.truncate(allowed.trim_end().len());
    let mut allowed: Vec<&str> = allowed.split(", ").collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["a photo", "misty forest"]);
}

#[test]
fn what_is_wrong_with_label_files_is_said() {
    let (place, arguments) = place();
    let loud: Vec<String> = arguments
        .iter()
        .filter(|a| *a != "--quiet")
        .cloned()
        .collect();
    let long = "x".repeat(10_000);
    let text = [b"glass\n\nglass\n\xff\n", long.as_bytes()].concat();
    place.write("labels/flavors.txt", text);
    let cat = picture("cat.png");
    let more = [cat.as_str(), "--mode", "classic", "--max-tokens", "7700"];
    let found = run(&place, &loud, &more);
    assert_eq!(found.code, 0, "{found:?}");
    assert!(found.stdout.contains("glass"), "{found:?}");
    let note = "flavors.txt: lines left out: 1 empty, 1 repeated, 1 too long, 1 not UTF-8";
    assert!(found.stderr.contains(note), "{found:?}");
}

#[test]
fn a_search_has_a_time_limit_and_explains_itself() {
    let (place, arguments) = place();
    let cat = picture("cat.png");
    let more = [
        cat.as_str(),
        "--format",
        "jsonl",
        "--budget",
        "10m",
        "--explain",
        "--caption",
        "a cat",
    ];
    let record = json(run(&place, &arguments, &more).output());
    assert_eq!(record["complete"], true);
    let explained = record["explain"].as_array().unwrap();
    let phrases: Vec<&str> = explained
        .iter()
        .filter_map(|one| one["phrase"].as_str())
        .collect();
    assert_eq!(phrases.join(", "), record["prompt"].as_str().unwrap());
    assert!(explained.iter().all(|one| one["contribution"].is_f64()));
    let short = [cat.as_str(), "--format", "jsonl", "--budget", "0s"];
    let record: Value = json(run(&place, &arguments, &short).output());
    assert_eq!(record["complete"], false);
}

#[test]
fn wrong_arguments_stop_the_run() {
    let (place, arguments) = place();
    let cat = picture("cat.png");
    place.write("empty/readme.md", "");
    let vit = workspace("fixtures/models/tiny-vit-timm");
    let vision = workspace("fixtures/models/tiny-clip-vision");
    let siglip = workspace("fixtures/models/tiny-siglip");
    for (more, expected) in [
        (&["--mode", "worst"][..], "worst"),
        (&["--budget", "5 apples"], "--budget"),
        (&["--compat", "0.5.0"], "0.5.0"),
        (&["--compat", "0.6.0", "--no-artists"], "--no-artists"),
        (&["--compat", "0.6.0", "--budget", "5s"], "--budget"),
        (&["--published-labels"], "--published-labels"),
        (&["--without", "colours"], "no table `colours`"),
        (&["--labels", "empty"], "no *.txt"),
        (&["--labels", "missing"], "missing"),
        (&["--deny", "missing"], "missing"),
        (&["--max-tokens", "2"], "--max-tokens"),
        (&["--tokenizer", "all-MiniLM-L6-v2"], "--max-tokens"),
        (
            &["--without", "flavors,trendings,artists,mediums,movements"],
            "no table is left",
        ),
        (&["--clip", vit.to_str().unwrap()], "where a CLIP is needed"),
        (
            &["--clip", siglip.to_str().unwrap()],
            "a SigLIP, where a CLIP is needed",
        ),
        (
            &["--clip", "ViT-B-16-SigLIP/webli"],
            "a SigLIP, where a CLIP is needed",
        ),
        (&["--clip", vision.to_str().unwrap()], "an image tower only"),
        (&["--format", "submission"], "this command writes"),
    ] {
        let mut arguments = arguments.clone();
        if let Some(flag) = more
            .first()
            .filter(|flag| arguments.iter().any(|a| a == *flag))
        {
            let at = arguments
                .iter()
                .position(|argument| argument == flag)
                .unwrap();
            arguments.drain(at..at + 2);
        }
        let found = run(&place, &arguments, &[&[cat.as_str()], more].concat());
        assert!(found.refusal().contains(expected), "{more:?}: {found:?}");
    }
    // Without a caption there is nothing for 0.6.0 to begin with: every picture fails.
    let found = run(
        &place,
        &arguments,
        &[&cat, "--compat", "0.6.0", "--caption", ""],
    );
    assert_eq!(found.code, 2);
    assert!(found.stderr.contains("caption"), "{found:?}");
    // Clip-interrogator's lists are a model like any other.
    let clip = workspace("fixtures/models/tiny-clip");
    let found = place.run(&[
        "interrogate",
        &cat,
        "--offline",
        "--clip",
        clip.to_str().unwrap(),
    ]);
    assert!(
        found.refusal().contains("clip-interrogator-labels"),
        "{found:?}"
    );
}

#[test]
fn the_usual_models_are_named_with_their_sizes_where_nothing_may_be_fetched() {
    let place = Place::new();
    let cat = picture("cat.png");
    let found = place.run(&["interrogate", &cat, "--offline"]);
    let refusal = found.refusal();
    for expected in [
        "ViT-L-14/openai",
        "1.71 GB",
        "Salesforce/blip-image-captioning-large",
        "1.88 GB",
        "clip-interrogator-labels",
        "in all",
        "`unprompt models pull ViT-L-14/openai ",
    ] {
        assert!(refusal.contains(expected), "{expected}: {refusal}");
    }
    assert_eq!(refusal.matches("models pull").count(), 1, "{refusal}");
    // No captioner where no prompt begins with a caption, or one is given.
    for more in [&["--mode", "negative"][..], &["--caption", "a cat"]] {
        let found = place.run(&[&["interrogate", &cat, "--offline"], more].concat());
        assert!(!found.refusal().contains("Salesforce"), "{found:?}");
    }
    let found = place.run(&["caption", &cat, "--offline"]);
    let expected = "Salesforce/blip-image-captioning-large    1.88 GB";
    assert!(found.refusal().contains(expected), "{found:?}");
}

#[test]
fn tokens_can_be_counted_by_another_model() {
    let (place, arguments) = place();
    let sbert = workspace("fixtures/models/tiny-sbert");
    let cat = picture("cat.png");
    let more = [
        cat.as_str(),
        "--mode",
        "fast",
        "--tokenizer",
        sbert.to_str().unwrap(),
        "--max-tokens",
    ];
    let longer = run(&place, &arguments, &[&more[..], &["14"]].concat());
    let shorter = run(&place, &arguments, &[&more[..], &["8"]].concat());
    assert!(
        longer
            .output()
            .trim_end()
            .starts_with(shorter.output().trim_end())
    );
    assert!(longer.output().len() > shorter.output().len());
    let refused = run(&place, &arguments, &[&more[..], &["100000"]].concat());
    assert!(
        refused.refusal().contains("cannot be counted"),
        "{refused:?}"
    );
}

#[test]
fn a_captioner_writes_what_each_prompt_begins_with() {
    let (place, arguments) = place();
    let captioner = workspace("fixtures/models/tiny-blip");
    let captioner = captioner.to_str().unwrap();
    place.write("in/broken.png", "no picture");
    let (cat, rocket) = (picture("cat.png"), picture("rocket.jpg"));
    let inputs = [cat.as_str(), "in/broken.png", rocket.as_str()];
    let more = [
        "--captioner",
        captioner,
        "--mode",
        "fast",
        "--max-tokens",
        "7700",
        "--format",
        "jsonl",
    ];
    let run_all = run(&place, &arguments, &[&inputs[..], &more].concat());
    let (records, complaints) = run_all.failures();
    assert_eq!(complaints.len(), 1, "{complaints:?}");
    let records = json_lines(records);

    let caption = [
        "caption", &cat, &rocket, "--model", captioner, "--format", "jsonl",
    ];
    let expected = json_lines(place.run(&caption.map(str::to_owned)).output());
    for (record, expected) in [(&records[0], &expected[0]), (&records[2], &expected[1])] {
        assert_eq!(record["caption"], expected["caption"]);
        let caption = record["caption"].as_str().unwrap();
        assert!(!caption.is_empty());
        assert!(record["prompt"].as_str().unwrap().starts_with(caption));
    }
    assert_ne!(records[0]["caption"], records[2]["caption"]);
    assert!(records[1]["error"].is_string());
}
