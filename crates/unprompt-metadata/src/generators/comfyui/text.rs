//! Follows conditioning and string links back to the text that was typed.

use std::collections::HashSet;

use super::graph::{Graph, Input, Node};
use crate::limits::{MAX_GRAPH_DEPTH, MAX_GRAPH_STEPS, MAX_GRAPH_TEXT_BYTES, MAX_PROMPT_BYTES};

/// Which of the two prompts is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Positive,
    Negative,
}

impl Role {
    fn other(self) -> Self {
        match self {
            Role::Positive => Role::Negative,
            Role::Negative => Role::Positive,
        }
    }

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
const ENCODER_TEXTS: [&[&str]; 9] = [
    &["text"],
    &["text_g", "text_l"],
    &["t5xxl", "llama", "clip_g", "clip_l"],
    &["bert", "mt5xl"],
    &["prompt"],
    &["populated_text", "wildcard_text"],
    &["user_prompt"],
    &["string"],
    &["value"],
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

/// Parts of the names of inputs that never lead to a prompt.
const NOT_TEXT: [&str; 8] = [
    "clip", "model", "vae", "image", "pixels", "mask", "latent", "samples",
];

/// A search with its budget: graphs may loop and may fan out exponentially.
pub(super) struct Search<'a> {
    graph: &'a Graph,
    steps: usize,
    copied: usize,
    spent: bool,
    /// Nodes on the way from the sampler to where the search is.
    path: Vec<&'a str>,
}

impl<'a> Search<'a> {
    pub fn new(graph: &'a Graph) -> Self {
        Self {
            graph,
            steps: 0,
            copied: 0,
            spent: false,
            path: Vec::new(),
        }
    }

    /// Whether the budget ran out: what was found until then may lack parts and is no prompt.
    pub fn is_spent(&self) -> bool {
        self.spent
    }

    /// The text that conditions a sampler in a role.
    pub fn prompt_of(&mut self, node: &'a Node, role: Role) -> Option<String> {
        if let Some(text) = self.by_role(node, role, Self::conditioning) {
            return text;
        }
        if role == Role::Positive {
            // A guider without a negative side. Of several conditionings the first is the prompt.
            let conditionings = node.links().filter(|(name, _)| name.starts_with("cond"));
            let text = conditionings
                .map(|(_, id)| id)
                .find_map(|id| self.visit(id, |search, node| search.conditioning(node, role)));
            if text.is_some() {
                return text;
            }
        }
        BUNDLES
            .iter()
            .filter_map(|name| node.link(name))
            .find_map(|id| self.visit(id, |search, node| search.prompt_of(node, role)))
    }

    /// Text that a node itself is given, whatever it is.
    pub fn own_text(&mut self, node: &'a Node) -> Option<String> {
        self.by_role(node, Role::Positive, Self::string_node)
            .unwrap_or_else(|| self.encoder_text(node, Role::Positive))
    }

