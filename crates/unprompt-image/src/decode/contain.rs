//! Keeps a decoder's panic inside the decode call.

use crate::{Format, ImageError, ImageErrorKind, Result};
use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Once,
};

thread_local! {
    static CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// Runs a decoder; its panic becomes an error.
///
/// The default panic hook would print a backtrace for each bad file of a folder, so a hook that
/// stays silent for contained panics, and passes all others on, is installed once per process.
pub(super) fn contain_panics<T>(format: Format, decoder: impl FnOnce() -> Result<T>) -> Result<T> {
    static SILENCE: Once = Once::new();
    // The hook cannot be changed by a thread that unwinds, such as one that decodes in a `drop`.
    if !std::thread::panicking() {
        SILENCE.call_once(|| {
            let earlier = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| {
                if !CONTAINED.get() {
                    earlier(info);
                }
            }));
        });
    }
    // Nothing that the decoder touched survives a panic: it owns its state and borrows only the
    // immutable input.
    CONTAINED.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(decoder));
    CONTAINED.set(false);
    outcome.unwrap_or_else(|_| {
        Err(ImageError::new(
            ImageErrorKind::DecoderPanicked,
            format!("damaged {format} picture: its decoder gave up on it"),
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_and_the_next_call_works() {
        let outcome: Result<()> = contain_panics(Format::Gif, || panic!("on purpose"));
        assert_eq!(outcome.unwrap_err().kind(), ImageErrorKind::DecoderPanicked);
        assert_eq!(contain_panics(Format::Gif, || Ok(7)).unwrap(), 7);
        assert!(!CONTAINED.get());
    }
}
