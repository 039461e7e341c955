use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::json;

fn parse(text: &str) -> (String, Option<String>, Value) {
    let parsed = Infotext::parse(text);
    (
        parsed.prompt,
        parsed.negative_prompt,
        json!(parsed.settings),
    )
}

#[test]
fn the_three_parts() {
    let (prompt, negative, settings) = parse(
        "a cat,\n(on a mat:1.2)\nNegative prompt: ugly,\nblurry\n\
         Steps: 20, Sampler: Euler a, CFG scale: 7.5, Seed: 965400086, Size: 512x768, \
         Model hash: 45dee52b, Lora hashes: \"x: 1a, y: 2b\", Version: f2.0.1v1.10.1",
    );
    assert_eq!(prompt, "a cat,\n(on a mat:1.2)");
    assert_eq!(negative.as_deref(), Some("ugly,\nblurry"));
    assert_eq!(
        settings,
        json!({"Steps": 20, "Sampler": "Euler a", "CFG scale": 7.5, "Seed": 965400086,
            "Size-1": 512, "Size-2": 768, "Model hash": "45dee52b",
            "Lora hashes": "x: 1a, y: 2b", "Version": "f2.0.1v1.10.1"})
    );
}

#[test]
fn parts_may_be_missing() {
    assert_eq!(parse("a cat"), ("a cat".into(), None, json!({})));
    assert_eq!(parse(""), (String::new(), None, json!({})));
    assert_eq!(
        parse("Negative prompt: dog"),
        (String::new(), Some("dog".into()), json!({}))
    );
    let settings = json!({"Steps": 1, "Seed": 2, "Sampler": "Euler"});
    assert_eq!(
        parse("Steps: 1, Seed: 2, Sampler: Euler"),
        (String::new(), None, settings)
    );
}

#[test]
fn a_prompt_may_look_like_settings() {
    // Two pairs are not settings, and only the last line is looked at.
    let (prompt, _, settings) = parse("photo\nSteps: 20, Size: large");
    assert_eq!(
        (prompt.as_str(), settings),
        ("photo\nSteps: 20, Size: large", json!({}))
    );
    let (prompt, _, settings) =
        parse("Steps: a, Seed: b, Size: c of \"stairs\"\nSteps: 5, Seed: 6, Sampler: DDIM");
    assert_eq!(prompt, "Steps: a, Seed: b, Size: c of \"stairs\"");
    assert_eq!(settings, json!({"Steps": 5, "Seed": 6, "Sampler": "DDIM"}));
}

#[test]
fn unquoted_json_of_civitai_is_read_whole() {
    let (_, _, settings) = parse(
        "x\nSteps: 30, Seed: 1, Clip skip: 2, Civitai resources: \
         [{\"type\":\"checkpoint\",\"modelVersionId\":7,\"modelName\":\"A, B\"}], \
         Civitai metadata: {\"remixOfId\":3}, Broken: [1, 2",
    );
    assert_eq!(
        settings,
        json!({"Steps": 30, "Seed": 1, "Clip skip": 2,
            "Civitai resources": [{"type": "checkpoint", "modelVersionId": 7, "modelName": "A, B"}],
            "Civitai metadata": {"remixOfId": 3}, "Broken": "[1"})
    );
}

#[test]
fn broken_quotes_fall_back_to_the_comma() {
    let (_, _, settings) = parse("x\nSteps: 1, A1: \"b, C1: \"\", D1: \"\\x\", E1: \"f\"g, H1: 2");
    assert_eq!(
        settings,
        json!({"Steps": 1, "A1": "\"b", "C1": "", "D1": "\"\\x\"", "E1": "\"f\"g", "H1": 2})
    );
}

#[test]
fn long_lines_take_linear_time() {
    let text = format!("x\n{}", "a\"b: \\".repeat(200_000));
    assert!(Infotext::parse(&text).settings.len() < 3);
    let text = "Ab: \"x".repeat(100_000);
    assert_eq!(Infotext::parse(&text).settings.len(), 0);
    let text = "Ab: [".repeat(50_000);
    assert!(Infotext::parse(&text).settings.len() < 3);
}

/// Writes an infotext as the web UI does.
fn format(prompt: &str, negative: Option<&str>, settings: &[(String, String)]) -> String {
    let quote = |text: &str| {
        if text.contains([',', '\n', ':']) {
            json!(text).to_string()
        } else {
            text.to_owned()
        }
    };
    let negative = negative
        .map(|text| format!("\nNegative prompt: {text}"))
        .unwrap_or_default();
    let settings: Vec<String> = settings
        .iter()
        .map(|(key, value)| format!("{key}: {}", quote(value)))
        .collect();
    format!("{prompt}{negative}\n{}", settings.join(", "))
}

proptest! {
    #[test]
    fn what_the_web_ui_formats_is_read_back(
        prompt in r#"[a-zA-Z(\[<é猫😀][a-zA-Z0-9 ,.:"'()\[\]<>\\é猫😀-]{0,40}[a-z)\]>"](\n[a-z:,"(]{1,20}){0,3}"#,
        negative in proptest::option::of(r#"[a-z(][a-z ,:"()]{0,30}[a-z)](\n[a-z,:]{1,10}){0,2}"#),
        values in proptest::collection::vec(r#"[A-Za-z][A-Za-z0-9 ,:/"\\\n+_-]{0,20}[a-z]"#, 2..6),
    ) {
        let mut settings = vec![("Steps".to_owned(), "20".to_owned())];
        settings.extend(values.into_iter().enumerate().map(|(i, v)| (format!("Key {i}"), v)));
        let text = format(&prompt, negative.as_deref(), &settings);
        let parsed = Infotext::parse(&text);
        prop_assert_eq!(&parsed.prompt, &prompt);
        prop_assert_eq!(parsed.negative_prompt, negative);
        let expected: Settings = settings
            .iter()
            .map(|(key, value)| (key.clone(), json::typed(key, value)))
            .collect();
        prop_assert_eq!(parsed.settings, expected);
    }

    #[test]
    fn any_text_is_read(text in r#"(Negative prompt:|Steps: |[{\["\\:,x \n]){0,60}"#) {
        Infotext::parse(&text);
    }
}