    /// Enters a node unless it is on the path already or the budget is spent.
    fn visit<T>(
        &mut self,
        id: &'a str,
        enter: impl FnOnce(&mut Self, &'a Node) -> Option<T>,
    ) -> Option<T> {
        let node = self.graph.node(id)?;
        self.steps += node.weight();
        self.spent |= self.steps > MAX_GRAPH_STEPS || self.path.len() >= MAX_GRAPH_DEPTH;
        if self.spent || self.path.contains(&id) {
            return None;
        }
        self.path.push(id);
        let found = enter(self, node);
        self.path.pop();
        found
    }

    /// Counts text that is about to be copied; `None` when the budget is spent.
    fn charge(&mut self, bytes: usize) -> Option<()> {
        self.copied = self.copied.saturating_add(bytes);
        self.spent |= self.copied > MAX_GRAPH_TEXT_BYTES || bytes > MAX_PROMPT_BYTES;
        (!self.spent).then_some(())
    }

    fn copy(&mut self, text: &str) -> Option<String> {
        self.charge(text.len()).map(|()| text.to_owned())
    }

    /// What comes from the inputs named for a role; `None` if there is no such input. Where there
    /// is one its answer is final: a negative side that leads nowhere must not fall back to the
    /// positive one.
    fn by_role(
        &mut self,
        node: &'a Node,
        role: Role,
        enter: fn(&mut Self, &'a Node, Role) -> Option<String>,
    ) -> Option<Option<String>> {
        role.names()
            .iter()
            .find_map(|name| match node.input(name)? {
                Input::Link(id) => Some(self.visit(id, |search, node| enter(search, node, role))),
                Input::Value(value) => {
                    let text = value.as_str().filter(|text| !text.is_empty())?;
                    Some(self.copy(text))
                }
            })
    }

    /// The text behind a conditioning: `None` when there is none, as behind a zeroed one.
    fn conditioning(&mut self, node: &'a Node, role: Role) -> Option<String> {
        if node.class == "ConditioningZeroOut" {
            return None;
        }
        if let Some(text) = self.by_role(node, role, Self::conditioning) {
            return text;
        }
        // A node may add its own text to a conditioning.
        let mut texts = self.conditioning_inputs(node, role);
        texts.extend(self.encoder_text(node, role));
        if texts.is_empty() {
            return self.other_links(node, role, Self::conditioning);
        }
        self.join_distinct(&texts)
    }

    fn encoder_text(&mut self, node: &'a Node, role: Role) -> Option<String> {
        ENCODER_TEXTS.iter().find_map(|group| {
            let texts: Vec<String> = group
                .iter()
                .filter_map(|name| self.string(node.input(name)?, role))
                .collect();
            (!texts.is_empty()).then(|| self.join_distinct(&texts))?
        })
    }

    /// The texts of all inputs named like `conditioning_1` or `cond2`, which a node combines.
    fn conditioning_inputs(&mut self, node: &'a Node, role: Role) -> Vec<String> {
        let mut texts = Vec::new();
        for (_, id) in node.links().filter(|(name, _)| name.starts_with("cond")) {
            texts.extend(self.visit(id, |search, node| search.conditioning(node, role)));
        }
        texts
    }

    fn other_links(
        &mut self,
        node: &'a Node,
        role: Role,
        enter: fn(&mut Self, &'a Node, Role) -> Option<String>,
    ) -> Option<String> {
        node.links()
            .filter(|(name, _)| !NOT_TEXT.iter().any(|part| name.contains(part)))
            .filter(|(name, _)| !role.other().names().contains(name))
            .find_map(|(_, id)| self.visit(id, |search, node| enter(search, node, role)))
    }

    fn string(&mut self, input: &'a Input, role: Role) -> Option<String> {
        match input {
            Input::Value(value) => value.as_str().and_then(|text| self.copy(text)),
            Input::Link(id) => self.visit(id, |search, node| search.string_node(node, role)),
        }
    }

    /// The text that a node puts out on a string output.
    fn string_node(&mut self, node: &'a Node, role: Role) -> Option<String> {
        let class = &node.class_lower;
        if class.contains("concat") || class.contains("join") || class.contains("stringfunction") {
            return self.joined(node, role);
        }
        if class.contains("switch") {
            // Numbered inputs, one of them selected.
            if let Some(Input::Value(selected)) = node.input("select")
                && let Some(input) = node.input(&format!("input{selected}"))
            {
                return self.string(input, role);
            }
        }
        if let Some(text) = self.by_role(node, role, Self::string_node) {
            return text;
        }
        let mut values = STRING_VALUES.iter().filter_map(|name| node.input(name));
        values
            .find_map(|input| self.string(input, role).filter(|text| !text.is_empty()))
            .or_else(|| self.only_string(node))
            .or_else(|| self.other_links(node, role, Self::string_node))
    }

    /// The value of a node that has a single string, under whatever name.
    fn only_string(&mut self, node: &'a Node) -> Option<String> {
        let mut strings = node.inputs().filter_map(|(name, _)| node.string(name));
        let first = strings.next()?;
        if strings.next().is_none() {
            self.copy(first)
        } else {
            None
        }
    }

    /// Strings joined in the order of their inputs' names.
    fn joined(&mut self, node: &'a Node, role: Role) -> Option<String> {
        let is_part = |name: &str| {
            let prefixes = ["text", "string", "str", "prompt", "input"];
            name.len() == 1 || prefixes.iter().any(|prefix| name.starts_with(prefix))
        };
        let mut parts = Vec::new();
        for (_, input) in node.inputs().filter(|(name, _)| is_part(name)) {
            parts.extend(self.string(input, role).filter(|text| !text.is_empty()));
        }
        let delimiter = node
            .string("delimiter")
            .or_else(|| node.string("separator"));
        let delimiter = delimiter.unwrap_or_default();
        let length: usize = parts.iter().map(|part| part.len() + delimiter.len()).sum();
        self.charge(length)?;
        (!parts.is_empty()).then(|| parts.join(&delimiter.replace("\\n", "\n")))
    }

    /// Joins different texts with a comma, as prompts are written.
    fn join_distinct(&mut self, texts: &[String]) -> Option<String> {
        let mut seen = HashSet::new();
        let distinct: Vec<&str> = texts
            .iter()
            .map(String::as_str)
            .filter(|text| !text.trim().is_empty() && seen.insert(*text))
            .collect();
        let length: usize = distinct.iter().map(|text| text.len() + 2).sum();
        self.charge(length)?;
        Some(distinct.join(", "))
    }
}
