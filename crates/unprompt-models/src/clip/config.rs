//! What the two published layouts say about a CLIP, in one form.

use crate::transformer::BlockShape;

/// Which names the tensors have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClipLayout {
    OpenClip,
    Transformers,
}

/// Tensors that some files have and no tower reads.
pub(super) const BUFFERS: &[&str] = &["attn_mask", "text.attn_mask"];

/// Both towers, or the one that a folder has.
#[derive(Clone, Debug)]
pub(super) struct ClipConfig {
    pub(super) layout: ClipLayout,
    pub(super) image: Option<ImageConfig>,
    pub(super) text: Option<TextConfig>,
}

/// The image tower.
#[derive(Clone, Debug)]
pub(super) struct ImageConfig {
    pub(super) shape: BlockShape,
    pub(super) layers: usize,
    pub(super) image_size: (usize, usize),
    pub(super) patch: usize,
    pub(super) embedding_width: usize,
    pub(super) norm_before: bool,
    pub(super) pooling: ImagePooling,
}

/// How the image tower's tokens become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ImagePooling {
    ClassToken,
    /// The mean over the patches, normalised before or after it.
    Mean {
        norm_after: bool,
    },
}

/// The text tower.
#[derive(Clone, Debug)]
pub(super) struct TextConfig {
    pub(super) shape: BlockShape,
    pub(super) layers: usize,
    pub(super) context_length: usize,
    pub(super) vocabulary: usize,
    pub(super) embedding_width: usize,
    pub(super) pooling: TextPooling,
    pub(super) projection: Projection,
    /// The setting of open_clip that asks for another tokenizer than its own.
    pub(super) other_tokenizer: Option<String>,
}

/// Which token's vector stands for the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextPooling {
    /// The first with the largest id: the end token in the usual vocabulary.
    LargestId,
    /// The first with this id; the first of all where there is none.
    FirstOf(u32),
}

/// What follows the text tower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Projection {
    None,
    Matrix,
    Linear,
}
