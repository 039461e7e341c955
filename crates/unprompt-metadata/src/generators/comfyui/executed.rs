//! The JSON that the server executes: `{id: {class_type, inputs}}`, a link being `[id, output]`.

use std::borrow::Cow;
use std::collections::HashMap;

use super::document::{Json, Members};
use super::graph::{Graph, Input, Node, Output, Source, by_id};
use crate::limits::{MAX_GRAPH_INPUTS, MAX_GRAPH_NODES};

/// Reads an executed graph; one with too many nodes or inputs is empty. `None` when no member is a node; other members (`extra` and
/// `extraMetadata` of Civitai) are passed over.
pub(super) fn graph<'a>(map: &'a Members<'a>) -> Option<Graph<'a>> {
    let mut nodes: Vec<(&str, &str, &Json<'_>)> = map
        .iter()
        .filter_map(|(id, node)| Some((id, node.get("class_type")?.as_str()?, node)))
        .collect();
    if nodes.is_empty() {
        return None;
    }
    let inputs = nodes
        .iter()
        .filter_map(|(.., node)| node.get("inputs")?.as_object());
    let inputs = inputs.map(Members::len).sum::<usize>();
    if nodes.len() > MAX_GRAPH_NODES || inputs > MAX_GRAPH_INPUTS {
        return Some(Graph::default());
    }
    nodes.sort_by(|(a, ..), (b, ..)| by_id(a, b));
    let places: HashMap<&str, usize> = nodes
        .iter()
        .enumerate()
        .map(|(at, &(id, ..))| (id, at))
        .collect();
    let nodes = nodes.into_iter().map(|(_, class, node)| {
        let inputs = node.get("inputs").and_then(Json::as_object);
        let inputs = inputs
            .into_iter()
            .flat_map(Members::iter)
            .map(|(name, value)| {
                let source = source(value, &places);
                Input {
                    name: Cow::Borrowed(name),
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
fn source<'a>(value: &'a Json<'a>, places: &HashMap<&str, usize>) -> Source<'a> {
    let Some([id, slot]) = value.as_array() else {
        return Source::Unlinked;
    };
    let Some(slot) = slot.as_u64().and_then(|slot| usize::try_from(slot).ok()) else {
        return Source::Unlinked;
    };
    let id: Cow<'_, str> = match id {
        Json::String(id) => Cow::Borrowed(id.as_ref()),
        Json::Number(id) if id.is_u64() => Cow::Owned(id.to_string()),
        _ => return Source::Unlinked,
    };
    match places.get(id.as_ref()) {
        Some(&node) => Source::Link(Output { node, slot }),
        None => Source::Cut,
    }
}
