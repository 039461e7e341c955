//! What a preset still needs on this machine, told at once and with the next step for each.

use crate::{EngineError, MemberKind, Preset, loading::reference};
use std::{fmt, path::Path};
use unprompt_hub::{Hub, ModelRef, megabytes};
use unprompt_index::{IndexError, PromptIndex};

/// The sentence encoder of an index where none is named.
const USUAL_ENCODER: &str = "all-MiniLM-L6-v2";

/// A model that a preset needs and that is not on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingModel {
    /// The model as the preset names it.
    pub name: String,
    /// What a fetch transfers, in bytes, where that is known beforehand; of a hub's repository about
    /// as much.
    pub download_bytes: Option<u64>,
    /// How it is had.
    pub next_step: NextStep,
}

/// How a missing model is had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextStep {
    /// From its registry, or from a bundle.
    Fetch,
    /// It is a path of this machine, which nobody can fetch.
    PutThere,
    /// It is a prompt index, which this command makes of a list of prompts.
    BuildIndex(String),
}

impl fmt::Display for MissingModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        let size = match self.download_bytes {
            Some(bytes) => megabytes(bytes),
            None => "size not known here".to_owned(),
        };
        match &self.next_step {
            NextStep::PutThere => {
                write!(f, "{name}: no such file or folder; put the model there")
            }
            NextStep::BuildIndex(command) => write!(
                f,
                "{name}: no prompt index here; make one of a list of prompts: `{command}`"
            ),
            NextStep::Fetch => write!(
                f,
                "{name} ({size}): `unprompt models pull {name}`, or by hand `unprompt models \
                 import` of its files or of a bundle that `unprompt models export {name}` wrote \
                 elsewhere"
            ),
        }
    }
}

/// The models of a preset that are not on this machine, in its order, and then its prompt indexes.
/// Opens no socket.
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
            download_bytes: row
                .map(|row| row.download_bytes)
                .or_else(|| published_bytes(name)),
            next_step: match reference {
                ModelRef::Local(_) => NextStep::PutThere,
                _ => NextStep::Fetch,
            },
        })
    };
    let indexes = preset.members.iter();
    let indexes = indexes.filter_map(|spec| missing_index(preset, &spec.kind));
    models.filter_map(missing).chain(indexes).collect()
}

/// About how much the hub's repositories of the shipped presets hold: their parameters in f32, as
/// their papers count them (CLIP, OpenCLIP, BLIP, OFA).
fn published_bytes(name: &str) -> Option<u64> {
    let parameters = match name {
        "ViT-L-14/openai" => 428_000_000,
        "ViT-H-14/laion2b_s32b_b79k" => 986_000_000,
        "Salesforce/blip-image-captioning-large" => 470_000_000,
        "OFA-Sys/ofa-large-caption" => 472_000_000,
        _ => return None,
    };
    Some(4 * parameters)
}

fn missing_index(preset: &Preset, kind: &MemberKind) -> Option<MissingModel> {
    let MemberKind::Knn {
        index: Some(folder),
        clip,
        ..
    } = kind
    else {
        return None;
    };
    let missing = matches!(
        PromptIndex::open(Path::new(folder)),
        Err(IndexError::Missing { .. } | IndexError::Unfinished { .. })
    );
    let clip = clip.as_deref().unwrap_or("CLIP");
    let mut command = format!("unprompt index build PROMPTS --clip {clip} --out {folder}");
    if preset.encoder != USUAL_ENCODER {
        command += &format!(" --sentence {}", preset.encoder);
    }
    missing.then(|| MissingModel {
        name: folder.clone(),
        download_bytes: None,
        next_step: NextStep::BuildIndex(command),
    })
}

/// The best shipped preset whose models are all on this machine: the heaviest, as far as the
/// published scores go.
pub fn complete_preset(hub: &Hub) -> Option<&'static str> {
    Preset::shipped()
        .rev()
        .find(|name| Preset::load(name).is_ok_and(|preset| missing_models(hub, &preset).is_empty()))
}

/// An error of the hub while a preset was loaded, with all else that the preset lacks.
pub(crate) fn explain(hub: &Hub, preset: &Preset, error: EngineError) -> EngineError {
    let is_absence = matches!(
        error,
        EngineError::Hub(_)
            | EngineError::Index(IndexError::Missing { .. } | IndexError::Unfinished { .. })
    );
    if !is_absence {
        return error;
    }
    let missing = missing_models(hub, preset);
    // What is here but cannot be used, such as a refused pickle, says all by itself.
    if missing.is_empty() {
        return error;
    }
    EngineError::Incomplete {
        preset: preset.name.clone(),
        needed: preset.models().len() + preset.indexes().count(),
        missing,
        complete: complete_preset(hub),
        cause: Box::new(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_model_of_the_shipped_presets_has_a_size() -> Result<(), Box<dyn std::error::Error>> {
        let hub = Hub::from_env(unprompt_hub::HubOptions {
            offline: true,
            ..Default::default()
        })?;
        let listed = hub.list();
        for preset in Preset::shipped() {
            for name in Preset::load(preset)?.models() {
                let local = matches!(reference(name)?, ModelRef::Local(_));
                let known = listed.iter().any(|row| row.name == name);
                assert!(local || known || published_bytes(name).is_some(), "{name}");
            }
        }
        Ok(())
    }

    fn missing(name: &str, download_bytes: Option<u64>, next_step: NextStep) -> MissingModel {
        MissingModel {
            name: name.into(),
            download_bytes,
            next_step,
        }
    }

    #[test]
    fn each_model_is_told_with_its_size_and_the_next_step() {
        let known = missing("all-MiniLM-L6-v2", Some(90_900_000), NextStep::Fetch).to_string();
        assert!(known.starts_with("all-MiniLM-L6-v2 (90.9 MB): `unprompt models pull all-"));
        assert!(known.contains("`unprompt models import`"), "{known}");
        let unknown = missing("org/model", None, NextStep::Fetch).to_string();
        assert!(unknown.contains("(size not known here)"), "{unknown}");
        let large = missing("org/model", Some(3_944_000_000), NextStep::Fetch).to_string();
        assert!(large.starts_with("org/model (3.94 GB)"), "{large}");
        let path = missing("./vit.pth", None, NextStep::PutThere).to_string();
        assert!(path.contains("put the model there") && !path.contains("pull"));
        let step = NextStep::BuildIndex("unprompt index build".into());
        let index = missing("prompts-index", None, step).to_string();
        assert!(index.contains("`unprompt index build`") && !index.contains("pull"));
    }
}
