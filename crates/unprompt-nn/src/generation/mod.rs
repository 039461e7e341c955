//! From a decoder to a text's tokens: greedy, by beam search, or drawn.
//!
//! Source: `generate` of transformers 5.24 and, where asked for, of transformers 4.18. Each
//! sequence is searched by itself and only the decoder's steps are shared, so that a result does not
//! depend on what it was computed with.

mod beam;
mod beam_search;
mod constraints;
mod generate;
mod hypotheses;
mod options;
mod search;
mod single;

pub use generate::{Decoder, generate};
pub use options::{GenerationOptions, LengthPenalty, Sampling};
pub use search::{Generated, GenerationError};

#[cfg(test)]
mod tests;
