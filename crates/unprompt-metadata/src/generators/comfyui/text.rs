//! Follows conditioning and string links back to the text that was typed.

use super::graph::{Graph, Input, Node};
use crate::limits::{MAX_GRAPH_DEPTH, MAX_GRAPH_STEPS, MAX_PROMPT_BYTES};

/// Which of the two prompts is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Positive,
    Negative,
}

impl Role {
    /// Names of inputs that hold, or lead to, this prompt and not the other.
    fn names(self) -> [&'static str; 6] {
        match self {
            Role::Positive => [
                "positive",
                "positive_prompt",
                "text_positive",
                "positive_text",
                "prompt_positive",
                "base_positive",
            ],
            Role::Negative => [
                "negative",
                "negative_prompt",
                "text_negative",
                "negative_text",
                "prompt_negative",
                "base_negative",
            ],
        }
    }
}

/// Inputs that carry both prompts on their way to a sampler.
const BUNDLES: [&str; 6] = [
    "guider",
    "pipe",
    "basic_pipe",
    "sdxl_pipe",
    "context",
    "base_ctx",
];

/// Inputs of nodes that make conditioning: names that belong together are the texts for the
/// encoders of one model, and the first group that has a text is used. T5's text comes first, since
/// models with a T5 take their prompt from it.
const ENCODER_TEXTS: [&[&str]; 8] = [
    &["text"],
    &["text_g", "text_l"],
    &["t5xxl", "llama", "clip_g", "clip_l"],
    &["bert", "mt5xl"],
    &["prompt"],
    &["populated_text", "wildcard_text"],
    &["user_prompt"],
    &["string"],
];

/// Inputs of nodes that pass one string on.
const STRING_VALUES: [&str; 9] = [
    "text",
    "string",
    "value",
    "prompt",
    "populated_text",
    "wildcard_text",
    "STRING",
    "Text",
    "String",
];

/// Inputs that never lead to a prompt.
const NOT_TEXT: [&str; 14] = [
    "clip",
    "model",
    "vae",
    "image",
    "images",
    "pixels",
    "mask",
    "latent",
    "latent_image",
    "samples",
    "control_net",
    "style_model",
    "clip_vision",
    "clip_vision_output",
];

/// A search with its budget: graphs may loop and may fan out exponentially.
pub(super) struct Search<'a> {
    graph: &'a Graph,
    steps: usize,
    /// Nodes on the way from the sampler to where the search is.
    path: Vec<&'a str>,
}

impl<'a> Search<'a> {
    pub fn new(graph: &'a Graph) -> Self {
        Self {
            graph,
            steps: 0,
            path: Vec::new(),
        }
    }

    /// The text that conditions a sampler in a role.
    pub fn prompt_of(&mut self, node: &'a Node, role: Role) -> Option<String> {
        if let Some(text) = self.by_role(node, role) {
            return Some(text);
        }
        if role == Role::Positive {
            // A guider without a negative side; two conditionings are positive both.
            if let Some(text) = self.conditioning_inputs(node, role) {
                return Some(text);
            }
        }
        BUNDLES
            .iter()
            .filter_map(|name| node.link(name))
            .find_map(|id| self.visit(id, |search, node| search.prompt_of(node, role)))
    }

    /// Text that a node itself is given, whatever it is.
    pub fn own_text(&mut self, node: &'a Node) -> Option<String> {
        self.by_role(node, Role::Positive)
            .or_else(|| self.encoder_text(node, Role::Positive))
    }

