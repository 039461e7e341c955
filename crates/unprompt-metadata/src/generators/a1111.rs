//! The "infotext" of AUTOMATIC1111's web UI, and of all who write it: Forge, SD.Next, Civitai,
//! Fooocus' `a1111` scheme and many ComfyUI savers.
//!
//! The grammar is `parse_generation_parameters` of the web UI's `modules/infotext_utils.py`: lines
//! of prompt; from a line that starts with `Negative prompt:` on, lines of negative prompt; and,
//! when the last line has at least three `Key: value` pairs, settings. Values with commas, colons
//! or newlines are JSON strings. Three things differ, all of them in the settings: unquoted JSON is
//! read whole (Civitai writes lists of resources so), values get types, and defaults that the file
//! does not state are not added.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use crate::{Generator, Metadata, Settings, json};

const NEGATIVE: &str = "Negative prompt:";
const FEWEST_SETTINGS: usize = 3;
/// Unquoted JSON is tried this often, since a failed try may have read the rest of the line.
const MOST_JSON_VALUES: usize = 64;

/// `Key: ` of the settings line.
static KEY: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\s*(\w[\w \-/]+):\s*").expect("a constant pattern"));
/// A JSON string that is a whole value.
static QUOTED: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#"^"(?:\\.|[^\\"])+"(?:,|$)"#).expect("a constant pattern"));
static SIZE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^([0-9]+)x([0-9]+)$").expect("a constant pattern"));

/// An infotext taken apart.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Infotext {
    pub prompt: String,
    pub negative_prompt: Option<String>,
    pub settings: Settings,
}

impl Infotext {
    /// Reads any text: one without the two markers is all prompt.
    pub(crate) fn parse(text: &str) -> Self {
        let text = text.trim();
        let (mut body, last_line) = text.rsplit_once('\n').unwrap_or(("", text));
        let mut settings = parse_settings(last_line);
        if settings.pairs < FEWEST_SETTINGS {
            (body, settings) = (text, ParsedSettings::default());
        }
        let mut prompt = String::new();
        let mut negative_prompt: Option<String> = None;
        for line in body.split('\n') {
            let mut line = line.trim();
            if let Some(rest) = line.strip_prefix(NEGATIVE) {
                line = rest.trim();
                negative_prompt.get_or_insert_default();
            }
            let part = negative_prompt.as_mut().unwrap_or(&mut prompt);
            if !part.is_empty() {
                part.push('\n');
            }
            part.push_str(line);
        }
        Self {
            prompt,
            negative_prompt,
            settings: settings.values,
        }
    }

    /// Whether a text that may be anything (a comment) is an infotext after all.
    pub(crate) fn has_markers(&self) -> bool {
        self.negative_prompt.is_some() || self.settings.contains_key("Steps")
    }

    pub(crate) fn into_metadata(self) -> Metadata {
        Metadata::new(
            Generator::A1111,
            self.prompt,
            self.negative_prompt,
            self.settings,
        )
    }
}

#[derive(Default)]
struct ParsedSettings {
    /// Pairs in the line; more than `values` when a key repeats.
    pairs: usize,
    values: Settings,
}

fn parse_settings(line: &str) -> ParsedSettings {
    let mut parsed = ParsedSettings::default();
    let mut at = 0;
    let mut json_values = MOST_JSON_VALUES;
    while let Some(found) = KEY.captures_at(line, at) {
        let (Some(whole), Some(key)) = (found.get(0), found.get(1)) else {
            break;
        };
        let (value, length) = parse_value(key.as_str(), &line[whole.end()..], &mut json_values);
        at = whole.end() + length;
        parsed.pairs += 1;
        match value {
            Setting::Value(value) => {
                parsed.values.insert(key.as_str().to_owned(), value);
            }
            Setting::Size(width, height) => {
                parsed.values.insert(format!("{}-1", key.as_str()), width);
                parsed.values.insert(format!("{}-2", key.as_str()), height);
            }
        }
    }
    parsed
}

enum Setting {
    Value(Value),
    /// `WxH`, kept under `Key-1` and `Key-2` as the web UI does.
    Size(Value, Value),
}

/// Reads a value at the start of `text`; also gives its length with the comma after it.
fn parse_value(key: &str, text: &str, json_values: &mut usize) -> (Setting, usize) {
    if let Some(quoted) = QUOTED.find(text) {
        let raw = quoted.as_str().trim_end_matches(',');
        let value = serde_json::from_str::<String>(raw).unwrap_or_else(|_| raw.to_owned());
        return (Setting::Value(value.into()), quoted.end());
    }
    if *json_values > 0 && text.starts_with(['{', '[']) {
        *json_values -= 1;
        let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
        if let Some(Ok(value)) = values.next() {
            let end = values.byte_offset();
            let after = text[end..].trim_start();
            if after.is_empty() || after.starts_with(',') {
                let comma = usize::from(!after.is_empty());
                return (Setting::Value(value), text.len() - after.len() + comma);
            }
        }
    }
    let end = text.find(',').unwrap_or(text.len());
    let raw = &text[..end];
    let length = (end + 1).min(text.len());
    // The empty JSON string, which the pattern leaves out.
    let raw = if raw == "\"\"" { "" } else { raw };
    let setting = match SIZE.captures(raw) {
        Some(size) => Setting::Size(json::typed(key, &size[1]), json::typed(key, &size[2])),
        None => Setting::Value(json::typed(key, raw)),
    };
    (setting, length)
}

#[cfg(test)]
mod tests;
