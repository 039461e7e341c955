//! Evaluates texts: what string, or the text of what conditioning, comes out of an output.
//!
//! Each question (which output, which of the two prompts) is answered once and remembered, so that
//! graphs in which everything meets again and again cost no more than their size. Graphs may loop,
//! be deep, or join long texts: work, depth and text have budgets, and what was found when one ran
//! out may lack parts and is no prompt.

mod branches;
mod generic;
mod language_model;
mod scalar;
mod strings;

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::classes::Gives;
use super::graph::{Graph, Input, Node, Output, Source, text_weight};
use crate::limits::{MAX_GRAPH_DEPTH, MAX_GRAPH_STEPS, MAX_GRAPH_TEXT_BYTES, MAX_PROMPT_BYTES};

/// Which of the two prompts is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Side {
    Positive,
    Negative,
}

/// What kind of thing is asked for, which decides how a class that is not in the table is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Want {
    Conditioning,
    String,
}

#[derive(Debug, Clone)]
pub(super) struct Text {
    pub text: Rc<str>,
    /// Whether this is what the picture was made from. It is not where a language model or chance
    /// had the last word: then it is what was typed for them.
    pub exact: bool,
}

impl Text {
    fn is_blank(&self) -> bool {
        self.text.trim().is_empty()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Question {
    output: Output,
    side: Side,
    want: Want,
}

pub(super) struct Evaluator<'g, 'a> {
    graph: &'g Graph<'a>,
    answers: HashMap<Question, Option<Text>>,
    /// Questions that wait for their answer: asked again, they are a loop.
    open: HashSet<Question>,
    /// Nodes that show what comes out of an output.
    shown: Option<HashMap<Output, Vec<usize>>>,
    steps: usize,
    copied: usize,
    spent: bool,
}

impl<'g, 'a> Evaluator<'g, 'a> {
    pub fn new(graph: &'g Graph<'a>) -> Self {
        Self {
            graph,
            answers: HashMap::new(),
            open: HashSet::new(),
            shown: None,
            steps: 0,
            copied: 0,
            spent: false,
        }
    }

    /// Whether a budget ran out: what was found until then is no prompt.
    pub fn is_spent(&self) -> bool {
        self.spent
    }

    /// The text that a node draws from.
    pub fn prompt_of(&mut self, node: &'g Node<'a>, side: Side) -> Option<Text> {
        let text = match node.class.and_then(|class| class.prompts()) {
            Some(prompts) => self.give(node, prompts, side, Want::Conditioning),
            None => self.drawn_from(node, side),
        };
        match side {
            Side::Positive => text.or_else(|| self.prose(node)),
            Side::Negative => text,
        }
    }

    /// Text that a node itself is given, whatever it is.
    pub fn own_text(&mut self, node: &'g Node<'a>) -> Option<Text> {
        let output = node.class.and_then(|class| class.output(0));
        if let Some(Gives::Answered(asked)) = output {
            let text = self.asked(node, asked, Side::Positive);
            return text.or_else(|| self.prose(node));
        }
        self.text_of_any(node, Side::Positive)
            .or_else(|| self.prose(node))
    }

    fn ask(&mut self, output: Output, side: Side, want: Want) -> Option<Text> {
        let question = Question { output, side, want };
        if let Some(known) = self.answers.get(&question) {
            return known.clone();
        }
        let graph = self.graph;
        let node = graph.node(output.node)?;
        self.work(node.weight())?;
        self.spent |= self.open.len() >= MAX_GRAPH_DEPTH;
        if self.spent || !self.open.insert(question) {
            return None;
        }
        let found = match node.class.and_then(|class| class.output(output.slot)) {
            Some(gives) => self.give(node, gives, side, want),
            None => self.give_of_any(node, output.slot, side, want),
        };
        self.open.remove(&question);
        let found = match found {
            Some(text) if text.exact => Some(text),
            found if want == Want::String => self.shown_after(output).or(found),
            found => found,
        };
        self.answers.insert(question, found.clone());
        found
    }

    /// Counts work that is about to be done; `None` when the budget is spent.
    fn work(&mut self, steps: usize) -> Option<()> {
        self.steps = self.steps.saturating_add(steps);
        self.spent |= self.steps > MAX_GRAPH_STEPS;
        (!self.spent).then_some(())
    }

    /// What an input is given.
    fn input(&mut self, input: &Input<'a>, side: Side, want: Want) -> Option<Text> {
        match input.source {
            Source::Link(output) => {
                let text = self.ask(output, side, want)?;
                // Whoever is given a text looks at it.
                self.work(1 + text_weight(&text.text))?;
                Some(text)
            }
            _ => input.string().and_then(|text| self.copy(text)),
        }
    }

    /// What comes out of an output that is described like this.
    fn give(&mut self, node: &'g Node<'a>, gives: Gives, side: Side, want: Want) -> Option<Text> {
        match gives {
            Gives::Nothing => None,
            Gives::Any(names) => self.first(node, names, side, want),
            Gives::Positive(names) => self.first(node, names, Side::Positive, want),
            Gives::Negative(names) => self.first(node, names, Side::Negative, want),
            Gives::Sides(positive, negative) => self.side(node, positive, negative, side, want),
            Gives::Merged(names) => self.merged(node, names, side, want),
            Gives::Encoded(lists) => lists
                .split(';')
                .find_map(|names| self.merged(node, names, side, Want::String)),
            Gives::Joined(parts, between, otherwise) => {
                self.joined(node, parts, between, otherwise, side)
            }
            Gives::Replaced(text, pairs) => self.replaced(node, text, pairs, side),
            Gives::Filled(template, parts) => self.filled(node, template, parts, side),
            Gives::Switch(selector, branches, add) => {
                let chosen = self.selected(node, selector, branches, add);
                self.first_of(chosen, side, want)
            }
            Gives::Choice(condition, yes, no) => self.choice(node, condition, yes, no, side, want),
            Gives::Shown(from, kept) => {
                let text = self.first(node, from, side, want);
                if text.as_ref().is_some_and(|text| text.exact) {
                    return text;
                }
                self.kept(node, kept).or(text)
            }
            Gives::Answered(asked) => self.asked(node, asked, side),
            Gives::Chosen(chosen, template) => {
                let text = self.first(node, chosen, side, Want::String);
                text.or_else(|| self.template(node, template, side))
            }
            Gives::Written(text, number) => self.written(node, text, number, side),
        }
    }

    /// What the first of these inputs gives that gives more than white space.
    fn first(
        &mut self,
        node: &'g Node<'a>,
        names: &'static str,
        side: Side,
        want: Want,
    ) -> Option<Text> {
        node.listed(names)
            .find_map(|input| self.input(input, side, want).filter(|t| !t.is_blank()))
    }

    fn first_of(&mut self, inputs: Vec<&Input<'a>>, side: Side, want: Want) -> Option<Text> {
        let mut inputs = inputs.into_iter();
        inputs.find_map(|input| self.input(input, side, want).filter(|t| !t.is_blank()))
    }

    fn side(
        &mut self,
        node: &'g Node<'a>,
        positive: &'static str,
        negative: &'static str,
        side: Side,
        want: Want,
    ) -> Option<Text> {
        if side == Side::Positive {
            return self.first(node, positive, side, want);
        }
        if !negative.contains(',') {
            return self.first(node, negative, side, want);
        }
        let prompt = self.first(node, positive, Side::Positive, want);
        node.listed(negative).find_map(|input| {
            let text = self.input(input, side, want)?;
            let repeats = prompt
                .as_ref()
                .is_some_and(|prompt| prompt.text == text.text);
            (!text.is_blank() && !repeats).then_some(text)
        })
    }

    fn merged(
        &mut self,
        node: &'g Node<'a>,
        names: &'static str,
        side: Side,
        want: Want,
    ) -> Option<Text> {
        let inputs: Vec<&Input<'a>> = node.listed(names).collect();
        self.merge(inputs, side, want)
    }

    /// The different texts of inputs, with a comma between them, as prompts are written.
    fn merge(&mut self, inputs: Vec<&Input<'a>>, side: Side, want: Want) -> Option<Text> {
        let mut texts = Vec::new();
        for input in inputs {
            texts.extend(self.input(input, side, want));
            self.charge(texts.last().map_or(0, |text: &Text| text.text.len() + 2))?;
        }
        let exact = texts.iter().all(|text| text.exact);
        let mut seen = HashSet::new();
        texts.retain(|text| !text.is_blank() && seen.insert(text.text.clone()));
        match texts.as_slice() {
            [] => None,
            [one] => Some(one.clone()),
            many => {
                let many: Vec<&str> = many.iter().map(|text| &*text.text).collect();
                let text = many.join(", ");
                self.new_text(text, exact)
            }
        }
    }

    /// Counts text that is about to be copied; `None` when the budget is spent.
    fn charge(&mut self, bytes: usize) -> Option<()> {
        self.copied = self.copied.saturating_add(bytes);
        self.spent |= self.copied > MAX_GRAPH_TEXT_BYTES || bytes > MAX_PROMPT_BYTES;
        (!self.spent).then_some(())
    }

    fn copy(&mut self, text: &str) -> Option<Text> {
        self.charge(text.len())?;
        Some(Text {
            text: text.into(),
            exact: true,
        })
    }

    fn new_text(&mut self, text: String, exact: bool) -> Option<Text> {
        self.charge(text.len())?;
        Some(Text {
            text: text.into(),
            exact,
        })
    }
}
