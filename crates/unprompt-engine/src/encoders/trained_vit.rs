//! A Vision Transformer to be trained, by the name that a user gave.

use crate::{
    encoders::{
        located::{Kind, Located},
        preprocessing::vit_preprocessor,
    },
    error::Result,
};
use unprompt_hub::{Hub, Progress, ResolvedModel};
use unprompt_image::Preprocessor;
use unprompt_models::{Compute, VitTensors};

/// The tensors of a Vision Transformer, and how a picture becomes its input.
///
/// # Errors
/// When the model cannot be had, or is none that is trained: a plain Vision Transformer with a class
/// token, in the layout of timm or as a bare state dict.
pub fn load_vit_tensors(
    hub: &Hub,
    name: &str,
    progress: &dyn Progress,
) -> Result<(ResolvedModel, VitTensors, Preprocessor)> {
    let located = Located::new(hub, name, progress)?;
    let kind = located.kind()?;
    if !matches!(kind, Kind::TimmVit | Kind::BareVit) {
        return located.refuse(kind, "a Vision Transformer in the layout of timm");
    }
    let options = located.options(&Compute::default());
    let tensors = located.named(VitTensors::load(located.path(), options))?;
    let preprocessor = vit_preprocessor(&located, kind, tensors.image_size)?;
    Ok((located.resolved, tensors, preprocessor))
}
