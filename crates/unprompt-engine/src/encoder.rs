//! Loading a sentence encoder by the name the user gave.

use crate::{
    Result,
    loading::{Kind, Located, refuse_named_clip},
};
use unprompt_hub::{Hub, Progress, ResolvedModel};
use unprompt_models::SentenceEncoder;

/// A sentence encoder and where it came from.
///
/// # Errors
/// When the model cannot be had or is not a sentence encoder.
pub fn load_sentence_encoder(
    hub: &Hub,
    name: &str,
    progress: &dyn Progress,
) -> Result<(ResolvedModel, SentenceEncoder)> {
    refuse_named_clip(name, "a sentence encoder")?;
    let located = Located::new(hub, name, progress)?;
    match located.kind()? {
        Kind::SentenceEncoder => {
            let encoder = SentenceEncoder::load(&located.resolved.dir, located.pickle);
            let encoder = located.named(encoder)?;
            Ok((located.resolved, encoder))
        }
        other => located.refuse(other, "a sentence encoder"),
    }
}
