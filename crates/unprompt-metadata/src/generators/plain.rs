//! Records of programs that have no form of their own: a prompt under that name, in a JSON object or
//! as a text of its own beside others. Hugging Face Spaces, scripts around diffusers, savers that let
//! the user name the texts, and generators that just dump their parameters all write so.
//!
//! A program is named only by what it alone writes; most of these stay without a name.

use serde_json::{Map, Value};

use super::a1111::Infotext;
use crate::carried::Carried;
use crate::json::{self, Refusal};
use crate::{Generator, Metadata, Settings};

/// Names of a prompt, the surest first. Compared without regard to case, blanks, `_` and `-`.
const PROMPT: [&str; 6] = [
    "prompt",
    "positiveprompt",
    "promptpositive",
    "aipromptinformation",
    "positive",
    "textprompt",
];
/// Names of a negative prompt.
const NEGATIVE: [&str; 7] = [
    "negativeprompt",
    "negprompt",
    "promptnegative",
    "negative",
    "uc",
    "unconditionalprompt",
    "undesiredcontent",
];
/// Most texts of which a prompt is put together.
const MAX_PARTS: usize = 64;
/// Longest text that is kept as a setting.
const MAX_SETTING_BYTES: usize = 4 << 10;

fn is_one_of(key: &str, names: &[&str]) -> Option<usize> {
    if key.len() > 32 {
        return None;
    }
    let plain: String = key
        .chars()
        .filter(|letter| !matches!(letter, ' ' | '_' | '-'))
        .flat_map(char::to_lowercase)
        .collect();
    names.iter().position(|name| *name == plain)
}

/// The surest of the names under which `members` has something; of equal ones the later.
fn find<'a, T>(
    members: impl Iterator<Item = (&'a str, T)>,
    names: &[&str],
) -> Option<(&'a str, T)> {
    members
        .filter_map(|(key, value)| Some((is_one_of(key, names)?, key, value)))
        .reduce(|best, next| if next.0 <= best.0 { next } else { best })
        .map(|(_, key, value)| (key, value))
}

/// Reads an object that has a prompt under that name.
pub(crate) fn from_object(map: &Map<String, Value>) -> Option<Metadata> {
    let texts = || {
        map.iter()
            .filter_map(|(key, value)| Some((key.as_str(), text_of(value)?)))
    };
    let Some((prompt_key, prompt)) = find(texts(), &PROMPT) else {
        return weighted(map);
    };
    if json::is_object(&prompt) {
        // A graph, or a record of its own.
        return None;
    }
    if Infotext::may_have_markers(&prompt) {
        let infotext = Infotext::parse(&prompt);
        if infotext.has_markers() {
            return Some(infotext.into_metadata());
        }
    }
    let negative = find(texts(), &NEGATIVE);
    let negative_key = negative.as_ref().map_or("", |(key, _)| *key);
    let settings = json::settings(map, &[prompt_key, negative_key]);
    Some(Metadata::new(
        named(map),
        prompt,
        negative.map(|(_, text)| text),
        settings,
    ))
}

/// Reads a prompt that is a list of texts with weights, as Stability's service has it: those of a
/// negative weight are the negative prompt.
fn weighted(map: &Map<String, Value>) -> Option<Metadata> {
    let keys = ["text_prompts", "prompts"];
    let (key, parts) = keys
        .iter()
        .find_map(|key| Some((*key, map.get(*key)?.as_array()?)))?;
    let join = |negative: bool| {
        let wanted = parts.iter().filter(|part| {
            let weight = part.get("weight").and_then(Value::as_f64);
            (weight.unwrap_or(1.0) < 0.0) == negative
        });
        let texts = wanted.filter_map(|part| part.get("text")?.as_str());
        texts.take(MAX_PARTS).collect::<Vec<_>>().join(", ")
    };
    let prompt = join(false);
    (!prompt.is_empty()).then(|| {
        let settings = json::settings(map, &[key]);
        Metadata::new(named(map), prompt, Some(join(true)), settings)
    })
}

/// Reads an object of which a member is one that has a prompt.
pub(crate) fn from_inner_object(map: &Map<String, Value>) -> Option<Metadata> {
    map.values()
        .filter_map(Value::as_object)
        .filter(|inner| !inner.contains_key("class_type"))
        .find_map(from_object)
}

/// A text, or a list of texts, of which batches have one for each picture.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(parts) if !parts.is_empty() && parts.len() <= MAX_PARTS => {
            let parts: Option<Vec<&str>> = parts.iter().map(Value::as_str).collect();
            Some(parts?.join("\n"))
        }
        _ => None,
    }
}

