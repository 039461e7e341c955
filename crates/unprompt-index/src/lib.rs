//! An index of prompts: their CLIP and sentence embeddings in half precision on disk, exact search,
//! and k-nearest-neighbour regression on what it finds.
//!
//! ```text
//! PromptFile --> build(embedders) --> folder of segments + manifest
//!                                              |
//!            query --> PromptIndex::nearest <--+--> export (parquet)
//!                            |
//!                            v
//!                 Regression: a sentence embedding
//! ```
//!
//! Anything that implements [`NearestPrompts`] can stand in the place of [`PromptIndex`]: [`PromptIndex::read_rows`]
//! fills it, and [`rank`] brings what it finds into the order of the exact search.
//!
//! Invariant: this crate knows no model; embeddings come through functions that it is given.
//!
//! Invariant: the same prompts and models give the same index, byte for byte, however often its build
//! was interrupted, and the same search gives the same bits on any number of threads; ties are broken
//! by row.
//!
//! Invariant: a search holds memory for its batch, not for the index.
//!
//! Invariant: no offset or size of a file is used before it is checked, and no row before its segment
//! agreed with its digest. Files must not be cut short while they are mapped: the system would end the
//! process. What needs `unsafe` is in `map.rs`.

mod build;
mod candidates;
mod durable;
mod error;
mod export;
mod file_names;
mod index;
mod manifest;
mod map;
mod nearest;
mod neighbours;
mod prompts;
mod regression;
mod rows;
mod search;
mod segment;
mod unique;

pub use build::{BuildOptions, BuildProgress, Embedder, Embedders, PromptHasher, build};
pub use candidates::{Candidate, rank, unit_queries};
pub use error::{IndexError, Result};
pub use index::PromptIndex;
pub use manifest::{Manifest, ModelIdentity, PromptCounts};
pub use nearest::Neighbour;
pub use neighbours::{Extent, Kept, Match, NearestPrompts, PromptStore, Space};
pub use prompts::{MAX_PROMPT_BYTES, MAX_RECORD_BYTES, PromptFile, PromptFormat, PromptIterator};
pub use regression::{NegativeDistance, Regressed, Regression};
pub use rows::StoredRow;
