//! Presets: which members make a prediction, and with what weight. Small TOML files.

use crate::{EngineError, Result};
use serde::Deserialize;
use std::path::Path;

/// The presets that are part of the program.
const SHIPPED: [(&str, &str); 1] = [("lite", include_str!("../presets/lite.toml"))];

/// The largest preset file that is read.
const LARGEST_FILE: u64 = 1 << 20;

/// A blend of members.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// Its name, as records show it.
    pub name: String,
    /// The sentence encoder that gives texts their embedding.
    pub encoder: String,
    /// The members, at least one of which has a text.
    #[serde(rename = "member")]
    pub members: Vec<MemberSpec>,
}

/// One member of a preset.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberSpec {
    /// Its name, as records show it.
    pub name: String,
    /// What it does.
    pub kind: MemberKind,
    /// The model it uses: a name, a hub id or a path.
    pub model: String,
    /// How many labels it takes.
    pub top: usize,
    /// Its weight in the blend, not negative.
    pub weight: f64,
}

/// What a member does with a picture.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum MemberKind {
    /// The classifier's top labels joined by ", ", and that text's embedding.
    LabelText,
    /// The mean of the top labels' embeddings, weighted by their probabilities (ConSE).
    LabelMean,
}

impl Preset {
    /// A preset by its name, or from a TOML file.
    ///
    /// # Errors
    /// When there is none of this name, or the file is not a valid preset.
    pub fn load(name: &str) -> Result<Self> {
        let failed = |message: String| EngineError::Preset {
            preset: format!("`{name}`"),
            message,
        };
        let text = match SHIPPED.iter().find(|(shipped, _)| *shipped == name) {
            Some((_, text)) => (*text).to_owned(),
            None => {
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
                let length = path
                    .metadata()
                    .map_err(|error| failed(error.to_string()))?
                    .len();
                if length > LARGEST_FILE {
                    return Err(failed(format!(
                        "the file is longer than {LARGEST_FILE} bytes"
                    )));
                }
                std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?
            }
        };
        let preset: Self = toml::from_str(&text).map_err(|error| failed(error.to_string()))?;
        preset.check().map_err(failed)?;
        Ok(preset)
    }

    /// The names of the presets that are part of the program.
    pub fn shipped() -> impl Iterator<Item = &'static str> {
        SHIPPED.iter().map(|(name, _)| *name)
    }

    /// The models it needs, each once: the encoder first, then the members' in order.
    pub fn models(&self) -> Vec<&str> {
        let mut models = vec![self.encoder.as_str()];
        for member in &self.members {
            if !models.contains(&member.model.as_str()) {
                models.push(&member.model);
            }
        }
        models
    }

    fn check(&self) -> std::result::Result<(), String> {
        if !self
            .members
            .iter()
            .any(|member| member.kind == MemberKind::LabelText)
        {
            return Err("no member has a text; add one of kind `label-text`".into());
        }
        for member in &self.members {
            if !(member.weight >= 0.0 && member.weight.is_finite()) {
                return Err(format!(
                    "member `{}`: weight {}",
                    member.name, member.weight
                ));
            }
            if member.top == 0 {
                return Err(format!("member `{}`: top must be at least 1", member.name));
            }
        }
        if self.members.iter().all(|member| member.weight == 0.0) {
            return Err("every weight is 0".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_preset_is_valid_and_carries_its_name() {
        for name in Preset::shipped() {
            assert_eq!(Preset::load(name).unwrap().name, name);
        }
    }

    #[test]
    fn a_wrong_preset_is_refused_with_the_reason() {
        let lite = SHIPPED[0].1;
        let cases = [
            ("weight = 0.25", "weight = -0.5", "weight -0.5"),
            ("weight = 0.25", "weight = nan", "weight NaN"),
            ("weight = 0.", "weight = 0.0 #", "every weight"),
            ("top = 5", "top = 0", "top"),
            ("label-text", "label-mean", "label-text"),
            ("label-text", "poem", "poem"),
            ("encoder", "encodre", "encodre"),
        ];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("own.toml");
        for (from, to, expected) in cases {
            std::fs::write(&path, lite.replace(from, to)).unwrap();
            let message = Preset::load(path.to_str().unwrap())
                .unwrap_err()
                .to_string();
            assert!(message.contains(expected), "{to}: {message}");
        }
        assert!(
            Preset::load("heavy")
                .unwrap_err()
                .to_string()
                .contains("lite")
        );
        assert!(Preset::load("missing.toml").is_err());
    }
}
