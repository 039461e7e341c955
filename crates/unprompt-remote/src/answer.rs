//! The caption out of an answer, which is not trusted.

use serde::Deserialize;
use serde_json::Value;

/// The longest caption that is taken, in bytes.
const LONGEST: usize = 16 << 10;
/// The most that is shown of what a server says, in characters.
const SHOWN: usize = 300;

#[derive(Deserialize)]
struct Completion {
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    message: Message,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    content: Value,
}

/// The text of a chat's completion, without white space at its ends.
pub(crate) fn caption(body: &[u8]) -> Result<String, String> {
    let completion: Completion = serde_json::from_slice(body)
        .map_err(|error| format!("it is no chat completion ({error})"))?;
    let choice = completion.choices.into_iter().next();
    let content = choice.ok_or("it has no choice")?.message.content;
    let text = match content {
        Value::String(text) => text,
        // As some servers have it: parts, of which those count that are text.
        Value::Array(parts) => parts
            .iter()
            .filter_map(|part| part["text"].as_str())
            .collect(),
        _ => String::new(),
    };
    let text = text.trim();
    match text.len() {
        0 => Err("its text is empty".into()),
        length if length > LONGEST => Err(format!("its text is longer than {LONGEST} bytes")),
        _ => Ok(text.to_owned()),
    }
}

/// What a refusal says, on one line, cut short, and without the key.
pub(crate) fn refusal(body: &[u8], key: Option<&str>) -> String {
    let json: Option<Value> = serde_json::from_slice(body).ok();
    let message = json.as_ref().and_then(|json| {
        let error = &json["error"];
        error["message"]
            .as_str()
            .or(error.as_str())
            .or(json["message"].as_str())
    });
    let message = message.map_or_else(|| String::from_utf8_lossy(body).into_owned(), str::to_owned);
    let message = match key {
        Some(key) => message.replace(key, "[the key]"),
        None => message,
    };
    let words = message.split(|letter: char| letter.is_whitespace() || letter.is_control());
    let line: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    line.join(" ").chars().take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caption_is_the_first_choices_text() {
        let body = br#"{"choices": [{"message": {"role": "assistant", "content": " A cat.\n"}}], "more": 1}"#;
        assert_eq!(caption(body).unwrap(), "A cat.");
        let parts = br#"{"choices": [{"message": {"content": [{"type": "text", "text": "a"}, {"type": "text", "text": " b"}]}}]}"#;
        assert_eq!(caption(parts).unwrap(), "a b");
        let long = format!(
            r#"{{"choices": [{{"message": {{"content": "{}"}}}}]}}"#,
            "a".repeat(LONGEST + 1)
        );
        for (body, expected) in [
            (&b"<html>"[..], "no chat completion"),
            (b"{}", "no chat completion"),
            (br#"{"choices": []}"#, "no choice"),
            (br#"{"choices": [{"message": {}}]}"#, "empty"),
            (br#"{"choices": [{"message": {"content": null}}]}"#, "empty"),
            (br#"{"choices": [{"message": {"content": "  "}}]}"#, "empty"),
            (long.as_bytes(), "longer than"),
        ] {
            let error = caption(body).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_refusal_is_one_line_without_the_key() {
        let shown = |body: &str| refusal(body.as_bytes(), Some("canary"));
        assert_eq!(
            shown(r#"{"error": {"message": "no key canary here"}}"#),
            "no key [the key] here"
        );
        assert_eq!(
            shown(r#"{"error": "model\nnot\u001b[2J found"}"#),
            "model not [2J found"
        );
        assert_eq!(shown("<html>\r\n<b>no</b>"), "<html> <b>no</b>");
        assert_eq!(shown(&"a".repeat(1000)).len(), SHOWN);
        assert_eq!(shown(""), "");
    }
}
