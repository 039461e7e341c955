//! Multi-head self-attention over sequences of different lengths, laid end to end without padding.

use crate::{
    activation::exp,
    cpu::{contiguous, is_fused, sum_dtype},
    matmul::{Product, Sides, accumulate_tile, tile_height},
    output::{Unwritten, written},
    panels::{CHUNK, PANEL, Panels, TILE_ROWS, Tiles},
    reduction::{CHAINS, add, join, join_largest, larger},
};
use candle_core::{CpuStorage, CustomOp1, D, IndexOp, Layout, Result, Shape, Tensor, bail};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Which tokens of its sequence a token attends to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask {
    /// All of them.
    None,
    /// Itself and those before it. What follows a token then changes no bit of its output.
    Causal,
}

/// Scores that are laid out at once where attention is composed: of a large picture all would be gigabytes.
const MOST_SCORES: usize = 1 << 26;

/// `softmax(scale * q · kᵀ + mask) · v` from candle's operations, some queries at a time: (heads, queries,
/// head width) for keys and values of (heads, keys, head width); the mask is (queries, keys).
pub(crate) fn composed_attention(
    [query, key, value]: [&Tensor; 3],
    scale: f64,
    mask: Option<&Tensor>,
) -> Result<Tensor> {
    let ((heads, count, _), length) = (query.dims3()?, key.dim(1)?);
    if count == 0 {
        return query.zeros_like();
    }
    let at_once = (MOST_SCORES / (heads * length).max(1)).max(1);
    let keys = key.t()?;
    let mut outputs = Vec::with_capacity(count.div_ceil(at_once));
    for start in (0..count).step_by(at_once) {
        let rows = at_once.min(count - start);
        let scores = query.narrow(1, start, rows)?.contiguous()?.matmul(&keys)?;
        let mut scores = (scores.to_dtype(sum_dtype(scores.dtype()))? * scale)?;
        if let Some(mask) = mask {
            scores =
                scores.broadcast_add(&mask.narrow(0, start, rows)?.to_dtype(scores.dtype())?)?;
        }
        scores = scores
            .broadcast_sub(&scores.max_keepdim(D::Minus1)?)?
            .exp()?;
        scores = scores.broadcast_div(&scores.sum_keepdim(D::Minus1)?)?;
        outputs.push(scores.to_dtype(query.dtype())?.matmul(value)?);
    }
    Tensor::cat(&outputs, 1)
}

/// `softmax(q · kᵀ / sqrt(head width)) · v` within each sequence.
///
/// `qkv` is (tokens, 3 * width): each token's query, key and value, each of them `heads` heads side
/// by side. `lengths` are the sequences' lengths, in order; they sum to `tokens`. The result is
/// (tokens, width).
///
/// # Errors
/// When the shapes do not fit the heads or the lengths.
pub fn self_attention(qkv: &Tensor, lengths: &[usize], heads: usize, mask: Mask) -> Result<Tensor> {
    attention(qkv, lengths, None, heads, mask)
}

/// What [`self_attention`] gives for one token of each sequence, the same bits: (sequences, width).
///
/// `at` says which token of its sequence it is, counted from 0.
///
/// # Errors
/// As there, and when a sequence does not have the token.
pub fn self_attention_at(
    qkv: &Tensor,
    lengths: &[usize],
    at: &[usize],
    heads: usize,
    mask: Mask,
) -> Result<Tensor> {
    if at.len() != lengths.len() || at.iter().zip(lengths).any(|(at, length)| at >= length) {
        bail!(
            "attention: {} tokens, one in each of {} sequences, of which some are shorter",
            at.len(),
            lengths.len()
        );
    }
    attention(qkv, lengths, Some(at), heads, mask)
}

fn attention(
    qkv: &Tensor,
    lengths: &[usize],
    at: Option<&[usize]>,
    heads: usize,
    mask: Mask,
) -> Result<Tensor> {
    let (tokens, triple) = qkv.dims2()?;
    if heads == 0 || !triple.is_multiple_of(3 * heads) || lengths.iter().sum::<usize>() != tokens {
        bail!(
            "attention: {:?} for {heads} heads and {} sequences",
            qkv.dims(),
            lengths.len()
        );
    }
    let operation = SelfAttention {
        lengths,
        at,
        heads,
        width: triple / 3,
        mask,
    };
    if is_fused(qkv) {
        qkv.contiguous()?.apply_op1_no_bwd(&operation)
    } else {
        operation.composed(qkv)
    }
}

