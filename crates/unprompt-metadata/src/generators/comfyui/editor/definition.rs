//! What is drawn once: the whole graph, a subgraph, or a group node.

use std::collections::{HashMap, HashSet};

use super::everywhere;
use super::values::{Values, name_without, read};
use crate::generators::comfyui::document::{Json, Members};
use crate::limits::MAX_SHOWN_VALUES;

/// The id of a node or link: numbers, or strings in nested graphs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Key<'a> {
    Number(i64),
    Name(&'a str),
}

impl<'a> Key<'a> {
    pub fn of(value: &'a Json<'a>) -> Option<Self> {
        match value {
            Json::Number(number) => number.as_i64().map(Self::Number),
            Json::String(text) => Some(text.parse().map_or(Self::Name(text), Self::Number)),
            _ => None,
        }
    }
}

/// The nodes that stand for the front of a subgraph, as the editor numbers them.
const INPUTS: Key<'static> = Key::Number(-10);
const OUTPUTS: Key<'static> = Key::Number(-20);

/// Where a link comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// An output of a part, by its place and the output's number.
    Part(usize, usize),
    /// An input of the front.
    Front(usize),
}

/// Values that a front sets in the parts behind it.
pub(super) type Overrides<'a> = HashMap<usize, Vec<(&'a str, &'a Json<'a>)>>;

#[derive(Debug)]
pub(super) struct DrawnInput<'a> {
    pub name: &'a str,
    pub kind: &'a str,
    /// Whether it is a value that may be set in the node too.
    pub is_widget: bool,
    pub link: Option<Key<'a>>,
}

#[derive(Debug)]
pub(super) struct DrawnOutput<'a> {
    pub name: &'a str,
    pub kind: &'a str,
}

/// A node as it is drawn.
#[derive(Debug)]
pub(super) struct Part<'a> {
    pub class: &'a str,
    pub mode: u64,
    pub inputs: Vec<DrawnInput<'a>>,
    pub outputs: Vec<DrawnOutput<'a>>,
    json: &'a Members<'a>,
}

pub(super) fn list<'a>(json: &'a Members<'a>, key: &str) -> &'a [Json<'a>] {
    json.get(key).and_then(Json::as_array).unwrap_or_default()
}

fn text<'a>(value: &'a Json<'a>, key: &str) -> &'a str {
    value.get(key).and_then(Json::as_str).unwrap_or_default()
}

pub(super) fn number(value: Option<&Json<'_>>) -> Option<usize> {
    value
        .and_then(Json::as_u64)
        .and_then(|n| usize::try_from(n).ok())
}

impl<'a> Part<'a> {
    fn new(json: &'a Members<'a>) -> Option<Self> {
        let inputs = list(json, "inputs").iter().map(|input| DrawnInput {
            name: text(input, "name"),
            kind: text(input, "type"),
            is_widget: input.get("widget").and_then(Json::as_object).is_some(),
            link: input.get("link").and_then(Key::of),
        });
        let outputs = list(json, "outputs").iter().map(|output| DrawnOutput {
            name: text(output, "name"),
            kind: text(output, "type"),
        });
        Some(Self {
            class: json.get("type")?.as_str()?,
            mode: json.get("mode").and_then(Json::as_u64).unwrap_or(0),
            inputs: inputs.collect(),
            outputs: outputs.collect(),
            json,
        })
    }

