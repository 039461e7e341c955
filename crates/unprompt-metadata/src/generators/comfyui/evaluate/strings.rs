//! Strings made of strings.

use super::{Evaluator, Side, Text, Want};
use crate::generators::comfyui::classes::Gives;
use crate::generators::comfyui::document::Json;
use crate::generators::comfyui::graph::{Input, Node, Output, Source};
use crate::limits::MAX_PROMPT_BYTES;

impl<'g, 'a> Evaluator<'g, 'a> {
    /// A part of a string: a text, or a number as text.
    fn part(&mut self, input: &Input<'a>, side: Side) -> Option<Text> {
        match input.plain() {
            Some(Json::Number(number)) => self.new_text(number.to_string(), true),
            _ => self.input(input, side, Want::String),
        }
    }

    pub(super) fn joined(
        &mut self,
        node: &'g Node<'a>,
        parts: &'static str,
        between: &'static str,
        otherwise: &str,
        side: Side,
    ) -> Option<Text> {
        let parts: Vec<&Input<'a>> = node
            .listed(parts)
            .filter(|input| between.split(',').all(|name| name != input.name))
            .collect();
        let between = node.listed(between).find_map(Input::string);
        // Old versions of nodes have a switch where the delimiter is now.
        let between = between.filter(|text| !matches!(*text, "true" | "false"));
        let between = between.unwrap_or(otherwise).replace("\\n", "\n");
        self.join(parts, &between, side)
    }

    /// Strings joined in their order, empty ones left out.
    pub(super) fn join(
        &mut self,
        parts: Vec<&Input<'a>>,
        between: &str,
        side: Side,
    ) -> Option<Text> {
        let mut joined = String::new();
        let (mut exact, mut first) = (true, true);
        for part in parts {
            let Some(text) = self.part(part, side).filter(|text| !text.text.is_empty()) else {
                continue;
            };
            self.charge(joined.len().saturating_add(text.text.len()))?;
            if !first {
                joined.push_str(between);
            }
            joined.push_str(&text.text);
            exact &= text.exact;
            first = false;
        }
        (!first).then(|| self.new_text(joined, exact))?
    }

    pub(super) fn replaced(
        &mut self,
        node: &'g Node<'a>,
        text: &'static str,
        pairs: &'static str,
        side: Side,
    ) -> Option<Text> {
        let text = self.first(node, text, side, Want::String)?;
        let (mut now, mut exact) = (text.text.to_string(), text.exact);
        let mut names = pairs.split(',');
        while let (Some(find), Some(with)) = (names.next(), names.next()) {
            let mut get = |name| {
                let input = node.input(name)?;
                self.part(input, side)
            };
            let (find, with) = (get(find), get(with));
            let Some(find) = find.filter(|find| !find.text.is_empty()) else {
                continue;
            };
            let by = with.as_ref().map_or("", |with| &*with.text);
            exact &= find.exact && with.as_ref().is_none_or(|with| with.exact);
            now = self.replace(&now, &find.text, by)?;
        }
        self.new_text(now, exact)
    }

    fn replace(&mut self, text: &str, find: &str, by: &str) -> Option<String> {
        let times = text.matches(find).take(MAX_PROMPT_BYTES).count();
        let longest = times.saturating_mul(by.len()).saturating_add(text.len());
        self.charge(longest)?;
        Some(text.replace(find, by))
    }

    /// A template with its parts put in, in any of the ways that nodes write a place: `{name}`,
    /// `%name%`, `[name]`, `<name>`.
    pub(super) fn filled(
        &mut self,
        node: &'g Node<'a>,
        template: &'static str,
        parts: &'static str,
        side: Side,
    ) -> Option<Text> {
        let text = self.first(node, template, side, Want::String)?;
        let (mut now, mut exact) = (text.text.to_string(), text.exact);
        for input in node.listed(parts) {
            if template.split(',').any(|name| name == input.name) {
                continue;
            }
            let places = [("{", "}"), ("%", "%"), ("[", "]"), ("<", ">")];
            let name = input.name.rsplit('.').next().unwrap_or_default();
            let places = places.map(|(open, close)| format!("{open}{name}{close}"));
            self.charge(now.len().saturating_mul(places.len()))?;
            if !places.iter().any(|place| now.contains(place.as_str())) {
                continue;
            }
            let part = self.part(input, side);
            exact &= part.as_ref().is_none_or(|part| part.exact);
            let part = part.map_or_else(|| "".into(), |part| part.text);
            for place in places {
                now = self.replace(&now, &place, &part)?;
            }
        }
        self.new_text(now, exact)
    }

