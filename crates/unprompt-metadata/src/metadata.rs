//! What was found in a file.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// A generator's settings in the order they are written, under the generator's own names.
///
/// Values are typed where the file is: numbers and booleans of a text record become JSON numbers
/// and booleans, hashes stay strings, and JSON records keep their nested values.
pub type Settings = IndexMap<String, serde_json::Value>;

/// The program, or family of programs, whose record was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Generator {
    /// The "infotext" of AUTOMATIC1111's web UI, which Forge, SD.Next, Civitai and many savers also
    /// write.
    A1111,
    /// A ComfyUI graph.
    ComfyUi,
    /// NovelAI.
    NovelAi,
    /// InvokeAI, from the `Dream` string of its first releases to `invokeai_metadata`.
    InvokeAi,
    /// Fooocus, in either of its schemes.
    Fooocus,
    /// SwarmUI (StableSwarmUI).
    SwarmUi,
    /// Easy Diffusion.
    EasyDiffusion,
    /// Draw Things.
    DrawThings,
    /// Midjourney.
    Midjourney,
    /// RuinedFooocus.
    RuinedFooocus,
    /// Mochi Diffusion.
    MochiDiffusion,
    /// This program, which wrote a prompt that was predicted or given.
    Unprompt,
}

impl Generator {
    /// The stable name used in records, for example `a1111`.
    pub fn as_str(self) -> &'static str {
        match self {
            Generator::A1111 => "a1111",
            Generator::ComfyUi => "comfyui",
            Generator::NovelAi => "novelai",
            Generator::InvokeAi => "invokeai",
            Generator::Fooocus => "fooocus",
            Generator::SwarmUi => "swarmui",
            Generator::EasyDiffusion => "easydiffusion",
            Generator::DrawThings => "drawthings",
            Generator::Midjourney => "midjourney",
            Generator::RuinedFooocus => "ruinedfooocus",
            Generator::MochiDiffusion => "mochidiffusion",
            Generator::Unprompt => "unprompt",
        }
    }
}

impl std::fmt::Display for Generator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The prompt that a file carries, as its generator wrote it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    /// Whose record it is; `None` when nothing in it says so.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub generator: Option<Generator>,
    /// The positive prompt; empty when the record has settings but no prompt, see
    /// [`Metadata::has_prompt`].
    pub prompt: String,
    /// The negative prompt; `None` when the record has none or an empty one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub negative_prompt: Option<String>,
    /// Everything else that the record says of how the picture was made.
    pub settings: Settings,
}

impl Metadata {
    /// Whether there is a prompt to use. A record can be found without one: a picture generated
    /// from an empty prompt, or a ComfyUI graph that only upscales.
    pub fn has_prompt(&self) -> bool {
        !self.prompt.trim().is_empty()
    }

    pub(crate) fn new(
        generator: impl Into<Option<Generator>>,
        prompt: impl Into<String>,
        negative_prompt: Option<String>,
        settings: Settings,
    ) -> Self {
        let negative_prompt = negative_prompt.filter(|text| !text.trim().is_empty());
        Self {
            generator: generator.into(),
            prompt: prompt.into(),
            negative_prompt,
            settings,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_in_json_and_in_display() {
        for generator in [
            Generator::A1111,
            Generator::ComfyUi,
            Generator::NovelAi,
            Generator::InvokeAi,
            Generator::Fooocus,
            Generator::SwarmUi,
            Generator::EasyDiffusion,
            Generator::DrawThings,
            Generator::Midjourney,
            Generator::RuinedFooocus,
            Generator::MochiDiffusion,
            Generator::Unprompt,
        ] {
            assert_eq!(
                serde_json::to_value(generator).unwrap(),
                generator.to_string()
            );
        }
    }

    #[test]
    fn record_has_the_documented_keys() {
        let settings = Settings::from([("Steps".to_owned(), 20.into())]);
        let metadata = Metadata::new(Generator::A1111, "a cat", Some(" ".into()), settings);
        assert_eq!(
            serde_json::to_string(&metadata).unwrap(),
            r#"{"generator":"a1111","prompt":"a cat","settings":{"Steps":20}}"#
        );
        assert!(metadata.has_prompt());
    }
}
