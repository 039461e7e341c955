//! Decides whose record the texts of a file are.

use std::rc::Rc;

use serde_json::{Map, Value};

use crate::carried::Carried;
use crate::generators::{
    a1111::Infotext, comfyui, draw_things, easy_diffusion, fooocus, invokeai, midjourney,
    mochi_diffusion, novelai, plain, swarmui,
};
use crate::json::{Budget, Refusal};
use crate::limits::{MAX_FREE_TEXTS, MAX_NESTED_RECORDS};
use crate::text::without_padding;
use crate::written::{self, Note, visible};
use crate::{Generator, Metadata, MetadataError, Settings, xmp_texts};

/// Texts that are read under their own rules, so that they are no free texts.
const OWN_RULES: [&str; 7] = [
    "parameters",
    "prompt",
    "workflow",
    "invokeai_metadata",
    "sd-metadata",
    "Dream",
    "fooocus_scheme",
];

/// Reads the texts of a file, in the order that the crate documents.
pub(crate) fn interpret(carried: &Carried) -> Option<Metadata> {
    let found = texts(carried, MAX_NESTED_RECORDS);
    let note = carried.xmp().iter().find_map(|packet| Note::find(packet));
    match note {
        Some((_, prompt)) => Some(with_written(prompt, found)),
        None => found,
    }
}

/// A prompt that we wrote, which counts before all others; with the settings of an infotext that it
/// was put into.
fn with_written(prompt: String, found: Option<Metadata>) -> Metadata {
    let same = |found: &Metadata| {
        let has_more = found.negative_prompt.is_some() || !found.settings.is_empty();
        has_more
            && found
                .prompt
                .split_whitespace()
                .eq(visible(&prompt).split_whitespace())
    };
    match found.filter(same) {
        Some(found) => Metadata { prompt, ..found },
        None => Metadata::new(Generator::Unprompt, prompt, None, Settings::new()),
    }
}

/// Reads a text that stands alone: a comment, or a hidden payload. A text that may be anything
/// counts as an infotext only when it has an infotext's marks.
pub(crate) fn free_text(text: &str) -> Option<Metadata> {
    free_text_within(text, &Carried::default(), MAX_NESTED_RECORDS)
}

/// Names a generator's own record that is there but cannot be read.
pub(crate) fn unreadable(carried: &Carried) -> Option<MetadataError> {
    for key in [
        "invokeai_metadata",
        "sd-metadata",
        "parameters",
        "prompt",
        "workflow",
    ] {
        let Some(text) = carried.text(key) else {
            continue;
        };
        match (key, carried.json().parse(text)) {
            (_, Err(Refusal::TooLarge)) => {
                return Some(MetadataError::too_large(format_args!(
                    "the text `{key}` of {} bytes is too large: longer than is read as JSON",
                    text.len()
                )));
            }
            ("parameters" | "prompt", Ok(_) | Err(Refusal::NotAnObject)) => {}
            _ => {
                return Some(MetadataError::malformed(format_args!(
                    "the text `{key}` is not the JSON object its generator writes"
                )));
            }
        }
    }
    None
}

/// The best of the records of a file: the first that has a prompt, or else the first.
#[derive(Default)]
pub(crate) struct Best(Option<Metadata>);

impl Best {
    /// Looks for a record, unless one with a prompt was found already.
    pub(crate) fn offer(&mut self, find: impl FnOnce() -> Option<Metadata>) {
        if self.0.as_ref().is_some_and(Metadata::has_prompt) {
            return;
        }
        let Some(found) = find().and_then(without_placeholders) else {
            return;
        };
        if self.0.is_none() || found.has_prompt() {
            self.0 = Some(found);
        }
    }

    pub(crate) fn into_found(self) -> Option<Metadata> {
        self.0
    }
}

/// What savers write that were told nothing.
fn is_placeholder(text: &str) -> bool {
    let text = text.trim();
    [
        "unknown",
        "none",
        "null",
        "undefined",
        "n/a",
        "nan",
        "''",
        "\"\"",
        "-",
    ]
    .iter()
    .any(|word| text.eq_ignore_ascii_case(word))
}

/// Empties prompts that are only placeholders; nothing is left of a record that was only one. NULs
/// and byte order marks around a prompt, which come out of nested records, are dropped too.
fn without_placeholders(mut found: Metadata) -> Option<Metadata> {
    for prompt in std::iter::once(&mut found.prompt).chain(&mut found.negative_prompt) {
        let inner = without_padding(prompt);
        if inner.len() < prompt.len() {
            *prompt = inner.to_owned();
        }
    }
    found
        .negative_prompt
        .take_if(|text| text.trim().is_empty() || is_placeholder(text));
    if is_placeholder(&found.prompt) {
        found.prompt.clear();
        if found.negative_prompt.is_none() && found.settings.is_empty() {
            return None;
        }
    }
    Some(found)
}

