//! Collects how the picture was made, from its maker upwards.

use std::collections::{HashSet, VecDeque};

use serde_json::Value;

use super::document::Json;
use super::evaluate::Evaluator;
use super::graph::{Graph, Input};
use crate::Settings;
use crate::limits::MAX_SETTINGS_NODES;

/// Settings looked up from the maker upwards, the nearest node that states one winning.
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

/// Collects the settings.
pub(super) fn settings(graph: &Graph<'_>, maker: usize) -> Settings {
    let scalars = Evaluator::new(graph);
    let mut found: [Option<Value>; SETTINGS.len()] = Default::default();
    let mut seen = HashSet::from([maker]);
    let mut waiting = VecDeque::from([maker]);
    while seen.len() < MAX_SETTINGS_NODES
        && let Some(at) = waiting.pop_front()
    {
        let Some(node) = graph.node(at) else {
            continue;
        };
        for (name, found) in SETTINGS.iter().zip(&mut found) {
            if found.is_none()
                && let Some(input) = node.input(name)
            {
                let value = scalars.scalar(input);
                *found = match value {
                    Some(Json::Number(number)) => Some(Value::Number(number.clone())),
                    Some(Json::String(text)) => Some(Value::String(text.to_string())),
                    _ => None,
                };
            }
        }
        if found.iter().all(Option::is_some) {
            break;
        }
        let leads = |input: &&Input<'_>| {
            let name = input.name.as_ref();
            !matches!(name, "positive" | "negative" | "clip") && !name.starts_with("cond")
        };
        let links = node.inputs().filter(leads).filter_map(Input::link);
        waiting.extend(
            links
                .map(|link| link.node)
                .filter(|node| seen.insert(*node)),
        );
    }
    let found = SETTINGS.iter().zip(found);
    found
        .filter_map(|(&name, value)| Some((name.to_owned(), value?)))
        .collect()
}
