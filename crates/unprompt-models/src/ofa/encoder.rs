//! OFA's encoder: a picture's features and a text's tokens in one sequence, the picture first.

use super::{
    attention::{
        Attention, EPSILON, FeedForward, normalised, optional_norm, position_scores, rows,
        table_by_head, token_bucket,
    },
    config::{OfaConfig, TEXT_POSITIONS},
    resnet::{CHANNELS, ResNet, STRIDE},
};
use crate::{ModelError, Result, weights::Weights};
use candle_core::{Device, Tensor};
use rayon::prelude::*;
use unprompt_nn::{Activation, Embedding, LayerNorm, Linear, Memory, MemoryBias, memory_attention};

#[derive(Debug)]
pub(super) struct Encoder {
    resnet: ResNet,
    projection: Linear,
    tokens: Embedding,
    // (2, width): of the text, of the picture
    types: Option<Vec<f32>>,
    token_norm: Option<LayerNorm>,
    picture_norm: Option<LayerNorm>,
    // (positions, width)
    token_positions: Vec<f32>,
    // (1 + buckets * buckets, width)
    picture_positions: Vec<f32>,
    token_position_norm: LayerNorm,
    picture_position_norm: LayerNorm,
    position_query: Linear,
    position_key: Linear,
    // by layer, or one for all; then by head
    token_tables: Vec<Vec<Vec<f32>>>,
    picture_tables: Vec<Vec<Vec<f32>>>,
    layers: Vec<Layer>,
    norm: Option<LayerNorm>,
    config: OfaConfig,
}

#[derive(Debug)]
struct Layer {
    attention: Attention,
    attention_norm: LayerNorm,
    middle_norm: Option<LayerNorm>,
    feed_forward: FeedForward,
    norm: LayerNorm,
}

/// What the decoder attends to.
pub(super) struct Encoded {
    /// (tokens, width) of each picture with its text.
    pub(super) states: Vec<Tensor>,
    /// The normalised positions of these tokens, (tokens, width): the same for all pictures.
    pub(super) positions: Tensor,
}

/// How many numbers a table of relative positions has.
struct Distances {
    text: usize,
    picture: usize,
}

impl Distances {
    fn of(config: &OfaConfig) -> Self {
        Self {
            text: 2 * config.token_bucket_size - 1,
            // Three more, for a class token that captions have not.
            picture: (2 * config.image_bucket_size - 1).pow(2) + 3,
        }
    }
}

impl Encoder {
    pub(super) fn new(weights: &Weights, config: &OfaConfig) -> Result<Self> {
        let (width, heads) = (config.d_model, config.encoder_attention_heads);
        let activation = config
            .activation()
            .and_then(|activation| Ok((activation, config.resnet()?)));
        let (activation, stages) = activation
            .map_err(|message| ModelError::configuration("config.json".as_ref(), message))?;
        let distances = Distances::of(config);
        let tables = |name: &str, rows: usize| -> Result<Vec<Vec<Vec<f32>>>> {
            let count = if config.share_attn_bias {
                1
            } else {
                config.encoder_layers
            };
            let place = weights.at(name);
            (0..count)
                .map(|index| table_by_head(&place.at(index), rows, heads))
                .collect()
        };
        let layer = |index: usize| -> Result<Layer> {
            let place = weights.at("layers").at(index);
            let inner = config.encoder_ffn_dim;
            Ok(Layer {
                attention: Attention::fused(&place.at("self_attn"), width, heads)?,
                attention_norm: place
                    .at("self_attn_layer_norm")
                    .layer_norm(width, EPSILON)?,
                middle_norm: optional_norm(
                    &place,
                    "self_attn_mid_layer_norm",
                    width,
                    config.normformer,
                )?,
                feed_forward: FeedForward::new(&place, config, inner, activation)?,
                norm: place.at("final_layer_norm").layer_norm(width, EPSILON)?,
            })
        };
        let square = |name: &str| {
            weights
                .at(name)
                .linear((width, width), Activation::Identity)
        };
        let grid = config.image_bucket_size.pow(2) + 1;
        Ok(Self {
            resnet: ResNet::new(&weights.at("embed_images"), stages)?,
            projection: weights
                .at("image_proj")
                .linear((width, CHANNELS), Activation::Identity)?,
            tokens: Embedding::new(
                weights.tensor("embed_tokens.weight", &[config.vocab_size, width])?,
            ),
            types: config
                .add_type_embedding
                .then(|| weights.values("type_embedding.weight", &[2, width]))
                .transpose()?,
            token_norm: optional_norm(
                weights,
                "layernorm_embedding",
                width,
                config.layernorm_embedding,
            )?,
            picture_norm: optional_norm(
                weights,
                "patch_layernorm_embedding",
                width,
                config.patch_layernorm_embedding,
            )?,
            token_positions: weights.values(
                "embed_positions.weight",
                &[config.max_position_embeddings + 2, width],
            )?,
            picture_positions: weights.values("embed_image_positions.weight", &[grid, width])?,
            token_position_norm: weights.at("pos_ln").layer_norm(width, EPSILON)?,
            picture_position_norm: weights.at("image_pos_ln").layer_norm(width, EPSILON)?,
            position_query: square("pos_q_linear")?,
            position_key: square("pos_k_linear")?,
            token_tables: tables("token_rel_pos_table_list", distances.text)?,
            picture_tables: tables("image_rel_pos_table_list", distances.picture)?,
            layers: (0..config.encoder_layers)
                .map(layer)
                .collect::<Result<_>>()?,
            norm: optional_norm(
                weights,
                "layer_norm",
                width,
                config.encoder_normalize_before,
            )?,
            config: config.clone(),
        })
    }

