//! What the configurations of image and text towers have in common.

use crate::transformer::BlockShape;
use serde_json::Value;
use unprompt_nn::{Activation, Mask};

/// What is wrong, without the file's name.
pub(crate) type Parsed<T> = std::result::Result<T, String>;

/// Pictures larger than this, or longer contexts, are no tower's.
const LARGEST_SIDE: usize = 1 << 14;

/// Width, heads and the width within the feed-forward part, checked.
pub(crate) fn block_shape(
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

/// The picture's height and width and the side of its patches, checked.
pub(crate) fn image_and_patch(
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

/// Refuses a context that no text tower has.
pub(crate) fn check_context(part: &str, context_length: usize) -> Parsed<()> {
    if (1..=LARGEST_SIDE).contains(&context_length) {
        return Ok(());
    }
    Err(format!(
        "{part}: a context of {context_length} tokens where 1 to {LARGEST_SIDE} are built"
    ))
}
