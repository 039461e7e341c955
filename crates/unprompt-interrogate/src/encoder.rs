//! Phrases to unit vectors in the space shared with pictures.

use crate::{InterrogateError, Result};
use rayon::prelude::*;
use unprompt_models::{ClipTextTower, ClipTokenizer, to_unit_length};
use unprompt_nn::dot;

/// A CLIP's text tower with its tokenizer.
#[derive(Debug)]
pub struct PhraseEncoder {
    tokenizer: ClipTokenizer,
    tower: ClipTextTower,
    /// The same network in fewer bits.
    scout: Option<ClipTextTower>,
}

impl PhraseEncoder {
    /// Joins a tower with the tokenizer that it was trained with.
    pub fn new(tokenizer: ClipTokenizer, tower: ClipTextTower) -> Self {
        Self {
            tokenizer,
            tower,
            scout: None,
        }
    }

    /// With the same network in numbers that are faster and less exact. It tries the candidates of
    /// a chain's steps; the tower decides among the best of them, and gives every number that is
    /// seen or compared.
    ///
    /// # Errors
    /// When it is another network, as far as its sizes tell.
    pub fn with_scout(mut self, scout: ClipTextTower) -> Result<Self> {
        let sizes = |tower: &ClipTextTower| (tower.width(), tower.context_length());
        if sizes(&scout) != sizes(&self.tower) {
            let message = "the tower that tries candidates is of another network";
            return Err(InterrogateError::Options(message.into()));
        }
        self.scout = Some(scout);
        Ok(self)
    }

    /// The tower that tries candidates, if it is not the one that decides.
    pub(crate) fn scout(&self) -> Option<&ClipTextTower> {
        self.scout.as_ref()
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &ClipTokenizer {
        &self.tokenizer
    }

    /// The tower.
    pub fn tower(&self) -> &ClipTextTower {
        &self.tower
    }

    /// Most ids of a text that is not cut.
    pub fn context_length(&self) -> usize {
        let tower = self.tower.context_length();
        self.tokenizer.context_length().min(tower)
    }

    /// One vector of unit length for each text. Texts that begin alike share the work for it.
    ///
    /// # Errors
    /// When a text cannot be tokenised or the weights give no finite number.
    pub fn embed<T: AsRef<str> + Sync>(&self, texts: &[T]) -> Result<Vec<Vec<f32>>> {
        let ids = texts
            .par_iter()
            .map(|text| self.tokenizer.encode(text.as_ref()))
            .collect::<std::result::Result<Vec<_>, _>>()?;
        let none = self.tower.empty_prefix();
        let mut features = self.tower.forward_after(&none, &ids)?;
        features
            .iter_mut()
            .for_each(|feature| to_unit_length(feature));
        Ok(features)
    }

    /// The cosine of each text with a picture's unit vector.
    ///
    /// # Errors
    /// As [`embed`](Self::embed).
    pub fn similarities<T: AsRef<str> + Sync>(
        &self,
        picture: &[f32],
        texts: &[T],
    ) -> Result<Vec<f32>> {
        let features = self.embed(texts)?;
        Ok(features
            .iter()
            .map(|feature| dot(feature, picture))
            .collect())
    }
}
