//! ComfyUI: the graph that made the picture, as JSON. `prompt` is what the server executed,
//! `workflow` what the editor showed; the first has every input under its name and is preferred.
//!
//! A graph has no field for its prompt. It is found as a person would: from the node that saves the
//! picture back to the one that made it (`picture.rs`), and from there to the strings that it was
//! made from, which are computed as the nodes on the way would (`evaluate.rs`). What the nodes do is
//! in a table (`classes.rs`); both kinds of JSON become the same graph (`executed.rs`, `editor.rs`).

mod classes;
mod document;
mod editor;
mod evaluate;
mod executed;
mod graph;
mod picture;
mod settings;
mod words;

use serde_json::{Map, Value};

use crate::carried::Carried;
use crate::json::Budget;
use crate::{Generator, Metadata, json};
use graph::Graph;

/// Reads the texts `prompt` and `workflow`.
pub(crate) fn from_texts(carried: &Carried) -> Option<Metadata> {
    let json = carried.json();
    let executed = carried.text("prompt");
    let executed = executed.and_then(|text| read_executed(text, json));
    from_both(executed, || {
        let edited = carried.text("workflow");
        edited.and_then(|text| read_edited(text, json))
    })
}

fn read_executed(text: &str, json: &Budget) -> Option<Reading> {
    document::with_object(text, json, |map| {
        executed::graph(map).map(|graph| describe(&graph))
    })?
}

fn read_edited(text: &str, json: &Budget) -> Option<Reading> {
    document::with_object(text, json, |map| {
        editor::graph(map).map(|graph| describe(&graph))
    })?
}

/// Reads an object with the members `prompt` and `workflow`, as some savers put it into
/// UserComment, or one that is itself a graph.
pub(crate) fn from_object(map: &Map<String, Value>) -> Option<Metadata> {
    let member = |key| map.get(key).and_then(Value::as_object);
    from_graphs(member("prompt"), member("workflow")).or_else(|| {
        let found = from_graphs(Some(map), Some(map))?;
        Some(with_extra_metadata(found, map))
    })
}

fn from_graphs(
    executed: Option<&Map<String, Value>>,
    edited: Option<&Map<String, Value>>,
) -> Option<Metadata> {
    let executed = executed.and_then(|map| Some(describe(&executed::graph(&map.into())?)));
    from_both(executed, || {
        edited.and_then(|map| Some(describe(&editor::graph(&map.into())?)))
    })
}

/// Civitai's generator puts the texts beside the nodes too.
fn with_extra_metadata(mut found: Metadata, map: &Map<String, Value>) -> Metadata {
    if found.has_prompt() {
        return found;
    }
    let extra = json::string(map, "extraMetadata").and_then(json::object);
    if let Some(extra) = extra {
        let text = |key| json::string(&extra, key).map(str::to_owned);
        found.prompt = text("prompt").unwrap_or_default();
        found.negative_prompt = text("negativePrompt").filter(|text| !text.trim().is_empty());
    }
    found
}

/// What a graph gives: its record, and whether its prompt is what the picture was made from rather
/// than what was typed for a language model.
type Reading = (Metadata, bool);

/// Takes the executed graph, or the edited one if there is no other or the other has no prompt.
fn from_both(
    executed: Option<Reading>,
    edited: impl FnOnce() -> Option<Reading>,
) -> Option<Metadata> {
    if let Some((found, true)) = &executed
        && found.has_prompt()
    {
        return executed.map(|(found, _)| found);
    }
    match (executed, edited()) {
        (Some((mut executed, _)), Some((edited, exact))) if executed.has_prompt() => {
            // The executed graph holds what was typed for a language model; nodes of the edited one
            // may keep what it answered.
            if exact && edited.has_prompt() {
                executed.prompt = edited.prompt;
            }
            Some(executed)
        }
        (Some((executed, _)), Some((edited, _))) if !edited.has_prompt() => Some(executed),
        (executed, edited) => edited.or(executed).map(|(found, _)| found),
    }
}

fn describe(graph: &Graph<'_>) -> Reading {
    let found = picture::find(graph);
    let settings = found.maker.map(|maker| settings::settings(graph, maker));
    let exact = found.prompt.as_ref().is_none_or(|prompt| prompt.exact);
    let text = |text: evaluate::Text| text.text.to_string();
    let metadata = Metadata::new(
        Generator::ComfyUi,
        found.prompt.map(text).unwrap_or_default(),
        found.negative_prompt.map(text),
        settings.unwrap_or_default(),
    );
    (metadata, exact)
}

#[cfg(test)]
mod tests;