    /// What the node is called in the editor.
    pub fn title(&self) -> &'a str {
        let title = self.json.get("title").and_then(Json::as_str);
        title.unwrap_or(self.class)
    }

    /// A value by its place.
    pub fn value_at(&self, place: usize) -> Option<&'a str> {
        list(self.json, "widgets_values").get(place)?.as_str()
    }

    /// The values set in the node, by name where the names can be known.
    pub fn values(&self) -> Values<'a> {
        read(self.class, &self.inputs, self.json)
    }

    pub fn first_value(&self) -> Option<&'a Json<'a>> {
        match self.json.get("widgets_values")? {
            Json::Array(values) => values.first(),
            Json::Object(values) => values.iter().next().map(|(_, value)| value),
            _ => None,
        }
    }

    /// Whether the server never sees the node, or sees it only pass something on.
    pub fn passes_on(&self) -> bool {
        self.mode == super::MUTED
            || self.mode == super::BYPASSED
            || self.is_primitive()
            || self.class.starts_with("Reroute")
            || self.gets().is_some()
            || self.sets().is_some()
    }

    pub fn is_primitive(&self) -> bool {
        self.class == "PrimitiveNode"
    }

    /// The name under which a Get node gets, whichever pack it is of (`GetNode`, `easy getNode`).
    pub fn gets(&self) -> Option<&'a str> {
        self.common_name("getnode")
    }

    fn sets(&self) -> Option<&'a str> {
        self.common_name("setnode")
    }

    fn common_name(&self, class: &str) -> Option<&'a str> {
        let letters = |c: &char| c.is_ascii_alphabetic();
        let lower = self.class.chars().take(64).filter(letters);
        let lower: String = lower.map(|c| c.to_ascii_lowercase()).collect();
        if !lower.ends_with(class) {
            return None;
        }
        self.first_value()?.as_str()
    }

    /// The inputs that come out of the outputs when the node is bypassed, as the editor chooses them:
    /// the one at the same place if its type fits, else the first of the type.
    pub fn bypasses(&self) -> Vec<Option<usize>> {
        let any = |kind: &str| matches!(kind, "*" | "");
        let mut first = HashMap::new();
        for (at, input) in self.inputs.iter().enumerate() {
            first.entry(input.kind).or_insert(at);
        }
        let first_of_any = self.inputs.iter().position(|input| any(input.kind));
        // Files that are not the editor's own may leave the outputs out.
        let outputs = 0..self.outputs.len().max(self.inputs.len());
        let bypass = |output: usize| {
            let kind = self.outputs.get(output).map_or("*", |output| output.kind);
            let same = self.inputs.get(output).map(|input| input.kind);
            if any(kind) {
                let first = (!self.inputs.is_empty()).then_some(0);
                return same.map(|_| output).or(first);
            }
            if same.is_some_and(|of| of == kind || any(of)) {
                return Some(output);
            }
            first.get(kind).copied().or(first_of_any)
        };
        outputs.map(bypass).collect()
    }

    /// How many inputs, outputs and values there are.
    fn weight(&self) -> usize {
        let values = list(self.json, "widgets_values").len() + self.shown().len();
        1 + self.inputs.len() + self.outputs.len() + values
    }

    /// The values behind the front that a use of a subgraph shows.
    fn shown(&self) -> &'a [Json<'a>] {
        let properties = self.json.get("properties");
        let shown = properties.and_then(|properties| properties.get("proxyWidgets"));
        let shown = shown.and_then(Json::as_array).unwrap_or_default();
        &shown[..shown.len().min(MAX_SHOWN_VALUES)]
    }
}

/// An input of the front.
#[derive(Debug)]
pub(super) struct FrontInput<'a> {
    /// `None` in group nodes, whose inputs are told by their order.
    pub name: Option<&'a str>,
    pub is_widget: bool,
}

#[derive(Debug)]
pub(super) struct Definition<'a> {
    pub parts: Vec<Part<'a>>,
    pub inputs: Vec<FrontInput<'a>>,
    /// What comes out of each output of the front.
    pub outputs: Vec<Option<Origin>>,
    /// Values set in the parts behind the inputs of the front: the part, the name and the value.
    pub defaults: HashMap<usize, (usize, &'a str, &'a Json<'a>)>,
    /// The parts that set what Get nodes get.
    pub setters: HashMap<&'a str, usize>,
    places: HashMap<Key<'a>, usize>,
    links: Links<'a>,
    is_group: bool,
    /// How much is made anew for each use: parts with their inputs, outputs and values.
    pub weight: usize,
}

#[derive(Debug)]
enum Links<'a> {
    /// By the id of the link, and by the input for links that only an extension knows.
    ById(HashMap<Key<'a>, Origin>, HashMap<(usize, usize), Origin>),
    /// By part and input.
    ByInput(HashMap<(usize, usize), Origin>),
}