/// [`self_attention`] of plain rows, for `heads` heads of a whole `width`. The caller has checked that
/// they fit.
pub(crate) fn attend(
    qkv: &[f32],
    lengths: &[usize],
    (heads, width): (usize, usize),
    mask: Mask,
) -> Result<Vec<f32>> {
    let operation = SelfAttention {
        lengths,
        at: None,
        heads,
        width,
        mask,
    };
    operation.run(qkv, lengths.iter().sum())
}

/// What one query of each sequence of `length` tokens finds: (sequences, width) and (tokens, 2 * width),
/// keys and values, to (sequences, width), the bits of [`self_attention_at`]. The caller has checked that they fit.
pub(crate) fn attend_once(
    queries: &[f32],
    keys_values: &[f32],
    length: usize,
    (heads, width): (usize, usize),
) -> Result<Vec<f32>> {
    let (head_width, stride) = (width / heads, 2 * width);
    let scale = scale_of(head_width);
    written(queries.len(), |mut out| {
        let sequences = queries.chunks_exact(width);
        let sequences = sequences.zip(keys_values.chunks_exact(stride * length));
        let mut parts = Vec::with_capacity(queries.len() / head_width);
        for (query, keys_values) in sequences {
            for first in (0..width).step_by(head_width) {
                parts.push(Head {
                    query: &query[first..],
                    key: &keys_values[first..],
                    value: &keys_values[first + width..],
                    stride,
                    length,
                    first: 0,
                    scale,
                    mask: Mask::None,
                    rows: vec![out.take(head_width)],
                });
            }
        }
        parts.into_par_iter().for_each(Head::run);
    })
}

/// What scores are multiplied by.
pub(crate) fn scale_of(head_width: usize) -> f32 {
    1.0 / (head_width as f32).sqrt()
}

struct SelfAttention<'a> {
    lengths: &'a [usize],
    /// Of each sequence the token whose output is wanted, or all.
    at: Option<&'a [usize]>,
    heads: usize,
    width: usize,
    mask: Mask,
}

impl SelfAttention<'_> {
    fn scale(&self) -> f32 {
        scale_of(self.width / self.heads)
    }

    fn composed(&self, qkv: &Tensor) -> Result<Tensor> {
        let head_width = self.width / self.heads;
        let mut start = 0;
        let mut outputs = Vec::with_capacity(self.lengths.len());
        for &length in self.lengths {
            // (3, heads, length, head width)
            let parts = qkv.narrow(0, start, length)?;
            let parts = parts.reshape((length, 3, self.heads, head_width))?;
            let parts = parts.permute((1, 2, 0, 3))?.contiguous()?;
            let later = match self.mask {
                Mask::None => None,
                Mask::Causal => {
                    let later = |i: usize| if i % length > i / length { -1e30 } else { 0f32 };
                    let later: Vec<f32> = (0..length * length).map(later).collect();
                    Some(Tensor::from_vec(later, (length, length), qkv.device())?)
                }
            };
            let (query, key, value) = (parts.i(0)?, parts.i(1)?, parts.i(2)?);
            let scale = f64::from(self.scale());
            let output = composed_attention([&query, &key, &value], scale, later.as_ref())?;
            outputs.push(output.transpose(0, 1)?.reshape((length, self.width))?);
            start += length;
        }
        let Some(at) = self.at else {
            return Tensor::cat(&outputs, 0);
        };
        let rows = outputs.iter().zip(at);
        let rows = rows.map(|(output, at)| output.narrow(0, *at, 1));
        Tensor::cat(&rows.collect::<Result<Vec<_>>>()?, 0)
    }
}

