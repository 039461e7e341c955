//! `unprompt models`, on a machine without any model.

use crate::harness::{Place, json, json_lines, keys};

#[test]
fn the_list_names_every_model_with_its_size() {
    let place = Place::new();
    let run = place.run(&["models", "list", "--format", "json"]);
    let list = json(run.output());
    let models = list.as_array().unwrap();
    let expected = [
        "bytes_on_disk",
        "description",
        "download_bytes",
        "installed",
        "kind",
        "licence",
        "name",
        "path",
    ];
    for model in models {
        assert_eq!(keys(model), expected);
        assert_eq!(model["installed"], false);
        assert_eq!(model["bytes_on_disk"], 0);
        assert!(model["path"].is_null());
        assert!(model["download_bytes"].as_u64().unwrap() > 0);
        assert!(!model["licence"].as_str().unwrap().is_empty());
    }
    let lines = json_lines(&place.run(&["models", "list", "--format", "jsonl"]).stdout);
    assert_eq!(&lines, models);
    let text = place.run(&["models", "list"]);
    let names: Vec<&str> = text
        .output()
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let expected: Vec<&str> = models.iter().filter_map(|m| m["name"].as_str()).collect();
    assert_eq!(names, expected);
    for name in ["all-MiniLM-L6-v2", "efficientnet-lite0"] {
        assert!(names.contains(&name), "{names:?}");
    }
}

#[test]
fn the_path_of_an_absent_model_is_a_failure_with_the_next_step() {
    let place = Place::new();
    for name in ["all-MiniLM-L6-v2", "org/model"] {
        let run = place.run(&["models", "path", name]);
        let expected = format!(
            "unprompt: `{name}` is not on this machine; fetch it with `unprompt models pull {name}`\n"
        );
        assert_eq!(run.refusal(), expected);
    }
}

#[test]
fn an_unknown_name_is_answered_with_the_known_ones() {
    let place = Place::new();
    for action in ["pull", "verify", "path", "rm"] {
        let run = place.run(&["models", action, "nosuch"]);
        let stderr = run.refusal();
        assert!(stderr.contains("`nosuch`"), "{action}: {stderr}");
        assert!(stderr.contains("all-MiniLM-L6-v2"), "{action}: {stderr}");
    }
}

#[test]
fn with_no_model_there_is_nothing_to_verify_and_nothing_to_remove() {
    let place = Place::new();
    let run = place.run(&["models", "verify", "--format", "json"]);
    assert_eq!(run.output(), "[]\n");
    let run = place.run(&["models", "rm", "efficientnet-lite0", "--format", "jsonl"]);
    let expected = "{\"name\":\"efficientnet-lite0\",\"bytes_freed\":0}\n";
    assert_eq!(run.output(), expected);
    let run = place.run(&["models", "verify", "efficientnet-lite0"]);
    let (stdout, stderr) = run.failures();
    assert!(stdout.contains("model.safetensors"), "{run:?}");
    assert!(
        stderr.iter().any(|line| line.contains("models pull")),
        "{run:?}"
    );
}

#[test]
fn only_what_a_model_is_known_by_is_imported() {
    let place = Place::new();
    place.write("folder/weights.bin", "not these");
    let run = place.run(&["models", "import", "folder/weights.bin"]);
    let stderr = run.refusal();
    assert!(stderr.contains("it does not have the hash"), "{stderr}");
    let run = place.run(&["models", "import", "folder"]);
    assert!(
        run.refusal().contains("no file in it has the hash"),
        "{run:?}"
    );
    assert!(place.run(&["models", "import", "missing.tar"]).code == 1);
}

#[test]
fn a_folder_of_the_users_own_is_a_model() {
    let place = Place::new();
    place.write("mine/config.json", "{}");
    place.write("mine/model.safetensors", "");
    let run = place.run(&["models", "path", "./mine"]);
    assert_eq!(run.output().trim_end(), "./mine");
}
