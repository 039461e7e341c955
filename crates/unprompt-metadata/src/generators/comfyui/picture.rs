//! Finds the node that made the saved picture: from the nodes that save it back along pictures.

use std::collections::{HashSet, VecDeque};
use std::sync::LazyLock;

use regex::Regex;

use super::classes::{Gives, Picture};
use super::document::Json;
use super::evaluate::{Evaluator, Side, Text};
use super::graph::{Graph, Input, Node};
use super::words::any_of;

/// What a search of a graph gives; without a sampler there may still be a prompt, in graphs that
/// call a service.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The node that made the picture.
    pub maker: Option<usize>,
    pub prompt: Option<Text>,
    pub negative_prompt: Option<Text>,
}

/// Two outputs of a large graph reach mostly the same nodes: a few outputs are enough.
const MAX_OUTPUTS: usize = 16;

/// Below this strength a sampler that is given a picture keeps what is in it.
const REDRAWS_BELOW: f64 = 0.55;

/// What part a node had in the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Maker,
    /// It redrew or enlarged a picture that was there.
    Retoucher,
    /// It may have: it is given a text, and pictures pass it.
    Perhaps,
}

/// Finds the first candidate that has a prompt: of each saving node the makers nearest to it, then
/// those that redrew the picture, then whatever is given a text. Samplers that nothing saves come
/// last.
pub(super) fn find(graph: &Graph<'_>) -> Found {
    let mut search = Search {
        graph,
        texts: Evaluator::new(graph),
        tried: HashSet::new(),
        first: None,
    };
    let found = search.find();
    if search.texts.is_spent() {
        return Found {
            maker: found.maker.or(search.first),
            ..Found::default()
        };
    }
    found
}

struct Search<'g, 'a> {
    graph: &'g Graph<'a>,
    texts: Evaluator<'g, 'a>,
    tried: HashSet<usize>,
    /// The first sampler met, whose settings count where no prompt is found.
    first: Option<usize>,
}

impl<'g, 'a> Search<'g, 'a> {
    fn find(&mut self) -> Found {
        let graph = self.graph;
        let outputs = outputs(graph);
        let mut seen = HashSet::new();
        let mut perhaps = Vec::new();
        for output in outputs {
            let mut makers = Vec::new();
            let mut retouchers = Vec::new();
            for at in self.upstream(output, &mut seen) {
                match graph.node(at).and_then(part) {
                    Some(Part::Maker) if self.keeps_most(at) => retouchers.push(at),
                    Some(Part::Maker) => makers.push(at),
                    Some(Part::Retoucher) => retouchers.push(at),
                    Some(Part::Perhaps) => perhaps.push(at),
                    None => {}
                }
            }
            let candidates = makers.into_iter().chain(retouchers);
            for at in candidates {
                if let Some(found) = self.attempt(at) {
                    return found;
                }
            }
        }
        for at in perhaps {
            let node = graph.node(at);
            let text = node.and_then(|node| self.texts.own_text(node));
            if let Some(prompt) = text.filter(|text| !text.text.trim().is_empty()) {
                return self.found(at, prompt);
            }
        }
        for (at, node) in graph.nodes.iter().enumerate() {
            if matches!(part(node), Some(Part::Maker | Part::Retoucher))
                && let Some(found) = self.attempt(at)
            {
                return found;
            }
        }
        Found {
            maker: self.first,
            ..Found::default()
        }
    }

    fn attempt(&mut self, at: usize) -> Option<Found> {
        if !self.tried.insert(at) {
            return None;
        }
        self.first.get_or_insert(at);
        let node = self.graph.node(at)?;
        let prompt = self.texts.prompt_of(node, Side::Positive)?;
        (!prompt.text.trim().is_empty()).then(|| self.found(at, prompt))
    }

    fn found(&mut self, at: usize, prompt: Text) -> Found {
        let node = self.graph.node(at);
        let negative = node.and_then(|node| self.texts.prompt_of(node, Side::Negative));
        // A negative prompt that repeats the prompt is no such thing.
        let negative_prompt = negative.filter(|text| text.text.trim() != prompt.text.trim());
        Found {
            maker: Some(at),
            prompt: Some(prompt),
            negative_prompt,
        }
    }

    /// Whether a sampler only goes over a picture: it starts late, or with little noise.
    fn keeps_most(&self, at: usize) -> bool {
        let number = |name: &str| {
            let input = self.graph.node(at)?.input(name)?;
            self.texts.scalar(input).and_then(Json::as_f64)
        };
        let denoise = number("denoise").is_some_and(|denoise| denoise < REDRAWS_BELOW);
        denoise || number("start_at_step").is_some_and(|step| step > 0.0)
    }

    /// Nodes from an output back along everything that may be a picture, nearest first, each once.
    fn upstream(&self, output: usize, seen: &mut HashSet<usize>) -> Vec<usize> {
        let mut found = Vec::new();
        let mut waiting = VecDeque::from([output]);
        // What is heard comes after what is seen.
        let mut sounds = VecDeque::new();
        while let Some(at) = waiting.pop_front().or_else(|| sounds.pop_front()) {
            if !seen.insert(at) {
                continue;
            }
            found.push(at);
            let Some(node) = self.graph.node(at) else {
                continue;
            };
            let next = self.pictures(node);
            for input in next {
                if let Some(link) = input.link() {
                    match input.name.contains("audio") {
                        true => sounds.push_back(link.node),
                        false => waiting.push_back(link.node),
                    }
                }
            }
        }
        found
    }

