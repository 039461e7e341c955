//! Names, fetches, verifies and caches model files.
//!
//! [`Hub::resolve`] turns a [`ModelRef`] (a name of the manifest, a hub id, or a local path) into a
//! [`ResolvedModel`]: files on this machine. Blocking; no async runtime.
//!
//! A named model's files come from the first of its sources that works: a repository on a hub,
//! kept in the cache shared with Python, or a Python package, kept in this program's own cache.
//! [`Environment`] says where both caches are and which variables decide it.
//!
//! Invariant: a file gets its name only after its size and hash were found to be the listed ones;
//! what a killed run leaves behind is never read as a model file.
//! Invariant: no file name from a hub, wheel or bundle leads a write out of the cache.
//! Invariant: offline, no socket is opened and no other program is started.
//! Invariant: locks save work, they never guard correctness.
//! Invariant: knows nothing of what is inside a model file.

mod address;
mod bundle;
mod convert;
mod digest;
mod environment;
mod error;
mod http;
mod hub;
mod import;
mod inventory;
mod local;
mod lookup;
mod manifest;
mod named;
mod package;
mod progress;
mod reference;
mod relative_path;
mod remembered;
mod remote;
mod repository;
mod resolved;
mod single_file;
mod storage;
mod text;
mod transfer;
mod verification;
mod weights;

pub use environment::{Environment, Token};
pub use error::{Error, Result, SourceFailure};
pub use hub::{Hub, HubOptions};
pub use inventory::ModelStatus;
pub use manifest::{Manifest, ModelKind};
pub use progress::{NoProgress, Progress};
pub use reference::{ModelRef, RepositoryId};
pub use resolved::ResolvedModel;
pub use text::megabytes;
pub use verification::{FileCheck, FileState, Verification};
