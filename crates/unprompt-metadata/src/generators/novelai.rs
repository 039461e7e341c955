//! NovelAI: texts `Software`, `Source` (the model), `Description` (the prompt) and `Comment`
//! (JSON), as PNG chunks or as a JSON object in a stealth payload or a UserComment.
//!
//! Since version 4 of its models a prompt may have a part for each character
//! (`v4_prompt.caption.char_captions`). They are appended with ` | `, NovelAI's own notation for
//! them.

use serde_json::{Map, Value};

use crate::carried::Carried;
use crate::{Generator, Metadata, json};

pub(crate) fn from_texts(carried: &Carried) -> Option<Metadata> {
    let software = carried
        .text("Software")
        .filter(|name| name.starts_with("NovelAI"))?;
    let comment = carried
        .text("Comment")
        .and_then(|text| carried.json().object(text))
        .unwrap_or_default();
    let base = carried
        .text("Description")
        .or_else(|| json::string(&comment, "prompt"))
        .or_else(|| {
            caption(&comment, "v4_prompt").and_then(|map| json::string(map, "base_caption"))
        });
    if base.is_none() && comment.is_empty() {
        return None;
    }
    let prompt = with_characters(base.unwrap_or_default(), caption(&comment, "v4_prompt"));
    let negative = caption(&comment, "v4_negative_prompt");
    let negative_base = json::string(&comment, "uc")
        .or_else(|| negative.and_then(|map| json::string(map, "base_caption")))
        .unwrap_or_default();
    let mut settings = json::settings(
        &comment,
        &[
            "prompt",
            "uc",
            "v4_prompt",
            "v4_negative_prompt",
            "signed_hash",
        ],
    );
    settings.insert("Software".into(), software.into());
    if let Some(source) = carried.text("Source") {
        settings.insert("Source".into(), source.into());
    }
    let negative_prompt = Some(with_characters(negative_base, negative));
    Some(Metadata::new(
        Generator::NovelAi,
        prompt,
        negative_prompt,
        settings,
    ))
}

fn caption<'a>(comment: &'a Map<String, Value>, key: &str) -> Option<&'a Map<String, Value>> {
    comment.get(key)?.get("caption")?.as_object()
}

fn with_characters(base: &str, caption: Option<&Map<String, Value>>) -> String {
    let characters = caption
        .and_then(|map| map.get("char_captions")?.as_array())
        .into_iter()
        .flatten()
        .filter_map(|character| character.get("char_caption")?.as_str());
    std::iter::once(base)
        .chain(characters)
        .filter(|text| !text.trim().is_empty())
        .collect::<Vec<_>>()
        .join(" | ")
}
