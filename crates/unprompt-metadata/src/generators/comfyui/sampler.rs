//! Finds the sampler whose picture was saved, its two prompts and its settings.

use std::collections::HashSet;

use serde_json::Value;

use super::graph::{Graph, Input, Node};
use super::text::{Role, Search};
use crate::Settings;

/// Settings looked up from the sampler upwards, the nearest node that states one winning.
const SETTINGS: [&str; 12] = [
    "seed",
    "noise_seed",
    "steps",
    "cfg",
    "sampler_name",
    "scheduler",
    "denoise",
    "ckpt_name",
    "unet_name",
    "model_name",
    "width",
    "height",
];

/// What a search of a graph gives; without a sampler there may still be a prompt, in graphs that
/// call a service.
#[derive(Debug, Default)]
pub(super) struct Found<'a> {
    pub sampler: Option<&'a str>,
    pub prompt: String,
    pub negative_prompt: Option<String>,
}

impl Found<'_> {
    /// Takes the prompts back if the search ran out of its budget.
    fn unless_spent(self, search: &Search) -> Self {
        if search.is_spent() {
            Self {
                sampler: self.sampler,
                ..Self::default()
            }
        } else {
            self
        }
    }
}

/// Finds the first candidate that has a prompt: samplers and other prompted nodes nearest to the
/// saving nodes first, then samplers that nothing saves.
pub(super) fn find(graph: &Graph) -> Found<'_> {
    let mut search = Search::new(graph);
    let mut first = None;
    let reached = reached_from_outputs(graph);
    let unreached = graph.nodes().filter(|(_, node)| is_sampler(node));
    let mut tried = HashSet::new();
    for (id, node) in reached
        .iter()
        .copied()
        .chain(unreached)
        .filter(|(_, node)| is_sampler(node))
    {
        if !tried.insert(id) {
            continue;
        }
        first.get_or_insert(id);
        let prompt = search.prompt_of(node, Role::Positive).unwrap_or_default();
        if !prompt.trim().is_empty() {
            let negative_prompt = search.prompt_of(node, Role::Negative);
            return Found {
                sampler: Some(id),
                prompt,
                negative_prompt,
            }
            .unless_spent(&search);
        }
    }
    if first.is_none() {
        // No sampler: a node that sends a prompt to a service.
        for (id, node) in reached {
            if let Some(prompt) = search.own_text(node).filter(|text| !text.trim().is_empty()) {
                let negative_prompt = search.prompt_of(node, Role::Negative);
                return Found {
                    sampler: Some(id),
                    prompt,
                    negative_prompt,
                }
                .unless_spent(&search);
            }
        }
    }
    Found {
        sampler: first,
        ..Found::default()
    }
}

/// Everything upstream of the nodes that save or show pictures, nearest first; savers come before
/// previews.
fn reached_from_outputs(graph: &Graph) -> Vec<(&str, &Node)> {
    let mut outputs: Vec<(u8, &str)> = graph
        .nodes()
        .filter(|(_, node)| node.links().next().is_some())
        .filter_map(|(id, node)| {
            let class = node.class_lower.as_str();
            let rank = match class {
                "saveimage" => 0,
                _ if class.contains("save") => 1,
                _ if class.contains("preview") => 2,
                _ => return None,
            };
            Some((rank, id))
        })
        .collect();
    outputs.sort_by_key(|&(rank, _)| rank); // stable: ids keep their order
    let mut seen = HashSet::new();
    let mut reached = Vec::new();
    // Two outputs of a large graph reach mostly the same nodes: a few outputs are enough.
    for (_, id) in outputs.into_iter().take(16) {
        reached.extend(
            graph
                .upstream(id, |_| true)
                .into_iter()
                .filter(|(id, _)| seen.insert(*id)),
        );
    }
    reached
}

/// Whether a node samples: by its class, or because it is conditioned and has a sampler's settings.
fn is_sampler(node: &Node) -> bool {
    let class = &node.class_lower;
    let named = class.contains("sampler") && !class.contains("select");
    let conditioned = node.link("positive").is_some() || node.link("guider").is_some();
    let sampling = ["steps", "seed", "noise_seed", "sigmas"]
        .iter()
        .any(|key| node.input(key).is_some());
    (named && node.links().next().is_some()) || (conditioned && sampling)
}

/// Collects the sampler's settings.
pub(super) fn settings(graph: &Graph, sampler: &str) -> Settings {
    let conditioning =
        |name: &str| matches!(name, "positive" | "negative" | "clip") || name.starts_with("cond");
    let upstream = graph.upstream(sampler, |name| !conditioning(name));
    SETTINGS
        .iter()
        .filter_map(|&name| {
            let value = upstream
                .iter()
                .find_map(|(_, node)| scalar(graph, node, name))?;
            Some((name.to_owned(), value))
        })
        .collect()
}

/// An input's number or string; of a link, the value of the node it comes from, if that has one
/// under a plain name (a shared seed or a primitive).
fn scalar(graph: &Graph, node: &Node, name: &str) -> Option<Value> {
    let plain = |input: &Input| match input {
        Input::Value(value) if value.is_number() || value.is_string() => Some(value.clone()),
        _ => None,
    };
    match node.input(name)? {
        Input::Link(id) => {
            let source = graph.node(id)?;
            [name, "value", "seed", "int", "float"]
                .iter()
                .find_map(|key| source.input(key).and_then(plain))
        }
        input => plain(input),
    }
}
