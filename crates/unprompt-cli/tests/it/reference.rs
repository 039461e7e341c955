//! What the program tells of itself, and the pages of docs/ that are made of it.

use crate::harness::{Place, json, json_lines, workspace};
use serde_json::Value;

/// A page as the program makes it, and as docs/ has it.
#[track_caller]
fn assert_page(page: &str, file: &str) {
    let run = Place::new().run(&["reference", page]);
    let written = std::fs::read_to_string(workspace(file)).unwrap_or_default();
    assert!(
        run.output() == written,
        "{file} is not what the program says of itself; run `unprompt reference {page} --out {file}`"
    );
}

#[test]
fn the_page_of_commands_is_that_of_the_program() {
    assert_page("commands", "docs/commands.md");
}

#[test]
fn the_schemas_are_those_of_the_program() {
    assert_page("preset", "docs/schemas/preset.json");
    assert_page("records", "docs/schemas/records.json");
}

#[test]
fn the_page_of_commands_does_not_depend_on_where_it_is_made() {
    let place = Place::new();
    let plain = place.run(&["reference", "commands"]);
    let mut command = place.command(&["reference", "commands"]);
    let surrounded = command
        .env("COLUMNS", "40")
        .env("UNPROMPT_API_KEY", "canary-3f9c1d77")
        .env("UNPROMPT_PRESET", "canary-3f9c1d77");
    assert_eq!(plain.output(), place.finish(surrounded).output());
}

#[test]
fn every_shell_gets_a_script_and_every_command_a_manual_page() {
    let place = Place::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let run = place.run(&["completions", shell]);
        for word in ["interrogate", "no-metadata", "api-key-file"] {
            assert!(run.output().contains(word), "{shell}: {word}");
        }
    }
    let page = place.run(&["man"]);
    assert!(page.output().contains(".TH unprompt 1"), "{page:?}");
    assert_eq!(place.run(&["man", "--folder", "man"]).output(), "");
    let names = place.names_in("man");
    for name in [
        "unprompt.1",
        "unprompt-predict.1",
        "unprompt-embed-image.1",
        "unprompt-serve.1",
    ] {
        assert!(
            names.iter().any(|known| known == name),
            "{name} of {names:?}"
        );
    }
    assert!(
        !names
            .iter()
            .any(|name| name.contains("reference") || name.contains("help")),
        "{names:?}"
    );
    assert!(
        place
            .read("man/unprompt-serve.1")
            .contains("\\-\\-api\\-key\\-file")
    );
}

/// What is wrong with a value by a schema, of which as much is read as ours have. Keys that a schema does
/// not name are wrong too.
fn wrong(value: &Value, schema: &Value, whole: &Value) -> Option<String> {
    if let Some(reference) = schema["$ref"].as_str() {
        return wrong(value, whole.pointer(&reference[1..]).unwrap(), whole);
    }
    for choices in ["anyOf", "oneOf"] {
        if let Some(choices) = schema[choices].as_array() {
            let all: Vec<String> = choices
                .iter()
                .map_while(|choice| wrong(value, choice, whole))
                .collect();
            return (all.len() == choices.len()).then(|| all.join("; or "));
        }
    }
    if let Some(only) = schema.get("const") {
        return (only != value).then(|| format!("{value} is not {only}"));
    }
    if let Some(known) = schema["enum"].as_array() {
        return (!known.contains(value)).then(|| format!("{value} is none of {known:?}"));
    }
    let is_of = |kind: &str| match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        kind => panic!("{kind}"),
    };
    let is_right = match &schema["type"] {
        Value::String(kind) => is_of(kind),
        Value::Array(kinds) => kinds.iter().any(|kind| is_of(kind.as_str().unwrap())),
        _ => true,
    };
    if !is_right {
        return Some(format!("{value} is no {}", schema["type"]));
    }
    if let Some(items) = value.as_array() {
        return items
            .iter()
            .find_map(|item| wrong(item, &schema["items"], whole));
    }
    let object = value.as_object()?;
    for name in schema["required"].as_array().into_iter().flatten() {
        if !object.contains_key(name.as_str().unwrap()) {
            return Some(format!("{name} is missing"));
        }
    }
    object.iter().find_map(|(name, value)| {
        let (own, others) = (
            schema["properties"].get(name),
            &schema["additionalProperties"],
        );
        let is_open = schema.get("properties").is_none() && others.is_null();
        match (own, others.is_object()) {
            (Some(own), _) => wrong(value, own, whole),
            (None, true) => wrong(value, others, whole),
            (None, false) => (!is_open).then(|| format!("`{name}` is not in the schema")),
        }
        .map(|message| format!("{name}: {message}"))
    })
}

