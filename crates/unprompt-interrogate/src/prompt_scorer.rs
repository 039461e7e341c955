//! The similarity of one prompt with each of many phrases appended.

use crate::{PhraseEncoder, Result};
use rayon::prelude::*;
use unprompt_models::{ClipTextPrefix, ClipTextTower, to_unit_length};
use unprompt_nn::dot;

/// A phrase with its tokens, which serve in every step of a chain.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) phrase: String,
    /// From its first token to the end token.
    ids: Vec<u32>,
    /// Whether they are the same behind any prompt.
    stands_alone: bool,
}

impl Candidate {
    pub(crate) fn all(encoder: &PhraseEncoder, phrases: Vec<String>) -> Result<Vec<Self>> {
        let tokenizer = encoder.tokenizer();
        phrases
            .into_par_iter()
            .map(|phrase| {
                let mut ids = tokenizer.encode(&phrase)?;
                ids.drain(..1.min(ids.len()));
                let stands_alone = tokenizer.stands_alone(&phrase);
                Ok(Self {
                    phrase,
                    ids,
                    stands_alone,
                })
            })
            .collect()
    }
}

/// Keeps what the text tower has computed of a prompt while the prompt grows.
pub(crate) struct PromptScorer<'a> {
    encoder: &'a PhraseEncoder,
    tower: &'a ClipTextTower,
    picture: &'a [f32],
    prefix: ClipTextPrefix,
}

impl<'a> PromptScorer<'a> {
    /// By one of the encoder's towers.
    pub(crate) fn new(
        encoder: &'a PhraseEncoder,
        tower: &'a ClipTextTower,
        picture: &'a [f32],
    ) -> Self {
        Self {
            encoder,
            tower,
            picture,
            prefix: tower.empty_prefix(),
        }
    }

    /// The cosine of "`prompt`, phrase" for each phrase: the same bits as from the whole texts.
    pub(crate) fn similarities(
        &mut self,
        prompt: &str,
        candidates: &[&Candidate],
    ) -> Result<Vec<f32>> {
        let (tokenizer, tower) = (self.encoder.tokenizer(), self.tower);
        let shared = format!("{prompt},");
        let mut prefix = tokenizer.encode(&shared)?;
        let end = prefix.pop().unwrap_or_default();
        tower.set_prefix(&mut self.prefix, &prefix)?;
        let known = tokenizer.stands_alone(&shared);
        let room = self
            .encoder
            .context_length()
            .saturating_sub(prefix.len() + 1);

        // Where tokens reach across the comma, the whole text is tokenised, and computed too if
        // it does not begin with the prefix's tokens.
        enum Text {
            After(Vec<u32>),
            Whole(Vec<u32>),
        }
        let texts = candidates
            .par_iter()
            .map(|candidate| {
                if known && candidate.stands_alone {
                    let mut ids = candidate.ids.clone();
                    if ids.len() > room + 1 {
                        ids.truncate(room);
                        ids.push(end);
                    }
                    return Ok(Text::After(ids));
                }
                let ids = tokenizer.encode(&format!("{shared} {}", candidate.phrase))?;
                Ok(match ids.strip_prefix(prefix.as_slice()) {
                    Some(own) if !own.is_empty() => Text::After(own.to_vec()),
                    _ => Text::Whole(ids),
                })
            })
            .collect::<Result<Vec<Text>>>()?;
        let (mut after, mut whole) = (Vec::new(), Vec::new());
        for text in &texts {
            match text {
                Text::After(ids) => after.push(ids),
                Text::Whole(ids) => whole.push(ids),
            }
        }
        let mut after = tower.forward_after(&self.prefix, &after)?.into_iter();
        let nothing = tower.empty_prefix();
        let mut whole = tower.forward_after(&nothing, &whole)?.into_iter();
        let mut similarities = Vec::with_capacity(texts.len());
        for text in &texts {
            let next = match text {
                Text::After(_) => after.next(),
                Text::Whole(_) => whole.next(),
            };
            let mut feature = next.unwrap_or_default();
            to_unit_length(&mut feature);
            similarities.push(dot(&feature, self.picture));
        }
        Ok(similarities)
    }
}

impl PhraseEncoder {
    /// The cosine of "`prompt`, phrase" with a picture's unit vector, for each phrase: the same
    /// bits as of the whole texts, though the prompt is computed once.
    ///
    /// # Errors
    /// As [`embed`](Self::embed).
    pub fn similarities_after<T: Into<String> + Clone>(
        &self,
        picture: &[f32],
        prompt: &str,
        phrases: &[T],
    ) -> Result<Vec<f32>> {
        let phrases = phrases.iter().cloned().map(Into::into).collect();
        let candidates = Candidate::all(self, phrases)?;
        let candidates: Vec<&Candidate> = candidates.iter().collect();
        PromptScorer::new(self, self.tower(), picture).similarities(prompt, &candidates)
    }
}