impl CustomOp1 for SelfAttention<'_> {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let qkv = contiguous(self.name(), storage, layout)?;
        let rows = self.at.map_or(layout.dims()[0], <[usize]>::len);
        let out = self.run(qkv, rows)?;
        Ok((CpuStorage::F32(out), (rows, self.width).into()))
    }
}

/// One head of one sequence.
struct Head<'a> {
    /// From the sequence's first token on.
    query: &'a [f32],
    key: &'a [f32],
    value: &'a [f32],
    /// Values from a token to the next.
    stride: usize,
    /// Tokens of the sequence.
    length: usize,
    /// The first token whose output is wanted.
    first: usize,
    scale: f32,
    mask: Mask,
    /// This head's part of the output of each token from `first` on that is wanted.
    rows: Vec<Unwritten<'a>>,
}

impl SelfAttention<'_> {
    /// The output's rows.
    fn run(&self, qkv: &[f32], rows: usize) -> Result<Vec<f32>> {
        written(rows * self.width, |out| {
            self.heads(qkv, out).into_par_iter().for_each(Head::run);
        })
    }

    fn heads<'a>(&self, qkv: &'a [f32], mut out: Unwritten<'a>) -> Vec<Head<'a>> {
        let (width, stride) = (self.width, 3 * self.width);
        let head_width = width / self.heads;
        let mut heads = Vec::with_capacity(self.lengths.len() * self.heads);
        let mut start = 0;
        for (sequence, &length) in self.lengths.iter().enumerate() {
            let (first, count) = match self.at {
                Some(at) => (at[sequence], 1),
                None if length == 0 => continue,
                None => (0, length),
            };
            let head = heads.len();
            heads.extend((0..self.heads).map(|head| {
                let query = &qkv[start * stride + head * head_width..];
                Head {
                    query,
                    key: &query[width..],
                    value: &query[2 * width..],
                    stride,
                    length,
                    first,
                    scale: self.scale(),
                    mask: self.mask,
                    rows: Vec::with_capacity(count),
                }
            }));
            for _ in 0..count {
                let mut row = out.take(width);
                for head in &mut heads[head..] {
                    head.rows.push(row.take(head_width));
                }
            }
            start += length;
        }
        heads
    }
}

impl Head<'_> {
    fn run(self) {
        let (length, head_width) = (self.length, self.rows[0].len());
        let arch = Arch::new();
        let queries = Tiles::new(
            &self.query[self.first * self.stride..],
            (self.rows.len(), head_width),
            self.stride,
            tile_height(arch),
        );
        let keys = Panels::from_rows(self.key, length, head_width, self.stride);
        let values = Panels::from_columns(self.value, head_width, length, self.stride);
        let mut rest = self.rows.into_iter();
        let tiles: Vec<_> = queries
            .starts()
            .windows(2)
            .map(|tile| rest.by_ref().take(tile[1] - tile[0]).collect())
            .collect();
        let work = tiles.into_par_iter().enumerate();
        work.for_each_init(Vec::new, |scores, (tile, rows)| {
            arch.dispatch(QueryTile {
                queries: queries.tile(tile).0,
                first: self.first + queries.starts()[tile],
                keys: &keys,
                values: &values,
                scale: self.scale,
                mask: self.mask,
                rows,
                scores,
            });
        });
    }
}

/// One tile of queries, from `first` on.
struct QueryTile<'a, 'b> {
    /// Memory that is used again.
    scores: &'a mut Vec<[f32; CHUNK]>,
    queries: &'a [[f32; CHUNK]],
    first: usize,
    keys: &'a Panels,
    values: &'a Panels,
    scale: f32,
    mask: Mask,
    rows: Vec<Unwritten<'b>>,
}

