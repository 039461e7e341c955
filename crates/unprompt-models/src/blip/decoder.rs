//! BERT with cross attention: `BlipTextLMHeadModel`.

use super::config::TextConfig;
use crate::{
    Result,
    captioning::{Sequences, last_tokens},
    weights::Weights,
};
use candle_core::Tensor;
use unprompt_nn::{Activation, Decoder, Embedding, LayerNorm, Linear, Memory};

#[derive(Debug)]
pub(super) struct TextDecoder {
    config: TextConfig,
    words: Embedding,
    positions: Embedding,
    norm: LayerNorm,
    layers: Vec<Layer>,
    transform: Linear,
    transform_norm: LayerNorm,
    head: Linear,
}

#[derive(Debug)]
struct Layer {
    query_key_value: Linear,
    attention_output: Linear,
    attention_norm: LayerNorm,
    picture_query: Linear,
    picture_key_value: Linear,
    picture_output: Linear,
    picture_norm: LayerNorm,
    intermediate: Linear,
    output: Linear,
    output_norm: LayerNorm,
}

impl TextDecoder {
    /// Reads the decoder below `weights`, the place `text_decoder`: both layouts have its names.
    pub(super) fn new(config: TextConfig, weights: &Weights) -> Result<Self> {
        let TextConfig {
            width, vocabulary, ..
        } = config;
        let bert = weights.at("bert");
        let embeddings = bert.at("embeddings");
        let words = embeddings.tensor("word_embeddings.weight", &[vocabulary, width])?;
        let positions =
            embeddings.tensor("position_embeddings.weight", &[config.positions, width])?;
        let layers = bert.at("encoder").at("layer");
        let layers = (0..config.layers)
            .map(|index| Layer::new(&layers.at(index), &config))
            .collect::<Result<_>>()?;
        let predictions = weights.at("cls").at("predictions");
        // Files of transformers 5 leave it out: it is the word table.
        let head = predictions.optional_tensor("decoder.weight", &[vocabulary, width])?;
        let head = Linear::new(
            head.as_ref().unwrap_or(&words),
            Some(&predictions.tensor("bias", &[vocabulary])?),
            Activation::Identity,
        )?;
        let transform = predictions.at("transform");
        Ok(Self {
            words: Embedding::new(words),
            positions: Embedding::new(positions),
            norm: embeddings
                .at("LayerNorm")
                .layer_norm(width, config.epsilon)?,
            layers,
            transform: transform
                .at("dense")
                .linear((width, width), config.activation)?,
            transform_norm: transform
                .at("LayerNorm")
                .layer_norm(width, config.epsilon)?,
            head,
            config,
        })
    }

    pub(super) fn vocabulary(&self) -> usize {
        self.config.vocabulary
    }

    pub(super) fn positions(&self) -> usize {
        self.config.positions
    }

    /// Begins a sequence for each picture, given their states, (tokens, width of the pictures):
    /// their keys and values are computed here, once.
    pub(super) fn begin(&self, pictures: &[Tensor]) -> Result<Decoding<'_>> {
        let TextConfig { heads, width, .. } = self.config;
        let scale = 1.0 / ((width / heads) as f32).sqrt();
        let memory = |picture: &Tensor| -> Result<Vec<Memory>> {
            self.layers
                .iter()
                .map(|layer| {
                    let key_value = layer.picture_key_value.forward(picture)?;
                    Ok(Memory::new(&key_value, heads)?)
                })
                .collect()
        };
        let memories = pictures.iter().map(memory).collect::<Result<_>>()?;
        let sequences = Sequences::new(memories, self.layers.len(), (heads, width), scale)?;
        Ok(Decoding {
            decoder: self,
            sequences,
            scale,
        })
    }
}

