//! What a preset still needs on this machine, told at once and with the next step for each.

use crate::{EngineError, Preset, loading::reference};
use std::fmt;
use unprompt_hub::{Hub, ModelRef};

/// A model that a preset needs and that is not on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingModel {
    /// The model as the preset names it.
    pub name: String,
    /// What a fetch transfers, in bytes, where that is known beforehand.
    pub download_bytes: Option<u64>,
    /// Whether it is a path of this machine, which nobody can fetch.
    pub is_path: bool,
}

impl fmt::Display for MissingModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        let size = match self.download_bytes {
            Some(bytes) => format!("{:.1} MB", bytes as f64 / 1e6),
            None => "size not known here".to_owned(),
        };
        if self.is_path {
            return write!(f, "{name}: no such file or folder; put the model there");
        }
        write!(
            f,
            "{name} ({size}): `unprompt models pull {name}`, or by hand `unprompt models import` of \
             its files or of a bundle that `unprompt models export {name}` wrote elsewhere"
        )
    }
}

/// The models of a preset that are not on this machine, in its order. Opens no socket.
pub fn missing_models(hub: &Hub, preset: &Preset) -> Vec<MissingModel> {
    let listed = hub.list();
    let models = preset.models().into_iter();
    let missing = |name: &str| {
        let reference = reference(name).ok()?;
        if matches!(hub.locate(&reference), Ok(Some(_))) {
            return None;
        }
        let row = listed.iter().find(|row| row.name == name);
        Some(MissingModel {
            name: name.to_owned(),
            download_bytes: row.map(|row| row.download_bytes),
            is_path: matches!(reference, ModelRef::Local(_)),
        })
    };
    models.filter_map(missing).collect()
}

/// The best shipped preset whose models are all on this machine: the heaviest, as far as the
/// published scores go.
pub fn complete_preset(hub: &Hub) -> Option<&'static str> {
    Preset::shipped()
        .find(|name| Preset::load(name).is_ok_and(|preset| missing_models(hub, &preset).is_empty()))
}

/// An error of the hub while a preset was loaded, with all else that the preset lacks.
pub(crate) fn explain(hub: &Hub, preset: &Preset, error: EngineError) -> EngineError {
    let EngineError::Hub(cause) = error else {
        return error;
    };
    let missing = missing_models(hub, preset);
    // What is here but cannot be used, such as a refused pickle, says all by itself.
    if missing.is_empty() {
        return EngineError::Hub(cause);
    }
    EngineError::Incomplete {
        preset: preset.name.clone(),
        needed: preset.models().len(),
        missing,
        complete: complete_preset(hub),
        cause: Box::new(cause),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(name: &str, download_bytes: Option<u64>, is_path: bool) -> MissingModel {
        MissingModel {
            name: name.into(),
            download_bytes,
            is_path,
        }
    }

    #[test]
    fn each_model_is_told_with_its_size_and_the_next_step() {
        let known = missing("all-MiniLM-L6-v2", Some(90_900_000), false).to_string();
        assert!(known.starts_with("all-MiniLM-L6-v2 (90.9 MB): `unprompt models pull all-"));
        assert!(known.contains("`unprompt models import`"), "{known}");
        let unknown = missing("org/model", None, false).to_string();
        assert!(unknown.contains("(size not known here)"), "{unknown}");
        let path = missing("./vit.pth", None, true).to_string();
        assert!(path.contains("put the model there") && !path.contains("pull"));
    }
}
