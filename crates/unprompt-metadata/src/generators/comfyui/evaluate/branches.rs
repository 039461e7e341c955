//! What comes out of a node that selects among its inputs, for classes that are not in the table.

use super::Evaluator;
use super::scalar::place_in_name;
use crate::generators::comfyui::document::Json;
use crate::generators::comfyui::graph::{Input, Node};
use crate::generators::comfyui::words::contains;

/// Inputs by which a node selects one of others. With an index the first is 0, with the others 1.
const SELECTORS: [&str; 16] = [
    "index",
    "idx",
    "selected_index",
    "select_index",
    "select",
    "selected",
    "selector",
    "selection",
    "Input",
    "input",
    "choice",
    "switch",
    "active",
    "which",
    "number",
    "mode",
];

/// Inputs that are conditions.
const CONDITIONS: [&str; 14] = [
    "boolean",
    "boolean_value",
    "bool",
    "condition",
    "cond",
    "switch",
    "if_condition",
    "ANY",
    "value",
    "enabled",
    "enable",
    "evaluate",
    "toggle",
    "flag",
];

/// Words of the inputs of which a condition takes one: if it holds, if not.
const PAIRS: [(&str, &str); 5] = [
    ("true", "false"),
    ("tt_", "ff_"),
    ("yes", "no"),
    ("then", "else"),
    ("_on", "_off"),
];

/// Words of the classes that select.
const SELECTS: [&str; 6] = ["switch", "select", "choose", "picker", "ifelse", "if else"];

impl<'g, 'a> Evaluator<'g, 'a> {
    /// The inputs that may come out of a node that selects among them; `None` for other nodes.
    pub fn branches(&self, node: &'g Node<'a>) -> Option<Vec<&'g Input<'a>>> {
        self.of_two(node).or_else(|| self.of_many(node))
    }

    /// One of two, by a condition.
    fn of_two(&self, node: &'g Node<'a>) -> Option<Vec<&'g Input<'a>>> {
        let condition = CONDITIONS.iter().find_map(|name| node.input(name))?;
        let (yes, no) = PAIRS.iter().find_map(|(yes, no)| {
            let has = |word: &str| {
                let mut inputs = node.inputs();
                inputs.find(|input| contains(&input.name, word))
            };
            let (yes, no) = (has(yes)?, has(no)?);
            (yes.name != no.name).then_some((yes, no))
        })?;
        if condition.name == yes.name || condition.name == no.name {
            return None;
        }
        Some(match self.truth(condition) {
            Some(true) => vec![yes],
            Some(false) => vec![no],
            None => vec![yes, no],
        })
    }

    /// One of many, by a number, a letter or a name.
    fn of_many(&self, node: &'g Node<'a>) -> Option<Vec<&'g Input<'a>>> {
        if !SELECTS.iter().any(|word| node.lower.contains(word)) {
            return None;
        }
        let selector = SELECTORS.iter().find_map(|name| node.input(name));
        let numbered = node.inputs().filter_map(|input| {
            let other = selector.is_none_or(|selector| selector.name != input.name);
            let place = place_in_name(&input.name).filter(|_| other)?;
            Some((place, input))
        });
        let branches: Vec<(i64, &Input<'a>)> = numbered.collect();
        if branches.len() < 2 {
            return None;
        }
        let all = || branches.iter().map(|(_, input)| *input).collect();
        let Some(selector) = selector else {
            // Two branches `a` and `b`: the first if a condition holds.
            let condition = CONDITIONS.iter().find_map(|name| node.input(name));
            let truth = condition.and_then(|input| self.truth(input));
            return Some(match (truth, branches.as_slice()) {
                (Some(true), [(_, first), _]) => vec![first],
                (Some(false), [_, (_, second)]) => vec![second],
                _ => all(),
            });
        };
        let place = match self.scalar(selector) {
            Some(Json::String(text)) => {
                if let Some(input) = node.input(text) {
                    return Some(vec![input]);
                }
                let lower = text.trim().to_ascii_lowercase();
                place_in_name(&lower)
            }
            value => value.and_then(super::scalar::as_number),
        };
        let first = branches.iter().map(|(place, _)| *place).min().unwrap_or(0);
        let from_zero = selector.name.contains("ind") || selector.name.contains("idx");
        let add = i64::from(from_zero && first == 1);
        let selected = branches
            .iter()
            .find(|(at, _)| place.is_some_and(|place| place.saturating_add(add) == *at));
        Some(selected.map_or_else(all, |(_, input)| vec![*input]))
    }

    fn truth(&self, condition: &'g Input<'a>) -> Option<bool> {
        let value = self.scalar(condition)?;
        super::scalar::as_number(value).map(|number| number != 0)
    }
}
