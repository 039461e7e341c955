//! The JSON that the server executes: `{id: {class_type, inputs}}`, a link being `[id, output]`.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::{Map, Value};

use super::graph::{Graph, Input, Node, Output, Source, by_id};

/// Reads an executed graph. `None` when no member is a node; other members (`extra` and
/// `extraMetadata` of Civitai) are passed over.
pub(super) fn graph(map: &Map<String, Value>) -> Option<Graph<'_>> {
    let mut nodes: Vec<(&str, &str, &Value)> = map
        .iter()
        .filter_map(|(id, node)| Some((id.as_str(), node.get("class_type")?.as_str()?, node)))
        .collect();
    if nodes.is_empty() {
        return None;
    }
    nodes.sort_by(|(a, ..), (b, ..)| by_id(a, b));
    let places: HashMap<&str, usize> = nodes
        .iter()
        .enumerate()
        .map(|(at, &(id, ..))| (id, at))
        .collect();
    let nodes = nodes.into_iter().map(|(_, class, node)| {
        let inputs = node.get("inputs").and_then(Value::as_object);
        let inputs = inputs.into_iter().flatten().map(|(name, value)| {
            let source = source(value, &places);
            Input {
                name: Cow::Borrowed(name.as_str()),
                source,
                // A link stands in place of a value.
                value: matches!(source, Source::Unlinked).then_some(value),
            }
        });
        Node::new(class, inputs.collect())
    });
    Some(Graph {
        nodes: nodes.collect(),
    })
}

/// A link, or nothing. A link to a node that is not in the graph leads nowhere.
fn source<'a>(value: &'a Value, places: &HashMap<&str, usize>) -> Source<'a> {
    let Some([id, slot]) = value.as_array().map(Vec::as_slice) else {
        return Source::Unlinked;
    };
    let Some(slot) = slot.as_u64().and_then(|slot| usize::try_from(slot).ok()) else {
        return Source::Unlinked;
    };
    let id: Cow<'_, str> = match id {
        Value::String(id) => Cow::Borrowed(id.as_str()),
        Value::Number(id) if id.is_u64() => Cow::Owned(id.to_string()),
        _ => return Source::Unlinked,
    };
    match places.get(id.as_ref()) {
        Some(&node) => Source::Link(Output { node, slot }),
        None => Source::Cut,
    }
}
