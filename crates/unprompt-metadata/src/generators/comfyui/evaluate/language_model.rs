//! What was typed for a language model.
//!
//! Between the box that a person types in and the model stand instructions, which are the workflow's
//! and the same for everybody: how long the prompt shall be, what to answer with. They are told from
//! what was typed by what they say.

use std::sync::LazyLock;

use regex::Regex;

use super::{Evaluator, Side, Text, Want};
use crate::generators::comfyui::classes::Gives;
use crate::generators::comfyui::graph::{Input, Node};
use crate::generators::comfyui::words::any_of;

/// How far back the parts of a request are looked for, and how many.
const MAX_PART_DEPTH: usize = 12;
const MAX_PARTS: usize = 32;

/// Words of those who instruct a model. Whoever describes a picture does without them.
static INSTRUCTIONS: LazyLock<Regex> = LazyLock::new(|| {
    any_of(&[
        "you are a",
        "you are an",
        "you will",
        "your task",
        "your role",
        "your output",
        "act as",
        "the user",
        "user's",
        "user input",
        "user prompt",
        "output only",
        "only output",
        "output the",
        "only return",
        "return only",
        "respond with",
        "rewrite",
        "instructions",
        "guidelines",
        "prompt engineer",
        "expand the",
        "enhance the",
        "do not include",
        "do not add",
        "following prompt",
        "json",
        "你是",
        "用户",
        "输出",
    ])
});

/// Whether a text gives orders to a model.
pub(super) fn instructs(text: &str) -> bool {
    INSTRUCTIONS.is_match(text)
}

impl<'g, 'a> Evaluator<'g, 'a> {
    /// What was typed for a model, instructions left out if anything else remains.
    pub(super) fn asked(
        &mut self,
        node: &'g Node<'a>,
        asked: &'static str,
        side: Side,
    ) -> Option<Text> {
        let mut parts = Vec::new();
        for input in node.listed(asked) {
            self.parts_of(input, side, MAX_PART_DEPTH, &mut parts);
        }
        parts.retain(|text| !text.trim().is_empty());
        let typed: Vec<&str> = parts
            .iter()
            .map(String::as_str)
            .filter(|text| !instructs(text))
            .collect();
        let text = match typed.as_slice() {
            [] => parts.join("\n"),
            typed => typed.join("\n"),
        };
        (!text.is_empty()).then(|| self.new_text(text, false))?
    }

    /// The parts that a string is made of.
    fn parts_of(&mut self, input: &Input<'a>, side: Side, depth: usize, parts: &mut Vec<String>) {
        let graph = self.graph;
        let node = input.link().and_then(|output| graph.node(output.node));
        let weight = node.map_or(1, Node::weight);
        if parts.len() >= MAX_PARTS || self.work(weight).is_none() {
            return;
        }
        let names = node.and_then(|node| {
            let made_of = match node.class?.output(0)? {
                Gives::Joined(names, ..) => [names, ""],
                Gives::Filled(template, names) => [names, template],
                // What is put into a template counts, the template is told by its words.
                Gives::Replaced(text, pairs) => [pairs, text],
                _ => return None,
            };
            Some((node, made_of))
        });
        match names {
            Some((node, made_of)) if depth > 0 => {
                let between = ["delimiter", "separator", "find", "regex_pattern"];
                for names in made_of {
                    for input in node.listed(names) {
                        if !between.contains(&input.name.as_ref()) {
                            self.parts_of(input, side, depth - 1, parts);
                        }
                    }
                }
            }
            _ => {
                let text = self.input(input, side, Want::String);
                parts.extend(text.map(|text| text.text.to_string()));
            }
        }
    }
}
