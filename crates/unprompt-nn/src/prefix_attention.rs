//! Causal attention of many short continuations of one prefix: the prefix's keys and values are
//! there already, and continuations that begin alike share their tokens.

use crate::{
    activation::exp,
    cpu::{contiguous, zeros},
    matmul::{Product, accumulate_columns, accumulate_tile, write},
    panels::{PANEL, Panels, TILE_ROWS, Tiles, tile_rows},
};
use candle_core::{CpuStorage, CustomOp1, D, DType, IndexOp, Layout, Result, Shape, Tensor, bail};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;
use std::ops::Range;

/// The keys and values of a prefix in one layer: (tokens, width) each.
#[derive(Clone, Debug, Default)]
pub struct KeysValues {
    keys: Vec<f32>,
    values: Vec<f32>,
}

impl KeysValues {
    /// Appends the keys and values of `qkv`, (tokens, 3 * width).
    ///
    /// # Errors
    /// When the last dimension is not three times a width, or not that of the tokens before.
    pub fn extend(&mut self, qkv: &Tensor) -> Result<()> {
        let width = qkv.dims2()?.1 / 3;
        let part = |index: usize| -> Result<Vec<f32>> {
            let part = qkv.narrow(1, index * width, width)?;
            part.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
        };
        self.keys.extend(part(1)?);
        self.values.extend(part(2)?);
        Ok(())
    }

    /// Keeps the first `tokens` of tokens that are `width` wide.
    pub fn truncate(&mut self, tokens: usize, width: usize) {
        self.keys.truncate(tokens * width);
        self.values.truncate(tokens * width);
    }
}

/// Tokens that continue a prefix, as a tree: each follows the prefix or another one, its parent.
#[derive(Clone, Debug, Default)]
pub struct TokenTree {
    // From the first token after the prefix to the token itself, one token's after the other's.
    paths: Vec<u32>,
    ends: Vec<usize>,
}

impl TokenTree {
    /// A tree without tokens.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a token after `parent`, or after the prefix itself, and returns its index.
    ///
    /// # Panics
    /// When the parent is not in the tree.
    pub fn push(&mut self, parent: Option<usize>) -> usize {
        let index = self.ends.len();
        if let Some(parent) = parent {
            let path = self.range(parent);
            self.paths.extend_from_within(path);
        }
        self.paths.push(index as u32);
        self.ends.push(self.paths.len());
        index
    }

    /// How many tokens there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no token.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// How many tokens lie between the prefix and this one.
    pub fn depth(&self, token: usize) -> usize {
        self.range(token).len() - 1
    }

    fn range(&self, token: usize) -> Range<usize> {
        let start = token.checked_sub(1).map_or(0, |before| self.ends[before]);
        start..self.ends[token]
    }

    fn path(&self, token: usize) -> &[u32] {
        &self.paths[self.range(token)]
    }
}

/// What [`crate::self_attention`] with [`crate::Mask::Causal`] gives for some tokens of texts that
/// begin with the same prefix, without computing the prefix again: the same bits, whatever else is
/// in the tree.
///
/// `qkv` is (tokens of the tree, 3 * width), as there; `queries` are the tokens whose output is
/// wanted. The result is (queries, width).
///
/// # Errors
/// When the shapes do not fit each other, or a query is not in the tree.
pub fn prefix_attention(
    qkv: &Tensor,
    prefix: &KeysValues,
    tree: &TokenTree,
    queries: &[u32],
    heads: usize,
) -> Result<Tensor> {
    let (tokens, triple) = qkv.dims2()?;
    let width = triple / 3;
    if heads == 0
        || width == 0
        || !triple.is_multiple_of(3 * heads)
        || tokens != tree.len()
        || !prefix.keys.len().is_multiple_of(width)
        || prefix.keys.len() != prefix.values.len()
        || queries.iter().any(|query| *query as usize >= tokens)
    {
        bail!(
            "prefix attention: {:?} for {heads} heads, {} tokens and a prefix of {} values",
            qkv.dims(),
            tree.len(),
            prefix.keys.len()
        );
    }
    let operation = PrefixAttention {
        prefix,
        tree,
        queries,
        heads,
        width,
    };
    if qkv.device().is_cpu() {
        qkv.contiguous()?.apply_op1_no_bwd(&operation)
    } else {
        operation.composed(qkv)
    }
}

