//! Every write, sync and rename fails once: what was there stays, or what is new is whole, and nothing else is left.

use crate::{
    harness::{Place, Run, json, workspace},
    knn::{member, preset},
    presets::{model, regressor},
};
use std::{collections::BTreeMap, fs, path::Path};

/// Runs a command again and again, each time with the next step failing, until none is left to fail; `check` looks
/// at what each failure left. Gives the number of steps.
fn each_step(place: &Place, arguments: &[&str], mut check: impl FnMut(&Run, usize)) -> usize {
    for step in 1.. {
        let mut command = place.command(arguments);
        let run = place.finish(command.env("UNPROMPT_FAIL", format!("any:{step}")));
        let has_failed = run.stderr.contains("UNPROMPT_FAIL");
        check(&run, step);
        if run.code == 0 && !has_failed {
            return step - 1;
        }
    }
    unreachable!("a command has an end")
}

fn content(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut content = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => {
                    let name = path.strip_prefix(folder).unwrap().display().to_string();
                    content.insert(name, fs::read(&path).unwrap());
                }
            }
        }
    }
    content
}

#[test]
fn a_result_is_the_old_one_or_the_new_one() {
    let place = Place::new();
    let fixtures = workspace("crates/unprompt-metadata/tests/fixtures");
    place.copy(&fixtures.join("a1111-text.png"), "a.png");
    place.write("out", "old");
    let new = place.run(&["metadata", "a.png"]).output().to_owned();
    let steps = each_step(
        &place,
        &["metadata", "a.png", "--out", "out"],
        |run, step| {
            let out = place.read("out");
            assert!(
                out == if run.code == 0 { new.as_str() } else { "old" },
                "step {step}: {run:?}"
            );
            assert_eq!(place.names(), ["a.png", "out"], "step {step}");
        },
    );
    assert!(steps >= 4, "{steps}");

    // A picture that is changed is whole, before or after.
    let before = fs::read(place.path("a.png")).unwrap();
    let mut after = None;
    let steps = each_step(&place, &["metadata", "a.png", "--strip"], |run, step| {
        let now = fs::read(place.path("a.png")).unwrap();
        match run.code {
            0 => after = Some(now),
            _ => assert!(now == before, "step {step}"),
        }
        assert_eq!(place.names(), ["a.png", "out"], "step {step}");
    });
    assert!(steps >= 4 && after.unwrap() != before, "{steps}");
}

#[test]
fn an_index_whose_build_failed_at_any_step_is_completed_to_the_same_bytes() {
    let place = Place::new();
    place.write("list.txt", "a red fox\na castle\na ship in a storm\n");
    let (clip, sentence) = (model("tiny-clip"), model("tiny-sbert"));
    let arguments = |folder: &'static str| {
        let list = ["index", "build", "list.txt", "--quiet", "--out", folder];
        let models = ["--clip", clip.as_str(), "--sentence", sentence.as_str()];
        [&list[..], &models[..]].concat()
    };
    place.run(&arguments("good")).output();
    let good = content(&place.path("good"));
    let mut failed = 0;
    let steps = each_step(&place, &arguments("index"), |run, step| {
        if run.code == 0 {
            assert!(content(&place.path("index")) == good, "step {step}");
            let _ = fs::remove_dir_all(place.path("index"));
            return;
        }
        failed += 1;
        // Without a failure the same command goes on.
        place.run(&arguments("index")).output();
        assert!(content(&place.path("index")) == good, "step {step}");
        fs::remove_dir_all(place.path("index")).unwrap();
    });
    assert!(
        failed >= 8 && steps >= failed,
        "{steps} steps, {failed} failures"
    );
}

#[test]
fn caches_whose_writing_failed_at_any_step_change_no_result_and_are_made_by_the_next_run() {
    let place = Place::new();
    place.copy(&workspace("examples/pictures/cat.png"), "a.png");
    place.write("list.txt", "a red fox\na castle\na ship in a storm\n");
    let clip = model("tiny-clip");
    regressor(&place, 32);
    let members = [
        member("vit", "regressor", 0.2, "model = 'vit'"),
        // The index of a list, and the embeddings of one.
        member(
            "knn",
            "knn",
            0.4,
            &format!("prompts = 'list.txt'\nclip = '{clip}'"),
        ),
        member(
            "near",
            "retrieval",
            0.4,
            "prompts = 'list.txt'\nquery = 'vit'\ntemperature = 0.5",
        ),
    ];
    place.write("own.toml", preset(&members));
    // So many that the table is kept while it is made.
    let labels: String = (0..2100).map(|label| format!("{label}\n")).collect();
    place.write("labels/flavors.txt", labels);
    place.write("labels/mediums.txt", "a photo\na mosaic\n");
    let common = ["--offline", "--quiet", "--format", "json"];
    let predict = ["predict", "a.png", "--no-metadata", "--preset", "own.toml"];
    let interrogate = [
        "interrogate",
        "a.png",
        "--clip",
        &clip,
        "--labels",
        "labels",
        "--mode",
        "analyze",
    ];
    for (arguments, least) in [(&predict[..], 18), (&interrogate[..], 20)] {
        let arguments = [arguments, &common].concat();
        let result = |run: &Run| {
            let mut result = json(&run.stdout);
            if let Some(time) = result[0].get_mut("elapsed_ms") {
                time.take();
            }
            result
        };
        let good = result(&place.run(&arguments));
        let kept = content(place.caches());
        fs::remove_dir_all(place.caches()).unwrap();
        let steps = each_step(&place, &arguments, |run, step| {
            match run.code {
                0 => assert_eq!(result(run), good, "step {step}"),
                _ => assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{step}: {run:?}"),
            }
            let again = place.run(&arguments);
            assert_eq!(result(&again), good, "step {step}");
            assert!(content(place.caches()) == kept, "step {step}");
            fs::remove_dir_all(place.caches()).unwrap();
        });
        assert!(steps >= least, "{steps}");
    }
}
