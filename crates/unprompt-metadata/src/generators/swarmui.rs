//! SwarmUI: a JSON object with the member `sui_image_params`, in PNG's text `parameters` or EXIF's
//! UserComment (SwarmUI's documentation, "Image Metadata Format").

use serde_json::{Map, Value};

use crate::{Generator, Metadata, json};

pub(crate) fn from_object(map: &Map<String, Value>) -> Option<Metadata> {
    let parameters = map.get("sui_image_params")?.as_object()?;
    Some(Metadata::new(
        Generator::SwarmUi,
        json::string(parameters, "prompt").unwrap_or_default(),
        json::string(parameters, "negativeprompt").map(str::to_owned),
        json::settings(parameters, &["prompt", "negativeprompt"]),
    ))
}
