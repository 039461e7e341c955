//! ComfyUI: the graph that made the picture, as JSON. `prompt` is what the server executed,
//! `workflow` what the editor showed; the first has every input under its name and is preferred.
//!
//! A graph has no field for its prompt. It is found as a person would: from the node that saves the
//! picture back to the sampler that made it, and from there along the positive and the negative
//! input to the nodes that hold text. Nodes are told by the names of their inputs more than by
//! their class, because most classes are somebody's extension.

mod graph;
mod sampler;
mod text;
mod workflow;

use serde_json::{Map, Value};

use crate::carried::Carried;
use crate::{Generator, Metadata, json};
use graph::Graph;

/// Reads the texts `prompt` and `workflow`.
pub(crate) fn from_texts(carried: &Carried) -> Option<Metadata> {
    let executed = carried.text("prompt").and_then(json::object);
    let edited = carried.text("workflow").and_then(json::object);
    from_graphs(executed.as_ref(), edited.as_ref())
}

/// Reads an object with the members `prompt` and `workflow`, as some savers put it into
/// UserComment.
pub(crate) fn from_object(map: &Map<String, Value>) -> Option<Metadata> {
    let member = |key| map.get(key).and_then(Value::as_object);
    from_graphs(member("prompt"), member("workflow"))
}

/// Reads the executed graph, or the edited one if there is no other or the other has no prompt.
fn from_graphs(
    executed: Option<&Map<String, Value>>,
    edited: Option<&Map<String, Value>>,
) -> Option<Metadata> {
    let executed = executed
        .and_then(Graph::from_executed)
        .map(|graph| describe(&graph));
    if executed.as_ref().is_some_and(Metadata::has_prompt) {
        return executed;
    }
    let edited = edited
        .and_then(workflow::graph)
        .map(|graph| describe(&graph));
    match (executed, edited) {
        (Some(executed), Some(edited)) if !edited.has_prompt() => Some(executed),
        (executed, edited) => edited.or(executed),
    }
}

fn describe(graph: &Graph) -> Metadata {
    let found = sampler::find(graph);
    let settings = found
        .sampler
        .map(|node| sampler::settings(graph, node))
        .unwrap_or_default();
    Metadata::new(
        Generator::ComfyUi,
        found.prompt,
        found.negative_prompt,
        settings,
    )
}

#[cfg(test)]
mod tests;