fn texts(carried: &Carried, nested: usize) -> Option<Metadata> {
    let mut best = Best::default();
    best.offer(|| novelai::from_texts(carried));
    best.offer(|| invokeai::from_texts(carried));
    best.offer(|| parameters(carried, nested));
    best.offer(|| comfyui::from_texts(carried));
    best.offer(|| easy_diffusion::from_texts(carried));
    best.offer(|| plain::from_texts(carried, |map| object(map, nested, carried.json())));
    for packet in carried.xmp() {
        best.offer(|| xmp_packet(packet, nested, carried.json()));
    }
    for comment in carried.comments().iter().take(MAX_FREE_TEXTS) {
        best.offer(|| free_text_within(comment, carried, nested));
    }
    best.offer(|| {
        carried
            .text("Description")
            .and_then(midjourney::from_description)
    });
    let free = carried
        .keyed()
        .iter()
        .filter(|(key, _)| !OWN_RULES.contains(&key.as_str()));
    for (_, text) in free.take(MAX_FREE_TEXTS) {
        best.offer(|| marked_text(text, carried, nested));
    }
    best.into_found()
}

/// The text `parameters`: JSON of any program, otherwise an infotext whatever it says. JSON that is
/// no record is the prompt itself.
fn parameters(carried: &Carried, nested: usize) -> Option<Metadata> {
    let text = carried
        .text("parameters")
        .filter(|text| !text.trim().is_empty())?;
    let parsed = match carried.json().parse(text) {
        Ok(map) => {
            let found = object(&map, nested, carried.json());
            return found.or_else(|| {
                plain::is_prompt(&map).then(|| {
                    let prompt = text.trim().to_owned();
                    let infotext = Infotext {
                        prompt,
                        ..Infotext::default()
                    };
                    infotext.into_metadata()
                })
            });
        }
        Err(refusal) => refusal,
    };
    let infotext = Infotext::parse(text);
    if fooocus::is_named(carried) {
        return Some(fooocus::from_infotext(infotext));
    }
    // A damaged record is no prompt, unless it is one that has settings below it.
    (parsed == Refusal::NotAnObject || infotext.has_markers()).then(|| infotext.into_metadata())
}

/// Reads the properties of an XMP packet as the texts of a file.
fn xmp_packet(packet: &str, nested: usize, json: &Rc<Budget>) -> Option<Metadata> {
    let properties = xmp_texts::properties(packet);
    draw_things::from_properties(&properties, json).or_else(|| {
        let nested = nested.checked_sub(1)?;
        let mut carried = Carried::within(json);
        // What we noted down ourselves is no record of anybody.
        let has_note = packet.contains(written::NAMESPACE);
        for (name, text) in properties {
            if !(has_note && name == written::NAME) {
                carried.push_keyed(name, text);
            }
        }
        texts(&carried, nested)
    })
}

fn free_text_within(text: &str, carried: &Carried, nested: usize) -> Option<Metadata> {
    match carried.json().object(text) {
        Some(map) => object(&map, nested, carried.json()),
        None if fooocus::is_named(carried) => Some(fooocus::from_infotext(Infotext::parse(text))),
        None => marked_infotext(text, carried),
    }
}

/// Reads a text that says by itself that it is a record, whatever the file says of its writer.
fn marked_text(text: &str, carried: &Carried, nested: usize) -> Option<Metadata> {
    match carried.json().object(text) {
        Some(map) => object(&map, nested, carried.json()),
        None => marked_infotext(text, carried),
    }
}

fn marked_infotext(text: &str, carried: &Carried) -> Option<Metadata> {
    let named = midjourney::from_description(text).or_else(|| mochi_diffusion::from_caption(text));
    if named.is_some() {
        return named;
    }
    if !Infotext::may_have_markers(text) {
        return None;
    }
    let infotext = Infotext::parse(text);
    if !infotext.has_markers() {
        return None;
    }
    Some(if fooocus::is_named(carried) {
        fooocus::from_infotext(infotext)
    } else {
        infotext.into_metadata()
    })
}

/// Reads a JSON object that holds a whole record.
fn object(map: &Map<String, Value>, nested: usize, json: &Rc<Budget>) -> Option<Metadata> {
    let nested = nested.checked_sub(1)?;
    let mut best = Best::default();
    best.offer(|| swarmui::from_object(map));
    // Some savers keep the graph as a text inside the object, which is a text of its own below.
    if !map.get("prompt").is_some_and(Value::is_string) {
        best.offer(|| comfyui::from_object(map));
    }
    best.offer(|| fooocus::from_object(map));
    best.offer(|| easy_diffusion::from_object(map));
    best.offer(|| invokeai::from_object(map));
    best.offer(|| plain::from_object(map));
    best.offer(|| texts(&as_texts(map, json), nested));
    best.offer(|| plain::from_inner_object(map));
    best.into_found()
}

/// An object whose members are the texts of a PNG file, as stealth payloads have it. Objects count
/// as the JSON that they would be there, under names of which such JSON is known.
fn as_texts(map: &Map<String, Value>, json: &Rc<Budget>) -> Carried {
    let mut carried = Carried::within(json);
    for (key, value) in map.iter().take(MAX_FREE_TEXTS) {
        match value {
            Value::String(text) => carried.push_keyed(key, text),
            Value::Object(_) if key == "Comment" || OWN_RULES.contains(&key.as_str()) => {
                carried.push_keyed(key, value.to_string());
            }
            _ => {}
        }
    }
    carried
}
