//! What the two published layouts say about a CLIP, in one form.

mod open_clip;
mod transformers;

pub(in crate::clip) use open_clip::parse as parse_open_clip;
pub(in crate::clip) use transformers::parse as parse_transformers;

use crate::transformer::BlockShape;

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
