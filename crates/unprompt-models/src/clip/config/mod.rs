//! What the two published layouts say about a CLIP, in one form.

mod open_clip;
mod transformers;

pub(in crate::clip) use open_clip::parse as parse_open_clip;
pub(in crate::clip) use transformers::parse as parse_transformers;

use crate::transformer::BlockShape;
use serde_json::Value;
use unprompt_nn::{Activation, Mask};

/// What is wrong, without the file's name.
type Parsed<T> = std::result::Result<T, String>;

/// Pictures larger than this, or longer contexts, are no CLIP's.
const LARGEST_SIDE: usize = 1 << 14;

/// Which names the tensors have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::clip) enum ClipLayout {
    OpenClip,
    Transformers,
}

/// Both towers, or the one that a folder has.
#[derive(Clone, Debug)]
pub(in crate::clip) struct ClipConfig {
    pub(in crate::clip) layout: ClipLayout,
    pub(in crate::clip) image: Option<ImageConfig>,
    pub(in crate::clip) text: Option<TextConfig>,
}

/// The image tower.
#[derive(Clone, Debug)]
pub(in crate::clip) struct ImageConfig {
    pub(in crate::clip) shape: BlockShape,
    pub(in crate::clip) layers: usize,
    pub(in crate::clip) image_size: (usize, usize),
    pub(in crate::clip) patch: usize,
    pub(in crate::clip) embedding_width: usize,
    pub(in crate::clip) norm_before: bool,
    pub(in crate::clip) pooling: ImagePooling,
}

/// How the image tower's tokens become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::clip) enum ImagePooling {
    ClassToken,
    /// The mean over the patches, normalised before or after it.
    Mean {
        norm_after: bool,
    },
}

/// The text tower.
#[derive(Clone, Debug)]
pub(in crate::clip) struct TextConfig {
    pub(in crate::clip) shape: BlockShape,
    pub(in crate::clip) layers: usize,
    pub(in crate::clip) context_length: usize,
    pub(in crate::clip) vocabulary: usize,
    pub(in crate::clip) embedding_width: usize,
    pub(in crate::clip) pooling: TextPooling,
    pub(in crate::clip) projection: Projection,
    /// The setting of open_clip that asks for another tokenizer than its own.
    pub(in crate::clip) other_tokenizer: Option<String>,
}

/// Which token's vector stands for the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::clip) enum TextPooling {
    /// The first with the largest id: the end token in the usual vocabulary.
    LargestId,
    /// The first with this id; the first of all where there is none.
    FirstOf(u32),
}

/// What follows the text tower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::clip) enum Projection {
    None,
    Matrix,
    Linear,
}

/// Width, heads and the width within the feed-forward part, checked.
fn block_shape(
    part: &str,
    (width, heads, inner): (usize, usize, usize),
    activation: Activation,
    epsilon: f64,
    mask: Mask,
) -> Parsed<BlockShape> {
    if heads == 0 || width == 0 || !width.is_multiple_of(heads) {
        return Err(format!(
            "{part}: a width of {width} does not divide into {heads} heads"
        ));
    }
    Ok(BlockShape {
        width,
        heads,
        inner,
        activation,
        epsilon,
        mask,
    })
}

/// A side, or a pair of height and width.
fn sides(part: &str, name: &str, value: &Value) -> Parsed<(usize, usize)> {
    let side = |value: &Value| {
        let side = value.as_u64().map(|side| side as usize);
        side.filter(|side| (1..=LARGEST_SIDE).contains(side))
    };
    let pair = match value {
        Value::Array(pair) => match pair.as_slice() {
            [height, width] => side(height).zip(side(width)),
            _ => None,
        },
        value => side(value).map(|side| (side, side)),
    };
    pair.ok_or_else(|| format!("{part}: `{name}` must be a side or a pair of them, found {value}"))
}

fn image_and_patch(
    part: &str,
    image_size: &Value,
    patch_size: &Value,
) -> Parsed<((usize, usize), usize)> {
    let image = sides(part, "image_size", image_size)?;
    let (patch, patch_width) = sides(part, "patch_size", patch_size)?;
    if patch != patch_width || patch > image.0.min(image.1) {
        return Err(format!(
            "{part}: patches of {patch} x {patch_width} in pictures of {} x {}",
            image.0, image.1
        ));
    }
    Ok((image, patch))
}

fn check_context(part: &str, context_length: usize) -> Parsed<()> {
    if (1..=LARGEST_SIDE).contains(&context_length) {
        return Ok(());
    }
    Err(format!(
        "{part}: a context of {context_length} tokens where 1 to {LARGEST_SIDE} are built"
    ))
}
