//! CLIP Interrogator: a picture's prompt from a caption and the labels nearest to it.
//!
//! Reference: clip-interrogator 0.6.0. [`Behaviour::Compat060`] repeats it to the letter;
//! [`Behaviour::Fixed`] leaves its mistakes out.
//!
//! ```text
//! label files -> LabelSet -> tables (cached) --+
//!                                              v
//! picture's vector, caption ------------> Interrogator -> prompt, similarity
//!                                              ^
//! text tower, tokenizer -> PhraseEncoder ------+
//! ```
//!
//! Invariant: this crate decodes no picture and fetches nothing: it takes vectors and folders.
//!
//! Invariant: what a label or a prompt gives does not depend on what is computed beside it; ties
//! are broken by list order. Only a time budget makes a result depend on the machine.
//!
//! Invariant: a cache file is whole or not there, and one that does not belong to these weights and
//! this list is made again; a table whose making was stopped becomes the same bytes.

mod behaviour;
mod budget;
mod cache;
mod chain;
mod encoder;
mod error;
mod interrogation;
mod interrogator;
mod labels;
mod mode;
mod policy;
mod prompt_scorer;
mod ranked_picture;
mod ranking;
mod table;
mod unfinished;

pub use behaviour::Behaviour;
pub use budget::{TokenBudget, TokenCounter};
pub use cache::TableCache;
pub use chain::{Chain, ChainOptions};
pub use encoder::PhraseEncoder;
pub use error::{InterrogateError, Result};
pub use interrogation::{Asked, Interrogation, Subject};
pub use interrogator::{InterrogateOptions, Interrogator};
pub use labels::{LabelList, LabelSet};
pub use mode::Mode;
pub use policy::LabelPolicy;
pub use ranked_picture::Contribution;
pub use table::{LabelTable, NoTableProgress, RankedLabel, TableProgress};
