//! Presets: which members make a prediction, and with what weight. Small TOML files.

pub(crate) mod calibration;
pub(crate) mod fitted_blend;
pub(crate) mod missing;

use crate::{
    error::{EngineError, Result},
    members::{MemberSpec, kind::NamedIndex},
    pipeline::list_text::TextRule,
};
use calibration::Calibration;
use schemars::{JsonSchema, schema_for};
use serde::Deserialize;
use std::path::Path;
use unprompt_files::read_regular;

/// The presets that are part of the program, the lightest first.
const SHIPPED: [(&str, &str); 5] = [
    ("lite", include_str!("../../presets/lite.toml")),
    ("clip", include_str!("../../presets/clip.toml")),
    ("open", include_str!("../../presets/open.toml")),
    ("paper", include_str!("../../presets/paper.toml")),
    ("knn", include_str!("../../presets/knn.toml")),
];

/// The largest preset file that is read.
const LARGEST_FILE: u64 = 1 << 20;
/// The most members of a preset; those of this program have up to eleven.
const MOST_MEMBERS: usize = 64;

/// A blend of members.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// Its name, as records show it.
    pub name: String,
    /// The sentence encoder that gives texts their embedding.
    pub encoder: String,
    /// Whether members are brought to unit length before they are blended (the default). The paper's
    /// blend takes the mean of a regressor's two views as it is, a little shorter.
    #[serde(default = "yes")]
    pub normalize_members: bool,
    /// The members, at least one of which has a text.
    #[serde(rename = "member")]
    pub members: Vec<MemberSpec>,
    /// How the text is chosen out of the list that the program carries; without it the text is searched
    /// among those of the members.
    #[serde(default)]
    pub(crate) text: Option<TextRule>,
    /// What score to expect of a prediction; without it records carry no expected score.
    #[serde(default)]
    pub calibration: Option<Calibration>,
}

impl Preset {
    /// The preset that is used where none is named; it needs no download.
    pub const DEFAULT: &str = "lite";

    /// A preset by its name, or from a TOML file.
    ///
    /// # Errors
    /// When there is none of this name, or the file is not a valid preset.
    pub fn load(name: &str) -> Result<Self> {
        Self::parse(&format!("`{name}`"), &Self::text(name)?)
    }

    /// A preset from its text; `named` is what errors call it.
    ///
    /// # Errors
    /// When it is not a valid preset.
    pub fn parse(named: &str, text: &str) -> Result<Self> {
        let failed = |message: String| EngineError::Preset {
            preset: named.to_owned(),
            message,
        };
        let preset: Self = toml::from_str(text).map_err(|error| failed(error.to_string()))?;
        preset.check().map_err(failed)?;
        Ok(preset)
    }

    /// The text of a preset by its name, or of a TOML file.
    ///
    /// # Errors
    /// When there is none of this name, or the file cannot be read.
    pub fn text(name: &str) -> Result<String> {
        let failed = |message: String| EngineError::Preset {
            preset: format!("`{name}`"),
            message,
        };
        if let Some((_, text)) = SHIPPED.iter().find(|(shipped, _)| *shipped == name) {
            return Ok((*text).to_owned());
        }
        let path = Path::new(name);
        let is_file = path
            .extension()
            .is_some_and(|extension| extension == "toml");
        if !is_file {
            let names: Vec<&str> = SHIPPED.iter().map(|(name, _)| *name).collect();
            return Err(failed(format!(
                "not one of {}; a file of your own ends in .toml",
                names.join(", ")
            )));
        }
        let bytes = read_regular(path, LARGEST_FILE).map_err(|error| failed(error.to_string()))?;
        String::from_utf8(bytes).map_err(|error| failed(error.to_string()))
    }

    /// What its file may hold: a JSON schema of draft 2020-12, made of the types that read it.
    pub fn schema() -> serde_json::Value {
        schema_for!(Self).to_value()
    }

