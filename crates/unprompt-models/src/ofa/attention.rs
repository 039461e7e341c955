//! OFA's attention layers and what positions add to their scores.

use super::config::{OfaConfig, TEXT_POSITIONS};
use crate::{Result, weights::Weights};
use candle_core::{Device, Tensor};
use unprompt_nn::{Activation, LayerNorm, Linear};

/// PyTorch's.
pub(super) const EPSILON: f64 = 1e-5;

/// `OFAAttention`: the projections, the scale of each head folded into the last.
#[derive(Debug)]
pub(super) struct Attention {
    /// Queries, or with `is_fused` queries, keys and values.
    pub(super) query: Linear,
    pub(super) key_value: Option<Linear>,
    pub(super) output: Linear,
}

impl Attention {
    /// For attention to itself; one product gives queries, keys and values.
    pub(super) fn fused(weights: &Weights, width: usize, heads: usize) -> Result<Self> {
        Ok(Self {
            query: joined(weights, &["q_proj", "k_proj", "v_proj"], width)?,
            key_value: None,
            output: output(weights, width, heads)?,
        })
    }

    /// With the keys and values apart, of another sequence or to be packed.
    pub(super) fn apart(weights: &Weights, width: usize, heads: usize) -> Result<Self> {
        Ok(Self {
            query: joined(weights, &["q_proj"], width)?,
            key_value: Some(joined(weights, &["k_proj", "v_proj"], width)?),
            output: output(weights, width, heads)?,
        })
    }
}

fn joined(weights: &Weights, names: &[&str], width: usize) -> Result<Linear> {
    let (mut weight, mut bias) = (Vec::new(), Vec::new());
    for name in names {
        let place = weights.at(name);
        weight.push(place.tensor("weight", &[width, width])?);
        bias.push(place.tensor("bias", &[width])?);
    }
    let bias = Tensor::cat(&bias, 0)?;
    weights.block_linear_of(&Tensor::cat(&weight, 0)?, Some(&bias), Activation::Identity)
}

fn output(weights: &Weights, width: usize, heads: usize) -> Result<Linear> {
    let place = weights.at("out_proj");
    let mut weight = place.tensor("weight", &[width, width])?;
    if let Some(scales) = weights.optional_tensor("c_attn", &[heads])? {
        let scales = scales
            .unsqueeze(1)?
            .broadcast_as((heads, width / heads))?
            .reshape((1, width))?;
        weight = weight.broadcast_mul(&scales)?;
    }
    let bias = place.tensor("bias", &[width])?;
    weights.block_linear_of(&weight, Some(&bias), Activation::Identity)
}

/// The feed-forward part, with NormFormer's normalisation in its middle.
#[derive(Debug)]
pub(super) struct FeedForward {
    inner: Linear,
    norm: Option<LayerNorm>,
    output: Linear,
}

impl FeedForward {
    pub(super) fn new(
        weights: &Weights,
        config: &OfaConfig,
        inner: usize,
        activation: Activation,
    ) -> Result<Self> {
        let width = config.d_model;
        Ok(Self {
            inner: weights.at("fc1").block_linear((inner, width), activation)?,
            norm: optional_norm(weights, "ffn_layer_norm", inner, config.normformer)?,
            output: weights
                .at("fc2")
                .block_linear((width, inner), Activation::Identity)?,
        })
    }

    pub(super) fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let inner = self.inner.forward(x)?;
        self.output.forward(&normalised(&self.norm, inner)?)
    }
}

pub(super) fn optional_norm(
    weights: &Weights,
    name: &str,
    width: usize,
    is_there: bool,
) -> Result<Option<LayerNorm>> {
    let norm = || weights.at(name).layer_norm(width, EPSILON);
    is_there.then(norm).transpose()
}

pub(super) fn normalised(norm: &Option<LayerNorm>, x: Tensor) -> candle_core::Result<Tensor> {
    match norm {
        Some(norm) => norm.forward(&x),
        None => Ok(x),
    }
}

/// `scale * q · kᵀ` of each head: (heads, queries, keys) from (queries, width) and (keys, width).
pub(super) fn position_scores(
    queries: &Tensor,
    keys: &Tensor,
    heads: usize,
    scale: f32,
) -> candle_core::Result<Vec<f32>> {
    let width = queries.dims2()?.1 / heads;
    let mut scores = Vec::with_capacity(heads * queries.dims()[0] * keys.dims()[0]);
    // As the reference does: the queries are scaled first.
    let queries = (queries * f64::from(scale))?;
    for head in 0..heads {
        let keys = keys.narrow(1, head * width, width)?.contiguous()?;
        let queries = queries.narrow(1, head * width, width)?.contiguous()?;
        let product = Linear::new(&keys, None, Activation::Identity)?.forward(&queries)?;
        scores.extend(product.flatten_all()?.to_vec1::<f32>()?);
    }
    Ok(scores)
}

/// Which row of the table of relative positions a query `distance` tokens behind its key takes,
/// of `2 * buckets - 1`: each distance its own up to half the buckets, then by logarithm.
pub(super) fn token_bucket(distance: isize, buckets: usize) -> usize {
    let middle = (buckets / 2) as isize;
    let absolute = if -middle < distance && distance < middle {
        middle - 1
    } else {
        distance.abs()
    };
    let bucket = if absolute <= middle {
        distance
    } else {
        // In single precision, as the reference computes it.
        let range = ((TEXT_POSITIONS - 1) as f64 / middle as f64).ln() as f32;
        let part = (absolute as f32 / middle as f32).ln() / range;
        let logarithm = (part * (middle - 1) as f32).ceil() as isize + middle;
        logarithm * distance.signum()
    };
    let last = buckets as isize - 1;
    (bucket.clamp(-last, last) + last) as usize
}

/// A table of relative positions, (rows, heads), as one row for each head.
pub(super) fn table_by_head(weights: &Weights, rows: usize, heads: usize) -> Result<Vec<Vec<f32>>> {
    let table = weights.values("weight", &[rows, heads])?;
    let by_head = |head| table.iter().skip(head).step_by(heads).copied().collect();
    Ok((0..heads).map(by_head).collect())
}

/// Values as a tensor of rows.
pub(super) fn rows(values: Vec<f32>, width: usize) -> candle_core::Result<Tensor> {
    let count = values.len() / width.max(1);
    Tensor::from_vec(values, (count, width), &Device::Cpu)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_equal_the_reference() {
        // make_token_bucket_position(256) and (8) of modelscope.
        for (distance, buckets, expected) in [
            (0, 256, 255),
            (1, 256, 256),
            (-127, 256, 128),
            (128, 256, 383),
            (-128, 256, 127),
            (3, 8, 10),
            (-4, 8, 3),
        ] {
            assert_eq!(token_bucket(distance, buckets), expected, "{distance}");
        }
        for distance in -1023..1024isize {
            assert!(token_bucket(distance, 256) < 511);
            assert!(token_bucket(distance, 2) < 3);
            assert!(token_bucket(distance, 1024) < 2047);
        }
    }
}
