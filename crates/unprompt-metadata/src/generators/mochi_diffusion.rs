//! Mochi Diffusion: one line in the caption of the picture (IPTC, XMP description), `Name: value` with
//! semicolons between them, the prompt under `Include in Image` (its `Metadata.swift`).

use crate::limits::MAX_SETTINGS_BYTES;
use crate::{Generator, Metadata, Settings, json};

const PROMPT: &str = "Include in Image";
const NEGATIVE: &str = "Exclude from Image";
/// All names: a prompt may have semicolons and colons of its own.
const NAMES: [&str; 13] = [
    "Date",
    PROMPT,
    NEGATIVE,
    "Model",
    "Steps",
    "Guidance Scale",
    "Seed",
    "Size",
    "Upscaler",
    "Scheduler",
    "ML Compute Unit",
    "Quality",
    "Generator",
];

pub(crate) fn from_caption(text: &str) -> Option<Metadata> {
    if text.len() > MAX_SETTINGS_BYTES || !text.contains("Include in Image:") {
        return None;
    }
    let mut pairs: Vec<(&str, String)> = Vec::new();
    for part in text.split("; ") {
        let named = NAMES.iter().find_map(|name| {
            let value = part.trim_start().strip_prefix(name)?.strip_prefix(':')?;
            let is_new = pairs.iter().all(|(known, _)| known != name);
            is_new.then(|| (*name, value.trim().to_owned()))
        });
        match (named, pairs.last_mut()) {
            (Some(pair), _) => pairs.push(pair),
            (None, Some((_, value))) => {
                value.push_str("; ");
                value.push_str(part);
            }
            (None, None) => return None,
        }
    }
    let mut take = |wanted: &str| {
        let at = pairs.iter().position(|(name, _)| *name == wanted)?;
        Some(pairs.remove(at).1)
    };
    let prompt = take(PROMPT)?;
    let negative_prompt = take(NEGATIVE);
    let settings: Settings = pairs
        .into_iter()
        .map(|(name, value)| (name.to_owned(), json::typed(name, &value)))
        .collect();
    Some(Metadata::new(
        Generator::MochiDiffusion,
        prompt,
        negative_prompt,
        settings,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caption_by_its_names() {
        let found = from_caption(
            "Date: 2024-01-02; Include in Image: a fox; red, Style: oil; Exclude from Image: blur; \
             Model: sd-v1-5; Steps: 20; Guidance Scale: 11.0; Seed: 7; Size: 512x512",
        );
        let found = found.unwrap();
        assert_eq!(found.prompt, "a fox; red, Style: oil");
        assert_eq!(found.negative_prompt.as_deref(), Some("blur"));
        assert_eq!(found.settings["Steps"], 20);
        assert_eq!(found.settings["Size"], "512x512");
        assert_eq!(from_caption("Date: 1; Model: x"), None);
        assert_eq!(from_caption("please Include in Image: a fox"), None);
    }
}