impl<'a> Definition<'a> {
    /// Reads a graph with ids and links: the whole one, or a subgraph.
    ///
    /// `patterns` counts down how many patterns of senders may still be read.
    pub fn of_graph(map: &'a Members<'a>, patterns: &mut usize) -> Option<Self> {
        let nodes = map.get("nodes")?.as_array()?.iter();
        let nodes = nodes.filter_map(|node| {
            let json = node.as_object()?;
            Some((json.get("id")?, Part::new(json)?))
        });
        let mut nodes: Vec<(&Json<'_>, Part<'a>)> = nodes.collect();
        nodes.sort_by_cached_key(|(id, _)| Key::of(id));
        let (ids, parts): (Vec<&Json<'_>>, Vec<Part<'a>>) = nodes.into_iter().unzip();
        let places: HashMap<Key<'a>, usize> = ids
            .iter()
            .enumerate()
            .filter_map(|(at, id)| Some((Key::of(id)?, at)))
            .collect();
        let front = |key: &str, otherwise| {
            let id = map.get(key).and_then(|node| node.get("id"));
            id.and_then(Key::of).unwrap_or(otherwise)
        };
        let (front_inputs, front_outputs) =
            (front("inputNode", INPUTS), front("outputNode", OUTPUTS));
        let origin = |id: Key<'a>, slot: usize| match places.get(&id) {
            Some(&part) => Some(Origin::Part(part, slot)),
            None => (id == front_inputs).then_some(Origin::Front(slot)),
        };
        let mut by_id = HashMap::new();
        let mut outputs = vec![None; list(map, "outputs").len()];
        for link in list(map, "links") {
            let Some(link) = Link::read(link) else {
                continue;
            };
            let Some(origin) = origin(link.from, link.from_slot) else {
                continue;
            };
            by_id.insert(link.id, origin);
            if link.to == front_outputs
                && let Some(output) = outputs.get_mut(link.to_slot)
            {
                *output = Some(origin);
            }
        }
        let inputs = list(map, "inputs").iter().map(|input| FrontInput {
            name: Some(text(input, "name")),
            is_widget: matches!(
                text(input, "type"),
                "STRING" | "INT" | "FLOAT" | "BOOLEAN" | "COMBO"
            ),
        });
        let elsewhere = everywhere::links(map, &parts, &places, &by_id, patterns);
        let inputs: Vec<FrontInput<'a>> = inputs.collect();
        let mut defaults = HashMap::new();
        for (at, part) in parts.iter().enumerate() {
            let widgets = part.inputs.iter().filter(|input| input.is_widget);
            let fronted = widgets.filter_map(|input| match by_id.get(&input.link?) {
                Some(&Origin::Front(slot)) => Some((slot, input.name)),
                _ => None,
            });
            let fronted: Vec<(usize, &str)> = fronted.collect();
            if fronted.is_empty() {
                continue;
            }
            let values = part.values().by_name();
            for (slot, name) in fronted {
                if let Some(&value) = values.get(name) {
                    defaults.entry(slot).or_insert((at, name, value));
                }
            }
        }
        Some(Self {
            weight: weight(&parts, inputs.len() + outputs.len()),
            inputs,
            outputs,
            defaults,
            setters: setters(&parts),
            links: Links::ById(by_id, elsewhere),
            places,
            parts,
            is_group: false,
        })
    }

    /// Reads a group node: parts in a list, links as `[part, output, part, input, ...]`. What is not
    /// linked inside is its front, in the order of the parts.
    pub fn of_group(map: &'a Members<'a>) -> Option<Self> {
        let nodes = map.get("nodes")?.as_array()?.iter();
        let parts: Vec<Part<'a>> = nodes
            .filter_map(|node| Part::new(node.as_object()?))
            .collect();
        let mut links = HashMap::new();
        let mut used = HashSet::new();
        for link in list(map, "links") {
            let Some([from, output, to, input, ..]) = link.as_array() else {
                continue;
            };
            let ends = [from, output, to, input].map(|end| number(Some(end)));
            if let [Some(from), Some(output), Some(to), Some(input)] = ends {
                links.insert((to, input), Origin::Part(from, output));
                used.insert((from, output));
            }
        }
        for outer in list(map, "external") {
            if let Some([part, output, ..]) = outer.as_array()
                && let (Some(part), Some(output)) = (number(Some(part)), number(Some(output)))
            {
                used.remove(&(part, output));
            }
        }
        let mut inputs = Vec::new();
        let mut outputs = Vec::new();
        for (at, part) in parts.iter().enumerate() {
            for (slot, input) in part.inputs.iter().enumerate() {
                links.entry((at, slot)).or_insert_with(|| {
                    inputs.push(FrontInput {
                        name: None,
                        is_widget: input.is_widget,
                    });
                    Origin::Front(inputs.len() - 1)
                });
            }
            let free = (0..part.outputs.len()).filter(|&slot| !used.contains(&(at, slot)));
            outputs.extend(free.map(|slot| Some(Origin::Part(at, slot))));
        }
        Some(Self {
            weight: weight(&parts, inputs.len() + outputs.len()),
            inputs,
            outputs,
            defaults: HashMap::new(),
            setters: HashMap::new(),
            places: HashMap::new(),
            links: Links::ByInput(links),
            parts,
            is_group: true,
        })
    }

    /// Where an input of a part leads.
    pub fn origin(&self, part: usize, slot: usize) -> Option<Origin> {
        match &self.links {
            Links::ByInput(links) => links.get(&(part, slot)).copied(),
            Links::ById(links, elsewhere) => {
                let link = self.parts.get(part)?.inputs.get(slot)?.link;
                let drawn = link.and_then(|link| links.get(&link).copied());
                drawn.or_else(|| elsewhere.get(&(part, slot)).copied())
            }
        }
    }

    /// The values that a use of this definition sets in its parts. `set` are those that are set in
    /// the use itself by what is around it.
    pub fn overrides(&self, part: &Part<'a>, set: &[(&'a str, &'a Json<'a>)]) -> Overrides<'a> {
        let mut overrides: Overrides<'a> = HashMap::new();
        let values = list(part.json, "widgets_values");
        if self.is_group {
            // The values of the parts, one after the other; a value turned into an input is left out.
            let kept = |inner: &Part<'a>| list(inner.json, "widgets_values").len();
            let all_kept = self.parts.iter().map(kept).sum::<usize>() == values.len();
            let mut rest = values;
            for (at, inner) in self.parts.iter().enumerate() {
                let kept = kept(inner);
                let turned = inner
                    .inputs
                    .iter()
                    .filter(|input| input.is_widget && !all_kept);
                let turned: Vec<&str> = turned.map(|input| input.name).collect();
                let own = kept.saturating_sub(turned.len()).min(rest.len());
                let (own, others) = rest.split_at(own);
                rest = others;
                overrides.insert(at, name_without(inner.class, &turned, own));
            }
            return overrides;
        }
        let shown = part.shown();
        let set: HashMap<&str, &'a Json<'a>> = set.iter().rev().copied().collect();
        let given = |at: usize, name: &str| {
            let listed = (shown.len() == values.len())
                .then(|| values.get(at))
                .flatten();
            set.get(name).copied().or(listed)
        };
        for (at, widget) in shown.iter().enumerate() {
            let Some([id, Json::String(name), ..]) = widget.as_array() else {
                continue;
            };
            let place = Key::of(id).and_then(|id| self.places.get(&id));
            if let (Some(&place), Some(value)) = (place, given(at, name)) {
                overrides.entry(place).or_default().push((name, value));
            }
        }
        overrides
    }

    /// The values that a use of this definition sets in the inputs of the front, by name.
    pub fn front_values(&self, part: &Part<'a>) -> HashMap<&'a str, &'a Json<'a>> {
        if self.is_group {
            return HashMap::new();
        }
        if let Some(Json::Object(named)) = part.json.get("widgets_values_named") {
            return named.iter().collect();
        }
        let values = list(part.json, "widgets_values");
        if let Some(Json::Object(named)) = part.json.get("widgets_values") {
            return named.iter().collect();
        }
        // All values that the definition takes, or those that this use shows as inputs.
        let fronts = self.inputs.iter().filter(|input| input.is_widget);
        let all: Vec<&str> = fronts.filter_map(|input| input.name).collect();
        let own = part.inputs.iter().filter(|input| input.is_widget);
        let own: Vec<&str> = own.map(|input| input.name).collect();
        let shown: Vec<(bool, &str)> = part
            .shown()
            .iter()
            .filter_map(|widget| {
                let [id, Json::String(name), ..] = widget.as_array()? else {
                    return None;
                };
                Some((Key::of(id) == Some(Key::Number(-1)), name.as_ref()))
            })
            .collect();
        if shown.len() == values.len() && shown.iter().any(|&(front, _)| front) {
            let fronts = shown.into_iter().zip(values);
            let fronts = fronts.filter(|((front, _), _)| *front);
            return fronts.map(|((_, name), value)| (name, value)).collect();
        }
        let names = [all, own];
        let names = names.into_iter().find(|names| names.len() == values.len());
        names.unwrap_or_default().into_iter().zip(values).collect()
    }
}

