//! Causal attention of many short continuations of one prefix: the prefix's keys and values are
//! there already, and continuations that begin alike share their tokens.

use crate::{
    attention::{exponentials, scale_of, score_chunks, score_tile},
    cpu::{contiguous, is_fused, sum_dtype},
    matmul::{Product, Sides, accumulate_tile, tile_height},
    output::{Unwritten, written},
    panels::{CHUNK, PANEL, Panels, TILE_ROWS, Tiles, tile_starts},
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
    if is_fused(qkv) {
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
        scale_of(self.width / self.heads)
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
        let scores = scores.to_dtype(sum_dtype(dtype))?;
        let scores = scores
            .broadcast_sub(&scores.max_keepdim(D::Minus1)?)?
            .exp()?;
        let scores = scores.broadcast_div(&scores.sum_keepdim(D::Minus1)?)?;
        let scores = scores.to_dtype(dtype)?;
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
        let (head_width, length) = (self.width / self.heads, self.prefix_length());
        let packed: Vec<(Panels, Panels)> = (0..self.heads)
            .into_par_iter()
            .map(|head| {
                let start = (head * head_width).min(self.prefix.keys.len());
                let (keys, values) = (&self.prefix.keys[start..], &self.prefix.values[start..]);
                (
                    Panels::from_rows(keys, length, head_width, self.width),
                    Panels::from_columns(values, head_width, length, self.width),
                )
            })
            .collect();
        let arch = Arch::new();
        let out =
            written(self.queries.len() * self.width, |mut out| {
                let mut pieces = Vec::new();
                for queries in self.queries.chunks(PANEL) {
                    let first = pieces.len();
                    pieces.extend(packed.iter().enumerate().map(|(head, (keys, values))| {
                        QueryPanel {
                            qkv: &qkv[head * head_width..],
                            width: self.width,
                            head_width,
                            keys,
                            values,
                            prefix: length,
                            tree: self.tree,
                            queries,
                            scale: self.scale(),
                            height: tile_height(arch),
                            rows: Vec::with_capacity(queries.len()),
                        }
                    }));
                    for _ in queries {
                        let mut row = out.take(self.width);
                        for piece in &mut pieces[first..] {
                            piece.rows.push(row.take(head_width));
                        }
                    }
                }
                pieces
                    .into_par_iter()
                    .for_each(|piece| arch.dispatch(piece));
            })?;
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
    keys: &'a Panels,
    values: &'a Panels,
    prefix: usize,
    tree: &'a TokenTree,
    queries: &'a [u32],
    scale: f32,
    /// Rows of a tile at most.
    height: usize,
    rows: Vec<Unwritten<'a>>,
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

    /// First the prefix's keys, then each query's own path. Every score, sum and output is the same
    /// chain of operations as in self-attention.
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

        let mut within = vec![[0.0f32; PANEL]; longest];
        for (step, scores) in within.iter_mut().enumerate() {
            let keys = this.columns(|column| path(column).get(step).copied(), 1);
            dot_columns(simd, queries.panel(0), keys.panel(0), scores);
        }

        let mut rows = rows.iter_mut();
        for tile in tile_starts(this.queries.len(), this.height).windows(2) {
            let (first, height) = (tile[0], tile[1] - tile[0]);
            let gathered: Vec<f32> = this.queries[first..tile[1]]
                .iter()
                .flat_map(|query| this.part(*query, 0))
                .copied()
                .collect();
            let shape = (height, this.head_width);
            let queries = Tiles::new(&gathered, shape, this.head_width, height);
            let chunks = score_chunks(this.prefix).max((this.prefix + longest).div_ceil(CHUNK));
            let mut scores = vec![[0.0; CHUNK]; chunks * height];
            let queries = queries.tile(0).0;
            score_tile(simd, queries, this.keys, this.prefix, height, &mut scores);
            let place = |at: usize, r: usize| (at / CHUNK * height + r, at % CHUNK);
            let mut factors = [0.0; TILE_ROWS];
            for r in 0..height {
                let depth = depths[first + r];
                for (step, within) in within[..depth].iter().enumerate() {
                    let (row, lane) = place(this.prefix + step, r);
                    scores[row][lane] = within[first + r];
                }
                let seen = this.prefix + depth;
                factors[r] = exponentials(simd, &mut scores[r..], height, seen, this.scale).recip();
            }
            let mut rows: Vec<_> = rows.by_ref().take(height).collect();
            for panel in 0..this.values.count() {
                let mut product = Product::ZERO;
                let sides = Sides {
                    x: &scores[..this.prefix.div_ceil(CHUNK) * height],
                    panel: this.values.panel(panel),
                    next: &[],
                };
                accumulate_tile(simd, sides, height, &mut product, false);
                for (r, (row, product)) in rows.iter_mut().zip(product.iter_mut()).enumerate() {
                    for (step, token) in path(first + r).iter().enumerate() {
                        let (line, lane) = place(this.prefix + step, r);
                        let value = &this.part(*token, 2)[panel * PANEL..];
                        add_scaled(simd, scores[line][lane], value, product);
                    }
                    for value in product.iter_mut() {
                        *value *= factors[r];
                    }
                    row.push(product);
                }
            }
        }
    }
}

/// `sums[c] += Σ queries[i][c] * keys[i][c]`, in the order of `i`.
#[inline(always)]
fn dot_columns<S: Simd>(
    simd: S,
    queries: &[[f32; PANEL]],
    keys: &[[f32; PANEL]],
    sums: &mut [f32; PANEL],
) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Draws;
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
        let mut draws = Draws::new(1);
        for (prefix, heads, head_width) in
            [(0, 2, 8), (1, 3, 64), (12, 1, 72), (40, 2, 80), (70, 2, 32)]
        {
            let width = heads * head_width;
            let (tree, texts) = texts(prefix);
            let before = draws.normal(0.0, 1.5, (prefix.max(1), 3 * width))?;
            let before = before.narrow(0, 0, prefix)?;
            let after = draws.normal(0.0, 1.5, (tree.len(), 3 * width))?;
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