struct PrefixAttention<'a> {
    prefix: &'a KeysValues,
    tree: &'a TokenTree,
    queries: &'a [u32],
    heads: usize,
    width: usize,
}

impl PrefixAttention<'_> {
    fn scale(&self) -> f32 {
        1.0 / ((self.width / self.heads) as f32).sqrt()
    }

    fn prefix_length(&self) -> usize {
        self.prefix.keys.len() / self.width
    }

    /// The same from candle's operations: the prefix by matrix products, the tree by gathering.
    fn composed(&self, qkv: &Tensor) -> Result<Tensor> {
        let (device, dtype) = (qkv.device(), qkv.dtype());
        let (count, heads, length) = (self.queries.len(), self.heads, self.prefix_length());
        let head_width = self.width / heads;
        let paths = || self.queries.iter().map(|q| self.tree.path(*q as usize));
        let longest = paths().map(<[u32]>::len).max().unwrap_or(0);
        if longest == 0 {
            return Tensor::zeros((0, self.width), dtype, device);
        }
        let padded = |path: &[u32]| -> Vec<u32> {
            let mut path = path.to_vec();
            path.resize(longest, 0);
            path
        };
        let absent = |path: &[u32]| -> Vec<f32> {
            (0..longest)
                .map(|at| if at < path.len() { 0.0 } else { -1e30 })
                .collect()
        };
        let ancestors: Vec<u32> = paths().flat_map(padded).collect();
        let mask: Vec<f32> = paths().flat_map(absent).collect();
        let ancestors = Tensor::new(ancestors, device)?;
        let mask = Tensor::from_vec(mask, (count, 1, longest), device)?.to_dtype(dtype)?;
        // (3, heads, tokens, head width)
        let parts = qkv.reshape((qkv.dim(0)?, 3, heads, head_width))?;
        let parts = parts.permute((1, 2, 0, 3))?.contiguous()?;
        let query = parts
            .i(0)?
            .index_select(&Tensor::new(self.queries, device)?, 1)?;
        let gather = |part: usize| -> Result<Tensor> {
            let rows = parts.i(part)?.index_select(&ancestors, 1)?;
            rows.reshape((heads, count, longest, head_width))
        };
        let prefix = |values: &[f32]| -> Result<Tensor> {
            let rows = Tensor::from_slice(values, (length, heads, head_width), device)?;
            rows.transpose(0, 1)?.contiguous()?.to_dtype(dtype)
        };
        // (heads, queries, prefix), then (heads, queries, path)
        let before = query.matmul(&prefix(&self.prefix.keys)?.t()?)?;
        let within = gather(1)?
            .broadcast_mul(&query.unsqueeze(2)?)?
            .sum(D::Minus1)?;
        let scale = f64::from(self.scale());
        let within = (within * scale)?.broadcast_add(&mask.transpose(0, 1)?)?;
        let scores = Tensor::cat(&[(before * scale)?, within], 2)?;
        let scores = scores
            .broadcast_sub(&scores.max_keepdim(D::Minus1)?)?
            .exp()?;
        let scores = scores.broadcast_div(&scores.sum_keepdim(D::Minus1)?)?;
        let before = scores.narrow(2, 0, length)?.contiguous()?;
        let before = before.matmul(&prefix(&self.prefix.values)?)?;
        let within = scores.narrow(2, length, longest)?.unsqueeze(D::Minus1)?;
        let within = gather(2)?.broadcast_mul(&within)?.sum(2)?;
        let output = (before + within)?.transpose(0, 1)?;
        output.reshape((count, self.width))
    }
}

