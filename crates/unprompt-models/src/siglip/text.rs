//! SigLIP's text tower.

use super::config::{Layout, Projection, TextConfig};
use crate::{
    ModelError, Result,
    compute::rows,
    transformer::{OPEN_CLIP, TRANSFORMERS_CLIP, Transformer},
    weights::Weights,
};
use candle_core::Tensor;
use unprompt_nn::{Activation, Embedding, LayerNorm, Linear};

/// Tokens that go through the network at once; bounds the memory of a long list of texts.
const TOKENS_AT_ONCE: usize = 4096;

/// Texts to vectors in the space shared with pictures.
///
/// Every token sees every other one, padding too, and the last stands for the text: a text is
/// always as long as the context, as the network was trained.
#[derive(Debug)]
pub struct SiglipTextTower {
    token_embedding: Embedding,
    // (context, width)
    positions: Tensor,
    transformer: Transformer,
    norm: LayerNorm,
    projection: Option<Linear>,
    context_length: usize,
    width: usize,
}

impl SiglipTextTower {
    pub(super) fn new(config: &TextConfig, layout: Layout, root: &Weights) -> Result<Self> {
        let &TextConfig {
            shape,
            layers,
            context_length,
            vocabulary,
            embedding_width,
            ..
        } = config;
        let width = shape.width;
        let (tower, names) = match layout {
            Layout::OpenClip => (root.at("text"), &OPEN_CLIP),
            Layout::Transformers => {
                let tower = root.at("text_model");
                // A tower by itself may come without its name.
                let is_named = tower.contains("final_layer_norm.weight");
                (
                    if is_named { tower } else { root.clone() },
                    &TRANSFORMERS_CLIP,
                )
            }
        };
        let (tokens, positions, blocks, norm, projection) = match layout {
            Layout::OpenClip => (
                tower.tensor("token_embedding.weight", &[vocabulary, width])?,
                tower.tensor("positional_embedding", &[context_length, width])?,
                tower.at("transformer").at("resblocks"),
                tower.at("ln_final"),
                "text_projection",
            ),
            Layout::Transformers => {
                let embeddings = tower.at("embeddings");
                (
                    embeddings.tensor("token_embedding.weight", &[vocabulary, width])?,
                    embeddings.tensor("position_embedding.weight", &[context_length, width])?,
                    tower.at("encoder").at("layers"),
                    tower.at("final_layer_norm"),
                    "head",
                )
            }
        };
        Ok(Self {
            token_embedding: Embedding::new(tokens),
            positions,
            transformer: Transformer::new(&blocks, layers, &shape, names)?,
            norm: norm.layer_norm(width, shape.epsilon)?,
            projection: match config.projection {
                Projection::None => None,
                Projection::Matrix => {
                    let matrix = tower.tensor(projection, &[width, embedding_width])?;
                    Some(Linear::new(&matrix.t()?, None, Activation::Identity)?)
                }
                Projection::Linear => Some(
                    tower
                        .at(projection)
                        .linear((embedding_width, width), Activation::Identity)?,
                ),
            },
            context_length,
            width: embedding_width,
        })
    }

    /// Tokens of every text, padding included.
    pub fn context_length(&self) -> usize {
        self.context_length
    }

    /// Numbers per text.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The vector of each text, not normalised.
    ///
    /// A text is its ids, padded to [`context_length`](Self::context_length). What a text gives
    /// does not depend on the others.
    ///
    /// # Errors
    /// When a text has another number of ids, an id is outside the vocabulary, or the result is
    /// not finite.
    pub fn forward<I: AsRef<[u32]>>(&self, texts: &[I]) -> Result<Vec<Vec<f32>>> {
        let mut outputs = Vec::with_capacity(texts.len());
        let at_once = (TOKENS_AT_ONCE / self.context_length).max(1);
        for texts in texts.chunks(at_once) {
            let mut ids = Vec::with_capacity(texts.len() * self.context_length);
            for text in texts.iter().map(AsRef::as_ref) {
                if text.len() != self.context_length {
                    return Err(ModelError::Tokenizer(format!(
                        "a text of {} ids where {} are needed, padding included",
                        text.len(),
                        self.context_length
                    )));
                }
                ids.extend_from_slice(text);
            }
            outputs.extend(rows(&self.pooled(&ids, texts.len())?)?);
        }
        if outputs.iter().flatten().any(|value| !value.is_finite()) {
            return Err(ModelError::NotFinite {
                model: "siglip text tower",
            });
        }
        Ok(outputs)
    }

    /// (texts, width)
    fn pooled(&self, ids: &[u32], texts: usize) -> Result<Tensor> {
        let tokens = self.token_embedding.forward(ids)?;
        let tokens = tokens.reshape((texts, self.context_length, ()))?;
        let hidden = tokens.broadcast_add(&self.positions)?.flatten(0, 1)?;
        let lengths = vec![self.context_length; texts];
        let at = vec![self.context_length - 1; texts];
        let last = self.transformer.forward_at(hidden, &lengths, &at)?;
        let pooled = self.norm.forward(&last)?;
        Ok(match &self.projection {
            Some(projection) => projection.forward(&pooled)?,
            None => pooled,
        })
    }
}