impl Layer {
    fn new(weights: &Weights, config: &TextConfig) -> Result<Self> {
        let &TextConfig {
            width,
            inner,
            epsilon,
            picture_width,
            ..
        } = config;
        let (own, picture) = (weights.at("attention"), weights.at("crossattention"));
        let output = weights.at("output");
        let linear = |place: &Weights, name: &str, shape| {
            place.at(name).block_linear(shape, Activation::Identity)
        };
        let square = (width, width);
        Ok(Self {
            query_key_value: fused(&own.at("self"), &["query", "key", "value"], square)?,
            attention_output: linear(&own.at("output"), "dense", square)?,
            attention_norm: own
                .at("output")
                .at("LayerNorm")
                .layer_norm(width, epsilon)?,
            picture_query: linear(&picture.at("self"), "query", square)?,
            picture_key_value: fused(
                &picture.at("self"),
                &["key", "value"],
                (width, picture_width),
            )?,
            picture_output: linear(&picture.at("output"), "dense", square)?,
            picture_norm: picture
                .at("output")
                .at("LayerNorm")
                .layer_norm(width, epsilon)?,
            intermediate: weights
                .at("intermediate")
                .at("dense")
                .block_linear((inner, width), config.activation)?,
            output: linear(&output, "dense", (width, inner))?,
            output_norm: output.at("LayerNorm").layer_norm(width, epsilon)?,
        })
    }
}

/// Several linear layers of the same input as one.
fn fused(weights: &Weights, names: &[&str], (outputs, inputs): (usize, usize)) -> Result<Linear> {
    let part = |name: &&str| {
        let layer = weights.at(name);
        Ok((
            layer.tensor("weight", &[outputs, inputs])?,
            layer.tensor("bias", &[outputs])?,
        ))
    };
    let parts = names.iter().map(part).collect::<Result<Vec<_>>>()?;
    let (weight, bias): (Vec<Tensor>, Vec<Tensor>) = parts.into_iter().unzip();
    let bias = Tensor::cat(&bias, 0)?;
    weights.block_linear_of(&Tensor::cat(&weight, 0)?, Some(&bias), Activation::Identity)
}

/// Sequences that are being decoded.
pub(super) struct Decoding<'a> {
    decoder: &'a TextDecoder,
    sequences: Sequences,
    scale: f32,
}

impl Decoding<'_> {
    /// The last layer's vectors of the new tokens.
    fn hidden(&mut self, tokens: &[Vec<u32>]) -> candle_core::Result<Tensor> {
        let lengths: Vec<usize> = tokens.iter().map(Vec::len).collect();
        let positions = self.sequences.cache.extend(&lengths)?;
        let words = self.decoder.words.forward(&tokens.concat())?;
        let positions = self.decoder.positions.forward(&positions)?;
        let mut hidden = self.decoder.norm.forward_residual(&words, &positions)?;
        for (index, layer) in self.decoder.layers.iter().enumerate() {
            let own = layer.query_key_value.forward(&hidden)?;
            let own = self.sequences.cache.attend(index, &own, None)?;
            let own = layer.attention_output.forward(&own)?;
            hidden = layer.attention_norm.forward_residual(&own, &hidden)?;
            let query = layer.picture_query.forward(&hidden)?;
            let seen = self
                .sequences
                .attend_to_pictures(index, &query, &lengths, self.scale, None)?;
            let seen = layer.picture_output.forward(&seen)?;
            hidden = layer.picture_norm.forward_residual(&seen, &hidden)?;
            let inner = layer.intermediate.forward(&hidden)?;
            let inner = layer.output.forward(&inner)?;
            hidden = layer.output_norm.forward_residual(&inner, &hidden)?;
        }
        Ok(hidden)
    }

    fn logits(&self, hidden: &Tensor) -> candle_core::Result<Tensor> {
        let decoder = self.decoder;
        let transformed = decoder.transform.forward(hidden)?;
        decoder
            .head
            .forward(&decoder.transform_norm.forward(&transformed)?)
    }

    /// The logits after every token of one step, sequence by sequence.
    pub(super) fn all_logits(&mut self, tokens: &[Vec<u32>]) -> candle_core::Result<Tensor> {
        let hidden = self.hidden(tokens)?;
        self.logits(&hidden)
    }
}

impl Decoder for Decoding<'_> {
    fn vocabulary(&self) -> usize {
        self.decoder.config.vocabulary
    }

    fn max_positions(&self) -> usize {
        self.decoder.config.positions
    }

    fn step(&mut self, tokens: &[Vec<u32>]) -> candle_core::Result<Vec<f32>> {
        let lengths: Vec<usize> = tokens.iter().map(Vec::len).collect();
        let hidden = last_tokens(&self.hidden(tokens)?, &lengths)?;
        self.logits(&hidden)?.flatten_all()?.to_vec1()
    }

    fn select(&mut self, origins: &[usize]) -> candle_core::Result<()> {
        self.sequences.select(origins)
    }
}