impl CustomOp1 for PrefixAttention<'_> {
    fn name(&self) -> &'static str {
        "prefix attention"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let qkv = contiguous(self.name(), storage, layout)?;
        let mut out = zeros(self.queries.len() * self.width);
        let (head_width, length) = (self.width / self.heads, self.prefix_length());
        let packed: Vec<(Tiles, Panels)> = (0..self.heads)
            .into_par_iter()
            .map(|head| {
                let start = (head * head_width).min(self.prefix.keys.len());
                let (keys, values) = (&self.prefix.keys[start..], &self.prefix.values[start..]);
                (
                    Tiles::new(keys, length, head_width, self.width),
                    Panels::from_columns(values, head_width, length, self.width),
                )
            })
            .collect();
        let mut pieces = Vec::new();
        let panels = out
            .chunks_mut(PANEL * self.width)
            .zip(self.queries.chunks(PANEL));
        for (rows, queries) in panels {
            let first = pieces.len();
            pieces.extend(
                packed
                    .iter()
                    .enumerate()
                    .map(|(head, (keys, values))| QueryPanel {
                        qkv: &qkv[head * head_width..],
                        width: self.width,
                        head_width,
                        keys,
                        values,
                        prefix: length,
                        tree: self.tree,
                        queries,
                        scale: self.scale(),
                        rows: Vec::with_capacity(queries.len()),
                    }),
            );
            for row in rows.chunks_exact_mut(self.width) {
                for (piece, part) in pieces[first..].iter_mut().zip(row.chunks_mut(head_width)) {
                    piece.rows.push(part);
                }
            }
        }
        let arch = Arch::new();
        pieces
            .into_par_iter()
            .for_each(|piece| arch.dispatch(piece));
        Ok((
            CpuStorage::F32(out),
            (self.queries.len(), self.width).into(),
        ))
    }
}

/// As many queries as a panel holds, of one head.
struct QueryPanel<'a> {
    /// From this head's first query value on.
    qkv: &'a [f32],
    width: usize,
    head_width: usize,
    keys: &'a Tiles,
    values: &'a Panels,
    prefix: usize,
    tree: &'a TokenTree,
    queries: &'a [u32],
    scale: f32,
    rows: Vec<&'a mut [f32]>,
}

impl QueryPanel<'_> {
    /// This head's part of a token's query (0), key (1) or value (2).
    fn part(&self, token: u32, part: usize) -> &[f32] {
        let start = (token as usize * 3 + part) * self.width;
        &self.qkv[start..start + self.head_width]
    }

    /// (head width, PANEL): a token's part for each column, zero where there is no token.
    fn columns(&self, token: impl Fn(usize) -> Option<u32>, part: usize) -> Panels {
        let mut rows = vec![0.0; PANEL * self.head_width];
        for (column, row) in rows.chunks_exact_mut(self.head_width).enumerate() {
            if let Some(token) = token(column) {
                row.copy_from_slice(self.part(token, part));
            }
        }
        Panels::from_rows(&rows, PANEL, self.head_width, self.head_width)
    }
}

impl WithSimd for QueryPanel<'_> {
    type Output = ();

    /// Keys are rows and queries are columns of the scores, as in self-attention: first the
    /// prefix's keys, then each column's own path. Every score, sum and output is the same chain
    /// of operations as there.
    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let queries = self.columns(|column| self.queries.get(column).copied(), 0);
        let mut rows = std::mem::take(&mut self.rows);
        let this = &self;
        let path = |column: usize| match this.queries.get(column) {
            Some(query) => this.tree.path(*query as usize),
            None => &[],
        };
        let mut depths = [0usize; PANEL];
        for (column, depth) in depths.iter_mut().enumerate() {
            *depth = path(column).len();
        }
        let longest = depths.iter().copied().max().unwrap_or(0);

        let tiles = this.prefix.div_ceil(TILE_ROWS);
        // One more, so that a row's later columns are followed by as many values as its first.
        let mut before = vec![0.0; (tiles + 1) * TILE_ROWS * PANEL];
        let products: &mut [Product] = before.as_chunks_mut().0.as_chunks_mut().0;
        for (tile, product) in products[..tiles].iter_mut().enumerate() {
            let (keys, rows, _) = this.keys.tile(tile);
            accumulate_tile(simd, keys, rows, queries.panel(0), product);
        }
        let before = products.as_flattened_mut();
        let mut within = vec![[0.0f32; PANEL]; longest];
        for (step, scores) in within.iter_mut().enumerate() {
            let keys = this.columns(|column| path(column).get(step).copied(), 1);
            dot_columns(simd, queries.panel(0), keys.panel(0), scores);
        }
        softmax(&mut before[..this.prefix], &mut within, &depths, this.scale);

        let before = before.as_flattened();
        for (tile, rows) in rows.chunks_mut(TILE_ROWS).enumerate() {
            let scores = &before[tile * TILE_ROWS..];
            for panel in 0..this.values.count() {
                let mut product: Product = [[0.0; PANEL]; TILE_ROWS];
                let values = this.values.panel(panel);
                accumulate_columns(simd, scores, tile_rows(rows.len()), values, &mut product);
                for (r, (row, product)) in rows.iter_mut().zip(&mut product).enumerate() {
                    let column = tile * TILE_ROWS + r;
                    for (token, scores) in path(column).iter().zip(&within) {
                        let value = &this.part(*token, 2)[panel * PANEL..];
                        add_scaled(simd, scores[column], value, product);
                    }
                    write(&mut row[panel * PANEL..], product);
                }
            }
        }
    }
}

