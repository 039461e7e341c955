//! Nodes and links, the same for both kinds of ComfyUI JSON.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::classes::{self, Class};
use super::document::Json;

/// One output of one node: the node's place in the graph, and the output's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Output {
    pub node: usize,
    pub slot: usize,
}

/// What reaches an input from outside its node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Source<'a> {
    /// Nothing is plugged in: the value set in the node counts.
    Unlinked,
    /// The output of another node.
    Link(Output),
    /// A value set elsewhere, on a primitive or on the front of a subgraph.
    Value(&'a Json<'a>),
    /// A link from a node that does not run: the input is empty whatever is set in the node.
    Cut,
}

#[derive(Debug, Clone)]
pub(super) struct Input<'a> {
    pub name: Cow<'a, str>,
    pub source: Source<'a>,
    /// The value set in the node itself.
    pub value: Option<&'a Json<'a>>,
}

impl<'a> Input<'a> {
    pub fn link(&self) -> Option<Output> {
        match self.source {
            Source::Link(output) => Some(output),
            _ => None,
        }
    }

    /// The value that counts; `None` for a link.
    pub fn plain(&self) -> Option<&'a Json<'a>> {
        match self.source {
            Source::Unlinked => self.value,
            Source::Value(value) => Some(value),
            Source::Link(_) | Source::Cut => None,
        }
    }

    pub fn string(&self) -> Option<&'a str> {
        self.plain().and_then(Json::as_str)
    }
}

/// A class is told by its first characters; nobody's is longer.
const MAX_CLASS_BYTES: usize = 128;

/// A node that runs.
#[derive(Debug)]
pub(super) struct Node<'a> {
    /// The row of the class table, if the class is in it.
    pub class: Option<&'static Class>,
    /// The name of the class in lower case, for the rules about classes that are not in the table.
    pub lower: String,
    /// Ordered by the length of their names, then by name: `text_2` comes before `text_10`.
    inputs: Vec<Input<'a>>,
    /// Strings that the editor's JSON keeps without a name, in its order.
    pub loose: Vec<&'a str>,
    /// Names and types of the outputs, where the file has them.
    pub outputs: Vec<(&'a str, &'a str)>,
}

impl<'a> Node<'a> {
    /// Of two inputs with one name the first counts.
    pub fn new(class: &str, mut inputs: Vec<Input<'a>>) -> Self {
        inputs.sort_by(|a, b| by_length(&a.name, &b.name)); // stable
        inputs.dedup_by(|later, earlier| later.name == earlier.name);
        let end = class.floor_char_boundary(MAX_CLASS_BYTES);
        let class = class.get(..end).unwrap_or_default();
        Self {
            class: classes::find(class),
            lower: class.to_lowercase(),
            inputs,
            loose: Vec::new(),
            outputs: Vec::new(),
        }
    }

    pub fn input(&self, name: &str) -> Option<&Input<'a>> {
        let at = self
            .inputs
            .binary_search_by(|input| by_length(&input.name, name))
            .ok()?;
        self.inputs.get(at)
    }

    pub fn link(&self, name: &str) -> Option<Output> {
        self.input(name).and_then(Input::link)
    }

    pub fn inputs(&self) -> impl Iterator<Item = &Input<'a>> {
        self.inputs.iter()
    }

    pub fn inputs_mut(&mut self) -> impl Iterator<Item = &mut Input<'a>> {
        self.inputs.iter_mut()
    }

    pub fn has_links(&self) -> bool {
        self.inputs.iter().any(|input| input.link().is_some())
    }

    /// The inputs of a list as the class table writes it: names between commas, a name that ends in
    /// `*` standing for all inputs that begin so, in the order of their numbers.
    pub fn listed<'n>(&'n self, names: &'n str) -> impl Iterator<Item = &'n Input<'a>> {
        names.split(',').flat_map(move |name| {
            let prefix = name.strip_suffix('*');
            let exact = if prefix.is_some() {
                None
            } else {
                self.input(name)
            };
            let many = prefix.into_iter().flat_map(move |prefix| {
                self.inputs
                    .iter()
                    .filter(move |input| input.name.starts_with(prefix))
            });
            exact.into_iter().chain(many)
        })
    }

    /// How much work it is to look at every input and every string set in the node.
    pub fn weight(&self) -> usize {
        let inputs = self.inputs.iter();
        let inputs = inputs.map(|input| 1 + text_weight(input.string().unwrap_or_default()));
        let loose = self.loose.iter().map(|text| 1 + text_weight(text));
        1 + inputs.sum::<usize>() + loose.sum::<usize>()
    }
}

/// How much work it is to look at a text, beside looking at an input.
pub(super) fn text_weight(text: &str) -> usize {
    text.len() / 32
}

fn by_length(a: &str, b: &str) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// All nodes of a file that run, in the order in which searches look at them.
#[derive(Debug, Default)]
pub(super) struct Graph<'a> {
    pub nodes: Vec<Node<'a>>,
}

impl<'a> Graph<'a> {
    pub fn node(&self, at: usize) -> Option<&Node<'a>> {
        self.nodes.get(at)
    }
}

/// Sorts ids as people number nodes: numbers first and in their order, then names.
pub(super) fn by_id(a: &str, b: &str) -> Ordering {
    let number = |id: &str| {
        let digits = id.split(':').next().unwrap_or_default();
        digits.parse::<u64>().unwrap_or(u64::MAX)
    };
    number(a).cmp(&number(b)).then_with(|| a.cmp(b))
}
