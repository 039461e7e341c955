//! Numbers and switches.

use super::{Evaluator, Side, Text, Want};
use crate::generators::comfyui::document::Json;
use crate::generators::comfyui::graph::{Input, Node};

/// Inputs under which nodes that only hold a value hold it.
const HOLDERS: [&str; 12] = [
    "value", "Value", "int", "float", "number", "boolean", "bool", "seed", "select", "index", "a",
    "switch",
];

/// How many nodes a number may pass through.
const MAX_HOPS: usize = 8;

/// A number as a selector has it: truth is 1, and words for truth count.
pub(super) fn as_number(value: &Json<'_>) -> Option<i64> {
    match value {
        Json::Bool(truth) => Some(i64::from(*truth)),
        Json::Number(number) => number.as_i64().or_else(|| {
            let number = number.as_f64()?;
            // Whole numbers are sometimes written with a fraction of nothing.
            (number.fract() == 0.0 && number.abs() < 1e9).then_some(number as i64)
        }),
        Json::String(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "on" | "yes" | "enable" | "enabled" => Some(1),
            "false" | "off" | "no" | "disable" | "disabled" => Some(0),
            other => other.parse().ok(),
        },
        _ => None,
    }
}

impl<'g, 'a> Evaluator<'g, 'a> {
    /// The value of an input, if it is set in its node or in one that only holds a value.
    pub fn scalar(&self, input: &'g Input<'a>) -> Option<&'a Json<'a>> {
        let mut input = input;
        for _ in 0..MAX_HOPS {
            if let Some(value) = input.plain() {
                return Some(value);
            }
            let node = self.graph.node(input.link()?.node)?;
            let own = node.input(&input.name);
            input = own.or_else(|| HOLDERS.iter().find_map(|name| node.input(name)))?;
        }
        None
    }

    fn number(&self, node: &'g Node<'a>, names: &str) -> Option<i64> {
        let mut named = names.split(',').filter_map(|name| node.input(name));
        named.find_map(|input| as_number(self.scalar(input)?))
    }

    /// The inputs of a switch that may come out of it: the selected one, or all where the selection
    /// is not in the file.
    pub fn selected(
        &self,
        node: &'g Node<'a>,
        selector: &str,
        branches: &'g str,
        add: i64,
    ) -> Vec<&'g Input<'a>> {
        let all = || {
            let branches = node.listed(branches);
            let selectors = |input: &&Input<'a>| selector.split(',').all(|s| s != input.name);
            branches.filter(selectors).collect()
        };
        let named = || {
            let mut names = selector.split(',').filter_map(|name| node.input(name));
            let name = named_branch(self.scalar(names.next()?)?)?;
            node.input(name)
        };
        match self.number(node, selector) {
            Some(number) => {
                let wanted = number.saturating_add(add);
                let mut branches = node.listed(branches);
                branches
                    .find(|input| place_in_name(&input.name) == Some(wanted))
                    .into_iter()
                    .collect()
            }
            None => named().map_or_else(all, |input| vec![input]),
        }
    }

    /// Which of the lists `yes` and `no` a choice takes; both where the condition is not in the file.
    pub fn chosen(
        &self,
        node: &'g Node<'a>,
        condition: &str,
        yes: &'static str,
        no: &'static str,
    ) -> (&'static str, Option<&'static str>) {
        match self.number(node, condition) {
            Some(0) => (no, None),
            Some(_) => (yes, None),
            None => (yes, Some(no)),
        }
    }

    /// The text of a choice. Where that is what a language model was asked, and the other branch is
    /// what was typed for it, what was typed.
    pub(super) fn choice(
        &mut self,
        node: &'g Node<'a>,
        condition: &str,
        yes: &'static str,
        no: &'static str,
        side: Side,
        want: Want,
    ) -> Option<Text> {
        let (chosen, second) = self.chosen(node, condition, yes, no);
        let mut text = self.first(node, chosen, side, want);
        if let (None, Some(second)) = (&text, second) {
            text = self.first(node, second, side, want);
        }
        let text = text?;
        if text.exact {
            return Some(text);
        }
        let other = if chosen == yes { no } else { yes };
        let typed = self.first(node, other, side, want);
        let typed = typed.filter(|typed| typed.exact && text.text.contains(typed.text.trim()));
        Some(typed.map_or(text, |typed| Text {
            exact: false,
            ..typed
        }))
    }
}

/// A selection by the name of an input.
fn named_branch<'a>(value: &'a Json<'_>) -> Option<&'a str> {
    value.as_str()
}

/// The place that the end of a name states: `text_2`, `input2`, `any_02`, `text_b`.
pub(super) fn place_in_name(name: &str) -> Option<i64> {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    if stem.len() < name.len() {
        return name.get(stem.len()..)?.parse().ok();
    }
    match name.as_bytes() {
        [.., b'_' | b'-' | b' ', letter @ b'a'..=b'z'] => Some(i64::from(letter - b'a') + 1),
        [letter @ b'a'..=b'z'] => Some(i64::from(letter - b'a') + 1),
        [.., b'_' | b'-' | b' ', letter @ b'A'..=b'Z'] => Some(i64::from(letter - b'A') + 1),
        _ => None,
    }
}