impl WithSimd for QueryTile<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let height = self.rows.len();
        let length = self.values.k();
        // They come while the scores are computed.
        for row in &self.rows {
            row.prefetch(row.len());
        }
        let seen = match self.mask {
            Mask::None => length,
            Mask::Causal => length.min(self.first + height),
        };
        let chunks = score_chunks(seen) * height;
        if self.scores.len() < chunks {
            self.scores.resize(chunks, [0.0; CHUNK]);
        }
        let scores = &mut self.scores[..chunks];
        score_tile(simd, self.queries, self.keys, seen, height, scores);
        let mut product = Product::ZERO;
        let mut factors = [0.0; TILE_ROWS];
        for r in 0..height {
            let seen = match self.mask {
                Mask::None => seen,
                Mask::Causal => self.first + r + 1,
            };
            factors[r] = exponentials(simd, &mut scores[r..], height, seen, self.scale).recip();
        }
        for panel in 0..self.values.count() {
            let sides = Sides {
                x: &scores[..seen.div_ceil(CHUNK) * height],
                panel: &self.values.panel(panel)[..seen],
                next: &[],
            };
            accumulate_tile(simd, sides, height, &mut product, false);
            for ((product, factor), row) in product.iter_mut().zip(&factors).zip(&mut self.rows) {
                for value in product.iter_mut() {
                    *value *= factor;
                }
                row.push(product);
            }
        }
    }
}

/// Chunks of the scores of `seen` keys, in whole panels.
pub(crate) fn score_chunks(seen: usize) -> usize {
    seen.div_ceil(PANEL) * (PANEL / CHUNK)
}

/// The scores of one tile of queries with the first `seen` keys, as a left-hand tile of their
/// product with the values: by chunks of keys, then by query. A panel of keys is two chunks.
#[inline(always)]
pub(crate) fn score_tile<S: Simd>(
    simd: S,
    queries: &[[f32; CHUNK]],
    keys: &Panels,
    seen: usize,
    height: usize,
    scores: &mut [[f32; CHUNK]],
) {
    let chunks = scores.chunks_exact_mut(PANEL / CHUNK * height);
    for (panel, scores) in chunks.enumerate().take(seen.div_ceil(PANEL)) {
        let mut product = Product::ZERO;
        let sides = Sides {
            x: queries,
            panel: keys.panel(panel),
            next: &[],
        };
        accumulate_tile(simd, sides, height, &mut product, false);
        for (r, product) in product[..height].iter().enumerate() {
            for (half, values) in product.as_chunks().0.iter().enumerate() {
                scores[half * height + r] = *values;
            }
        }
    }
}

/// Turns scores, the first `seen` of the chunks that are `step` apart, into `exp(scale * (score -
/// largest))`, those after them into zeros, and returns the sum. It runs in as many chains as a
/// chunk has values, joined in a fixed order: the same bits on every machine.
#[inline(always)]
pub(crate) fn exponentials<S: Simd>(
    simd: S,
    scores: &mut [[f32; CHUNK]],
    step: usize,
    seen: usize,
    scale: f32,
) -> f32 {
    let mut largest = [f32::NEG_INFINITY; CHUNK];
    for (chunk, scores) in scores.iter_mut().step_by(step).enumerate() {
        hide(scores, chunk, seen, f32::NEG_INFINITY);
        for (largest, score) in largest.iter_mut().zip(scores) {
            *largest = larger(*largest, *score);
        }
    }
    let largest = join_largest(largest);
    let mut total = [0.0f32; CHAINS];
    for (chunk, scores) in scores.iter_mut().step_by(step).enumerate() {
        for score in scores.iter_mut() {
            *score = exp((*score - largest) * scale);
        }
        hide(scores, chunk, seen, 0.0);
        add(simd, &mut total, scores);
    }
    join(total)
}

