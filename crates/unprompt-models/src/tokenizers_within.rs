//! The library of tokenizers, within bounds: it panics on some files that name tokens which are not
//! there, and what it holds for a text is hundreds of times as long as the text.

use crate::{ModelError, Result};
use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Once,
};
use tokenizers::Tokenizer;

/// Bytes of a text that are looked at where it is cut to a model's length anyway. The longest models
/// take 512 tokens, of 128 bytes each then; only a text whose tokens are longer on average, such as
/// one of blanks, is cut where its model would not have cut it.
pub(crate) const LONGEST_CUT: usize = 1 << 16;

/// The beginning of a text that is cut to a model's length anyway.
pub(crate) fn beginning(text: &str, longest: usize) -> &str {
    &text[..text.floor_char_boundary(longest)]
}

/// A tokenizer out of a `tokenizer.json`, which has been given a text and did not panic.
pub(crate) fn parse(path: &Path, bytes: &[u8]) -> Result<Tokenizer> {
    let broken = |message: String| ModelError::configuration(path, message);
    let parsed = contained(|| Tokenizer::from_bytes(bytes));
    let parsed = parsed.ok_or_else(|| broken("the tokenizers library gave up on it".into()))?;
    let tokenizer = parsed.map_err(|error| broken(error.to_string()))?;
    // What is wrong with special tokens shows when they are first put around a text.
    for text in ["", "a \u{1f600}"] {
        // An error is the text's own: not every vocabulary has a token for what it does not know.
        contained(|| tokenizer.encode_fast(text, true))
            .ok_or_else(|| broken("it names tokens that are not in it".into()))?
            .ok();
    }
    Ok(tokenizer)
}

/// The ids of a text, with special tokens where they are asked for.
pub(crate) fn encode(tokenizer: &Tokenizer, text: &str, special: bool) -> Result<Vec<u32>> {
    let encoding = contained(|| tokenizer.encode_fast(text, special))
        .ok_or_else(|| ModelError::Tokenizer("its file is broken: it gave up on a text".into()))?
        .map_err(|error| ModelError::Tokenizer(error.to_string()))?;
    Ok(encoding.get_ids().to_vec())
}

thread_local! {
    static CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// Runs a part of the library; `None` where it panics, which is then not shown either. Nothing that
/// it changes is used afterwards.
fn contained<T>(work: impl FnOnce() -> T) -> Option<T> {
    static SILENCE: Once = Once::new();
    // The hook cannot be changed by a thread that unwinds.
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
    let before = CONTAINED.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(work));
    CONTAINED.set(before);
    outcome.ok()
}

#[cfg(test)]
#[path = "../../../attacks/tokenizer_json.rs"]
mod tokenizer_json;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_names_tokens_which_are_not_there_is_refused() {
        let path = Path::new("tokenizer.json");
        let good = parse(path, tokenizer_json::good().as_bytes()).unwrap();
        assert_eq!(encode(&good, "a b", true).unwrap(), [0, 1]);
        for bad in tokenizer_json::bad() {
            let ids = parse(path, bad.as_bytes())
                .and_then(|tokenizer| encode(&tokenizer, "b \u{1f600}", true));
            assert!(ids.is_err(), "{bad}: {ids:?}");
        }
    }

    #[test]
    fn a_panic_is_an_error_and_the_next_call_works() {
        assert_eq!(contained(|| -> u8 { panic!("on purpose") }), None);
        assert_eq!(contained(|| 7), Some(7));
        assert!(!CONTAINED.get());
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(beginning("a\u{20ac}b", 3), "a");
        assert_eq!(beginning("a\u{20ac}b", 4), "a\u{20ac}");
        assert_eq!(beginning("ab", 4), "ab");
    }
}
