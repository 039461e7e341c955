//! The settings line of an infotext: `Key: value` pairs with commas between them.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use crate::limits::{MAX_SETTINGS, MAX_SETTINGS_BYTES};
use crate::{Settings, json};

/// Unquoted JSON is read over this many bytes of a line, since each failed try may read the rest of it.
const MOST_JSON_BYTES: usize = MAX_SETTINGS_BYTES;

/// `Key: ` of the settings line.
static KEY: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\s*(\w[\w \-/]+):\s*").expect("a constant pattern"));
/// A JSON string that is a whole value.
static QUOTED: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#"^"(?:\\.|[^\\"])+"(?:,|$)"#).expect("a constant pattern"));
static SIZE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^([0-9]+)x([0-9]+)$").expect("a constant pattern"));

#[derive(Default)]
pub(super) struct ParsedSettings {
    /// Pairs in the line; more than `values` when a key repeats.
    pub(super) pairs: usize,
    pub(super) values: Settings,
}

impl ParsedSettings {
    /// Whether some pair is what no prompt has: a number of steps, a seed, a size, or two of the
    /// names that may also stand in a structured prompt.
    pub(super) fn is_evident(&self) -> bool {
        let has = |key: &str| self.values.contains_key(key);
        // Steps that lead somewhere are no setting.
        let counts = self.values.get("Steps").is_none_or(Value::is_number);
        self.values.iter().any(|(key, value)| is_sure(key, value))
            || (has("Sampler") && has("Model") && counts)
    }

    /// Whether every pair is sure to be a setting.
    pub(super) fn is_all_evident(&self) -> bool {
        self.pairs > 0
            && self
                .values
                .iter()
                .all(|(key, value)| is_sure(key, value) || key == "Sampler")
    }
}

fn is_sure(key: &str, value: &Value) -> bool {
    match key {
        "Steps" | "Seed" | "CFG scale" | "Size-1" | "Size-2" => value.is_number(),
        "Model hash" => value
            .as_str()
            .is_some_and(|hash| hash.len() >= 6 && hash.bytes().all(|b| b.is_ascii_hexdigit())),
        _ => false,
    }
}

/// Reads pairs up to the limits on settings.
pub(super) fn parse_settings(line: &str) -> ParsedSettings {
    let line = &line[..line.floor_char_boundary(MAX_SETTINGS_BYTES)];
    let mut parsed = ParsedSettings::default();
    let mut at = 0;
    let mut json_bytes = MOST_JSON_BYTES;
    while parsed.pairs < MAX_SETTINGS
        && let Some(found) = KEY.captures_at(line, at)
    {
        let (Some(whole), Some(key)) = (found.get(0), found.get(1)) else {
            break;
        };
        let (value, length) = parse_value(key.as_str(), &line[whole.end()..], &mut json_bytes);
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
fn parse_value(key: &str, text: &str, json_bytes: &mut usize) -> (Setting, usize) {
    if let Some(quoted) = QUOTED.find(text) {
        let raw = quoted.as_str().trim_end_matches(',');
        let value = serde_json::from_str::<String>(raw).unwrap_or_else(|_| raw.to_owned());
        return (Setting::Value(value.into()), quoted.end());
    }
    if *json_bytes >= text.len() && text.starts_with(['{', '[']) {
        let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
        let value = values.next();
        let read = match &value {
            Some(Ok(_)) => values.byte_offset(),
            _ => text.len(),
        };
        *json_bytes -= read;
        if let Some(Ok(value)) = value {
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
