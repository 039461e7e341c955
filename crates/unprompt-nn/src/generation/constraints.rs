//! What a token's score is made of before one is chosen.

use super::{
    options::GenerationOptions,
    search::{GenerationError, Result},
};
use crate::row_softmax::log_sum_exp;
use pulp::{Arch, Simd, WithSimd};

/// The logarithms of the probabilities of all tokens, without any constraint: `logit - largest -
/// rest` of the two numbers.
pub(super) fn normaliser(logits: &[f32], position: usize) -> Result<(f32, f32)> {
    let (largest, rest) = Arch::new().dispatch(Normaliser(logits));
    // One logit that is no number, or all of them infinite, make the sum no number.
    if (largest + rest).is_finite() {
        Ok((largest, rest))
    } else {
        Err(GenerationError::NotFinite { position })
    }
}

struct Normaliser<'a>(&'a [f32]);

impl WithSimd for Normaliser<'_> {
    type Output = (f32, f32);

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Self::Output {
        log_sum_exp(self.0)
    }
}

/// Takes away what may not follow `tokens`: its score becomes minus infinity. A forced token has
/// the score 0 and is returned.
///
/// The order is that of transformers.
pub(super) fn constrain(
    tokens: &[u32],
    limit: usize,
    options: &GenerationOptions,
    scores: &mut [f32],
) -> Option<u32> {
    let length = tokens.len();
    let mut ban = |token: u32| {
        if let Some(score) = scores.get_mut(token as usize) {
            *score = f32::NEG_INFINITY;
        }
    };
    let ngram = options.no_repeat_ngram;
    if ngram > 0 && length + 1 >= ngram {
        let begun = &tokens[length + 1 - ngram..];
        for window in tokens.windows(ngram) {
            if let Some((last, before)) = window.split_last()
                && before == begun
            {
                ban(*last);
            }
        }
    }
    if length < options.min_length {
        ban(options.end_token);
    }
    let first = options.forced_first_token.filter(|_| length == 1);
    let last = options.forced_end_token.filter(|_| length + 1 == limit);
    let forced = last.or(first);
    if let Some(token) = forced {
        scores.fill(f32::NEG_INFINITY);
        if let Some(score) = scores.get_mut(token as usize) {
            *score = 0.0;
        }
    }
    for token in &options.suppressed_tokens {
        if let Some(score) = scores.get_mut(*token as usize) {
            *score = f32::NEG_INFINITY;
        }
    }
    forced
}
