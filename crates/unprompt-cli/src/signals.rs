//! What SIGINT and SIGTERM do.
//!
//! They end a command at once: its temporary files go, what is whole stays, and the exit code is 130 or
//! 143, as a shell gives it for a program that a signal ended. A job is asked first, so that it can
//! keep the records that it has; the server, once it runs, has its own way.

use anyhow::{Context, Result};
use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};

/// What the first signal sets instead of ending the process.
static STOP: OnceLock<Arc<AtomicBool>> = OnceLock::new();
/// Whether somebody else listens.
static LEFT: AtomicBool = AtomicBool::new(false);

/// Begins to listen; called once, before anything is written.
///
/// # Errors
/// When the system has no thread or no handler left.
pub(crate) fn listen() -> Result<()> {
    #[cfg(unix)]
    {
        use signal_hook::{
            consts::{SIGINT, SIGTERM},
            iterator::Signals,
            low_level::exit,
        };
        let mut signals = Signals::new([SIGINT, SIGTERM]).context("cannot listen to signals")?;
        let end = move || {
            for signal in signals.forever() {
                if LEFT.load(Ordering::SeqCst) {
                    continue;
                }
                match STOP.get() {
                    // A second one is from somebody who does not want to wait.
                    Some(stop) if !stop.swap(true, Ordering::SeqCst) => {}
                    _ => {
                        unprompt_files::undo_all();
                        // Without destructors: other threads are still at work.
                        exit(128 + signal);
                    }
                }
            }
        };
        std::thread::Builder::new()
            .name("signals".into())
            .spawn(end)
            .context("cannot listen to signals")?;
    }
    Ok(())
}

/// From now on the first signal only sets this flag; the second ends the process.
pub(crate) fn ask_first() -> Arc<AtomicBool> {
    Arc::clone(STOP.get_or_init(Arc::default))
}

/// From now on signals are somebody else's.
pub(crate) fn leave() {
    LEFT.store(true, Ordering::SeqCst);
}
