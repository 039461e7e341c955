//! What a search for one sequence is, whichever its rules.

/// One sequence as transformers' `generate` returns it, without padding.
#[derive(Clone, Debug, PartialEq)]
pub struct Generated {
    /// The prompt's tokens and the generated ones, the end token included where there is one.
    pub token_ids: Vec<u32>,
    /// The sum of the logarithms of the generated tokens' probabilities, divided by the length to
    /// the power of the length penalty; a token that was forced counts 0. For beam search this is
    /// transformers' `sequences_scores`.
    pub score: f32,
}

/// Why nothing was generated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GenerationError {
    /// The options do not fit each other or the decoder.
    #[error("generation: {0}")]
    Options(String),
    /// The network gave logits that are no numbers.
    #[error("generation: the logits after {position} tokens are not finite numbers")]
    NotFinite {
        /// Tokens before.
        position: usize,
    },
    /// A step failed.
    #[error(transparent)]
    Compute(#[from] candle_core::Error),
}

pub(super) type Result<T> = std::result::Result<T, GenerationError>;

/// A sequence's way on: the row of the logits that it goes on from, and its next token.
pub(super) type Continuation = (usize, u32);

/// The search for one sequence.
pub(super) trait Search: Send {
    /// Takes the logits of its rows and says how it goes on; not at all when it is at its end.
    fn advance(&mut self, logits: &[&[f32]]) -> Result<Vec<Continuation>>;

    fn finish(self: Box<Self>) -> Generated;
}
