//! What a Vision Transformer that is trained looks like.

use crate::{Result, TrainError};
use unprompt_nn::{
    Activation,
    training::{AttentionShape, LinearShape},
};

/// Which of the two families a network is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VitFamily {
    /// timm's plain `vit_*`.
    Plain,
    /// The image tower of a CLIP, timm's `vit_*_clip_*`: normalised before the blocks too, and patches
    /// without a bias. OpenAI's have QuickGELU.
    Clip {
        /// Whether it is QuickGELU, and not GELU.
        quick: bool,
    },
}

impl VitFamily {
    /// What is added to the variance in normalisation, as timm gives it to the family.
    pub(crate) fn epsilon(self) -> f32 {
        match self {
            Self::Plain => 1e-6,
            Self::Clip { .. } => 1e-5,
        }
    }

    /// Between the two linear layers of a block.
    pub(crate) fn activation(self) -> Activation {
        match self {
            Self::Clip { quick: true } => Activation::QuickGelu,
            Self::Plain | Self::Clip { quick: false } => Activation::Gelu,
        }
    }
}

/// The shape of timm's Vision Transformer with a class token, whose last state the head reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VitShape {
    /// The family.
    pub family: VitFamily,
    /// Height and width of a picture, multiples of the patch.
    pub image: (usize, usize),
    /// Side of a patch.
    pub patch: usize,
    /// Width of a token's vector.
    pub width: usize,
    /// Blocks.
    pub depth: usize,
    /// Attention heads, which divide the width.
    pub heads: usize,
    /// Width between the two linear layers of a block.
    pub inner: usize,
    /// Numbers that the head gives.
    pub outputs: usize,
}

/// Tensors of a block.
pub(crate) const A_BLOCK: usize = 12;

impl VitShape {
    /// An error unless everything fits.
    pub(super) fn check(&self) -> Result<()> {
        let Self {
            image: (height, width),
            patch,
            ..
        } = *self;
        let fits = patch > 0
            && height > 0
            && width > 0
            && height.is_multiple_of(patch)
            && width.is_multiple_of(patch)
            && self.heads > 0
            && self.width > 0
            && self.width.is_multiple_of(self.heads)
            && self.inner > 0
            && self.depth > 0
            && self.outputs > 0;
        fits.then_some(()).ok_or_else(|| {
            TrainError::Data(format!("no Vision Transformer has the shape {self:?}"))
        })
    }

    /// Values of a picture: height * width * 3.
    pub fn picture(&self) -> usize {
        self.image.0 * self.image.1 * 3
    }

    /// Patches of a picture.
    pub(super) fn patches(&self) -> usize {
        (self.image.0 / self.patch) * (self.image.1 / self.patch)
    }

    /// Tokens of a picture.
    pub(super) fn tokens(&self) -> usize {
        1 + self.patches()
    }

    /// From a patch's values to a token.
    pub(super) fn embedding(&self) -> LinearShape {
        LinearShape {
            outputs: self.width,
            inputs: 3 * self.patch * self.patch,
        }
    }

    pub(super) fn attention(&self) -> AttentionShape {
        AttentionShape {
            length: self.tokens(),
            heads: self.heads,
            width: self.width,
        }
    }

    /// A linear layer of so many widths or so on.
    pub(super) fn linear(outputs: usize, inputs: usize) -> LinearShape {
        LinearShape { outputs, inputs }
    }

    /// Tensors before those of block `block`, of all blocks for their number.
    pub(crate) fn first_of(&self, block: usize) -> usize {
        let before = match self.family {
            VitFamily::Plain => 4,
            VitFamily::Clip { .. } => 5,
        };
        before + A_BLOCK * block
    }

    /// Every tensor's name and shape, in the order in which [`super::Vit`] holds them: timm's.
    pub(super) fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let &Self { width, inner, .. } = self;
        let mut tensors = vec![
            ("cls_token".into(), vec![1, 1, width]),
            ("pos_embed".into(), vec![1, self.tokens(), width]),
            (
                "patch_embed.proj.weight".into(),
                vec![width, 3, self.patch, self.patch],
            ),
        ];
        match self.family {
            VitFamily::Plain => tensors.push(("patch_embed.proj.bias".into(), vec![width])),
            VitFamily::Clip { .. } => tensors.extend([
                ("norm_pre.weight".into(), vec![width]),
                ("norm_pre.bias".into(), vec![width]),
            ]),
        }
        for block in 0..self.depth {
            for (name, shape) in [
                ("norm1.weight", vec![width]),
                ("norm1.bias", vec![width]),
                ("attn.qkv.weight", vec![3 * width, width]),
                ("attn.qkv.bias", vec![3 * width]),
                ("attn.proj.weight", vec![width, width]),
                ("attn.proj.bias", vec![width]),
                ("norm2.weight", vec![width]),
                ("norm2.bias", vec![width]),
                ("mlp.fc1.weight", vec![inner, width]),
                ("mlp.fc1.bias", vec![inner]),
                ("mlp.fc2.weight", vec![width, inner]),
                ("mlp.fc2.bias", vec![width]),
            ] {
                tensors.push((format!("blocks.{block}.{name}"), shape));
            }
        }
        tensors.extend([
            ("norm.weight".into(), vec![width]),
            ("norm.bias".into(), vec![width]),
            ("head.weight".into(), vec![self.outputs, width]),
            ("head.bias".into(), vec![self.outputs]),
        ]);
        tensors
    }

    /// How deep a tensor lies, as timm counts: what comes before the blocks 0, the blocks from 1 on,
    /// the last normalisation with the last block, the head behind all.
    pub(super) fn layer(&self, index: usize) -> usize {
        let first = self.first_of(0);
        match index.checked_sub(first) {
            None => 0,
            Some(index) if index < A_BLOCK * self.depth => 1 + index / A_BLOCK,
            Some(index) if index < A_BLOCK * self.depth + 2 => self.depth,
            Some(_) => self.depth + 1,
        }
    }
}
