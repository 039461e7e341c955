//! JSON as generators write it.

mod python;

use std::borrow::Cow;
use std::cell::Cell;

use memchr::{memchr, memchr_iter, memchr2};
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use crate::Settings;
use crate::limits::{MAX_JSON_BYTES, MAX_JSON_MEMORY, MAX_JSON_WORD_BYTES, MAX_TOTAL_JSON_MEMORY};

/// Why a text is not read as a JSON object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It does not look like one.
    NotAnObject,
    /// It starts like one and is damaged or nested deeper than 128 levels.
    Malformed,
    /// It starts like one and is longer than is read.
    TooLarge,
}

/// What the JSON of one file may still take: values that are made count, as often as they are, so that
/// a file of many texts costs as little as one of the largest.
#[derive(Debug)]
pub(crate) struct Budget(Cell<usize>);

impl Default for Budget {
    fn default() -> Self {
        Self(Cell::new(MAX_TOTAL_JSON_MEMORY))
    }
}

impl Budget {
    /// Bytes that are left.
    pub(crate) fn left(&self) -> usize {
        self.0.get()
    }

    /// Takes this many bytes of memory; false when so many are not left.
    pub(crate) fn take(&self, bytes: usize) -> bool {
        let left = self.0.get().checked_sub(bytes);
        self.0.set(left.unwrap_or(self.0.get()));
        left.is_some()
    }

    /// Parses a JSON object, as [`parse`] does; `None` for anything else.
    pub(crate) fn object(&self, text: &str) -> Option<Map<String, Value>> {
        self.parse(text).ok()
    }

    /// Parses a JSON object, as [`parse`] does.
    pub(crate) fn parse(&self, text: &str) -> Result<Map<String, Value>, Refusal> {
        parse_within(text, |memory| self.take(memory))
    }
}

/// Parses a JSON object; `None` for anything else.
pub(crate) fn object(text: &str) -> Option<Map<String, Value>> {
    parse(text).ok()
}

/// Parses a JSON object, or a dictionary as Python prints it. Python's `json.dumps` writes `NaN` and `Infinity` (ComfyUI's `is_changed`
/// is the usual place); both are read as null. Of a text over the limit, long strings without a blank
/// are emptied first: they are pictures that a graph carries.
pub(crate) fn parse(text: &str) -> Result<Map<String, Value>, Refusal> {
    parse_within(text, |_| true)
}

/// As [`parse`]; `may_take` is asked whether values may take so many bytes of memory.
fn parse_within(
    text: &str,
    may_take: impl Fn(usize) -> bool,
) -> Result<Map<String, Value>, Refusal> {
    let text = text.trim_matches(|letter: char| letter.is_whitespace() || letter == '\u{feff}');
    if !text.starts_with('{') {
        return Err(Refusal::NotAnObject);
    }
    if let Some(text) = python::to_json(text) {
        return serde_json::from_str(&text).map_err(|_| Refusal::NotAnObject);
    }
    let text = if text.len() > MAX_JSON_BYTES {
        without_long_words(text)
    } else {
        Cow::Borrowed(text)
    };
    let memory = memory_of(&text);
    if text.len() > MAX_JSON_BYTES || memory > MAX_JSON_MEMORY || !may_take(memory) {
        return Err(match looks_like_object(&text) {
            true if is_too_deep(&text) => Refusal::Malformed,
            true => Refusal::TooLarge,
            false => Refusal::NotAnObject,
        });
    }
    let parsed = serde_json::from_str(&text).or_else(|error| match without_non_numbers(&text) {
        Cow::Borrowed(_) => Err(error),
        Cow::Owned(text) => serde_json::from_str(&text),
    });
    parsed.map_err(|_| {
        // A whole object with something after it is no object: a prompt may start so.
        let mut values = serde_json::Deserializer::from_str(&text).into_iter::<IgnoredAny>();
        if looks_like_object(&text) && !matches!(values.next(), Some(Ok(_))) {
            Refusal::Malformed
        } else {
            Refusal::NotAnObject
        }
    })
}

/// How much memory a text takes as values, by the marks between them: 32 bytes a value, a hundred more
/// a member, two hundred more an object. Marks inside strings count too, of which no prompt has so many.
fn memory_of(text: &str) -> usize {
    let count = |mark: u8| memchr_iter(mark, text.as_bytes()).count();
    let objects = count(b'{');
    let values = objects + count(b'[') + count(b',');
    values * 32 + count(b':') * 100 + objects * 200
}

