//! JSON as generators write it.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::Settings;
use crate::limits::MAX_JSON_BYTES;

/// Parses a JSON object. Python's `json.dumps` writes `NaN` and `Infinity` (ComfyUI's `is_changed`
/// is the usual place); both are read as null. `None` for anything else, nesting deeper than 128
/// levels and texts over the limit included.
pub(crate) fn object(text: &str) -> Option<Map<String, Value>> {
    let text = text.trim();
    if !text.starts_with('{') || text.len() > MAX_JSON_BYTES {
        return None;
    }
    let parsed = serde_json::from_str(text).or_else(|error| match without_non_numbers(text) {
        Cow::Borrowed(_) => Err(error),
        Cow::Owned(text) => serde_json::from_str(&text),
    });
    match parsed {
        Ok(Value::Object(map)) => Some(map),
        _ => None,
    }
}

/// Replaces Python's non-finite numbers outside strings.
pub(crate) fn without_non_numbers(text: &str) -> Cow<'_, str> {
    if !text.contains("NaN") && !text.contains("Infinity") {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['"', 'N', 'I', '-']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let token = ["NaN", "-Infinity", "Infinity"]
            .into_iter()
            .find(|t| rest.starts_with(t));
        if let Some(token) = token {
            out.push_str("null");
            rest = &rest[token.len()..];
        } else {
            let end = if rest.starts_with('"') {
                string_end(rest)
            } else {
                1
            };
            out.push_str(&rest[..end]);
            rest = &rest[end..];
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Length of the JSON string that `text` starts with, quotes included.
fn string_end(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// A string member, or `None`.
pub(crate) fn string<'a>(map: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    map.get(key).and_then(Value::as_str)
}

/// The members that are settings: all but the named ones and nulls.
pub(crate) fn settings(map: &Map<String, Value>, without: &[&str]) -> Settings {
    map.iter()
        .filter(|(key, value)| !without.contains(&key.as_str()) && !value.is_null())
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// Gives a setting written as text its type: integers and decimals in their plain spelling, and
/// Python's or JSON's booleans. Hashes and versions stay text even when all their digits are
/// decimal.
pub(crate) fn typed(key: &str, text: &str) -> Value {
    let lower = key.to_lowercase();
    if lower.contains("hash") || lower.contains("version") {
        return text.into();
    }
    match text {
        "True" | "true" => return true.into(),
        "False" | "false" => return false.into(),
        _ => {}
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let plain = whole == "0" || !whole.starts_with('0');
    if all_digits(whole)
        && all_digits(fraction)
        && plain
        && let Ok(value @ Value::Number(_)) = serde_json::from_str(text)
    {
        return value;
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn python_numbers_become_null_outside_strings_only() {
        let text = r#"{"is_changed": [NaN], "a": -Infinity, "b": "NaN \" Infinity", "c": -1}"#;
        let map = object(text).unwrap();
        assert_eq!(
            Value::Object(map),
            serde_json::json!({"is_changed": [null], "a": null, "b": "NaN \" Infinity", "c": -1})
        );
    }

    #[test]
    fn hostile_json_is_refused() {
        assert!(object(&"{\"a\":".repeat(100_000)).is_none());
        assert!(object(&format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_JSON_BYTES))).is_none());
        assert!(object("{\"a\": NaN").is_none());
        assert!(object("{\"NaN").is_none());
        assert!(object("[1]").is_none());
    }

    #[test]
    fn values_get_their_types() {
        assert_eq!(typed("Steps", "20"), 20);
        assert_eq!(typed("CFG scale", "7.5"), 7.5);
        assert_eq!(typed("Seed", "-1"), -1);
        assert_eq!(typed("Tiled", "True"), true);
        for text in ["007", "1e5", "0x10", "1.", ".5", "Euler a", "", "-", "+1"] {
            assert_eq!(typed("Any", text), text);
        }
        assert_eq!(typed("Model hash", "12345678"), "12345678");
        assert_eq!(typed("Seed", "18446744073709551615"), u64::MAX);
    }
}
