//! Attention of one query to each sequence: what is left of a layer where one token of each is read behind it.

use super::{AttentionShape, LayerError, LayerResult, expect, rows_of};
use crate::{attention::attend_once, inner_product::dot_by_vectors, row_softmax::softmax};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

const LAYER: &str = "attention of one query";

/// `softmax(q · kᵀ / sqrt(head width)) · v` for a query of each sequence: (sequences, width) and
/// (tokens, 2 * width), each token's key and value, to (sequences, width). The bits are those that
/// [`attention`](super::attention) has for these queries.
///
/// # Errors
/// When the lengths do not fit the shape.
pub fn single_attention(
    queries: &[f32],
    keys_values: &[f32],
    shape: AttentionShape,
) -> LayerResult<Vec<f32>> {
    check(queries, keys_values, shape)?;
    let out = attend_once(
        queries,
        keys_values,
        shape.length,
        (shape.heads, shape.width),
    );
    out.map_err(|error| LayerError::new(LAYER, error.to_string()))
}

/// The derivatives by the queries, (sequences, width), and by keys and values, (tokens, 2 * width).
///
/// # Errors
/// When the lengths do not fit the shape.
pub fn single_attention_backward(
    queries: &[f32],
    keys_values: &[f32],
    upstream: &[f32],
    shape: AttentionShape,
) -> LayerResult<(Vec<f32>, Vec<f32>)> {
    let AttentionShape {
        length,
        heads,
        width,
    } = shape;
    check(queries, keys_values, shape)?;
    expect(LAYER, "a derivative", upstream, queries.len())?;
    let (head_width, of_sequence) = (width / heads, 2 * width * length);
    let mut by_queries = vec![0.0; queries.len()];
    let mut by_keys_values = vec![0.0; keys_values.len()];
    let gradients = by_queries
        .par_chunks_exact_mut(width)
        .zip(by_keys_values.par_chunks_exact_mut(of_sequence));
    let inputs = queries
        .par_chunks_exact(width)
        .zip(keys_values.par_chunks_exact(of_sequence))
        .zip(upstream.par_chunks_exact(width));
    gradients.zip(inputs).for_each(
        |((by_query, by_keys_values), ((query, keys_values), upstream))| {
            for first in (0..width).step_by(head_width) {
                let place = first..first + head_width;
                Arch::new().dispatch(Backward {
                    query: &query[place.clone()],
                    upstream: &upstream[place.clone()],
                    keys_values,
                    first,
                    width,
                    scale: shape.scale(),
                    by_query: &mut by_query[place],
                    by_keys_values: &mut *by_keys_values,
                });
            }
        },
    );
    Ok((by_queries, by_keys_values))
}

fn check(queries: &[f32], keys_values: &[f32], shape: AttentionShape) -> LayerResult<()> {
    shape.check()?;
    let sequences = rows_of(LAYER, queries, shape.width)?;
    let tokens = sequences * shape.length;
    expect(
        LAYER,
        "keys and values",
        keys_values,
        tokens * 2 * shape.width,
    )
}

/// One head of one sequence.
// A type, not a closure, which might stay a function of its own without the vector instructions.
struct Backward<'a> {
    /// (head width)
    query: &'a [f32],
    upstream: &'a [f32],
    /// Of all heads, (length, 2 * width); this one's begin at `first`.
    keys_values: &'a [f32],
    first: usize,
    width: usize,
    scale: f32,
    /// Zeros on the way in.
    by_query: &'a mut [f32],
    by_keys_values: &'a mut [f32],
}

impl WithSimd for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            query,
            upstream,
            keys_values,
            first,
            width,
            scale,
            by_query,
            by_keys_values,
        } = self;
        let head_width = query.len();
        let tokens = || keys_values.chunks_exact(2 * width);
        let key = |token: usize| token..token + head_width;
        let (keys, values) = (key(first), key(first + width));
        let mut probabilities: Vec<f32> = tokens()
            .map(|token| dot_by_vectors(simd, query, &token[keys.clone()]))
            .collect();
        softmax(&mut probabilities, scale, None);
        // By the probabilities, d, and by the scores: scale * p * (d - Σ p d)
        let mut scores: Vec<f32> = tokens()
            .map(|token| dot_by_vectors(simd, upstream, &token[values.clone()]))
            .collect();
        let mean = dot_by_vectors(simd, &probabilities, &scores);
        for (score, probability) in scores.iter_mut().zip(&probabilities) {
            *score = scale * *probability * (*score - mean);
        }
        let targets = by_keys_values.chunks_exact_mut(2 * width);
        let factors = scores.iter().zip(&probabilities);
        for ((token, target), (score, probability)) in tokens().zip(targets).zip(factors) {
            for (sum, key) in by_query.iter_mut().zip(&token[keys.clone()]) {
                *sum = score.mul_add(*key, *sum);
            }
            for (target, value) in target[keys.clone()].iter_mut().zip(query) {
                *target = score * value;
            }
            for (target, value) in target[values.clone()].iter_mut().zip(upstream) {
                *target = probability * value;
            }
        }
    }
}
