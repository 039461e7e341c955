//! How long a prompt may be.

use crate::{Behaviour, InterrogateError, PhraseEncoder, Result};
use std::fmt;

/// Counts a text's tokens as some model does, its special tokens included.
pub type TokenCounter = Box<dyn Fn(&str) -> std::result::Result<usize, String> + Send + Sync>;

/// Most tokens of a prompt.
pub struct TokenBudget {
    limit: Option<usize>,
    counter: Option<TokenCounter>,
}

impl fmt::Debug for TokenBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenBudget")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl TokenBudget {
    /// As many tokens as the CLIP reads.
    pub fn of_context() -> Self {
        Self {
            limit: None,
            counter: None,
        }
    }

    /// At most `limit` tokens of the CLIP's own tokenizer, start and end included. Programs that
    /// draw pictures read a longer prompt in pieces with a start and an end each: a limit of 154 is
    /// two pieces of 77, 150 tokens beside the starts and ends.
    pub fn of_tokens(limit: usize) -> Self {
        Self {
            limit: Some(limit),
            counter: None,
        }
    }

    /// At most `limit` tokens of another tokenizer, as it counts them.
    pub fn counted_by(limit: usize, counter: TokenCounter) -> Self {
        Self {
            limit: Some(limit),
            counter: Some(counter),
        }
    }

    /// Whether a text fits.
    pub(crate) fn admits(&self, text: &str, encoder: &PhraseEncoder) -> Result<bool> {
        if let (Some(limit), Some(counter)) = (self.limit, &self.counter) {
            let count = counter(text).map_err(InterrogateError::Options)?;
            return Ok(count <= limit);
        }
        let context = encoder.context_length();
        let most = content(self.limit.unwrap_or(context), context);
        Ok(encoder.tokenizer().count(text)?.saturating_sub(2) <= most)
    }
}

/// Tokens beside starts and ends in pieces of `context` that are `limit` tokens together.
fn content(limit: usize, context: usize) -> usize {
    let whole = limit / context * context.saturating_sub(2);
    whole + (limit % context).saturating_sub(2)
}

/// Joins the phrases that fit, in order, with ", "; the first one that does not fit ends the
/// prompt. The beginning is kept even if it does not fit: with [`Behaviour::Fixed`] as many of its
/// words as do.
pub(crate) fn joined(
    phrases: &[String],
    behaviour: Behaviour,
    budget: &TokenBudget,
    encoder: &PhraseEncoder,
) -> Result<Vec<String>> {
    if behaviour == Behaviour::Compat060 {
        return joined_as_060(&phrases.join(", "), encoder);
    }
    let Some((first, others)) = phrases.split_first() else {
        return Ok(Vec::new());
    };
    if !budget.admits(first, encoder)? {
        return Ok(vec![cut(first, budget, encoder)?]);
    }
    let mut text = first.clone();
    let mut kept = vec![first.clone()];
    for phrase in others {
        let longer = format!("{text}, {phrase}");
        if !budget.admits(&longer, encoder)? {
            break;
        }
        text = longer;
        kept.push(phrase.clone());
    }
    Ok(kept)
}

/// As 0.6.0: commas within phrases divide them, and what is measured lacks the ", ".
fn joined_as_060(text: &str, encoder: &PhraseEncoder) -> Result<Vec<String>> {
    let mut parts = text.split(", ");
    let mut kept: Vec<String> = parts.next().map(str::to_owned).into_iter().collect();
    for part in parts {
        if is_full(&format!("{}{part}", kept.join(", ")), encoder)? {
            break;
        }
        kept.push(part.to_owned());
    }
    Ok(kept)
}

/// Whether a text fills the context or would be cut, as 0.6.0 tells it: exactly filled is full.
pub(crate) fn is_full(text: &str, encoder: &PhraseEncoder) -> Result<bool> {
    let length = encoder.tokenizer().encode(text)?.len();
    Ok(length >= encoder.context_length())
}

/// As many whole words from the beginning as fit.
fn cut(text: &str, budget: &TokenBudget, encoder: &PhraseEncoder) -> Result<String> {
    let ends: Vec<usize> = text
        .char_indices()
        .filter(|(_, c)| c.is_whitespace())
        .map(|(at, _)| at)
        .collect();
    // What fits and what does not are on two sides of one place.
    let (mut fits, mut does_not) = (0, ends.len());
    while fits < does_not {
        let middle = (fits + does_not) / 2;
        if budget.admits(&text[..ends[middle]], encoder)? {
            fits = middle + 1;
        } else {
            does_not = middle;
        }
    }
    let end = fits.checked_sub(1).map_or(0, |last| ends[last]);
    Ok(text[..end].trim_end_matches([',', ' ']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::content;

    #[test]
    fn pieces_have_a_start_and_an_end_each() {
        for (limit, expected) in [
            (77, 75),
            (154, 150),
            (231, 225),
            (20, 18),
            (80, 76),
            (78, 75),
            (1, 0),
        ] {
            assert_eq!(content(limit, 77), expected, "{limit}");
        }
    }
}
