//! What a preset still needs on this machine, told at once and with the next step for each.

use crate::{
    encoders::located::reference,
    error::EngineError,
    lists::store::is_database,
    members::kind::NamedIndex,
    missing_model::{MissingModel, NextStep},
    preset::Preset,
};
use unprompt_hub::{Hub, ModelRef};
use unprompt_index::{IndexError, PromptIndex};

/// The sentence encoder of an index where none is named.
const USUAL_ENCODER: &str = "all-MiniLM-L6-v2";

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
    let indexes = preset.indexes();
    let indexes = indexes.filter_map(|index| missing_index(preset, index));
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

fn missing_index(preset: &Preset, index: NamedIndex<'_>) -> Option<MissingModel> {
    // A table is not looked for: that would open a socket.
    if is_database(index.place) {
        return None;
    }
    let missing = matches!(
        PromptIndex::open(index.place),
        Err(IndexError::Missing { .. } | IndexError::Unfinished { .. })
    );
    let folder = index.place.to_string_lossy().into_owned();
    let clip = index.clip.unwrap_or("CLIP");
    let mut command = format!("unprompt index build PROMPTS --clip {clip} --out {folder}");
    if preset.encoder != USUAL_ENCODER {
        command += &format!(" --sentence {}", preset.encoder);
    }
    missing.then_some(MissingModel {
        name: folder,
        download_bytes: None,
        next_step: NextStep::BuildIndex(command),
    })
}

/// The best shipped preset that predicts on this machine as it is: the heaviest, as far as the
/// published scores go. One whose text comes out of the list that the program carries does without
/// its sentence encoder.
pub fn complete_preset(hub: &Hub) -> Option<&'static str> {
    let predicts = |preset: Preset| {
        let missing = missing_models(hub, &preset);
        let mut missing = missing.iter();
        missing.all(|model| preset.text.is_some() && model.name == preset.encoder)
    };
    let mut shipped = Preset::shipped().rev();
    shipped.find(|name| Preset::load(name).is_ok_and(predicts))
}

/// An error of the hub while a preset was loaded, with all else that the preset lacks.
pub(crate) fn explain(hub: &Hub, preset: &Preset, error: EngineError) -> EngineError {
    let is_absence = match &error {
        EngineError::Hub(_) => true,
        EngineError::Index(index) => matches!(
            **index,
            IndexError::Missing { .. } | IndexError::Unfinished { .. }
        ),
        _ => false,
    };
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
}
