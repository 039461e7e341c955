//! Loading a sentence encoder by the name the user gave.

use crate::{
    encoders::located::{Kind, Located, refuse_open_clips_name},
    error::Result,
};
use unprompt_hub::{Hub, Progress, ResolvedModel};
use unprompt_models::{Compute, SentenceEncoder};

/// A sentence encoder and where it came from.
///
/// # Errors
/// When the model cannot be had or is not a sentence encoder.
pub fn load_sentence_encoder(
    hub: &Hub,
    name: &str,
    compute: &Compute,
    progress: &dyn Progress,
) -> Result<(ResolvedModel, SentenceEncoder)> {
    refuse_open_clips_name(name, None, "a sentence encoder")?;
    let located = Located::new(hub, name, progress)?;
    match located.kind()? {
        Kind::SentenceEncoder => {
            let encoder = located.sentence_encoder(compute)?;
            Ok((located.resolved, encoder))
        }
        other => located.refuse(other, "a sentence encoder"),
    }
}
