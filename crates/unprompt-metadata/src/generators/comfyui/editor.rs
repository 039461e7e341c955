//! The editor's JSON, `{nodes, links}`, made into the graph that the server would execute.
//!
//! Links have their own list, subgraphs and group nodes are drawn once and used many times, and
//! some nodes exist in the editor only. Everything that only passes something on (reroutes,
//! bypassed nodes, Get and Set, the fronts of subgraphs) becomes a [`Passage`]; when all nodes are
//! there, passages are followed to what lies behind them and forgotten.

mod definition;
mod everywhere;
mod passages;
mod values;

use std::collections::HashMap;

use super::document::{Json, Members};
use super::graph::{Graph, Input, Node, Output, Source};
use crate::limits::{MAX_GRAPH_INPUTS, MAX_GRAPH_NODES, MAX_GRAPH_PATTERNS, MAX_SUBGRAPH_DEPTH};
use definition::{Definition, Origin, Overrides, Part};
use passages::Passages;

const MUTED: u64 = 2;
const BYPASSED: u64 = 4;

/// Reads the editor's graph; one with too many nodes or inputs is empty. `None` when it has no nodes.
pub(super) fn graph<'a>(map: &'a Members<'a>) -> Option<Graph<'a>> {
    let mut patterns = MAX_GRAPH_PATTERNS;
    let root = Definition::of_graph(map, &mut patterns)?;
    if root.parts.is_empty() {
        return None;
    }
    let library = Library::new(map, &mut patterns);
    if root.parts.len() > MAX_GRAPH_NODES || root.weight > MAX_GRAPH_INPUTS {
        return Some(Graph::default());
    }
    let mut expansion = Expansion::default();
    expansion.expand(&root, &library);
    expansion.link(&library);
    Some(expansion.finish())
}

/// The definitions that a node's type may name.
struct Library<'a> {
    subgraphs: HashMap<&'a str, Definition<'a>>,
    groups: HashMap<&'a str, Definition<'a>>,
}

impl<'a> Library<'a> {
    fn new(map: &'a Members<'a>, patterns: &mut usize) -> Self {
        let subgraphs = map.get("definitions").and_then(|d| d.get("subgraphs"));
        let subgraphs = subgraphs.and_then(Json::as_array).into_iter().flatten();
        let groups = map.get("extra").and_then(|extra| extra.get("groupNodes"));
        let groups = groups.and_then(Json::as_object).into_iter();
        let groups = groups.flat_map(Members::iter);
        Self {
            subgraphs: subgraphs
                .filter_map(|graph| {
                    let map = graph.as_object()?;
                    Some((
                        map.get("id")?.as_str()?,
                        Definition::of_graph(map, patterns)?,
                    ))
                })
                .collect(),
            groups: groups
                .filter_map(|(name, group)| Some((name, Definition::of_group(group.as_object()?)?)))
                .collect(),
        }
    }

    fn get(&self, class: &str) -> Option<&Definition<'a>> {
        let group = || {
            let name = class.strip_prefix("workflow")?;
            self.groups.get(name.strip_prefix(['/', '>'])?)
        };
        self.subgraphs.get(class).or_else(group)
    }
}