    /// Enters a node unless it is on the path already or the budget is spent.
    fn visit<T>(
        &mut self,
        id: &'a str,
        enter: impl FnOnce(&mut Self, &'a Node) -> Option<T>,
    ) -> Option<T> {
        self.steps += 1;
        let refused = self.steps > MAX_GRAPH_STEPS
            || self.path.len() >= MAX_GRAPH_DEPTH
            || self.path.contains(&id);
        if refused {
            return None;
        }
        let node = self.graph.node(id)?;
        self.path.push(id);
        let found = enter(self, node);
        self.path.pop();
        found
    }

    fn by_role(&mut self, node: &'a Node, role: Role) -> Option<String> {
        role.names()
            .iter()
            .find_map(|name| match node.input(name)? {
                Input::Link(id) => self.visit(id, |search, node| search.conditioning(node, role)),
                Input::Value(value) => value.as_str().map(str::to_owned),
            })
    }

    /// The text behind a conditioning: `None` when there is none, as behind a zeroed one.
    fn conditioning(&mut self, node: &'a Node, role: Role) -> Option<String> {
        if node.class == "ConditioningZeroOut" {
            return None;
        }
        self.by_role(node, role)
            .or_else(|| self.encoder_text(node, role))
            .or_else(|| self.conditioning_inputs(node, role))
            .or_else(|| self.other_links(node, |search, node| search.conditioning(node, role)))
    }

    fn encoder_text(&mut self, node: &'a Node, role: Role) -> Option<String> {
        ENCODER_TEXTS.iter().find_map(|group| {
            let texts: Vec<String> = group
                .iter()
                .filter_map(|name| self.string(node.input(name)?, role))
                .collect();
            (!texts.is_empty()).then(|| join_distinct(texts))?
        })
    }

    /// The texts of all inputs named like `conditioning_1` or `cond2`, which a node combines.
    fn conditioning_inputs(&mut self, node: &'a Node, role: Role) -> Option<String> {
        let mut texts = Vec::new();
        for (name, id) in node.links() {
            if name.starts_with("cond") {
                texts.extend(self.visit(id, |search, node| search.conditioning(node, role)));
            }
        }
        if texts.is_empty() {
            None
        } else {
            join_distinct(texts)
        }
    }

    fn other_links(
        &mut self,
        node: &'a Node,
        mut enter: impl FnMut(&mut Self, &'a Node) -> Option<String>,
    ) -> Option<String> {
        node.links()
            .filter(|(name, _)| !NOT_TEXT.contains(name))
            .find_map(|(_, id)| self.visit(id, &mut enter))
    }

    fn string(&mut self, input: &'a Input, role: Role) -> Option<String> {
        match input {
            Input::Value(value) => value.as_str().map(str::to_owned),
            Input::Link(id) => self.visit(id, |search, node| search.string_node(node, role)),
        }
    }

    /// The text that a node puts out on a string output.
    fn string_node(&mut self, node: &'a Node, role: Role) -> Option<String> {
        let class = node.class_lower();
        if class.contains("concat") || class.contains("join") || class.contains("stringfunction") {
            return self.joined(node, role);
        }
        if class.contains("switch") {
            // Numbered inputs, one of them selected.
            if let Some(Input::Value(selected)) = node.input("select") {
                if let Some(input) = node.input(&format!("input{selected}")) {
                    return self.string(input, role);
                }
            }
        }
        self.by_role(node, role)
            .or_else(|| {
                let present = STRING_VALUES.iter().filter_map(|name| node.input(name));
                present
                    .into_iter()
                    .find_map(|input| self.string(input, role).filter(|text| !text.is_empty()))
            })
            .or_else(|| self.only_string(node))
            .or_else(|| self.other_links(node, |search, node| search.string_node(node, role)))
    }

    /// The value of a node that has a single string, under whatever name.
    fn only_string(&self, node: &'a Node) -> Option<String> {
        let mut strings = node.inputs().filter_map(|(name, _)| node.string(name));
        let first = strings.next()?;
        strings.next().is_none().then(|| first.to_owned())
    }

    /// Strings joined in the order of their inputs' names.
    fn joined(&mut self, node: &'a Node, role: Role) -> Option<String> {
        let is_part = |name: &str| {
            let prefixes = ["text", "string", "str", "prompt", "input"];
            name.len() == 1 || prefixes.iter().any(|prefix| name.starts_with(prefix))
        };
        let mut parts = Vec::new();
        let mut length = 0;
        for (_, input) in node.inputs().filter(|(name, _)| is_part(name)) {
            let part = self.string(input, role).filter(|text| !text.is_empty());
            length += part.as_ref().map_or(0, String::len);
            if length > MAX_PROMPT_BYTES {
                return None;
            }
            parts.extend(part);
        }
        let delimiter = node
            .string("delimiter")
            .or_else(|| node.string("separator"));
        let delimiter = delimiter.unwrap_or_default().replace("\\n", "\n");
        let delimited = delimiter
            .len()
            .saturating_mul(parts.len())
            .saturating_add(length);
        (!parts.is_empty() && delimited <= MAX_PROMPT_BYTES).then(|| parts.join(&delimiter))
    }
}

/// Joins different texts with a comma, as prompts are written.
fn join_distinct(texts: Vec<String>) -> Option<String> {
    let mut joined = String::new();
    let mut kept: Vec<&str> = Vec::new();
    for text in &texts {
        if text.trim().is_empty() || kept.contains(&text.as_str()) {
            continue;
        }
        if !joined.is_empty() {
            joined.push_str(", ");
        }
        joined.push_str(text);
        if joined.len() > MAX_PROMPT_BYTES {
            return None;
        }
        kept.push(text);
    }
    Some(joined)
}
