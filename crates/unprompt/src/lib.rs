//! Turns an image back into its prompt: the facade over the unprompt crates.
