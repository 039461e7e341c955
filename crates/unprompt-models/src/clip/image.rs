//! CLIP's image tower.

mod by_blocks;
mod tensors;

pub use by_blocks::ClipImageTowerByBlocks;
pub(super) use tensors::tensors;

use super::config::{ClipLayout, ImageConfig, ImagePooling};
use crate::{
    ModelError, Result,
    compute::rows,
    patch_embedding::PatchEmbedding,
    transformer::{BlockNames, OPEN_CLIP, TRANSFORMERS_CLIP, Transformer},
    weights::Weights,
};
use candle_core::Tensor;
use unprompt_nn::{Activation, LayerNorm, Linear};

/// Pictures that go through the network at once; bounds the memory of a long list.
const PICTURES_AT_ONCE: usize = 8;

/// Pictures to vectors in the space shared with texts.
#[derive(Debug)]
pub struct ClipImageTower {
    embedding: PatchEmbedding,
    norm_before: Option<LayerNorm>,
    transformer: Transformer,
    pooling: ImagePooling,
    norm: LayerNorm,
    projection: Linear,
    width: usize,
}

impl ClipImageTower {
    /// The tower, and the beginnings of the names that belong to the other one.
    pub(super) fn new(
        config: &ImageConfig,
        layout: ClipLayout,
        root: &Weights,
    ) -> Result<(Self, &'static [&'static str])> {
        let ImageConfig {
            shape,
            layers,
            image_size,
            patch,
            embedding_width,
            ..
        } = *config;
        let (width, epsilon) = (shape.width, shape.epsilon);
        let positions = (image_size.0 / patch) * (image_size.1 / patch) + 1;
        let patches = [width, 3, patch, patch];
        let read_embedding = |weight, class, table| {
            let class: Tensor = class;
            PatchEmbedding::new(&weight, None, Some(class.unsqueeze(0)?), table, image_size)
        };
        let table = [positions, width];
        let (embedding, names, projection) = match layout {
            ClipLayout::OpenClip => {
                let tower = root.at("visual");
                let embedding = read_embedding(
                    tower.tensor("conv1.weight", &patches)?,
                    tower.tensor("class_embedding", &[width])?,
                    tower.tensor("positional_embedding", &table)?,
                )?;
                let projection = tower.tensor("proj", &[width, embedding_width])?;
                let names = (tower.at("ln_pre"), tower.at("ln_post"));
                (embedding, names, projection.t()?)
            }
            ClipLayout::Transformers => {
                let tower = root.at("vision_model");
                let embeddings = tower.at("embeddings");
                let embedding = read_embedding(
                    embeddings.tensor("patch_embedding.weight", &patches)?,
                    embeddings.tensor("class_embedding", &[width])?,
                    embeddings.tensor("position_embedding.weight", &table)?,
                )?;
                let projection =
                    root.tensor("visual_projection.weight", &[embedding_width, width])?;
                // The name is misspelt in every published file.
                let names = (tower.at("pre_layrnorm"), tower.at("post_layernorm"));
                (embedding, names, projection)
            }
        };
        let (blocks, block_names) = blocks(layout, root);
        let transformer = Transformer::new(&blocks, layers, &shape, block_names)?;
        let norm_before = config
            .norm_before
            .then(|| names.0.layer_norm(width, epsilon))
            .transpose()?;
        let tower = Self {
            embedding,
            norm_before,
            transformer,
            pooling: config.pooling,
            norm: names.1.layer_norm(width, epsilon)?,
            projection: Linear::new(&projection, None, Activation::Identity)?,
            width: embedding_width,
        };
        let others: &[&str] = match layout {
            ClipLayout::OpenClip => &[
                "token_embedding.",
                "positional_embedding",
                "transformer.",
                "ln_final.",
                "text_projection",
                "text.",
            ],
            ClipLayout::Transformers => &["text_model.", "text_projection."],
        };
        Ok((tower, others))
    }

    /// Height and width of the pictures that [`forward`](Self::forward) takes.
    pub fn image_size(&self) -> (usize, usize) {
        self.embedding.image_size()
    }

    /// Numbers per picture.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The vector of each picture, not normalised.
    ///
    /// A picture is height * width * 3 normalised values, channels last, of
    /// [`image_size`](Self::image_size). What a picture gives does not depend on the others.
    ///
    /// # Errors
    /// When a picture has another number of values, or the result is not finite.
    pub fn forward<P: AsRef<[f32]>>(&self, pictures: &[P]) -> Result<Vec<Vec<f32>>> {
        let mut outputs = Vec::with_capacity(pictures.len());
        for pictures in pictures.chunks(PICTURES_AT_ONCE) {
            let hidden = self.embedded(pictures)?;
            outputs.extend(self.finished(&self.transformer, hidden)?);
        }
        finite(outputs)
    }

    fn tokens(&self) -> usize {
        self.embedding.token_count()
    }

    /// (pictures * tokens, width of the tower), before the first block.
    fn embedded<P: AsRef<[f32]>>(&self, pictures: &[P]) -> Result<Tensor> {
        let hidden = self.embedding.forward(pictures)?;
        Ok(match &self.norm_before {
            Some(norm) => norm.forward(&hidden)?,
            None => hidden,
        })
    }

    /// The vectors of pictures from their tokens before the last blocks.
    fn finished(&self, blocks: &Transformer, hidden: Tensor) -> Result<Vec<Vec<f32>>> {
        let tokens = self.tokens();
        let count = hidden.dim(0)? / tokens;
        let lengths = vec![tokens; count];
        let pooled = match self.pooling {
            // The normalisation sees each token by itself, so only this one needs it.
            ImagePooling::ClassToken => {
                let class = blocks.forward_at(hidden, &lengths, &vec![0; count])?;
                self.norm.forward(&class)?
            }
            ImagePooling::Mean { norm_after } => {
                let hidden = blocks.forward(hidden, &lengths)?;
                let hidden = hidden.reshape((count, tokens, ()))?;
                let patches = hidden.narrow(1, 1, tokens - 1)?;
                if norm_after {
                    self.norm.forward(&patches.mean(1)?)?
                } else {
                    self.norm.forward(&patches)?.mean(1)?
                }
            }
        };
        rows(&self.projection.forward(&pooled)?)
    }
}

/// Where a layout has the tower's blocks, and what it calls their parts.
fn blocks<'c>(layout: ClipLayout, root: &Weights<'c>) -> (Weights<'c>, &'static BlockNames) {
    match layout {
        ClipLayout::OpenClip => {
            let blocks = root.at("visual").at("transformer").at("resblocks");
            (blocks, &OPEN_CLIP)
        }
        ClipLayout::Transformers => {
            let blocks = root.at("vision_model").at("encoder").at("layers");
            (blocks, &TRANSFORMERS_CLIP)
        }
    }
}

fn finite(outputs: Vec<Vec<f32>>) -> Result<Vec<Vec<f32>>> {
    if outputs.iter().flatten().any(|value| !value.is_finite()) {
        return Err(ModelError::NotFinite {
            model: "clip image tower",
        });
    }
    Ok(outputs)
}