/// Replaces what a chunk holds beyond the first `seen` values of its row.
#[inline(always)]
fn hide(scores: &mut [f32; CHUNK], chunk: usize, seen: usize, value: f32) {
    let left = seen.saturating_sub(chunk * CHUNK);
    if left < CHUNK {
        scores[left..].fill(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Draws;
    use candle_core::Device;

    #[test]
    fn equals_the_composed_form_and_mixes_no_sequences() -> Result<()> {
        let mut draws = Draws::new(1);
        let lengths = [1, 7, 40, 2, 33];
        let heads = 3;
        for (mask, head_width) in [Mask::None, Mask::Causal]
            .into_iter()
            .flat_map(|mask| [8, 64, 72, 80, 88, 104].map(|width| (mask, width)))
        {
            let width = heads * head_width;
            let tokens = lengths.iter().sum::<usize>();
            let qkv = draws.normal(0.0, 1.5, (tokens, 3 * width))?;
            let found = self_attention(&qkv, &lengths, heads, mask)?;
            let composed = SelfAttention {
                lengths: &lengths,
                at: None,
                heads,
                width,
                mask,
            }
            .composed(&qkv)?;
            let worst = (&found - composed)?.abs()?.max_all()?.to_scalar::<f32>()?;
            assert!(worst < 1e-5, "{mask:?}, {head_width}: {worst}");

            let mut start = 0;
            for length in lengths {
                let alone = qkv.narrow(0, start, length)?;
                let alone = self_attention(&alone, &[length], heads, mask)?;
                let together = found.narrow(0, start, length)?;
                assert_eq!(alone.to_vec2::<f32>()?, together.to_vec2::<f32>()?);
                start += length;
            }
        }
        Ok(())
    }

    #[test]
    fn one_token_of_each_sequence_has_the_bits_of_all() -> Result<()> {
        let mut draws = Draws::new(2);
        let (lengths, heads) = ([1, 7, 40, 2, 33], 3);
        for (mask, head_width) in [(Mask::None, 64), (Mask::Causal, 64), (Mask::None, 20)] {
            let width = heads * head_width;
            let qkv = draws.normal(0.0, 1.5, (83, 3 * width))?;
            let whole = self_attention(&qkv, &lengths, heads, mask)?;
            for at in [[0; 5], [0, 6, 39, 1, 32], [0, 3, 15, 1, 16]] {
                let found = self_attention_at(&qkv, &lengths, &at, heads, mask)?;
                let starts = [0, 1, 8, 48, 50];
                let rows = starts.iter().zip(at).map(|(start, at)| (start + at) as u32);
                let rows = Tensor::new(rows.collect::<Vec<_>>(), &Device::Cpu)?;
                let expected = whole.index_select(&rows, 0)?;
                assert_eq!(found.to_vec2::<f32>()?, expected.to_vec2::<f32>()?);
                let composed = SelfAttention {
                    lengths: &lengths,
                    at: Some(&at),
                    heads,
                    width,
                    mask,
                }
                .composed(&qkv)?;
                let worst = (found - composed)?.abs()?.max_all()?.to_scalar::<f32>()?;
                assert!(worst < 1e-5, "{mask:?}, {at:?}: {worst}");
            }
        }
        Ok(())
    }

    #[test]
    fn what_follows_a_token_changes_no_bit_under_the_causal_mask() -> Result<()> {
        let mut draws = Draws::new(3);
        let qkv = draws.normal(0.0, 1.5, (50, 3 * 48))?;
        let whole = self_attention(&qkv, &[50], 3, Mask::Causal)?;
        for length in [1, 2, 16, 17, 33, 49] {
            let prefix = self_attention(&qkv.narrow(0, 0, length)?, &[length], 3, Mask::Causal)?;
            let expected = whole.narrow(0, 0, length)?;
            assert_eq!(prefix.to_vec2::<f32>()?, expected.to_vec2::<f32>()?);
        }
        Ok(())
    }

    #[test]
    fn wrong_lengths_and_heads_are_errors() -> Result<()> {
        let qkv = Tensor::zeros((4, 24), candle_core::DType::F32, &Device::Cpu)?;
        assert!(self_attention(&qkv, &[3], 2, Mask::None).is_err());
        assert!(self_attention(&qkv, &[4], 3, Mask::None).is_err());
        assert!(self_attention(&qkv, &[4], 0, Mask::None).is_err());
        assert_eq!(self_attention(&qkv, &[4, 0], 2, Mask::None)?.dims(), [4, 8]);
        let at = |lengths: &[usize], at: &[usize]| {
            self_attention_at(&qkv, lengths, at, 2, Mask::None).map(|found| found.dims().to_vec())
        };
        assert!(at(&[4], &[4]).is_err());
        assert!(at(&[3, 1], &[0]).is_err());
        assert!(at(&[4, 0], &[0, 0]).is_err());
        assert_eq!(at(&[3, 1], &[2, 0])?, [2, 8]);
        Ok(())
    }
}
