//! What `write` notes down for `read`, so that a prompt comes back as it went in.
//!
//! Other programs find the prompt in the XMP description and in `parameters`. Neither can hold every
//! text: an infotext takes a line `Negative prompt:` for more than a line, and XML has no control
//! characters. So each file that is written has one XMP property of our own, a JSON object that says
//! where the prompt is shown and, where none of these places gives it back unchanged, what it is.

use serde::{Deserialize, Serialize};

use crate::xmp::{DC, Packet};

/// The namespace of the note's property.
pub(crate) const NAMESPACE: &str = "urn:unprompt:metadata:1.0/";
/// The name of the note's property.
pub(crate) const NAME: &str = "Prompt";

/// The note.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Note {
    /// The prompt is the description, unless it is given here.
    #[serde(default)]
    pub description: bool,
    /// The prompt begins what the web UI calls `parameters`.
    #[serde(default)]
    pub parameters: bool,
    /// The prompt, where the description is not all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// The header for extended WebP files was added with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub extended: bool,
}

impl Note {
    /// The note of a packet with the prompt itself.
    pub(crate) fn find(packet: &str) -> Option<(Self, String)> {
        // Most packets are not ours and may be long: look before parsing.
        if !packet.contains(NAMESPACE) {
            return None;
        }
        Self::of(&Packet::parse(packet)?)
    }

    /// As [`Note::find`], in a packet that was taken apart.
    pub(crate) fn of(packet: &Packet) -> Option<(Self, String)> {
        let text = packet.property(NAMESPACE, NAME)?.default_text()?;
        let note: Self = serde_json::from_str(text.trim()).ok()?;
        let described = || packet.property(DC, "description")?.default_text();
        let prompt = match &note.prompt {
            Some(prompt) => Some(prompt.as_str()),
            None if note.description => described(),
            None => None,
        };
        let prompt = prompt?.to_owned();
        Some((note, prompt))
    }
}

/// The prompt as places that are not ours can show it: control characters are blanks there.
pub(crate) fn visible(prompt: &str) -> String {
    let shown = |c: char| match c {
        '\n' | '\t' => c,
        '\u{fffe}' | '\u{ffff}' => ' ',
        c if c.is_control() => ' ',
        c => c,
    };
    prompt.chars().map(shown).collect()
}