/// Whether a text is a JSON object, without making its values.
pub(crate) fn is_object(text: &str) -> bool {
    let text = text.trim_start();
    text.starts_with('{') && serde_json::from_str::<IgnoredAny>(&without_non_numbers(text)).is_ok()
}

/// Whether brackets are nested deeper than the parser follows, as far as a look at the beginning tells.
fn is_too_deep(text: &str) -> bool {
    const MAX_DEPTH: usize = 128;
    const LOOKED_AT: usize = 64 << 10;
    let mut depth = 0_usize;
    let mut rest = &text[..text.floor_char_boundary(LOOKED_AT)];
    while let Some(at) = rest.find(['"', '{', '[', '}', ']']) {
        let length = match rest.as_bytes()[at] {
            b'"' => string_end(&rest[at..]),
            b'{' | b'[' if depth == MAX_DEPTH => return true,
            b'{' | b'[' => {
                depth += 1;
                1
            }
            _ => {
                depth = depth.saturating_sub(1);
                1
            }
        };
        rest = &rest[at + length..];
    }
    false
}

/// Whether a text starts as only a JSON object does, with a quoted name and a colon. Prompts may
/// start with a brace too: `{red|blue} house`.
fn looks_like_object(text: &str) -> bool {
    let Some(text) = text.strip_prefix('{').map(str::trim_start) else {
        return false;
    };
    text.starts_with('"')
        && text
            .get(string_end(text)..)
            .is_some_and(|rest| rest.trim_start().starts_with(':'))
}

/// Whether a long string is data in letters (base64 and its like): no blank, small and capital letters.
fn is_encoded(string: &str) -> bool {
    !string.contains(char::is_whitespace)
        && string.contains(|letter: char| letter.is_ascii_uppercase())
        && string.contains(|letter: char| letter.is_ascii_lowercase())
}

/// Empties strings that are far longer than any word and have no white space.
fn without_long_words(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut copied = 0;
    let mut at = 0;
    while let Some(quote) = memchr(b'"', &text.as_bytes()[at..]) {
        let start = at + quote;
        let length = string_end(&text[start..]);
        let string = &text[start..start + length];
        if length > MAX_JSON_WORD_BYTES && is_encoded(string) {
            out.push_str(&text[copied..start]);
            out.push_str("\"\"");
            copied = start + length;
        }
        at = start + length;
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[copied..]);
    Cow::Owned(out)
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
    let bytes = text.as_bytes();
    let mut at = 1;
    // Most strings are short: a search of their bytes takes longer to begin than to go through them.
    while let Some(&byte) = bytes.get(at) {
        at += match byte {
            b'"' => return at + 1,
            b'\\' => 2,
            _ if at < 32 => 1,
            _ => match memchr2(b'"', b'\\', &bytes[at..]) {
                Some(0) | None => bytes.len() - at,
                Some(further) => further,
            },
        };
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
    fn pictures_inside_a_large_object_are_left_out() {
        let picture = "iVBORw0KGgo".repeat(MAX_JSON_BYTES / 11);
        let text = format!("{{\"a\":\"{picture}\",\"b\":\"x \\\" y\",\"c\":[\"{picture}\"]}}");
        let map = object(&text).unwrap();
        assert_eq!(
            Value::Object(map),
            serde_json::json!({"a": "", "b": "x \" y", "c": [""]})
        );
        let words = "many words ".repeat(MAX_JSON_BYTES / 11 + 1);
        assert_eq!(
            parse(&format!("{{\"a\":\"{words}\"}}")),
            Err(Refusal::TooLarge)
        );
        let values = format!("{{\"a\":[{}0]}}", "0,".repeat(MAX_JSON_MEMORY / 32));
        assert_eq!(parse(&values), Err(Refusal::TooLarge));
    }

    #[test]
    fn what_is_no_object_is_told_from_what_is_a_broken_one() {
        for text in [
            "",
            "a cat",
            "{red|blue} house",
            "{\"a\"|\"b\"}",
            "[1]",
            "{}x",
            "{\"a\":1} and more",
        ] {
            assert_eq!(parse(text), Err(Refusal::NotAnObject), "{text}");
        }
        for text in ["{\"a\": 1", "{ \"a\" : }"] {
            assert_eq!(parse(text), Err(Refusal::Malformed), "{text}");
        }
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