    /// A template that chance completes: exact only if it leaves nothing to chance.
    pub(super) fn template(
        &mut self,
        node: &'g Node<'a>,
        names: &'static str,
        side: Side,
    ) -> Option<Text> {
        let text = self.first(node, names, side, Want::String)?;
        let open = text.text.contains("__") || text.text.contains('{');
        Some(Text {
            exact: text.exact && !open,
            ..text
        })
    }

    /// A text that a node keeps of its last run: the last string in its values.
    pub(super) fn kept(&mut self, node: &Node<'a>, names: &'static str) -> Option<Text> {
        let mut last = node
            .loose
            .iter()
            .rev()
            .find(|text| !text.trim().is_empty())
            .copied();
        for input in node.listed(names) {
            if matches!(input.source, Source::Unlinked | Source::Link(_)) {
                last = input.value.and_then(|value| last_string(value, 4)).or(last);
            }
        }
        last.and_then(|text| self.copy(text))
    }

    /// A text that a node shows of this output.
    pub(super) fn shown_after(&mut self, output: Output) -> Option<Text> {
        let graph = self.graph;
        let shown = self.shown.take().unwrap_or_else(|| {
            let mut shown: std::collections::HashMap<Output, Vec<usize>> = Default::default();
            for (at, node) in graph.nodes.iter().enumerate() {
                if shows(node).is_some() {
                    for link in node.inputs().filter_map(Input::link) {
                        shown.entry(link).or_default().push(at);
                    }
                }
            }
            shown
        });
        let nodes: Vec<usize> = shown.get(&output).cloned().unwrap_or_default();
        self.shown = Some(shown);
        // Hardly anybody shows a text more than once; everybody else is made up.
        nodes.into_iter().take(4).find_map(|at| {
            let node = graph.node(at)?;
            self.work(node.weight())?;
            self.kept(node, shows(node)?)
        })
    }

    /// Prompts written in one text, as Inspire's prompt files have it: blocks between lines of `---`,
    /// in each `positive:` and `negative:` before the prompts.
    pub(super) fn written(
        &mut self,
        node: &'g Node<'a>,
        text: &'static str,
        number: &'static str,
        side: Side,
    ) -> Option<Text> {
        let text = self.first(node, text, Side::Positive, Want::String)?;
        let number = node.input(number).and_then(|input| self.scalar(input));
        let number = number.and_then(Json::as_u64).unwrap_or(0);
        let blocks = text
            .text
            .split("---")
            .filter(|block| !block.trim().is_empty());
        let block = blocks.clone().nth(usize::try_from(number).ok()?)?;
        let mark = match side {
            Side::Positive => "positive:",
            Side::Negative => "negative:",
        };
        let lower = block.to_ascii_lowercase();
        let start = lower.find(mark)? + mark.len();
        let ends = ["positive:", "negative:", "name:"].into_iter();
        let ends = ends.filter_map(|end| lower.get(start..)?.find(end));
        let end = ends.min().map_or(block.len(), |end| start + end);
        let exact = text.exact;
        let prompt = block.get(start..end)?.trim().to_owned();
        self.new_text(prompt, exact)
    }
}

/// The inputs in which a node keeps what it shows; `None` if it shows nothing.
pub(super) fn shows(node: &Node<'_>) -> Option<&'static str> {
    match node.class {
        Some(class) => match class.output(0)? {
            Gives::Shown(_, kept) => Some(kept),
            _ => None,
        },
        None => {
            let lower = node.lower.as_str();
            let shows = ["show", "display"].iter().any(|word| lower.contains(word));
            shows.then_some("*")
        }
    }
}

fn last_string<'a>(value: &'a Json<'_>, depth: usize) -> Option<&'a str> {
    match value {
        Json::String(text) => Some(text.as_ref()).filter(|text| !text.trim().is_empty()),
        Json::Array(values) if depth > 0 => {
            let mut values = values.iter().rev().take(64);
            values.find_map(|value| last_string(value, depth - 1))
        }
        _ => None,
    }
}
