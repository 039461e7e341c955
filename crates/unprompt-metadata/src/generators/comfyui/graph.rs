//! Nodes and links, the same for both kinds of ComfyUI JSON.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

/// What is plugged into an input.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Input {
    /// The output of another node.
    Link(String),
    /// A value set in the node itself.
    Value(Value),
}

impl Input {
    /// Keeps a plain value; lists and objects say nothing of the prompt and may be large.
    pub fn value(value: &Value) -> Self {
        match value {
            Value::Array(_) | Value::Object(_) => Self::Value(Value::Null),
            plain => Self::Value(plain.clone()),
        }
    }
}

/// A class is told by its first characters; nobody's is longer.
const MAX_CLASS_CHARS: usize = 128;

#[derive(Debug, Default)]
pub(super) struct Node {
    pub class: String,
    /// The class in lower case, for comparing.
    pub class_lower: String,
    /// Inputs ordered by the length of their names, then by name: `text_2` comes before `text_10`.
    inputs: Vec<(String, Input)>,
}

impl Node {
    /// Of two inputs with one name the first counts.
    pub fn new(class: &str, mut inputs: Vec<(String, Input)>) -> Self {
        inputs.sort_by(|(a, _), (b, _)| by_length(a, b));
        inputs.dedup_by(|(later, _), (earlier, _)| later == earlier);
        let class: String = class.chars().take(MAX_CLASS_CHARS).collect();
        Self {
            class_lower: class.to_lowercase(),
            class,
            inputs,
        }
    }

    pub fn input(&self, name: &str) -> Option<&Input> {
        let at = self
            .inputs
            .binary_search_by(|(key, _)| by_length(key, name))
            .ok()?;
        self.inputs.get(at).map(|(_, input)| input)
    }

    pub fn link(&self, name: &str) -> Option<&str> {
        match self.input(name) {
            Some(Input::Link(node)) => Some(node),
            _ => None,
        }
    }

    pub fn string(&self, name: &str) -> Option<&str> {
        match self.input(name) {
            Some(Input::Value(value)) => value.as_str(),
            _ => None,
        }
    }

    pub fn inputs(&self) -> impl Iterator<Item = (&str, &Input)> {
        self.inputs
            .iter()
            .map(|(name, input)| (name.as_str(), input))
    }

    pub fn links(&self) -> impl Iterator<Item = (&str, &str)> {
        self.inputs().filter_map(|(name, input)| match input {
            Input::Link(node) => Some((name, node.as_str())),
            Input::Value(_) => None,
        })
    }

    /// How much work it is to look at every input.
    pub fn weight(&self) -> usize {
        1 + self.inputs.len()
    }
}

fn by_length(a: &str, b: &str) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

#[derive(Debug, Default)]
pub(super) struct Graph {
    nodes: HashMap<String, Node>,
    /// Node ids, numbers first and in their order, so that every search has one order.
    ids: Vec<String>,
}

impl Graph {
    pub fn new(nodes: HashMap<String, Node>) -> Self {
        let mut ids: Vec<String> = nodes.keys().cloned().collect();
        ids.sort_by_cached_key(|id| (id.parse::<u64>().unwrap_or(u64::MAX), id.clone()));
        Self { nodes, ids }
    }

    /// Reads the JSON that the server executes: `{id: {class_type, inputs}}`, a link being
    /// `[id, output]`. `None` when no member is a node.
    pub fn from_executed(map: &Map<String, Value>) -> Option<Self> {
        let nodes: HashMap<String, Node> = map
            .iter()
            .filter_map(|(id, node)| {
                let class = node.get("class_type")?.as_str()?;
                let inputs = node.get("inputs").and_then(Value::as_object);
                let inputs = inputs.into_iter().flatten();
                let inputs = inputs.map(|(name, value)| (name.clone(), executed_input(value)));
                Some((id.clone(), Node::new(class, inputs.collect())))
            })
            .collect();
        (!nodes.is_empty()).then(|| Self::new(nodes))
    }

    pub fn node(&self, id: &str) -> Option<&Node> {
        self.nodes.get(id)
    }

    pub fn nodes(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.ids
            .iter()
            .filter_map(|id| Some((id.as_str(), self.nodes.get(id)?)))
    }

    /// Nodes from `start` back along the links, nearest first, each once. Inputs that `follow`
    /// refuses by name are not followed.
    pub fn upstream<'a>(
        &'a self,
        start: &'a str,
        follow: impl Fn(&str) -> bool,
    ) -> Vec<(&'a str, &'a Node)> {
        let mut seen = HashSet::from([start]);
        let mut found: Vec<(&str, &Node)> = self
            .node(start)
            .map(|node| (start, node))
            .into_iter()
            .collect();
        let mut next = 0;
        while let Some(&(_, node)) = found.get(next) {
            next += 1;
            for (name, id) in node.links() {
                if follow(name) && seen.insert(id) {
                    found.extend(self.node(id).map(|node| (id, node)));
                }
            }
        }
        found
    }
}

fn executed_input(value: &Value) -> Input {
    match value.as_array().map(Vec::as_slice) {
        Some([Value::String(id), Value::Number(_)]) => Input::Link(id.clone()),
        Some([Value::Number(id), Value::Number(_)]) if id.is_u64() => Input::Link(id.to_string()),
        _ => Input::value(value),
    }
}
