//! What the fuzz targets share.

pub mod bodies;

use std::{
    panic,
    process::abort,
    sync::atomic::{AtomicUsize, Ordering},
};

/// Panics that are shown; a library may panic in every second execution.
const SHOWN: usize = 20;

/// libFuzzer's own hook ends the process at every panic. This one does so at those of our own code; what a
/// library's code panics with is contained where we say so, and ends the target where it is not.
pub fn end_at_our_own_panics() {
    static SEEN: AtomicUsize = AtomicUsize::new(0);
    panic::set_hook(Box::new(|panicked| {
        let place = panicked.location().map(|place| place.file());
        let ours = place
            .is_some_and(|file| file.contains("crates/unprompt") || file.contains("bodies.rs"));
        if ours || SEEN.fetch_add(1, Ordering::Relaxed) < SHOWN {
            eprintln!("{panicked}");
        }
        if ours {
            abort();
        }
    }));
}