    /// The longest text.
    pub(super) fn text_positions(&self) -> usize {
        TEXT_POSITIONS.min(self.config.max_position_embeddings)
    }

    /// Encodes pictures of `side` pixels, a multiple of 16, each with the text `ids`.
    pub(super) fn forward<P: AsRef<[f32]>>(
        &self,
        pictures: &[P],
        side: usize,
        ids: &[u32],
    ) -> Result<Encoded> {
        let config = &self.config;
        let (width, heads) = (config.d_model, config.encoder_attention_heads);
        let grid = side / STRIDE;
        let (picture_positions, token_positions) = self.positions(grid, ids.len())?;
        let mut pixels = Vec::with_capacity(pictures.len() * side * side * 3);
        for picture in pictures {
            let picture = picture.as_ref();
            if picture.len() != side * side * 3 {
                return Err(candle_core::Error::Msg(format!(
                    "a picture of {} values where {side} x {side} x 3 are needed",
                    picture.len()
                ))
                .into());
            }
            pixels.extend_from_slice(picture);
        }
        let pixels = Tensor::from_vec(pixels, (pictures.len(), side, side, 3), &Device::Cpu)?;
        let features = self.resnet.forward(&pixels)?;
        let features = features.reshape((pictures.len() * grid * grid, CHANNELS))?;
        let scale = config.embedding_scale();
        let features = (self.projection.forward(&features)? * scale)?;
        let features = features.reshape((pictures.len(), grid * grid, width))?;
        let features = self.embedded(features, &picture_positions, 1, &self.picture_norm)?;
        let tokens = (self.tokens.forward(ids)? * scale)?.unsqueeze(0)?;
        let tokens = self.embedded(tokens, &token_positions, 0, &self.token_norm)?;
        let tokens = tokens.broadcast_as((pictures.len(), ids.len(), width))?;
        let length = grid * grid + ids.len();
        let mut hidden = Tensor::cat(&[&features, &tokens.contiguous()?], 1)?
            .reshape((pictures.len() * length, width))?;

        let positions = Tensor::cat(
            &[
                self.picture_position_norm.forward(&picture_positions)?,
                self.token_position_norm.forward(&token_positions)?,
            ],
            0,
        )?;
        let attention_scale = config.attention_scale(heads);
        let absolute = position_scores(
            &self.position_query.forward(&positions)?,
            &self.position_key.forward(&positions)?,
            heads,
            attention_scale,
        )?;
        let of_query: Vec<u32> = (0..pictures.len()).flat_map(|_| 0..length as u32).collect();
        for (index, layer) in self.layers.iter().enumerate() {
            let values = self.bias(&absolute, index, grid, length);
            let bias = MemoryBias {
                values: &values,
                positions: length,
                of_query: &of_query,
            };
            hidden = self.layer(layer, hidden, length, attention_scale, &bias)?;
        }
        let hidden = normalised(&self.norm, hidden)?;
        let states = (0..pictures.len()).map(|picture| hidden.narrow(0, picture * length, length));
        Ok(Encoded {
            states: states.collect::<candle_core::Result<_>>()?,
            positions,
        })
    }

    fn layer(
        &self,
        layer: &Layer,
        hidden: Tensor,
        length: usize,
        scale: f32,
        bias: &MemoryBias,
    ) -> Result<Tensor> {
        let (width, heads) = (self.config.d_model, self.config.encoder_attention_heads);
        let is_before = self.config.encoder_normalize_before;
        let x = if is_before {
            layer.attention_norm.forward(&hidden)?
        } else {
            hidden.clone()
        };
        let projected = layer.attention.query.forward(&x)?;
        let count = hidden.dims()[0] / length;
        let memories = (0..count)
            .map(|picture| {
                let own = projected.narrow(0, picture * length, length)?;
                Memory::new(&own.narrow(1, width, 2 * width)?, heads)
            })
            .collect::<candle_core::Result<Vec<_>>>()?;
        let memories: Vec<(&Memory, usize)> =
            memories.iter().map(|memory| (memory, length)).collect();
        let queries = projected.narrow(1, 0, width)?.contiguous()?;
        let attended = memory_attention(&queries, &memories, scale, Some(bias))?;
        let attended = layer.attention.output.forward(&attended)?;
        let mut hidden = (hidden + normalised(&layer.middle_norm, attended)?)?;
        if !is_before {
            hidden = layer.attention_norm.forward(&hidden)?;
        }
        let x = if is_before {
            layer.norm.forward(&hidden)?
        } else {
            hidden.clone()
        };
        let mut hidden = (hidden + layer.feed_forward.forward(&x)?)?;
        if !is_before {
            hidden = layer.norm.forward(&hidden)?;
        }
        Ok(hidden)
    }