/// What a part of a drawing became.
enum Entry<'a> {
    Node(Node<'a>),
    /// What comes out of each output.
    Passage(Vec<Source<'a>>),
}

/// One use of a definition: where its parts begin among the entries, and what its front is given.
struct Scope<'l, 'a> {
    definition: &'l Definition<'a>,
    /// The scope that it is used in.
    parent: Option<usize>,
    /// The entry of its first part.
    base: usize,
    /// The entry whose outputs are the inputs of the front.
    front: usize,
    /// The entry that it stands for in its parent.
    user: Option<usize>,
    /// Values that the front sets in its parts, by part.
    overrides: Overrides<'a>,
    depth: usize,
}

#[derive(Default)]
struct Expansion<'l, 'a> {
    scopes: Vec<Scope<'l, 'a>>,
    entries: Vec<Entry<'a>>,
    /// The scope of each entry, and its part there; `None` for fronts.
    places: Vec<Option<(usize, usize)>>,
    /// The scope that each used front opens.
    opened: HashMap<usize, usize>,
    /// The weight of all used definitions.
    weight: usize,
}

impl<'l, 'a> Expansion<'l, 'a> {
    fn add(&mut self, entry: Entry<'a>, place: Option<(usize, usize)>) {
        self.entries.push(entry);
        self.places.push(place);
    }

    /// Makes an entry for every part of every used definition, breadth first. Links come later,
    /// when all entries are there.
    fn expand(&mut self, root: &'l Definition<'a>, library: &'l Library<'a>) {
        self.open(root, None, None, library);
        let mut next = 0;
        while next < self.scopes.len() {
            let (base, depth) = (self.scopes[next].base, self.scopes[next].depth);
            let parts = &self.scopes[next].definition.parts;
            for (at, part) in parts.iter().enumerate() {
                let Some(inner) = library.get(part.class) else {
                    continue;
                };
                // A definition that contains itself would never end.
                let within = std::iter::successors(Some(next), |&scope| self.scopes[scope].parent)
                    .any(|scope| std::ptr::eq(self.scopes[scope].definition, inner));
                let room = self.entries.len() + inner.parts.len() < MAX_GRAPH_NODES
                    && self.weight + inner.weight < MAX_GRAPH_INPUTS;
                if part.mode == MUTED
                    || part.mode == BYPASSED
                    || within
                    || !room
                    || depth >= MAX_SUBGRAPH_DEPTH
                {
                    continue;
                }
                self.open(inner, Some(next), Some((base + at, part)), library);
            }
            next += 1;
        }
    }

    fn open(
        &mut self,
        definition: &'l Definition<'a>,
        parent: Option<usize>,
        user: Option<(usize, &'l Part<'a>)>,
        library: &'l Library<'a>,
    ) {
        self.weight += definition.weight;
        let scope = self.scopes.len();
        let front = self.entries.len();
        let mut overrides = HashMap::new();
        if let (Some((entry, part)), Some(parent)) = (user, parent) {
            self.opened.insert(entry, scope);
            let outer = &self.scopes[parent];
            let set = outer.overrides.get(&(entry - outer.base));
            overrides = definition.overrides(part, set.map_or(&[], Vec::as_slice));
        }
        self.add(Entry::Passage(Vec::new()), None);
        let depth = parent.map_or(0, |parent| self.scopes[parent].depth + 1);
        let base = self.entries.len();
        for (at, part) in definition.parts.iter().enumerate() {
            let entry = match part.passes_on() || library.get(part.class).is_some() {
                true => Entry::Passage(Vec::new()),
                false => Entry::Node(Node::new(part.class, Vec::new())),
            };
            self.add(entry, Some((scope, at)));
        }
        self.scopes.push(Scope {
            definition,
            parent,
            base,
            front,
            user: user.map(|(entry, _)| entry),
            overrides,
            depth,
        });
    }

    /// Connects all entries.
    fn link(&mut self, library: &'l Library<'a>) {
        for at in 0..self.entries.len() {
            let Some((scope, part)) = self.places[at] else {
                continue;
            };
            let scope = &self.scopes[scope];
            let drawn = &scope.definition.parts[part];
            let linked = match &self.entries[at] {
                Entry::Node(_) => Entry::Node(self.node(scope, part, drawn)),
                Entry::Passage(_) => Entry::Passage(self.passage(at, scope, part, drawn, library)),
            };
            self.entries[at] = linked;
        }
        for at in 0..self.scopes.len() {
            let front = self.front(at);
            let entry = self.scopes[at].front;
            self.entries[entry] = Entry::Passage(front);
        }
    }

    /// Where an input of a part leads.
    fn source(&self, scope: &Scope<'l, 'a>, origin: Option<Origin>) -> Source<'a> {
        match origin {
            None => Source::Unlinked,
            Some(Origin::Part(part, slot)) => Source::Link(Output {
                node: scope.base + part,
                slot,
            }),
            Some(Origin::Front(slot)) => Source::Link(Output {
                node: scope.front,
                slot,
            }),
        }
    }

    fn node(&self, scope: &Scope<'l, 'a>, at: usize, part: &Part<'a>) -> Node<'a> {
        let mut values = part.values();
        if let Some(set) = scope.overrides.get(&at) {
            values.set_all(set);
        }
        let mut inputs = Vec::new();
        let named = values.by_name();
        for (slot, drawn) in part.inputs.iter().enumerate() {
            inputs.push(Input {
                name: drawn.name.into(),
                source: self.source(scope, scope.definition.origin(at, slot)),
                value: named.get(drawn.name).copied(),
            });
        }
        for (name, value) in values.named {
            inputs.push(Input {
                name: name.into(),
                source: Source::Unlinked,
                value: Some(value),
            });
        }
        let mut node = Node::new(part.class, inputs);
        node.loose = values.loose;
        node.outputs = part.outputs.iter().map(|o| (o.name, o.kind)).collect();
        node
    }

    /// What comes out of a part that only passes something on.
    fn passage(
        &self,
        entry: usize,
        scope: &Scope<'l, 'a>,
        at: usize,
        part: &Part<'a>,
        library: &Library<'a>,
    ) -> Vec<Source<'a>> {
        let input = |slot: usize| self.source(scope, scope.definition.origin(at, slot));
        if part.mode == MUTED {
            return Vec::new(); // an output that is not there is cut
        }
        if part.mode == BYPASSED {
            let bypasses = part.bypasses().into_iter();
            return bypasses
                .map(|slot| slot.map_or(Source::Cut, input))
                .collect();
        }
        if let Some(&inner) = self.opened.get(&entry) {
            let inner = &self.scopes[inner];
            let outputs = inner.definition.outputs.iter();
            return outputs
                .map(|&origin| origin.map_or(Source::Cut, |o| self.source(inner, Some(o))))
                .collect();
        }
        if library.get(part.class).is_some() {
            return Vec::new(); // one that was not opened
        }
        if part.is_primitive() {
            let set = scope.overrides.get(&at).and_then(|set| set.first());
            let value = set.map(|(_, value)| *value).or_else(|| part.first_value());
            return value.map(Source::Value).into_iter().collect();
        }
        if let Some(name) = part.gets() {
            return self.setter(scope, name).into_iter().collect();
        }
        (0..part.inputs.len()).map(input).collect()
    }

    /// The node that sets what a Get node gets: in the same drawing, or in one around it.
    fn setter(&self, scope: &Scope<'l, 'a>, name: &str) -> Option<Source<'a>> {
        let around = |scope: &&Scope<'l, 'a>| scope.parent.map(|parent| &self.scopes[parent]);
        std::iter::successors(Some(scope), around).find_map(|scope| {
            let part = scope.definition.setters.get(name)?;
            Some(Source::Link(Output {
                node: scope.base + part,
                slot: 0,
            }))
        })
    }

    /// What the inputs of a definition are given where it is used.
    fn front(&self, at: usize) -> Vec<Source<'a>> {
        let scope = &self.scopes[at];
        let (Some(outer), Some(user)) = (scope.parent, scope.user) else {
            return Vec::new();
        };
        let outer = &self.scopes[outer];
        let part_at = user - outer.base;
        let part = &outer.definition.parts[part_at];
        let mut values = scope.definition.front_values(part);
        values.extend(outer.overrides.get(&part_at).into_iter().flatten().copied());
        // In newer files group nodes list values as inputs too, of which their uses know nothing.
        let inputs = &scope.definition.inputs;
        let links_only = part.inputs.len() < inputs.len();
        let mut by_name = HashMap::new();
        for (slot, drawn) in part.inputs.iter().enumerate() {
            by_name.entry(drawn.name).or_insert(slot);
        }
        let mut links_before = 0;
        let fronts = inputs.iter().enumerate();
        fronts
            .map(|(slot, input)| {
                let place = match links_only {
                    true => (!input.is_widget).then_some(links_before),
                    false => Some(slot),
                };
                links_before += usize::from(!input.is_widget);
                let drawn = match input.name {
                    Some(name) => by_name.get(name).copied(),
                    None => place.filter(|&slot| slot < part.inputs.len()),
                };
                let linked = drawn.map_or(Source::Unlinked, |slot| {
                    self.source(outer, outer.definition.origin(part_at, slot))
                });
                let value = values.get(input.name.unwrap_or_default()).copied();
                let value = value.or_else(|| self.set_behind(scope, slot));
                match (linked, value) {
                    (Source::Unlinked, Some(value)) => Source::Value(value),
                    (linked, _) => linked,
                }
            })
            .collect()
    }

    /// What an input of a front is where nothing is said of it: the value set in the part behind it.
    fn set_behind(&self, scope: &Scope<'l, 'a>, slot: usize) -> Option<&'a Json<'a>> {
        let (part, name, value) = scope.definition.defaults.get(&slot).copied()?;
        let set = scope.overrides.get(&part).into_iter().flatten();
        let mut set = set.filter(|(of, _)| *of == name);
        Some(set.next().map_or(value, |(_, value)| *value))
    }

    /// Follows passages and keeps the nodes.
    fn finish(self) -> Graph<'a> {
        let mut kept = Vec::new();
        let mut places = Vec::with_capacity(self.entries.len());
        let mut passages = Vec::with_capacity(self.entries.len());
        for entry in self.entries {
            match entry {
                Entry::Node(node) => {
                    places.push(Some(kept.len()));
                    passages.push(None);
                    kept.push(node);
                }
                Entry::Passage(outputs) => {
                    places.push(None);
                    passages.push(Some(outputs));
                }
            }
        }
        let mut passages = Passages::new(passages);
        for node in &mut kept {
            for input in node.inputs_mut() {
                input.source = match passages.behind(input.source) {
                    Source::Link(output) => match places.get(output.node) {
                        Some(&Some(node)) => Source::Link(Output { node, ..output }),
                        _ => Source::Cut,
                    },
                    source => source,
                };
            }
        }
        Graph { nodes: kept }
    }
}