/// `sums[c] += Σ queries[i][c] * keys[i][c]`, in the order of `i`.
#[inline(always)]
fn dot_columns<S: Simd>(simd: S, queries: &[f32], keys: &[f32], sums: &mut [f32; PANEL]) {
    let (queries, keys) = (queries.as_chunks::<PANEL>().0, keys.as_chunks::<PANEL>().0);
    let (sums, _) = S::as_mut_simd_f32s(sums);
    for (query, key) in queries.iter().zip(keys) {
        let (query, _) = S::as_simd_f32s(query);
        let (key, _) = S::as_simd_f32s(key);
        for lane in 0..sums.len() {
            sums[lane] = simd.mul_add_f32s(key[lane], query[lane], sums[lane]);
        }
    }
}

/// `sums += factor * values`, for as many values as there are.
#[inline(always)]
fn add_scaled<S: Simd>(simd: S, factor: f32, values: &[f32], sums: &mut [f32; PANEL]) {
    let mut padded = [0.0; PANEL];
    let values = match values.first_chunk::<PANEL>() {
        Some(values) => values,
        None => {
            padded[..values.len()].copy_from_slice(values);
            &padded
        }
    };
    let factor = simd.splat_f32s(factor);
    let (values, _) = S::as_simd_f32s(values);
    let (sums, _) = S::as_mut_simd_f32s(sums);
    for lane in 0..sums.len() {
        sums[lane] = simd.mul_add_f32s(factor, values[lane], sums[lane]);
    }
}