    /// Adds what the configuration adds to embeddings, (batch, tokens, width).
    fn embedded(
        &self,
        mut x: Tensor,
        positions: &Tensor,
        kind: usize,
        norm: &Option<LayerNorm>,
    ) -> Result<Tensor> {
        let width = self.config.d_model;
        if self.config.entangle_position_embedding {
            x = x.broadcast_add(&positions.unsqueeze(0)?)?;
        }
        if let Some(types) = &self.types {
            let row = types[kind * width..(kind + 1) * width].to_vec();
            x = x.broadcast_add(&rows(row, width)?.unsqueeze(0)?)?;
        }
        Ok(normalised(norm, x)?)
    }

    /// The positions of a square picture and of a text, (positions, width) each.
    fn positions(&self, grid: usize, text: usize) -> Result<(Tensor, Tensor)> {
        let config = &self.config;
        let (width, bucket) = (config.d_model, config.image_bucket_size);
        if grid == 0 || grid > bucket || text == 0 || text > self.text_positions() {
            return Err(ModelError::Generation(format!(
                "{grid} x {grid} places and a text of {text} tokens, where the model has positions \
                 for {bucket} x {bucket} and {}",
                self.text_positions()
            )));
        }
        let row = |y: usize, x: usize| {
            let start = (y * bucket + x + 1) * width;
            &self.picture_positions[start..start + width]
        };
        let mut picture = Vec::with_capacity(grid * grid * width);
        match config.stretched_positions().filter(|side| grid > *side) {
            None => (0..grid * grid).for_each(|i| picture.extend(row(i / grid, i % grid))),
            Some(side) => {
                // Bilinear, the corners not aligned.
                let place = |index: usize| {
                    let exact = (index as f32 + 0.5) * (side as f32 / grid as f32) - 0.5;
                    let exact = exact.max(0.0);
                    let first = (exact as usize).min(side - 1);
                    (first, (first + 1).min(side - 1), exact - first as f32)
                };
                for index in 0..grid * grid {
                    let (top, bottom, down) = place(index / grid);
                    let (left, right, across) = place(index % grid);
                    for i in 0..width {
                        let upper =
                            (1.0 - across) * row(top, left)[i] + across * row(top, right)[i];
                        let lower =
                            (1.0 - across) * row(bottom, left)[i] + across * row(bottom, right)[i];
                        picture.push((1.0 - down) * upper + down * lower);
                    }
                }
            }
        }
        let tokens = self.token_positions[..text * width].to_vec();
        Ok((rows(picture, width)?, rows(tokens, width)?))
    }

    /// What a layer adds to its scores: the products of positions, and within the picture and
    /// within the text a number for each distance. (heads, length, length)
    fn bias(&self, absolute: &[f32], layer: usize, grid: usize, length: usize) -> Vec<f32> {
        let table = if self.config.share_attn_bias {
            0
        } else {
            layer
        };
        let (pictures, texts) = (&self.picture_tables[table], &self.token_tables[table]);
        let (side, places) = (2 * self.config.image_bucket_size - 1, grid * grid);
        let buckets = self.config.token_bucket_size;
        let mut bias = absolute.to_vec();
        bias.par_chunks_mut(length)
            .enumerate()
            .for_each(|(index, row)| {
                let (head, query) = (index / length, index % length);
                if query < places {
                    let (query_y, query_x) = (query / grid, query % grid);
                    for (key_y, row) in row[..places].chunks_exact_mut(grid).enumerate() {
                        let start = (query_y + side / 2 - key_y) * side + query_x + side / 2;
                        // From one key to the next the distance falls by one.
                        let distances = &pictures[head][start + 1 - grid..=start];
                        for (bias, value) in row.iter_mut().zip(distances.iter().rev()) {
                            *bias += value;
                        }
                    }
                } else {
                    for (key, bias) in row[places..].iter_mut().enumerate() {
                        let distance = (query - places) as isize - key as isize;
                        *bias += texts[head][token_bucket(distance, buckets)];
                    }
                }
            });
        bias
    }
}