fn weight(parts: &[Part<'_>], fronts: usize) -> usize {
    1 + parts.iter().map(Part::weight).sum::<usize>() + fronts
}

fn setters<'a>(parts: &[Part<'a>]) -> HashMap<&'a str, usize> {
    let named = parts
        .iter()
        .enumerate()
        .filter(|(_, part)| part.mode != super::MUTED)
        .filter_map(|(at, part)| Some((part.sets()?, at)));
    named.collect()
}

struct Link<'a> {
    id: Key<'a>,
    from: Key<'a>,
    from_slot: usize,
    to: Key<'a>,
    to_slot: usize,
}

impl<'a> Link<'a> {
    /// Reads `[id, node, output, node, input, type]`, or in newer files an object.
    fn read(link: &'a Json<'a>) -> Option<Self> {
        let ends = match link {
            Json::Array(ends) => [0, 1, 2, 3, 4].map(|at| ends.get(at)),
            Json::Object(ends) => ["id", "origin_id", "origin_slot", "target_id", "target_slot"]
                .map(|key| ends.get(key)),
            _ => return None,
        };
        let [id, from, from_slot, to, to_slot] = ends;
        Some(Self {
            id: Key::of(id?)?,
            from: Key::of(from?)?,
            from_slot: number(from_slot)?,
            // Only the links to a front need their ends: inputs know their links.
            to: to.and_then(Key::of).unwrap_or(Key::Number(i64::MIN)),
            to_slot: number(to_slot).unwrap_or(usize::MAX),
        })
    }
}
