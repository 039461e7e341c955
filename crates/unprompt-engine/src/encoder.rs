//! Loading a sentence encoder by the name the user gave.

use crate::{EngineError, Result};
use unprompt_checkpoint::Pickle;
use unprompt_hub::{Hub, ModelRef, Progress, ResolvedModel};
use unprompt_models::{ModelError, SentenceEncoder};

/// Resolves a model by name and builds it.
pub(crate) fn load<T>(
    hub: &Hub,
    name: &str,
    progress: &dyn Progress,
    build: impl Fn(&ResolvedModel, Pickle) -> std::result::Result<T, ModelError>,
) -> Result<(ResolvedModel, T)> {
    let reference: ModelRef = name.parse()?;
    let resolved = hub.resolve(&reference, progress)?;
    let pickle = if hub.allows_pickle() {
        Pickle::Allow
    } else {
        Pickle::Deny
    };
    let model = build(&resolved, pickle).map_err(|reason| EngineError::Model {
        name: name.to_owned(),
        reason,
    })?;
    Ok((resolved, model))
}

/// A sentence encoder and where it came from.
///
/// # Errors
/// When the model cannot be had or is not a sentence encoder.
pub fn load_sentence_encoder(
    hub: &Hub,
    name: &str,
    progress: &dyn Progress,
) -> Result<(ResolvedModel, SentenceEncoder)> {
    load(hub, name, progress, |resolved, pickle| {
        SentenceEncoder::load(&resolved.dir, pickle)
    })
}
