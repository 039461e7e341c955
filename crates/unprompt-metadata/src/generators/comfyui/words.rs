//! Words that are looked for inside names and texts.

use regex::{Regex, RegexBuilder};

/// Any of these words, without regard to case, in one pass over a text: a graph may have fifty
/// thousand names, and each is held against long lists.
pub(super) fn any_of(words: &[&str]) -> Regex {
    let words: Vec<String> = words.iter().map(|word| regex::escape(word)).collect();
    let any = RegexBuilder::new(&words.join("|"))
        .case_insensitive(true)
        .build();
    any.expect("constant words")
}

/// Whether a name contains a word, without regard to the case of its letters.
pub(super) fn contains(name: &str, word: &str) -> bool {
    let mut parts = name.as_bytes().windows(word.len());
    parts.any(|part| part.eq_ignore_ascii_case(word.as_bytes()))
}
