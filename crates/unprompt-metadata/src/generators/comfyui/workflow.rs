//! The editor's JSON, `{nodes, links}`: links have their own list, and the values set in a node are
//! an array whose names only the node's code knows.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::graph::{Graph, Input, Node};

/// Names of the values of common classes, in the order of the editor's array (ComfyUI's nodes.py
/// and comfy_extras). `_` marks a value that is of no use here.
const VALUE_NAMES: [(&str, &[&str]); 19] = [
    ("CLIPTextEncode", &["text"]),
    (
        "CLIPTextEncodeSDXL",
        &["_", "_", "_", "_", "_", "_", "text_g", "text_l"],
    ),
    ("CLIPTextEncodeSDXLRefiner", &["_", "_", "_", "text"]),
    ("CLIPTextEncodeFlux", &["clip_l", "t5xxl"]),
    ("CLIPTextEncodeSD3", &["clip_l", "clip_g", "t5xxl"]),
    (
        "KSampler",
        &[
            "seed",
            "_",
            "steps",
            "cfg",
            "sampler_name",
            "scheduler",
            "denoise",
        ],
    ),
    (
        "KSamplerAdvanced",
        &[
            "_",
            "noise_seed",
            "_",
            "steps",
            "cfg",
            "sampler_name",
            "scheduler",
        ],
    ),
    ("SamplerCustom", &["_", "noise_seed", "_", "cfg"]),
    ("KSamplerSelect", &["sampler_name"]),
    ("BasicScheduler", &["scheduler", "steps", "denoise"]),
    ("RandomNoise", &["noise_seed"]),
    ("CFGGuider", &["cfg"]),
    ("CheckpointLoaderSimple", &["ckpt_name"]),
    ("UNETLoader", &["unet_name"]),
    ("EmptyLatentImage", &["width", "height"]),
    ("EmptySD3LatentImage", &["width", "height"]),
    ("StringConcatenate", &["string_a", "string_b", "delimiter"]),
    ("PrimitiveNode", &["value"]),
    ("PrimitiveStringMultiline", &["value"]),
];

const MUTED: u64 = 2;
const BYPASSED: u64 = 4;

/// Reads the editor's graph. `None` when it has no nodes.
pub(super) fn graph(map: &Map<String, Value>) -> Option<Graph> {
    let sources = link_sources(map.get("links"));
    let nodes: HashMap<String, Node> = map
        .get("nodes")?
        .as_array()?
        .iter()
        .filter_map(|node| Some((id(node.get("id")?)?, read_node(node, &sources)?)))
        .collect();
    (!nodes.is_empty()).then(|| Graph::new(nodes))
}

/// Which node each link comes from. A link is `[id, source, output, target, input, type]` or, in
/// newer files, an object.
fn link_sources(links: Option<&Value>) -> HashMap<String, String> {
    let links = links.and_then(Value::as_array).into_iter().flatten();
    links
        .filter_map(|link| match link {
            Value::Array(parts) => Some((id(parts.first()?)?, id(parts.get(1)?)?)),
            other => Some((id(other.get("id")?)?, id(other.get("origin_id")?)?)),
        })
        .collect()
}

/// Ids are numbers, or strings in nested graphs.
fn id(value: &Value) -> Option<String> {
    match value {
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(text.clone()),
        _ => None,
    }
}

fn read_node(node: &Value, sources: &HashMap<String, String>) -> Option<Node> {
    let class = node.get("type")?.as_str()?;
    let mode = node.get("mode").and_then(Value::as_u64).unwrap_or(0);
    if mode == MUTED {
        return None;
    }
    let slots = node
        .get("inputs")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let mut inputs: Vec<(String, Input)> = slots
        .filter_map(|slot| {
            let source = sources.get(&id(slot.get("link")?)?)?;
            Some((
                slot.get("name")?.as_str()?.to_owned(),
                Input::Link(source.clone()),
            ))
        })
        .collect();
    if mode == BYPASSED {
        // It passes its inputs on and its own values do nothing.
        return Some(Node::new("Reroute", inputs));
    }
    for (name, value) in named_values(class, node.get("widgets_values")) {
        // A value that was turned into an input leaves its old text behind in the array; the
        // input comes first and counts.
        inputs.push((name, Input::value(value)));
    }
    Some(Node::new(class, inputs))
}

fn named_values<'a>(class: &str, values: Option<&'a Value>) -> Vec<(String, &'a Value)> {
    match values {
        Some(Value::Object(map)) => map.iter().map(|(name, v)| (name.clone(), v)).collect(),
        Some(Value::Array(values)) => match VALUE_NAMES.iter().find(|(known, _)| *known == class) {
            Some((_, names)) => names
                .iter()
                .zip(values)
                .filter(|(name, _)| **name != "_")
                .map(|(name, value)| ((*name).to_owned(), value))
                .collect(),
            // Of an unknown class the first string is taken for its text, if it is about text.
            None => {
                let class = class.to_lowercase();
                let about_text = ["text", "prompt", "string"]
                    .iter()
                    .any(|w| class.contains(w));
                let text = values
                    .iter()
                    .find(|value| value.is_string())
                    .filter(|_| about_text);
                text.map(|text| ("text".to_owned(), text))
                    .into_iter()
                    .collect()
            }
        },
        _ => Vec::new(),
    }
}
