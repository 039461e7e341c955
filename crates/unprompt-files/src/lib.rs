//! Files that other processes may read and write at the same time.
//!
//! Invariant: a file that is written here is whole or not there, also after the power went: it is
//! written beside its place, synced, renamed, and its folder synced.
//!
//! Invariant: what an interrupted process leaves has a name that begins with [`TEMPORARY_PREFIX`];
//! such names are never read.

mod durable;
mod lock;

pub use durable::{
    TEMPORARY_PREFIX, folder_of, promote, rename, replace, sync_folder, temporary_in, write,
    write_by,
};
pub use lock::Lock;