    /// The names of the presets that are part of the program, the lightest first.
    pub fn shipped() -> impl DoubleEndedIterator<Item = &'static str> {
        SHIPPED.iter().map(|(name, _)| *name)
    }

    /// The models it needs, each once: the encoder first, then the members' in order.
    pub fn models(&self) -> Vec<&str> {
        let mut models = vec![self.encoder.as_str()];
        for model in self.members.iter().flat_map(MemberSpec::models) {
            if !models.contains(&model) && model != unprompt_eye::NAME {
                models.push(model);
            }
        }
        models
    }

    /// The prompt indexes that its members name, in their order.
    pub(crate) fn indexes(&self) -> impl Iterator<Item = NamedIndex<'_>> {
        self.members.iter().filter_map(|member| member.kind.index())
    }

    fn check(&self) -> std::result::Result<(), String> {
        if self.members.len() > MOST_MEMBERS {
            let count = self.members.len();
            return Err(format!(
                "{count} members, where at most {MOST_MEMBERS} are taken"
            ));
        }
        if let Some(text) = &self.text {
            let names: Vec<&str> = self.members.iter().map(|member| &*member.name).collect();
            text.check(&self.encoder, &names)
                .map_err(|message| format!("text: {message}"))?;
        } else if !self.members.iter().any(|member| member.kind.has_text()) {
            let message = "no member has a text; add one of a kind that gives texts, such as \
                           `label-text`, `captioner` or `retrieval`";
            return Err(message.into());
        }
        for (index, member) in self.members.iter().enumerate() {
            let named = |message: String| format!("member `{}`: {message}", member.name);
            let before = &self.members[..index];
            if before.iter().any(|other| other.name == member.name) {
                return Err(named("another one has this name".into()));
            }
            member.check(before).map_err(named)?;
        }
        if self.members.iter().all(|member| member.weight == 0.0) {
            return Err("every weight is 0".into());
        }
        if let Some(calibration) = &self.calibration {
            let weighted = self.members.iter().filter(|member| member.weight > 0.0);
            calibration
                .check(weighted.count())
                .map_err(|message| format!("calibration: {message}"))?;
        }
        Ok(())
    }
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABELS: &str = include_str!("../../../unprompt-cli/bench/labels.toml");

    #[test]
    fn every_shipped_preset_is_valid_and_carries_its_name() {
        for name in Preset::shipped() {
            assert_eq!(Preset::load(name).unwrap().name, name);
        }
    }

    #[test]
    fn a_wrong_preset_is_refused_with_the_reason() {
        let cases = [
            ("weight = 1.0", "weight = -0.5", "weight -0.5"),
            ("weight = 1.0", "weight = nan", "weight NaN"),
            ("weight = 1.0", "weight = \"1\"", "weight"),
            ("weight = 1.0", "weight = 0", "every weight"),
            ("weight = 1.0", "", "weight"),
            ("top = 5", "top = 0", "top"),
            ("top = 5", "topp = 5", "topp"),
            ("name = \"conse\"", "name = \"labels\"", "another"),
            ("query = \"conse\"", "query = \"labels\"", "`labels`"),
            ("query = \"conse\"", "query = \"retrieval\"", "`retrieval`"),
            ("temperature = 0.06", "temperature = 0.0", "temperature 0"),
            ("temperature = 0.06", "temperature = inf", "temperature inf"),
            ("kind = \"label-text\"", "kind = \"poem\"", "poem"),
            ("encoder", "encodre", "encodre"),
        ];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("own.toml");
        for (from, to, expected) in cases {
            std::fs::write(&path, LABELS.replace(from, to)).unwrap();
            let message = Preset::load(path.to_str().unwrap())
                .unwrap_err()
                .to_string();
            assert!(message.contains(expected), "{to}: {message}");
        }
        let (uncalibrated, _) = LABELS.split_once("[calibration]").unwrap();
        for (calibration, expected) in [
            ("feature = 'text'\npoints = []", "calibration: 0 points"),
            ("feature = 'text'\npoints = [[0.1]]", "points"),
            ("feature = 'mood'\npoints = [[0, 0.1]]", "mood"),
            ("feature = 'agreement'\npoints = [[0, 0.1]]", "two members"),
        ] {
            std::fs::write(&path, format!("{uncalibrated}[calibration]\n{calibration}")).unwrap();
            let message = Preset::load(path.to_str().unwrap())
                .unwrap_err()
                .to_string();
            assert!(message.contains(expected), "{calibration}: {message}");
        }
        let silent = "name = 'a'\nencoder = 'e'\n[[member]]\nname = 'p'\nkind = 'prior'\n\
                      prompts = 'parti'\nweight = 1";
        std::fs::write(&path, silent).unwrap();
        let message = Preset::load(path.to_str().unwrap()).unwrap_err();
        assert!(message.to_string().contains("no member has a text"));
        let member = |number| {
            format!(
                "[[member]]\nname = '{number}'\nkind = 'prior'\nprompts = 'parti'\nweight = 1\n"
            )
        };
        let many: String = (0..=MOST_MEMBERS).map(member).collect();
        std::fs::write(&path, format!("name = 'a'\nencoder = 'e'\n{many}")).unwrap();
        let message = Preset::load(path.to_str().unwrap()).unwrap_err();
        assert!(message.to_string().contains("at most 64"), "{message}");
        assert!(
            Preset::load("heavy")
                .unwrap_err()
                .to_string()
                .contains("lite")
        );
        assert!(Preset::load("missing.toml").is_err());
    }
}
