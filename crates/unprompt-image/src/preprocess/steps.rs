//! The geometric steps that a preprocessor is made of.

use crate::Filter;
use serde::{Deserialize, Serialize};

/// One geometric step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Resize with a filter.
    Resize {
        /// The size aimed at.
        target: ResizeTarget,
        /// The resampling filter.
        filter: Filter,
    },
    /// Cut out the centre, padding where the picture is too small.
    CenterCrop {
        /// Width of the result, in pixels.
        width: u32,
        /// Height of the result, in pixels.
        height: u32,
        /// Where the cut lies when the margins are odd.
        rounding: CropRounding,
        /// Colour of the padding.
        fill: [u8; 3],
    },
}

/// The size that a resize aims at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResizeTarget {
    /// Exactly this size, whatever becomes of the proportions.
    Exact {
        /// Width, in pixels.
        width: u32,
        /// Height, in pixels.
        height: u32,
    },
    /// The shorter side becomes this long, the longer one in proportion, rounded down
    /// (torchvision, transformers).
    ShortestSide(u32),
    /// In proportion, as large as fits into this box, rounded half to even (open_clip `longest`,
    /// timm `border`).
    Fit {
        /// Width of the box, in pixels.
        width: u32,
        /// Height of the box, in pixels.
        height: u32,
    },
    /// In proportion, as small as covers this box, rounded half to even (open_clip and timm for
    /// boxes that are not square).
    Cover {
        /// Width of the box, in pixels.
        width: u32,
        /// Height of the box, in pixels.
        height: u32,
    },
}

/// Where a centre crop starts when its margins differ by an odd number of pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CropRounding {
    /// `floor((side - crop) / 2)` (transformers).
    Floor,
    /// `round((side - crop) / 2)`, half to even (torchvision, open_clip, timm).
    HalfToEven,
}
