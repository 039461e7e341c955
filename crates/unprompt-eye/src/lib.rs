//! What the default preset needs and the program carries: lists of texts with their embeddings,
//! among them 36,000 prompts, and the weights of a tower and of a head.
//!
//! `assets/NOTICE.md` says where all of it comes from, and `make.sh` makes it.
//!
//! Invariant: nothing is unpacked or copied when the program starts; what is not asked for costs
//! nothing.
//!
//! Invariant: results have the same bits with any number of threads.

mod assets;
mod make;
mod printable;
mod quantised;
mod text_list;

pub use assets::{ENCODER, NAME, files, head, head_config, labels, prompts, sha256, tower};
pub use make::{NewSegment, make_list, remake_list};
pub use printable::is_printable;
pub use text_list::{Segment, TextList};

/// Bytes that are not what they should be.
#[derive(Clone, Debug, thiserror::Error)]
#[error("a list of texts is damaged: {0}")]
pub struct Damaged(String);

impl Damaged {
    pub(crate) fn new(reason: impl ToString) -> Self {
        Self(reason.to_string())
    }
}
