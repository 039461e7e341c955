//! Decides whose record the texts of a file are.

use serde_json::{Map, Value};

use crate::carried::Carried;
use crate::generators::{
    a1111::Infotext, comfyui, draw_things, easy_diffusion, fooocus, invokeai, midjourney, novelai,
    swarmui,
};
use crate::limits::MAX_NESTED_RECORDS;
use crate::written::{Note, visible};
use crate::{Generator, Metadata, MetadataError, Settings, json};

/// Reads the texts of a file, in the order that the crate documents.
pub(crate) fn interpret(carried: &Carried) -> Option<Metadata> {
    let found = texts(carried, MAX_NESTED_RECORDS);
    let note = carried.xmp().iter().find_map(|packet| Note::find(packet));
    match note {
        Some((_, prompt)) => Some(written(prompt, found)),
        None => found,
    }
}

/// A prompt that we wrote, which counts before all others; with the settings of an infotext that it
/// was put into.
fn written(prompt: String, found: Option<Metadata>) -> Metadata {
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
    ["invokeai_metadata", "sd-metadata", "workflow"]
        .into_iter()
        .find(|key| carried.text(key).is_some())
        .map(|key| {
            MetadataError::malformed(format_args!(
                "the text `{key}` is not the JSON object its generator writes"
            ))
        })
}

fn texts(carried: &Carried, nested: usize) -> Option<Metadata> {
    novelai::from_texts(carried)
        .or_else(|| invokeai::from_texts(carried))
        .or_else(|| parameters(carried, nested))
        .or_else(|| comfyui::from_texts(carried))
        .or_else(|| easy_diffusion::from_texts(carried))
        .or_else(|| {
            carried
                .xmp()
                .iter()
                .find_map(|packet| draw_things::from_xmp(packet))
        })
        .or_else(|| {
            carried
                .comments()
                .iter()
                .find_map(|c| free_text_within(c, carried, nested))
        })
        .or_else(|| {
            carried
                .text("Description")
                .and_then(midjourney::from_description)
        })
}

/// The text `parameters`: JSON of Fooocus or SwarmUI, otherwise an infotext whatever it says.
fn parameters(carried: &Carried, nested: usize) -> Option<Metadata> {
    let text = carried
        .text("parameters")
        .filter(|text| !text.trim().is_empty())?;
    if let Some(map) = json::object(text) {
        return object(&map, nested);
    }
    Some(infotext(text, carried).unwrap_or_else(|infotext| infotext.into_metadata()))
}

fn free_text_within(text: &str, carried: &Carried, nested: usize) -> Option<Metadata> {
    match json::object(text) {
        Some(map) => object(&map, nested),
        None => infotext(text, carried)
            .or_else(|infotext| {
                infotext
                    .has_markers()
                    .then(|| infotext.into_metadata())
                    .ok_or(())
            })
            .ok(),
    }
}

/// Reads an infotext for Fooocus if the file names it; otherwise gives the parts back.
fn infotext(text: &str, carried: &Carried) -> Result<Metadata, Infotext> {
    if fooocus::is_named(carried) {
        return Ok(fooocus::from_infotext(text));
    }
    Err(Infotext::parse(text))
}

/// Reads a JSON object that holds a whole record.
fn object(map: &Map<String, Value>, nested: usize) -> Option<Metadata> {
    let nested = nested.checked_sub(1)?;
    swarmui::from_object(map)
        .or_else(|| comfyui::from_object(map))
        .or_else(|| fooocus::from_object(map))
        .or_else(|| easy_diffusion::from_object(map))
        .or_else(|| invokeai::from_object(map))
        .or_else(|| texts(&as_texts(map), nested))
}

/// An object whose members are the texts of a PNG file, as stealth payloads have it.
fn as_texts(map: &Map<String, Value>) -> Carried {
    let mut carried = Carried::default();
    for (key, value) in map {
        match value {
            Value::String(text) => carried.push_keyed(key, text),
            Value::Object(_) => carried.push_keyed(key, value.to_string()),
            _ => {}
        }
    }
    carried
}