#[test]
fn shipped_presets_are_as_their_schema_says() {
    let schema = json(Place::new().run(&["reference", "preset"]).output());
    let folder = workspace("crates/unprompt-engine/presets");
    let mut presets = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let preset = toml::from_str::<Value>(&text).unwrap();
        assert_eq!(wrong(&preset, &schema, &schema), None, "{text}");
        for (from, to) in [("weight", "wieght"), ("encoder", "encodor")] {
            let misspelt =
                toml::from_str::<Value>(&text.replace(&format!("{from} ="), &format!("{to} =")))
                    .unwrap();
            assert!(wrong(&misspelt, &schema, &schema).is_some(), "{from}");
        }
        presets += 1;
    }
    assert!(presets >= 5);
}

#[test]
fn records_are_as_their_schema_says() {
    let place = Place::new();
    place.copy(&workspace("examples/pictures/cat.png"), "in/cat.png");
    place.write("in/broken.png", "no picture");
    for (table, labels) in [
        ("flavors", "red\nblue\n"),
        ("mediums", "a photo\n"),
        ("artists", "by a\n"),
        ("movements", "art\n"),
        ("trendings", "here\n"),
        ("negative", "ugly\n"),
    ] {
        place.write(&format!("labels/{table}.txt"), labels);
    }
    let schema = json(place.run(&["reference", "records"]).output());
    let fixture = |name: &str| {
        workspace("fixtures/models")
            .join(name)
            .to_str()
            .unwrap()
            .to_owned()
    };
    let (blip, clip, sbert) = (
        fixture("tiny-blip"),
        fixture("tiny-clip"),
        fixture("tiny-sbert"),
    );
    let vit = fixture("tiny-vit-transformers");
    let interrogate = [
        "interrogate",
        "in",
        "--clip",
        &clip,
        "--labels",
        "labels",
        "--caption",
        "a cat",
    ];
    let with = |more: &[&'static str]| [&interrogate[..], more].concat();
    for (kind, arguments) in [
        ("Prediction", vec!["predict", "in", "--preset", "lite"]),
        ("Metadata", vec!["metadata", "in"]),
        ("Caption", vec!["caption", "in", "--model", &blip]),
        ("Labels", vec!["classify", "in", "--model", &vit]),
        (
            "ImageEmbedding",
            vec!["embed", "image", "in", "--model", &vit],
        ),
        (
            "TextEmbedding",
            vec!["embed", "text", "a cat", "--model", &sbert],
        ),
        ("Tokens", vec!["tokenize", "a cat", "--model", &sbert]),
        ("Interrogation", with(&["--mode", "fast", "--explain"])),
        (
            "Interrogation",
            with(&["--mode", "best", "--budget", "60s"]),
        ),
        ("Interrogation", with(&["--mode", "analyze"])),
    ] {
        let arguments = [
            &arguments[..],
            &["--offline", "--quiet", "--format", "jsonl"],
        ]
        .concat();
        let run = place.run(&arguments);
        let records = json_lines(&run.stdout);
        assert!(!records.is_empty(), "{run:?}");
        let mut whole = 0;
        for record in records {
            let failed = record.get("error").is_some();
            let kind = if failed { "Failure" } else { kind };
            whole += usize::from(!failed);
            let found = wrong(&record, &schema["$defs"][kind], &schema);
            assert_eq!(found, None, "{kind}: {record}");
        }
        assert!(whole > 0, "{kind}: {run:?}");
    }
}
