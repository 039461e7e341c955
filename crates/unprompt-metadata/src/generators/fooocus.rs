//! Fooocus (`modules/meta_parser.py`, `get_exif`): PNG texts `parameters` and `fooocus_scheme`, or
//! the EXIF tags UserComment, MakerNote (the scheme) and Software. The scheme `fooocus` is a JSON
//! object, `a1111` an infotext.

use serde_json::{Map, Value};

use super::a1111::Infotext;
use crate::carried::Carried;
use crate::container::exif::{MAKER_NOTE_KEY, SOFTWARE_KEY};
use crate::{Generator, Metadata, json};

/// Whether the file says that Fooocus wrote it.
pub(crate) fn is_named(carried: &Carried) -> bool {
    carried.text("fooocus_scheme").is_some()
        || carried
            .text(SOFTWARE_KEY)
            .is_some_and(|name| name.starts_with("Fooocus"))
        || carried
            .text(MAKER_NOTE_KEY)
            .is_some_and(|scheme| scheme == "fooocus")
}

/// Reads the JSON scheme, recognised by members that only Fooocus writes. The prompt is what the
/// user typed; the styles' additions stay in the setting `full_prompt`.
pub(crate) fn from_object(map: &Map<String, Value>) -> Option<Metadata> {
    let versioned = json::string(map, "version").is_some_and(|v| v.starts_with("Fooocus"));
    let ours = versioned || map.contains_key("full_prompt") || map.contains_key("metadata_scheme");
    let prompt = json::string(map, "prompt")?;
    ours.then(|| {
        Metadata::new(
            Generator::Fooocus,
            prompt,
            json::string(map, "negative_prompt").map(str::to_owned),
            json::settings(map, &["prompt", "negative_prompt"]),
        )
    })
}

/// Reads the `a1111` scheme. Its settings repeat what the user typed as `Raw prompt`, while the
/// text above them has the styles in it; as in the other scheme, the typed prompt is the prompt and
/// the text goes to the setting `full_prompt`.
pub(crate) fn from_infotext(infotext: Infotext) -> Metadata {
    let Infotext {
        mut prompt,
        mut negative_prompt,
        mut settings,
    } = infotext;
    if let Some(Value::String(raw)) = settings.shift_remove("Raw prompt") {
        settings.insert(
            "full_prompt".into(),
            std::mem::replace(&mut prompt, raw).into(),
        );
    }
    if let Some(Value::String(raw)) = settings.shift_remove("Raw negative prompt") {
        let full = negative_prompt.replace(raw).unwrap_or_default();
        settings.insert("full_negative_prompt".into(), full.into());
    }
    Metadata::new(Generator::Fooocus, prompt, negative_prompt, settings)
}
