//! Easy Diffusion: one PNG text for each setting, or all of them as a JSON object in EXIF's
//! UserComment; the names are those of its API or, with another option, of its user interface.

use serde_json::{Map, Value};

use crate::carried::Carried;
use crate::{Generator, Metadata, json};

/// Names of the prompt, the negative prompt and of a member that only Easy Diffusion writes.
struct Names {
    prompt: &'static str,
    negative_prompt: &'static str,
    own: &'static str,
}

const NAMES: [Names; 2] = [
    Names {
        prompt: "prompt",
        negative_prompt: "negative_prompt",
        own: "use_stable_diffusion_model",
    },
    Names {
        prompt: "Prompt",
        negative_prompt: "Negative Prompt",
        own: "Stable Diffusion model",
    },
];

pub(crate) fn from_object(map: &Map<String, Value>) -> Option<Metadata> {
    let names = NAMES.iter().find(|names| map.contains_key(names.own))?;
    let prompt = json::string(map, names.prompt)?;
    Some(Metadata::new(
        Generator::EasyDiffusion,
        prompt,
        json::string(map, names.negative_prompt).map(str::to_owned),
        json::settings(map, &[names.prompt, names.negative_prompt]),
    ))
}

pub(crate) fn from_texts(carried: &Carried) -> Option<Metadata> {
    let names = NAMES
        .iter()
        .find(|names| carried.text(names.own).is_some())?;
    let prompt = carried.text(names.prompt)?;
    let settings = carried
        .keyed()
        .iter()
        .filter(|(key, _)| key != names.prompt && key != names.negative_prompt)
        .map(|(key, text)| (key.clone(), json::typed(key, text)))
        .collect();
    let negative_prompt = carried.text(names.negative_prompt).map(str::to_owned);
    Some(Metadata::new(
        Generator::EasyDiffusion,
        prompt,
        negative_prompt,
        settings,
    ))
}
