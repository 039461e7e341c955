//! Links that are not drawn: those of Use Everywhere (cg-use-everywhere), whose nodes send what they
//! are given to all free inputs of its type.

use std::collections::HashMap;

use regex::{Regex, RegexBuilder};

use super::definition::{Key, Origin, Part, list, number};
use crate::generators::comfyui::document::{Json, Members};

/// Most things that are sent, the longest pattern by which one chooses and the longest name that is
/// held against it, and most such names.
const MAX_SENDINGS: usize = 64;
const MAX_PATTERN_BYTES: usize = 256;
const MAX_NAME_BYTES: usize = 256;
const MAX_MATCHES: usize = 20_000;

/// The links by part and input: those that the file notes down from its last run, then those that
/// follow from its nodes.
pub(super) fn links<'a>(
    map: &'a Members<'a>,
    parts: &[Part<'a>],
    places: &HashMap<Key<'a>, usize>,
    drawn: &HashMap<Key<'a>, Origin>,
    patterns: &mut usize,
) -> HashMap<(usize, usize), Origin> {
    let noted = map.get("extra").and_then(Json::as_object);
    let noted = noted.map_or(&[][..], |extra| list(extra, "ue_links"));
    let read = |link: &'a Json<'a>| {
        let place = |key: &str| places.get(&Key::of(link.get(key)?)?).copied();
        let slot = |key: &str| number(link.get(key));
        let to = (place("downstream")?, slot("downstream_slot")?);
        let from = Origin::Part(place("upstream")?, slot("upstream_slot")?);
        Some((to, from))
    };
    let mut links: HashMap<(usize, usize), Origin> = noted.iter().filter_map(read).collect();
    let mut sent = sendings(parts, drawn, patterns);
    if sent.is_empty() {
        return links;
    }
    // Who chooses comes before who sends to all.
    sent.sort_by_key(|sending| sending.input.is_none()); // stable
    let mut by_kind: HashMap<&str, Vec<&Sending<'_>>> = HashMap::new();
    for sending in &sent {
        by_kind.entry(sending.kind).or_default().push(sending);
    }
    let mut matches = 0;
    let mut fits = |pattern: Option<&Regex>, name: &str| {
        matches += usize::from(pattern.is_some());
        matches <= MAX_MATCHES
            && pattern.is_none_or(|pattern| name.len() <= MAX_NAME_BYTES && pattern.is_match(name))
    };
    let receivers = parts.iter().enumerate();
    for (at, part) in receivers.filter(|(_, part)| !is_sender(part)) {
        for (slot, input) in part.inputs.iter().enumerate() {
            if input.link.is_some() {
                continue;
            }
            let sent = by_kind.get(input.kind).into_iter().flatten();
            let mut chosen = sent.filter(|sending| sending.input.is_some() || !input.is_widget);
            let first = chosen.find(|sending| {
                fits(sending.input.as_ref(), input.name)
                    && fits(sending.title.as_ref(), part.title())
            });
            if let Some(sending) = first {
                links.entry((at, slot)).or_insert(sending.origin);
            }
        }
    }
    links
}

/// Something that is sent.
struct Sending<'a> {
    origin: Origin,
    kind: &'a str,
    /// What the names of the nodes and of the inputs must match.
    title: Option<Regex>,
    input: Option<Regex>,
}

fn is_sender(part: &Part<'_>) -> bool {
    part.class.starts_with("Anything Everywhere") || part.class == "Prompts Everywhere"
}

fn sendings<'a>(
    parts: &[Part<'a>],
    drawn: &HashMap<Key<'a>, Origin>,
    patterns: &mut usize,
) -> Vec<Sending<'a>> {
    let mut pattern_of = |text: &str| {
        *patterns = patterns.checked_sub(1)?;
        pattern_of(text)
    };
    let mut sendings = Vec::new();
    let senders = parts
        .iter()
        .filter(|part| is_sender(part) && part.mode == 0);
    for part in senders {
        for (slot, input) in part.inputs.iter().enumerate() {
            let origin = input.link.and_then(|link| drawn.get(&link).copied());
            let Some(origin) = origin else {
                continue;
            };
            let made = match origin {
                Origin::Part(from, output) => parts.get(from).and_then(|p| p.outputs.get(output)),
                Origin::Front(_) => None,
            };
            let kind = match (input.kind, made) {
                ("*" | "", Some(output)) => output.kind,
                (kind, _) => kind,
            };
            let chooses = part.class.ends_with('?');
            let mut pattern = |place: usize| {
                let text = part.value_at(place)?;
                (text.len() <= MAX_PATTERN_BYTES).then(|| pattern_of(text))?
            };
            let (title, named) = match part.class {
                "Prompts Everywhere" => {
                    let side = if slot == 0 {
                        "positive|^pos"
                    } else {
                        "negative|^neg"
                    };
                    (None, pattern_of(side))
                }
                _ if chooses => (pattern(0), pattern(1)),
                _ => (None, None),
            };
            if sendings.len() >= MAX_SENDINGS {
                return sendings;
            }
            let restricted = chooses || part.class == "Prompts Everywhere";
            if matches!(kind, "*" | "") || (restricted && named.is_none()) {
                continue;
            }
            sendings.push(Sending {
                origin,
                kind,
                title,
                input: named,
            });
        }
    }
    sendings
}

fn pattern_of(text: &str) -> Option<Regex> {
    RegexBuilder::new(text)
        .case_insensitive(true)
        .size_limit(1 << 14)
        .build()
        .ok()
}