/// The program that an object names as its writer.
fn named(map: &Map<String, Value>) -> Option<Generator> {
    let software = json::string(map, "software")?;
    (software == "RuinedFooocus").then_some(Generator::RuinedFooocus)
}

/// Reads texts of which one is called prompt. There only a prompt can stand: a JSON object that is no
/// record and no graph is the prompt itself.
pub(crate) fn from_texts(
    carried: &Carried,
    record: impl Fn(&Map<String, Value>) -> Option<Metadata>,
) -> Option<Metadata> {
    let texts = || {
        carried
            .keyed()
            .iter()
            .map(|(key, text)| (key.as_str(), text.as_str()))
            .filter(|(_, text)| !text.trim().is_empty())
    };
    let (prompt_key, prompt) = find(texts(), &PROMPT)?;
    match carried.json().parse(prompt) {
        Ok(map) if map.values().any(is_node) => return None,
        Ok(map) => {
            if let Some(found) = record(&map) {
                return Some(found);
            }
            if !is_prompt(&map) {
                return None;
            }
        }
        Err(Refusal::NotAnObject) => {}
        Err(Refusal::Malformed | Refusal::TooLarge) => return None,
    }
    let infotext = Infotext::parse(prompt);
    if infotext.has_markers() {
        return Some(infotext.into_metadata());
    }
    let (negative_key, negative) = find(texts(), &NEGATIVE).unwrap_or_default();
    let settings: Settings = texts()
        .filter(|(key, text)| {
            *key != prompt_key
                && *key != negative_key
                && !key.contains(':')
                && *key != "workflow"
                && text.len() <= MAX_SETTING_BYTES
        })
        .map(|(key, text)| (key.to_owned(), json::typed(key, text)))
        .collect();
    Some(Metadata::new(
        None,
        prompt,
        Some(negative.to_owned()),
        settings,
    ))
}

/// Whether an object that is no record can be a prompt that somebody wrote in JSON: none of its
/// members is a node of a graph or has the name of a record.
pub(crate) fn is_prompt(map: &Map<String, Value>) -> bool {
    let is_record = |key: &str| {
        is_one_of(key, &PROMPT).is_some()
            || matches!(
                key,
                "parameters" | "workflow" | "nodes" | "invokeai_metadata" | "sd-metadata"
            )
    };
    !map.is_empty()
        && !map
            .iter()
            .any(|(key, value)| is_node(value) || is_record(key))
}

fn is_node(value: &Value) -> bool {
    value.get("class_type").is_some() || value.get("inputs").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(value: Value) -> Option<Metadata> {
        let map = value.as_object().unwrap();
        from_object(map).or_else(|| from_inner_object(map))
    }

    #[test]
    fn a_prompt_under_any_of_its_names() {
        for (prompt, negative) in [
            ("prompt", "negative_prompt"),
            ("Prompt", "Negative"),
            ("positive_prompt", "negative-prompt"),
            ("positivePrompt", "negativePrompt"),
            ("Positive prompt", "Negative Prompt"),
            ("prompt", "uc"),
        ] {
            let found = object(json!({negative: "b", "steps": 4, prompt: "a"})).unwrap();
            assert_eq!(found.generator, None);
            assert_eq!(found.prompt, "a", "{prompt}");
            assert_eq!(found.negative_prompt.as_deref(), Some("b"), "{negative}");
            assert_eq!(found.settings, Settings::from([("steps".into(), 4.into())]));
        }
        let nested = object(json!({"id": 1, "params": {"prompt": "a", "seed": 2}})).unwrap();
        assert_eq!(
            (nested.prompt.as_str(), &nested.settings["seed"]),
            ("a", &json!(2))
        );
        let batch = object(json!({"prompt": ["a", "b"]})).unwrap();
        assert_eq!(batch.prompt, "a\nb");
    }

    #[test]
    fn the_surest_name_counts() {
        let found = object(json!({"positive": "c", "prompt": "a", "text_prompt": "d"})).unwrap();
        assert_eq!(found.prompt, "a");
    }

    #[test]
    fn what_is_no_record() {
        assert_eq!(object(json!({"subject": "a fox", "style": "oil"})), None);
        assert_eq!(
            object(json!({"3": {"class_type": "A", "inputs": {"prompt": "x"}}})),
            None
        );
        assert_eq!(object(json!({"prompt": {"a": 1}})), None);
    }
}
