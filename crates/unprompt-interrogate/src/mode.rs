//! The prompts that can be made of a picture.

use crate::labels::{ARTISTS, FLAVORS, MEDIUMS, MOVEMENTS, NEGATIVE, TRENDINGS};

/// Which prompt is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The caption, then the first medium, artist, site and movement, and some flavors.
    Classic,
    /// The caption, then the first labels of all tables.
    Fast,
    /// The caption, then labels one by one, each the one that helps most.
    Best,
    /// Labels that lead away from the picture, one by one.
    Negative,
    /// The caption, the first medium and movement and three flavors: the variant of the paper.
    Competition,
    /// No prompt: the first labels of each table.
    Analyze,
}

impl Mode {
    /// Whether a prompt of this mode begins with a caption.
    pub fn takes_caption(self) -> bool {
        !matches!(self, Self::Negative | Self::Analyze)
    }

    /// Whether a prompt of this mode is looked for step by step, which takes far longer than all
    /// else.
    pub fn grows_a_chain(self) -> bool {
        matches!(self, Self::Best | Self::Negative)
    }

    /// Whether the labels of a table are ranked.
    pub fn ranks(self, table: &str) -> bool {
        match self {
            Self::Classic => [ARTISTS, FLAVORS, MEDIUMS, MOVEMENTS, TRENDINGS].contains(&table),
            Self::Competition => [FLAVORS, MEDIUMS, MOVEMENTS].contains(&table),
            Self::Fast | Self::Best => table != NEGATIVE,
            Self::Negative => table == FLAVORS,
            Self::Analyze => true,
        }
    }
}
