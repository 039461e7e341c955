//! Reads weight files, safetensors and pickles, as untrusted data.
//!
//! [`Checkpoint::open`] takes a file or a folder as Hugging Face lays it out and gives named
//! tensors; [`convert_to_safetensors`] turns a pickle into a safetensors file once, so that later
//! runs need no pickle at all.
//!
//! Invariant: nothing in a file is ever executed; a pickle is read by a machine that has no way
//! to call anything.
//! Invariant: a size that a file claims is checked against the bytes that are there before
//! anything is allocated for it.
//! Invariant: no file content, however broken, makes this crate panic.
//! Invariant: this crate knows no model and no tensor library; it hands out bytes, shapes and
//! types.
//! Invariant: all `unsafe` of this crate is the memory map in `map.rs`.
//!
//! Not promised: the time and memory that a large, valid file takes, and what happens when
//! another process shortens a file while it is mapped (the operating system then ends the
//! process; replace weight files by renaming, as [`convert_to_safetensors`] does).

mod checkpoint;
mod convert;
mod dtype;
mod error;
mod format;
mod layout;
mod locate;
mod map;
mod pickle;
mod safetensors;

pub use checkpoint::{Checkpoint, TensorView};
pub use convert::{ConversionSummary, convert_to_safetensors};
pub use dtype::DType;
pub use error::{CheckpointError, CheckpointErrorKind, Result};
pub use pickle::Pickle;
