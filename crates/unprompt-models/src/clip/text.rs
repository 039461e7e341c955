//! CLIP's text tower.

mod prefix;

pub use prefix::ClipTextPrefix;

use super::config::{ClipLayout, Projection, TextConfig, TextPooling};
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
/// The tower is causal: a token's vector depends on those before it only. So nothing after the
/// token that stands for the text, padding least of all, is computed, and the result is that of
/// the padded text.
#[derive(Debug)]
pub struct ClipTextTower {
    token_embedding: Embedding,
    position_embedding: Embedding,
    transformer: Transformer,
    pooling: TextPooling,
    norm: LayerNorm,
    projection: Option<Linear>,
    context_length: usize,
    width: usize,
}

impl ClipTextTower {
    /// The tower, and the beginnings of the names that belong to the other one.
    pub(super) fn new(
        config: &TextConfig,
        layout: ClipLayout,
        root: &Weights,
    ) -> Result<(Self, &'static [&'static str])> {
        let TextConfig {
            shape,
            layers,
            context_length,
            vocabulary,
            embedding_width,
            ..
        } = *config;
        let width = shape.width;
        let (tokens, positions, blocks, names, norm) = match layout {
            ClipLayout::OpenClip => {
                // "text." where the model was built with `custom_text`.
                let custom = root.at("text");
                let is_custom = custom.contains("token_embedding.weight");
                let tower = if is_custom { custom } else { root.clone() };
                (
                    tower.tensor("token_embedding.weight", &[vocabulary, width])?,
                    tower.tensor("positional_embedding", &[context_length, width])?,
                    tower.at("transformer").at("resblocks"),
                    (&OPEN_CLIP, tower.clone()),
                    tower.at("ln_final"),
                )
            }
            ClipLayout::Transformers => {
                // transformers 5 leaves the prefix out where the tower is all there is.
                let is_bare = root.contains("embeddings.token_embedding.weight");
                let tower = match is_bare {
                    true => root.clone(),
                    false => root.at("text_model"),
                };
                let embeddings = tower.at("embeddings");
                (
                    embeddings.tensor("token_embedding.weight", &[vocabulary, width])?,
                    embeddings.tensor("position_embedding.weight", &[context_length, width])?,
                    tower.at("encoder").at("layers"),
                    (&TRANSFORMERS_CLIP, root.clone()),
                    tower.at("final_layer_norm"),
                )
            }
        };
        let (names, top) = names;
        let transformer = Transformer::new(&blocks, layers, &shape, names)?;
        let projection = match (config.projection, layout) {
            (Projection::None, _) => None,
            (Projection::Matrix, _) => {
                let matrix = top.tensor("text_projection", &[width, embedding_width])?;
                Some(Linear::new(&matrix.t()?, None, Activation::Identity)?)
            }
            (Projection::Linear, ClipLayout::OpenClip) => Some(
                top.at("text_projection")
                    .linear((embedding_width, width), Activation::Identity)?,
            ),
            (Projection::Linear, ClipLayout::Transformers) => {
                let weight = top.tensor("text_projection.weight", &[embedding_width, width])?;
                Some(Linear::new(&weight, None, Activation::Identity)?)
            }
        };
        let tower = Self {
            token_embedding: Embedding::new(tokens),
            position_embedding: Embedding::new(positions),
            transformer,
            pooling: config.pooling,
            norm: norm.layer_norm(width, shape.epsilon)?,
            width: if projection.is_some() {
                embedding_width
            } else {
                width
            },
            projection,
            context_length,
        };
        let others: &[&str] = match layout {
            ClipLayout::OpenClip => &["visual."],
            ClipLayout::Transformers => &["vision_model.", "visual_projection."],
        };
        Ok((tower, others))
    }

    /// Most tokens of a text, start and end included.
    pub fn context_length(&self) -> usize {
        self.context_length
    }

    /// Numbers per text.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The vector of each text, not normalised.
    ///
    /// A text is its ids from the start token to the end token; padding after it is allowed, and
    /// skipped. What a text gives does not depend on the others.
    ///
    /// # Errors
    /// When a text is empty or longer than [`context_length`](Self::context_length), an id is
    /// outside the vocabulary, or the result is not finite.
    pub fn forward<I: AsRef<[u32]>>(&self, texts: &[I]) -> Result<Vec<Vec<f32>>> {
        let mut outputs = Vec::with_capacity(texts.len());
        let (mut ids, mut lengths) = (Vec::new(), Vec::new());
        for (index, text) in texts.iter().enumerate() {
            let text = self.real_tokens(text.as_ref())?;
            ids.extend_from_slice(text);
            lengths.push(text.len());
            if ids.len() >= TOKENS_AT_ONCE || index + 1 == texts.len() {
                outputs.extend(rows(&self.pooled(&ids, &lengths)?)?);
                ids.clear();
                lengths.clear();
            }
        }
        if outputs.iter().flatten().any(|value| !value.is_finite()) {
            return Err(ModelError::NotFinite {
                model: "clip text tower",
            });
        }
        Ok(outputs)
    }

    /// The vector of every token of a text, (ids, [`hidden_width`](Self::hidden_width)), as diffusion
    /// models are conditioned on them: after all blocks but the last `skipped`, through the final
    /// normalisation if `normalised`. Padding counts as tokens.
    ///
    /// # Errors
    /// When the text is empty or longer than [`context_length`](Self::context_length), an id is
    /// outside the vocabulary, or there are no `skipped` blocks.
    pub fn token_vectors(&self, ids: &[u32], skipped: usize, normalised: bool) -> Result<Tensor> {
        if ids.is_empty() || ids.len() > self.context_length {
            return Err(self.too_long(ids.len()));
        }
        let positions: Vec<u32> = (0..ids.len() as u32).collect();
        let hidden = self.embedded(ids, &positions)?;
        let hidden = self
            .transformer
            .forward_without(hidden, &[ids.len()], skipped)?;
        if normalised {
            return Ok(self.norm.forward(&hidden)?);
        }
        Ok(hidden)
    }

    /// Numbers per token.
    pub fn hidden_width(&self) -> usize {
        self.transformer.width()
    }

    /// The ids up to the one that stands for the text.
    fn real_tokens<'t>(&self, ids: &'t [u32]) -> Result<&'t [u32]> {
        if ids.is_empty() || ids.len() > self.context_length {
            return Err(self.too_long(ids.len()));
        }
        let wanted = match self.pooling {
            TextPooling::LargestId => ids.iter().copied().max().unwrap_or(0),
            TextPooling::FirstOf(id) => id,
        };
        let last = ids.iter().position(|id| *id == wanted).unwrap_or(0);
        Ok(&ids[..=last])
    }

    fn too_long(&self, ids: usize) -> ModelError {
        ModelError::Tokenizer(format!(
            "a text of {ids} ids where 1 to {} are needed",
            self.context_length
        ))
    }

    /// (texts, width)
    fn pooled(&self, ids: &[u32], lengths: &[usize]) -> Result<Tensor> {
        let positions: Vec<u32> = lengths
            .iter()
            .flat_map(|length| 0..*length as u32)
            .collect();
        let hidden = self.embedded(ids, &positions)?;
        let last: Vec<usize> = lengths.iter().map(|length| length - 1).collect();
        self.finished(&self.transformer.forward_at(hidden, lengths, &last)?)
    }

    /// The texts' vectors from their tokens after the last block.
    fn finished(&self, last: &Tensor) -> Result<Tensor> {
        let pooled = self.norm.forward(last)?;
        Ok(match &self.projection {
            Some(projection) => projection.forward(&pooled)?,
            None => pooled,
        })
    }
}
