//! OFA's decoder.
//!
//! Relative positions count for all tokens, as in the reference without its cache. With it, the
//! reference looks them up by the tokens of the step, of which there is one, and so drops them; the
//! published models' page turns it off for transformers' search.

use super::{
    attention::{
        Attention, EPSILON, FeedForward, normalised, optional_norm, position_scores, rows,
        table_by_head, token_bucket,
    },
    config::{OfaConfig, TEXT_POSITIONS},
    encoder::Encoded,
};
use crate::{
    ModelError, Result,
    captioning::{Sequences, last_tokens},
    weights::Weights,
};
use candle_core::Tensor;
use unprompt_nn::{Activation, Embedding, LayerNorm, Linear, Memory, MemoryBias, PositionBias};

/// Tokens that a caption can have: what positions add is computed for all of them at once. The
/// reference has room for 1024, which no caption comes near.
const MOST_TOKENS: usize = 256;

#[derive(Debug)]
pub(super) struct TextDecoder {
    tokens: Embedding,
    token_norm: Option<LayerNorm>,
    // (positions, width)
    positions: Vec<f32>,
    position_norm: LayerNorm,
    own_query: Linear,
    own_key: Linear,
    picture_query: Linear,
    picture_key: Linear,
    // by layer, or one for all; then by head
    tables: Vec<Vec<Vec<f32>>>,
    layers: Vec<Layer>,
    norm: Option<LayerNorm>,
    head: Linear,
    config: OfaConfig,
}

#[derive(Debug)]
struct Layer {
    attention: Attention,
    attention_norm: LayerNorm,
    middle_norm: Option<LayerNorm>,
    picture: Attention,
    picture_norm: LayerNorm,
    picture_middle_norm: Option<LayerNorm>,
    feed_forward: FeedForward,
    norm: LayerNorm,
}

impl TextDecoder {
    pub(super) fn new(weights: &Weights, config: &OfaConfig) -> Result<Self> {
        let (width, heads) = (config.d_model, config.decoder_attention_heads);
        let activation = config
            .activation()
            .map_err(|message| ModelError::configuration("config.json".as_ref(), message))?;
        let tables = if config.share_attn_bias {
            1
        } else {
            config.decoder_layers
        };
        let table = |index: usize| {
            let place = weights.at("token_rel_pos_table_list").at(index);
            table_by_head(&place, 2 * config.token_bucket_size - 1, heads)
        };
        let layer = |index: usize| -> Result<Layer> {
            let place = weights.at("layers").at(index);
            let norm = |name: &str| place.at(name).layer_norm(width, EPSILON);
            let middle = |name: &str| optional_norm(&place, name, width, config.normformer);
            let inner = config.decoder_ffn_dim;
            Ok(Layer {
                attention: Attention::fused(&place.at("self_attn"), width, heads)?,
                attention_norm: norm("self_attn_layer_norm")?,
                middle_norm: middle("self_attn_mid_layer_norm")?,
                picture: Attention::apart(&place.at("cross_attn"), width, heads)?,
                picture_norm: norm("cross_attn_layer_norm")?,
                picture_middle_norm: middle("cross_attn_mid_layer_norm")?,
                feed_forward: FeedForward::new(&place, config, inner, activation)?,
                norm: norm("final_layer_norm")?,
            })
        };
        let square = |name: &str| {
            weights
                .at(name)
                .linear((width, width), Activation::Identity)
        };
        let shape = [config.vocab_size, width];
        let tokens = weights.tensor("embed_tokens.weight", &shape)?;
        let head = if config.share_decoder_input_output_embed
            && !weights.contains("output_projection.weight")
        {
            Linear::new(&tokens, None, Activation::Identity)?
        } else {
            let head = weights.tensor("output_projection.weight", &shape)?;
            Linear::new(&head, None, Activation::Identity)?
        };
        Ok(Self {
            tokens: Embedding::new(tokens),
            token_norm: optional_norm(
                weights,
                "layernorm_embedding",
                width,
                config.layernorm_embedding,
            )?,
            positions: weights.values(
                "embed_positions.weight",
                &[config.max_position_embeddings + 2, width],
            )?,
            position_norm: weights.at("pos_ln").layer_norm(width, EPSILON)?,
            own_query: square("self_pos_q_linear")?,
            own_key: square("self_pos_k_linear")?,
            picture_query: square("cross_pos_q_linear")?,
            picture_key: square("cross_pos_k_linear")?,
            tables: (0..tables).map(table).collect::<Result<_>>()?,
            layers: (0..config.decoder_layers)
                .map(layer)
                .collect::<Result<_>>()?,
            norm: optional_norm(
                weights,
                "layer_norm",
                width,
                config.decoder_normalize_before,
            )?,
            head,
            config: config.clone(),
        })
    }

    /// Tokens that a sequence can have.
    pub(super) fn longest(&self) -> usize {
        MOST_TOKENS
            .min(TEXT_POSITIONS)
            .min(self.config.max_position_embeddings)
    }

