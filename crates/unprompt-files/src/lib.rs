//! Files that other processes may read and write at the same time.
//!
//! Invariant: a file that is written here is whole or not there, also after the power went: it is
//! written beside its place, synced, renamed, and its folder synced.
//!
//! Invariant: what an interrupted process leaves has a name that begins with [`TEMPORARY_PREFIX`];
//! such names are never read. It is removed by the next process that writes in the same folder; a
//! process that is told to end by a signal removes its own with [`undo_all`].

mod durable;
mod failpoint;
mod lock;
mod regular;
mod temporary;
mod undo;

pub use durable::{
    create_folder, folder_of, promote, promote_new, rename, replace, sync_folder, write, write_by,
};
pub use failpoint::Failpoint;
pub use lock::Lock;
pub use regular::{open_regular, read_regular};
pub use temporary::{
    Leftover, TEMPORARY_PREFIX, TemporaryFile, TemporaryFolder, leftovers_in, temporary_folder_in,
    temporary_in,
};
pub use undo::{Undo, undo_all};
