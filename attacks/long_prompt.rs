//! A picture of some kilobytes with a prompt of megabytes: its text unpacks a thousandfold, and a tokenizer
//! holds hundreds of bytes for each of its letters.

/// A prompt of so many words.
pub fn prompt(words: usize) -> String {
    "a b ".repeat(words / 2)
}