    /// The inputs through which the picture may have come that comes out of a node.
    fn pictures(&self, node: &'g Node<'a>) -> Vec<&'g Input<'a>> {
        let class = node.class;
        if let Some(Picture::Draws(_, names) | Picture::Redraws(_, names)) =
            class.map(|class| class.picture)
        {
            return node.listed(names).collect();
        }
        match class.and_then(|class| class.output(0)) {
            Some(Gives::Switch(selector, branches, add)) => {
                return self.texts.selected(node, selector, branches, add);
            }
            Some(Gives::Choice(condition, yes, no)) => {
                let (chosen, second) = self.texts.chosen(node, condition, yes, no);
                let names = std::iter::once(chosen).chain(second);
                return names.flat_map(|names| node.listed(names)).collect();
            }
            _ => {}
        }
        if class.is_none()
            && let Some(branches) = self.texts.branches(node)
        {
            return branches;
        }
        let mut inputs: Vec<&Input<'a>> = node.inputs().filter(|i| carries(&i.name)).collect();
        // What is surely a picture comes before what may be one.
        inputs.sort_by_key(|input| !is_picture(&input.name)); // stable
        inputs
    }
}

/// Nodes that save or show pictures: savers come before previews, and both before others that
/// nothing follows.
fn outputs(graph: &Graph<'_>) -> Vec<usize> {
    let mut followed = HashSet::new();
    for node in &graph.nodes {
        followed.extend(node.inputs().filter_map(Input::link).map(|link| link.node));
    }
    let mut outputs: Vec<(u8, usize)> = graph
        .nodes
        .iter()
        .enumerate()
        .filter(|(_, node)| node.has_links())
        .filter_map(|(at, node)| {
            let class = node.lower.as_str();
            let rank = match class {
                "saveimage" => 0,
                _ if class.contains("save") || class.contains("videocombine") => 1,
                _ if class.contains("preview") => 2,
                _ if !followed.contains(&at) => 3,
                _ => return None,
            };
            Some((rank, at))
        })
        .collect();
    outputs.sort_by_key(|&(rank, _)| rank); // stable
    outputs.truncate(MAX_OUTPUTS);
    outputs.into_iter().map(|(_, at)| at).collect()
}

/// Whether the name of an input is that of a picture.
fn is_picture(name: &str) -> bool {
    static WORDS: LazyLock<Regex> =
        LazyLock::new(|| any_of(&["image", "latent", "sample", "pixel", "video", "frame"]));
    WORDS.is_match(name)
}

/// Whether a picture may come through an input of this name.
fn carries(name: &str) -> bool {
    static OTHERS: LazyLock<Regex> = LazyLock::new(|| {
        any_of(&[
            "model",
            "clip",
            "vae",
            "positive",
            "negative",
            "cond",
            "text",
            "prompt",
            "control_net",
            "noise",
            "sigmas",
            "guider",
            "mask",
            "lora",
            "string",
            "seed",
            "width",
            "height",
        ])
    });
    is_picture(name) || !OTHERS.is_match(name)
}

/// What part a node may have had.
fn part(node: &Node<'_>) -> Option<Part> {
    match node.class.map(|class| class.picture) {
        Some(Picture::Draws(..)) => return Some(Part::Maker),
        Some(Picture::Redraws(..)) => return Some(Part::Retoucher),
        _ => {}
    }
    let class = node.lower.as_str();
    let named = class.contains("sampler") && !class.contains("select");
    let conditioned = ["positive", "guider", "text_embeds"]
        .iter()
        .any(|name| node.link(name).is_some());
    let sampling = ["steps", "seed", "noise_seed", "sigmas"]
        .iter()
        .any(|name| node.input(name).is_some());
    if (named && node.has_links()) || (conditioned && sampling) {
        let given = [
            "image",
            "images",
            "pixels",
            "upscaled_image",
            "segs",
            "image_frames",
        ]
        .iter()
        .any(|name| node.link(name).is_some());
        return Some(if given { Part::Retoucher } else { Part::Maker });
    }
    if let Some(class) = node.class {
        // Where no picture is made a language model's answer is all there is.
        return matches!(class.output(0), Some(Gives::Answered(_))).then_some(Part::Perhaps);
    }
    // What is loaded, or looked for in a picture, is not what it was made from.
    static SEEKS: LazyLock<Regex> = LazyLock::new(|| {
        any_of(&[
            "load",
            "segment",
            "detect",
            "sam3",
            "grounding",
            "clipseg",
            "mask",
            "ocr",
        ])
    });
    if SEEKS.is_match(&node.lower) {
        return None;
    }
    // Numbers, models and texts are no pictures.
    let others = [
        "INT",
        "FLOAT",
        "STRING",
        "BOOLEAN",
        "MODEL",
        "CLIP",
        "VAE",
        "CONDITIONING",
    ];
    if !node.outputs.is_empty() && node.outputs.iter().all(|(_, kind)| others.contains(kind)) {
        return None;
    }
    let told = ["prompt", "positive_prompt", "text", "positive"];
    let told = told.iter().any(|name| node.input(name).is_some());
    (told || !node.loose.is_empty()).then_some(Part::Perhaps)
}
