//! What can be asked of a generation.

use super::search::{GenerationError, Result};

/// More beams than help anywhere; each costs memory.
const MOST_BEAMS: usize = 64;

/// How a sequence is generated; the defaults are those of transformers.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerationOptions {
    /// Sequences that are followed at a time; 1 is greedy.
    pub beams: usize,
    /// The sequence's length at most, the prompt included.
    pub max_length: usize,
    /// Tokens generated at most; where given, `max_length` does not count.
    pub max_new_tokens: Option<usize>,
    /// The end token does not come before this length, the prompt included.
    pub min_length: usize,
    /// No run of this many tokens comes twice; 0 lets all come.
    pub no_repeat_ngram: usize,
    /// The power of the length by which a beam's score is divided; above 0 favours long sequences.
    pub length_penalty: f64,
    /// Which length that is.
    pub length_penalty_of: LengthPenalty,
    /// Ends as soon as there are as many finished sequences as beams.
    pub early_stopping: bool,
    /// The token that ends a sequence.
    pub end_token: u32,
    /// The only token that can follow a prompt of one token.
    pub forced_first_token: Option<u32>,
    /// The only token that can come last when `max_length` is reached.
    pub forced_end_token: Option<u32>,
    /// Tokens that never come.
    pub suppressed_tokens: Vec<u32>,
    /// Draws tokens in place of taking the most probable; for one beam.
    pub sampling: Option<Sampling>,
}

/// The two conventions of beam search.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LengthPenalty {
    /// The generated tokens, the end token included: transformers 5.
    #[default]
    GeneratedTokens,
    /// The whole sequence, prompt included, end token not: transformers 4.
    WholeSequence,
}

/// How tokens are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// The same seed draws the same tokens for the same picture, whatever its batch.
    pub seed: u64,
    /// Logits are divided by it; above 0.
    pub temperature: f32,
    /// Only so many of the most probable tokens are drawn from; 0 for all.
    pub top_k: usize,
    /// Only the fewest tokens whose probabilities reach this sum are drawn from, in (0, 1].
    pub top_p: f32,
}

impl Default for GenerationOptions {
    fn default() -> Self {
        Self {
            beams: 1,
            max_length: 20,
            max_new_tokens: None,
            min_length: 0,
            no_repeat_ngram: 0,
            length_penalty: 1.0,
            length_penalty_of: LengthPenalty::default(),
            early_stopping: false,
            end_token: 0,
            forced_first_token: None,
            forced_end_token: None,
            suppressed_tokens: Vec::new(),
            sampling: None,
        }
    }
}

impl GenerationOptions {
    /// Tells whether a decoder of so many tokens and positions can generate after `prompt`.
    ///
    /// # Errors
    /// When something does not fit, or no room is left after the prompt.
    pub fn check_for(&self, prompt: &[u32], vocabulary: usize, max_positions: usize) -> Result<()> {
        self.check(vocabulary, max_positions)?;
        self.limit(prompt, vocabulary, max_positions)?;
        Ok(())
    }

    pub(super) fn check(&self, vocabulary: usize, max_positions: usize) -> Result<()> {
        let refuse = |message: String| Err(GenerationError::Options(message));
        if self.beams == 0 || self.beams > MOST_BEAMS || 2 * self.beams > vocabulary {
            return refuse(format!(
                "{} beams, where 1 to {} are possible",
                self.beams,
                MOST_BEAMS.min(vocabulary / 2).max(1)
            ));
        }
        if !self.length_penalty.is_finite() {
            return refuse(format!("a length penalty of {}", self.length_penalty));
        }
        let forced = [
            Some(self.end_token),
            self.forced_first_token,
            self.forced_end_token,
        ];
        if let Some(token) = forced
            .into_iter()
            .flatten()
            .chain(self.suppressed_tokens.iter().copied())
            .find(|token| *token as usize >= vocabulary)
        {
            return refuse(format!("token {token} in a vocabulary of {vocabulary}"));
        }
        // With new tokens only the prompt's length decides.
        if self.max_new_tokens.is_none() && self.max_length > max_positions {
            return refuse(format!(
                "a length of {}, where the model has {max_positions} positions",
                self.max_length
            ));
        }
        match &self.sampling {
            Some(_) if self.beams > 1 => {
                refuse(format!("sampling with {} beams instead of 1", self.beams))
            }
            Some(Sampling {
                temperature, top_p, ..
            }) if !(temperature.is_finite()
                && *temperature > 0.0
                && *top_p > 0.0
                && *top_p <= 1.0) =>
            {
                refuse(format!(
                    "a temperature of {temperature} and a top_p of {top_p}, where more than 0 and \
                     at most 1 are needed"
                ))
            }
            _ => Ok(()),
        }
    }

    /// The length that a sequence after this prompt can have, the prompt included.
    pub(super) fn limit(
        &self,
        prompt: &[u32],
        vocabulary: usize,
        max_positions: usize,
    ) -> Result<usize> {
        let refuse = |message: String| Err(GenerationError::Options(message));
        if let Some(token) = prompt.iter().find(|token| **token as usize >= vocabulary) {
            return refuse(format!(
                "token {token} of the prompt in a vocabulary of {vocabulary}"
            ));
        }
        let limit = match self.max_new_tokens {
            Some(new) => prompt.len().saturating_add(new),
            None => self.max_length,
        };
        if prompt.is_empty() || prompt.len() >= limit || limit > max_positions {
            return refuse(format!(
                "a prompt of {} tokens and a length of at most {limit}, where the model has \
                 {max_positions} positions; both a prompt and room for a token after it are needed",
                prompt.len()
            ));
        }
        Ok(limit)
    }
}