/// Soft-max of `scale * scores` down each column, in place: over all of `before` and the first
/// `depths[column]` rows of `within`.
#[inline(always)]
fn softmax(
    before: &mut [[f32; PANEL]],
    within: &mut [[f32; PANEL]],
    depths: &[usize; PANEL],
    scale: f32,
) {
    let mut largest = [f32::NEG_INFINITY; PANEL];
    for (step, row) in within.iter_mut().enumerate() {
        for (value, depth) in row.iter_mut().zip(depths) {
            if step >= *depth {
                *value = f32::NEG_INFINITY;
            }
        }
    }
    for row in before.iter().chain(within.iter()) {
        for (largest, value) in largest.iter_mut().zip(row) {
            *largest = largest.max(*value);
        }
    }
    // A column without a query has no key at all.
    for (largest, depth) in largest.iter_mut().zip(depths) {
        if *depth == 0 {
            *largest = 0.0;
        }
    }
    let mut total = [0.0f32; PANEL];
    for row in before.iter_mut() {
        for (value, largest) in row.iter_mut().zip(&largest) {
            *value = exp((*value - largest) * scale);
        }
        for (total, value) in total.iter_mut().zip(row.iter()) {
            *total += value;
        }
    }
    for (step, row) in within.iter_mut().enumerate() {
        for (value, largest) in row.iter_mut().zip(&largest) {
            *value = exp((*value - largest) * scale);
        }
        for (value, depth) in row.iter_mut().zip(depths) {
            if step >= *depth {
                *value = 0.0;
            }
        }
        for (total, value) in total.iter_mut().zip(row.iter()) {
            *total += value;
        }
    }
    let factors = total.map(|total| 1.0 / total);
    for row in before.iter_mut().chain(within.iter_mut()) {
        for (value, factor) in row.iter_mut().zip(&factors) {
            *value *= factor;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Mask, self_attention};
    use candle_core::Device;

    /// A prefix of `prefix` tokens and texts after it that share beginnings.
    fn texts(prefix: usize) -> (TokenTree, Vec<Vec<usize>>) {
        let mut tree = TokenTree::new();
        let mut texts = Vec::new();
        for first in 0..5 {
            let shared = tree.push(None);
            let second = tree.push(Some(shared));
            for third in 0..=first + prefix % 3 {
                let mut text = vec![shared, second];
                for _ in 0..third {
                    text.push(tree.push(text.last().copied()));
                }
                text.push(tree.push(text.last().copied()));
                texts.push(text);
            }
        }
        (tree, texts)
    }

    #[test]
    fn equals_self_attention_over_the_whole_text_bit_by_bit() -> Result<()> {
        for (prefix, heads, head_width) in
            [(0, 2, 8), (1, 3, 64), (12, 1, 72), (40, 2, 80), (70, 2, 32)]
        {
            let width = heads * head_width;
            let (tree, texts) = texts(prefix);
            let before = Tensor::randn(0f32, 1.5, (prefix.max(1), 3 * width), &Device::Cpu)?;
            let before = before.narrow(0, 0, prefix)?;
            let after = Tensor::randn(0f32, 1.5, (tree.len(), 3 * width), &Device::Cpu)?;
            let mut cache = KeysValues::default();
            cache.extend(&before)?;
            let all: Vec<u32> = (0..tree.len() as u32).collect();
            let found = prefix_attention(&after, &cache, &tree, &all, heads)?;
            let operation = PrefixAttention {
                prefix: &cache,
                tree: &tree,
                queries: &all,
                heads,
                width,
            };
            if prefix > 0 {
                let composed = operation.composed(&after)?;
                let worst = (&found - composed)?.abs()?.max_all()?.to_scalar::<f32>()?;
                assert!(worst < 1e-5, "{prefix}: {worst}");
            }
            for text in &texts {
                let tokens: Vec<u32> = text.iter().map(|token| *token as u32).collect();
                let tokens = Tensor::new(tokens, &Device::Cpu)?;
                let whole = Tensor::cat(&[&before, &after.index_select(&tokens, 0)?], 0)?;
                let length = prefix + text.len();
                let whole = self_attention(&whole, &[length], heads, Mask::Causal)?;
                let expected = whole.narrow(0, prefix, text.len())?;
                let own = found.index_select(&tokens, 0)?;
                assert_eq!(own.to_vec2::<f32>()?, expected.to_vec2::<f32>()?);
            }
            // Some queries alone, in another order.
            let some: Vec<u32> = all.iter().rev().step_by(3).copied().collect();
            let alone = prefix_attention(&after, &cache, &tree, &some, heads)?;
            let expected = found.index_select(&Tensor::new(some, &Device::Cpu)?, 0)?;
            assert_eq!(alone.to_vec2::<f32>()?, expected.to_vec2::<f32>()?);
        }
        Ok(())
    }

    #[test]
    fn what_does_not_fit_is_an_error() -> Result<()> {
        let (mut tree, mut cache) = (TokenTree::new(), KeysValues::default());
        tree.push(None);
        let qkv = Tensor::zeros((1, 24), DType::F32, &Device::Cpu)?;
        assert!(prefix_attention(&qkv, &cache, &tree, &[0], 2).is_ok());
        assert!(prefix_attention(&qkv, &cache, &tree, &[1], 2).is_err());
        assert!(prefix_attention(&qkv, &cache, &tree, &[0], 3).is_err());
        assert!(prefix_attention(&qkv, &cache, &TokenTree::new(), &[], 2).is_err());
        cache.extend(&Tensor::zeros((2, 9), DType::F32, &Device::Cpu)?)?;
        assert!(prefix_attention(&qkv, &cache, &tree, &[0], 2).is_err());
        cache.truncate(0, 3);
        assert!(prefix_attention(&qkv, &cache, &tree, &[0], 2).is_ok());
        Ok(())
    }
}
