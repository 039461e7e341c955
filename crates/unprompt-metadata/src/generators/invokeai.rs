//! InvokeAI, in its three forms, newest first: PNG text `invokeai_metadata` (3.0 and later),
//! `sd-metadata` (2.x), and the command line `Dream` (1.x and 2.x).
//!
//! Before 3.0 the negative prompt stood in square brackets inside the prompt.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Map, Value};

use crate::carried::Carried;
use crate::limits::{MAX_SETTINGS, MAX_SETTINGS_BYTES};
use crate::{Generator, Metadata, Settings, json};

static BRACKETED: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\[([^\[\]]*)\]").expect("a constant pattern"));

pub(crate) fn from_texts(carried: &Carried) -> Option<Metadata> {
    let object = |key| carried.json().object(carried.text(key)?);
    object("invokeai_metadata")
        .as_ref()
        .map(current)
        .or_else(|| object("sd-metadata").as_ref().and_then(version_2))
        .or_else(|| carried.text("Dream").and_then(dream))
}

/// Reads an object that has the members of 3.0, wherever it was stored. Others write
/// `positive_prompt` too, but not beside these.
pub(crate) fn from_object(map: &Map<String, Value>) -> Option<Metadata> {
    let has = |key| map.contains_key(key);
    (has("positive_prompt") && (has("app_version") || has("generation_mode"))).then(|| current(map))
}

fn current(map: &Map<String, Value>) -> Metadata {
    Metadata::new(
        Generator::InvokeAi,
        json::string(map, "positive_prompt").unwrap_or_default(),
        json::string(map, "negative_prompt").map(str::to_owned),
        json::settings(map, &["positive_prompt", "negative_prompt"]),
    )
}

fn version_2(map: &Map<String, Value>) -> Option<Metadata> {
    let image = map.get("image")?.as_object()?;
    let text = match image.get("prompt")? {
        Value::String(text) => text.clone(),
        // A blend: a list of prompts with weights.
        Value::Array(parts) => {
            let parts = parts.iter().filter_map(|part| part.get("prompt")?.as_str());
            parts.collect::<Vec<_>>().join(", ")
        }
        _ => return None,
    };
    let (prompt, negative_prompt) = split_brackets(&text);
    let mut settings = json::settings(map, &["image"]);
    settings.extend(json::settings(image, &["prompt"]));
    Some(Metadata::new(
        Generator::InvokeAi,
        prompt,
        negative_prompt,
        settings,
    ))
}

/// `"prompt" -s 50 -S 42 -W 512 -H 512 -C 7.5 -A k_lms`
fn dream(line: &str) -> Option<Metadata> {
    let line = line.trim();
    if line.len() > MAX_SETTINGS_BYTES {
        return None;
    }
    let (text, switches) = match line.strip_prefix('"') {
        Some(rest) => rest.rsplit_once('"')?,
        None => line.split_at(line.find(" -").unwrap_or(line.len())),
    };
    let (prompt, negative_prompt) = split_brackets(text);
    let mut settings = Settings::new();
    let mut words = switches.split_whitespace().take(MAX_SETTINGS).peekable();
    while let Some(word) = words.next() {
        let Some(name) = word.strip_prefix('-') else {
            continue;
        };
        let key = match name {
            "s" => "steps",
            "S" => "seed",
            "W" => "width",
            "H" => "height",
            "C" => "cfg_scale",
            "A" => "sampler",
            "f" => "strength",
            other => other.trim_start_matches('-'),
        };
        let is_value = |next: &&str| !next.starts_with('-') || next.parse::<f64>().is_ok();
        let value = words
            .next_if(is_value)
            .map_or(true.into(), |text| json::typed(key, text));
        settings.insert(key.to_owned(), value);
    }
    Some(Metadata::new(
        Generator::InvokeAi,
        prompt,
        negative_prompt,
        settings,
    ))
}

/// Takes the bracketed parts out as the negative prompt.
fn split_brackets(text: &str) -> (String, Option<String>) {
    if text.len() > MAX_SETTINGS_BYTES {
        return (text.to_owned(), None);
    }
    let negative: Vec<&str> = BRACKETED
        .captures_iter(text)
        .filter_map(|found| Some(found.get(1)?.as_str()))
        .collect();
    if negative.is_empty() {
        return (text.trim().to_owned(), None);
    }
    let positive = BRACKETED.replace_all(text, " ");
    let positive = positive
        .split(' ')
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ");
    (positive.trim().to_owned(), Some(negative.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dream_line() {
        let found =
            dream(r#""a "big" cat [dog, rat] [sky]" -s 50 -S-1 -C 7.5 -A k_lms --hires_fix"#);
        let found = found.unwrap();
        assert_eq!(found.prompt, r#"a "big" cat"#);
        assert_eq!(found.negative_prompt.as_deref(), Some("dog, rat sky"));
        assert_eq!(found.settings["steps"], 50);
        assert_eq!(found.settings["sampler"], "k_lms");
        assert_eq!(found.settings["hires_fix"], true);
        assert_eq!(dream("a cat -s 20").unwrap().prompt, "a cat");
        assert_eq!(dream("\"a cat"), None);
    }
}
