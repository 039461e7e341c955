//! A Vision Transformer to be trained, by the name that a user gave.

use crate::{
    encoders::{
        located::{Kind, Located},
        preprocessing::{clip_preprocessor, vit_preprocessor},
    },
    error::Result,
};
use unprompt_hub::{Hub, Progress, ResolvedModel};
use unprompt_image::Preprocessor;
use unprompt_models::{Compute, VitTensors};

/// The tensors of a Vision Transformer, and how a picture becomes its input. `heads` is told by who
/// knows it, for tensors alone; where it has to be guessed, `progress` gets a note.
///
/// # Errors
/// When a number of heads is told of a model whose files say it, when the model cannot be had, or is none
/// that is trained: a Vision Transformer with a class token, in the layout of timm or as a bare state dict,
/// or a CLIP, whose image tower it is then.
pub fn load_vit_tensors(
    hub: &Hub,
    name: &str,
    heads: Option<usize>,
    progress: &dyn Progress,
) -> Result<(ResolvedModel, VitTensors, Preprocessor)> {
    let located = Located::new(hub, name, progress)?;
    let kind = located.kind()?;
    if !kind.is_vit() {
        located.refuse_heads(heads, kind)?;
    }
    if kind == Kind::Clip {
        let checkpoint = located.clip(&Compute::default())?;
        let tensors = located.named(checkpoint.image_tensors())?;
        let is_open_clip = checkpoint.is_open_clip();
        let preprocessor = clip_preprocessor(&located, is_open_clip, tensors.image_size)?;
        return Ok((located.resolved, tensors, preprocessor));
    }
    if !matches!(kind, Kind::TimmVit | Kind::BareVit) {
        return located.refuse(
            kind,
            "a CLIP, or a Vision Transformer in the layout of timm,",
        );
    }
    let options = located.options(&Compute::default());
    let tensors = VitTensors::load_with_heads(located.path(), heads, options);
    let tensors = located.named(tensors)?;
    if tensors.heads_are_guessed {
        located.note_guess(tensors.heads, progress);
    }
    let preprocessor = vit_preprocessor(&located, kind, tensors.image_size)?;
    Ok((located.resolved, tensors, preprocessor))
}
