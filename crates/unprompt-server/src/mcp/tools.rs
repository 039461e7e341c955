//! What each tool is called, takes and gives.

use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// The most prompts that are found at a time.
pub(super) const MOST_SIMILAR: usize = 100;
/// The longest text that is embedded, in bytes.
pub(super) const LONGEST_TEXT: usize = 64 << 10;

/// The arguments of `picture_prompt`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PicturePrompt {
    pub(super) path: String,
    /// Whether the prompt that the file carries is taken.
    #[serde(default = "yes")]
    pub(super) metadata: bool,
}

/// The arguments of `picture_metadata` and of `picture_caption`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Picture {
    pub(super) path: String,
}

/// The arguments of `similar_prompts`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SimilarPrompts {
    pub(super) path: Option<String>,
    pub(super) text: Option<String>,
    #[serde(default = "ten")]
    pub(super) top: usize,
}

/// The arguments of `score_prompt`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ScorePrompt {
    pub(super) prompt: String,
    pub(super) path: Option<String>,
    pub(super) truth: Option<String>,
}

fn yes() -> bool {
    true
}

fn ten() -> usize {
    10
}

/// All tools, as they are listed.
pub(super) fn all() -> Vec<Tool> {
    let path = || {
        json!({
            "type": "string",
            "description": "A picture below one of the folders that the server was started with; relative to one, or absolute.",
        })
    };
    let text = |description: &str| json!({ "type": "string", "description": description });
    let list = |items: Value| json!({ "type": "array", "items": items });
    let similar = || {
        list(object(
            &["prompt", "similarity"],
            json!({ "prompt": { "type": "string" }, "similarity": { "type": "number" } }),
        ))
    };
    let source = || json!({ "enum": ["metadata", "predicted"] });
    vec![
        tool(
            "picture_prompt",
            "The prompt that a picture was generated with: read from the file where it carries one (`source` is \
             \"metadata\", and it is exact), otherwise predicted from what the picture shows.",
            object(
                &["path"],
                json!({
                    "path": path(),
                    "metadata": {
                        "type": "boolean",
                        "default": true,
                        "description": "false predicts even where the file carries its prompt.",
                    },
                }),
            ),
            object(
                &["path", "prompt", "source", "preset", "members", "similar"],
                json!({
                    "path": { "type": "string" },
                    "prompt": { "type": "string" },
                    "source": source(),
                    "preset": text("What predicted it."),
                    "expected_score": {
                        "type": "number",
                        "description": "The cosine with the true prompt that can be expected.",
                    },
                    "metadata_error": text("Why the file's metadata could not be read."),
                    "members": list(object(
                        &["name", "weight"],
                        json!({
                            "name": { "type": "string" },
                            "weight": { "type": "number" },
                            "text": { "type": "string" },
                        }),
                    )),
                    "similar": similar(),
                }),
            ),
        ),
        tool(
            "picture_metadata",
            "The generation record inside a picture's file, if any: prompt, negative prompt, settings, and the program \
             that wrote it.",
            object(&["path"], json!({ "path": path() })),
            object(
                &["path", "found"],
                json!({
                    "path": { "type": "string" },
                    "found": { "type": "boolean" },
                    "generator": { "type": "string" },
                    "prompt": { "type": "string" },
                    "negative_prompt": { "type": "string" },
                    "settings": { "type": "object" },
                }),
            ),
        ),
        tool(
            "picture_caption",
            "What a picture shows, in plain words. Needs a captioner that the server was started with.",
            object(&["path"], json!({ "path": path() })),
            object(
                &["path", "caption"],
                json!({ "path": { "type": "string" }, "caption": { "type": "string" } }),
            ),
        ),
        tool(
            "similar_prompts",
            "Real prompts that are near to a text, or to what a picture shows, the nearest first, with their cosine. \
             One of `text` and `path` is needed.",
            object(
                &[],
                json!({
                    "text": text("The text to be near to."),
                    "path": path(),
                    "top": { "type": "integer", "minimum": 1, "maximum": MOST_SIMILAR, "default": 10 },
                }),
            ),
            object(&["prompts"], json!({ "prompts": similar() })),
        ),
        tool(
            "score_prompt",
            "How near a prompt is to a picture's own or predicted prompt, or to another text: the cosine of their \
             sentence embeddings, from -1 to 1. One of `path` and `truth` is needed.",
            object(
                &["prompt"],
                json!({
                    "prompt": text("The prompt that is judged."),
                    "path": path(),
                    "truth": text("The text that it is compared with."),
                }),
            ),
            object(
                &["similarity", "compared_with"],
                json!({
                    "similarity": { "type": "number" },
                    "compared_with": text("The text whose embedding it was compared with."),
                    "source": source(),
                }),
            ),
        ),
    ]
}

fn object(required: &[&str], properties: Value) -> Value {
    json!({
        "type": "object",
        "required": required,
        "properties": properties,
        "additionalProperties": false,
    })
}

/// A tool that reads and changes nothing.
fn tool(name: &'static str, description: &'static str, takes: Value, gives: Value) -> Tool {
    let annotations = ToolAnnotations::new()
        .read_only(true)
        .destructive(false)
        .idempotent(true)
        .open_world(false);
    Tool::new(name, description, schema(takes))
        .with_raw_output_schema(schema(gives))
        .with_annotations(annotations)
}

fn schema(schema: Value) -> Arc<JsonObject> {
    match schema {
        Value::Object(schema) => Arc::new(schema),
        _ => Arc::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_tools_say_what_they_take_and_give_and_that_they_change_nothing() {
        let tools = all();
        let names: Vec<&str> = tools.iter().map(|tool| tool.name.as_ref()).collect();
        let expected = [
            "picture_prompt",
            "picture_metadata",
            "picture_caption",
            "similar_prompts",
            "score_prompt",
        ];
        assert_eq!(names, expected);
        for tool in tools {
            assert_eq!(tool.input_schema["type"], "object", "{}", tool.name);
            assert_eq!(tool.output_schema.unwrap()["type"], "object");
            let annotations = tool.annotations.unwrap();
            assert_eq!(annotations.read_only_hint, Some(true));
            assert_eq!(annotations.open_world_hint, Some(false));
        }
    }
}