    /// Begins a sequence of at most `longest` tokens for each picture. Its keys and values, and
    /// what positions add to all scores, are computed here, once.
    pub(super) fn begin(&self, encoded: &Encoded, longest: usize) -> Result<Decoding<'_>> {
        let (width, heads) = (self.config.d_model, self.config.decoder_attention_heads);
        let scale = self.config.attention_scale(heads);
        let longest = longest.clamp(1, self.longest());
        let positions = rows(self.positions[..longest * width].to_vec(), width)?;
        let normed = self.position_norm.forward(&positions)?;
        let own = position_scores(
            &self.own_query.forward(&normed)?,
            &self.own_key.forward(&normed)?,
            heads,
            scale,
        )?;
        let picture_bias = position_scores(
            &self.picture_query.forward(&normed)?,
            &self.picture_key.forward(&encoded.positions)?,
            heads,
            scale,
        )?;
        let own = self
            .tables
            .iter()
            .map(|table| self.own_bias(&own, table, longest))
            .collect::<candle_core::Result<_>>()?;
        let memory = |states: &Tensor| -> Result<Vec<Memory>> {
            let of_layer = |layer: &Layer| -> Result<Memory> {
                let Some(key_value) = &layer.picture.key_value else {
                    return Err(candle_core::Error::Msg("no keys of the picture".into()).into());
                };
                Ok(Memory::new(&key_value.forward(states)?, heads)?)
            };
            self.layers.iter().map(of_layer).collect()
        };
        let memories = encoded.states.iter().map(memory).collect::<Result<_>>()?;
        Ok(Decoding {
            decoder: self,
            sequences: Sequences::new(memories, self.layers.len(), (heads, width), scale)?,
            positions,
            own,
            picture_bias,
            longest,
            scale,
        })
    }

    fn own_bias(
        &self,
        absolute: &[f32],
        table: &[Vec<f32>],
        longest: usize,
    ) -> candle_core::Result<PositionBias> {
        let buckets = self.config.token_bucket_size;
        let bias = absolute.iter().enumerate().map(|(index, absolute)| {
            let (key, query) = (index % longest, index / longest % longest);
            let bucket = token_bucket(query as isize - key as isize, buckets);
            absolute + table[index / longest / longest][bucket]
        });
        PositionBias::new(bias.collect(), table.len(), longest)
    }
}

/// Sequences that are being decoded.
pub(super) struct Decoding<'a> {
    decoder: &'a TextDecoder,
    sequences: Sequences,
    // (longest, width)
    positions: Tensor,
    own: Vec<PositionBias>,
    // (heads, longest, tokens of a picture)
    picture_bias: Vec<f32>,
    longest: usize,
    scale: f32,
}

impl Decoding<'_> {
    /// The last layer's vectors of the new tokens.
    fn hidden(&mut self, tokens: &[Vec<u32>]) -> candle_core::Result<Tensor> {
        let (decoder, config) = (self.decoder, &self.decoder.config);
        let lengths: Vec<usize> = tokens.iter().map(Vec::len).collect();
        let positions = self.sequences.cache.extend(&lengths)?;
        let mut hidden = decoder.tokens.forward(&tokens.concat())?;
        hidden = (hidden * config.embedding_scale())?;
        if config.entangle_position_embedding && !config.disable_entangle {
            let ids = Tensor::new(positions.as_slice(), hidden.device())?;
            hidden = (hidden + self.positions.index_select(&ids, 0)?)?;
        }
        hidden = normalised(&decoder.token_norm, hidden)?;
        let bias = MemoryBias {
            values: &self.picture_bias,
            positions: self.longest,
            of_query: &positions,
        };
        let is_before = config.decoder_normalize_before;
        let before = |norm: &LayerNorm, x: &Tensor| {
            if is_before {
                norm.forward(x)
            } else {
                Ok(x.clone())
            }
        };
        let after = |norm: &LayerNorm, x: Tensor| {
            if is_before { Ok(x) } else { norm.forward(&x) }
        };
        for (index, layer) in decoder.layers.iter().enumerate() {
            let own_bias = &self.own[if config.share_attn_bias { 0 } else { index }];
            let x = before(&layer.attention_norm, &hidden)?;
            let x = layer.attention.query.forward(&x)?;
            let x = self.sequences.cache.attend(index, &x, Some(own_bias))?;
            let x = normalised(&layer.middle_norm, layer.attention.output.forward(&x)?)?;
            hidden = after(&layer.attention_norm, (hidden + x)?)?;

            let x = before(&layer.picture_norm, &hidden)?;
            let x = layer.picture.query.forward(&x)?;
            let x =
                self.sequences
                    .attend_to_pictures(index, &x, &lengths, self.scale, Some(&bias))?;
            let x = normalised(
                &layer.picture_middle_norm,
                layer.picture.output.forward(&x)?,
            )?;
            hidden = after(&layer.picture_norm, (hidden + x)?)?;

            let x = before(&layer.norm, &hidden)?;
            let x = layer.feed_forward.forward(&x)?;
            hidden = after(&layer.norm, (hidden + x)?)?;
        }
        normalised(&decoder.norm, hidden)
    }

    /// The logits after every token of one step, sequence by sequence.
    pub(super) fn all_logits(&mut self, tokens: &[Vec<u32>]) -> candle_core::Result<Tensor> {
        let hidden = self.hidden(tokens)?;
        self.decoder.head.forward(&hidden)
    }
}

impl unprompt_nn::Decoder for Decoding<'_> {
    fn vocabulary(&self) -> usize {
        self.decoder.config.vocab_size
    }

    fn max_positions(&self) -> usize {
        self.longest
    }

    fn step(&mut self, tokens: &[Vec<u32>]) -> candle_core::Result<Vec<f32>> {
        let lengths: Vec<usize> = tokens.iter().map(Vec::len).collect();
        let hidden = last_tokens(&self.hidden(tokens)?, &lengths)?;
        self.decoder.head.forward(&hidden)?.flatten_all()?.to_vec1()
    }

    fn select(&mut self, origins: &[usize]) -> candle_core::Result<()> {
        self.sequences.select(origins)
    }
}
