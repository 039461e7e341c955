//! A decoder's attention to the tokens before, whose keys and values are kept.

use crate::{cpu::with_parameter, inner_product::dot_by_vectors, row_softmax::softmax};
use candle_core::{Device, Result, Tensor, bail};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Multiplications below which a step is not worth sharing between threads.
const PARALLEL_WORK: usize = 1 << 18;

/// What is added to the scores of a decoder's attention to itself: for each head, by the position
/// of the query and by that of the key.
#[derive(Debug)]
pub struct PositionBias {
    values: Vec<f32>,
    heads: usize,
    side: usize,
}

impl PositionBias {
    /// A bias from `values`, (heads, side, side): positions below `side` can be attended from.
    ///
    /// # Errors
    /// When there is another number of values.
    pub fn new(values: Vec<f32>, heads: usize, side: usize) -> Result<Self> {
        if values.len() != heads * side * side {
            bail!(
                "position bias: {} values for {heads} heads and {side} positions",
                values.len()
            );
        }
        Ok(Self {
            values,
            heads,
            side,
        })
    }

    /// What the query at `position` adds to the scores of the keys up to it.
    fn row(&self, head: usize, position: usize) -> &[f32] {
        let start = (head * self.side + position) * self.side;
        &self.values[start..=start + position]
    }
}

/// The keys and values of all layers and of all sequences that are being decoded.
///
/// Each row lies where it was written first; a sequence is a list of rows. Sequences that share
/// their beginning share its rows, and to go on from another sequence moves no key.
#[derive(Debug)]
pub struct KeyValueCache {
    heads: usize,
    width: usize,
    scale: f32,
    // for each layer (rows, 2 * width): a key and its value
    layers: Vec<Vec<f32>>,
    rows: usize,
    sequences: Vec<Vec<u32>>,
    // tokens of this step, by sequence
    fresh: Vec<usize>,
}

impl KeyValueCache {
    /// An empty cache for `sequences` sequences. `width` is that of all heads together; scores are
    /// multiplied by `scale`.
    ///
    /// # Errors
    /// When the heads do not divide the width.
    pub fn new(
        layers: usize,
        (heads, width): (usize, usize),
        scale: f32,
        sequences: usize,
    ) -> Result<Self> {
        if heads == 0 || width == 0 || !width.is_multiple_of(heads) {
            bail!("attention: a width of {width} does not divide into {heads} heads");
        }
        Ok(Self {
            heads,
            width,
            scale,
            layers: vec![Vec::new(); layers],
            rows: 0,
            sequences: vec![Vec::new(); sequences],
            fresh: vec![0; sequences],
        })
    }

    /// Sequences that are being decoded.
    pub fn sequences(&self) -> usize {
        self.sequences.len()
    }

    /// Begins a step in which each sequence gets as many tokens as `lengths` says, and returns the
    /// positions of these tokens, sequence by sequence.
    ///
    /// # Errors
    /// When there is another number of sequences.
    pub fn extend(&mut self, lengths: &[usize]) -> Result<Vec<u32>> {
        if lengths.len() != self.sequences.len() {
            bail!(
                "attention: {} lengths for {} sequences",
                lengths.len(),
                self.sequences.len()
            );
        }
        let mut positions = Vec::with_capacity(lengths.iter().sum());
        for (sequence, &length) in self.sequences.iter_mut().zip(lengths) {
            let start = sequence.len() as u32;
            positions.extend(start..start + length as u32);
            sequence.extend(self.rows as u32..(self.rows + length) as u32);
            self.rows += length;
        }
        self.fresh.copy_from_slice(lengths);
        Ok(positions)
    }

    /// Attention of this step's tokens in a layer: each to itself and those before it.
    ///
    /// `query_key_value` is (tokens, 3 * width), in the order of [`extend`](Self::extend); the
    /// result is (tokens, width). Each layer is called once in a step. What a token gives does not
    /// depend on whether it came alone or with others.
    ///
    /// # Errors
    /// When the shape does not fit, the layer was called already, or a position is beyond the bias.
    pub fn attend(
        &mut self,
        layer: usize,
        query_key_value: &Tensor,
        bias: Option<&PositionBias>,
    ) -> Result<Tensor> {
        let (tokens, triple) = query_key_value.dims2()?;
        let width = self.width;
        let before = self.rows - self.fresh.iter().sum::<usize>();
        let Some(rows) = self.layers.get_mut(layer) else {
            bail!("attention: no layer {layer}");
        };
        if triple != 3 * width
            || tokens != self.rows - before
            || rows.len() != before * 2 * width
            || !query_key_value.device().is_cpu()
        {
            bail!(
                "attention: {:?} for {} new tokens of width {width} in layer {layer} on the cpu",
                query_key_value.dims(),
                self.rows - before
            );
        }
        if let Some(bias) = bias {
            let longest = self.sequences.iter().map(Vec::len).max().unwrap_or(0);
            if bias.heads != self.heads || longest > bias.side {
                bail!(
                    "attention: a bias of {} heads and {} positions for {} and {longest}",
                    bias.heads,
                    bias.side,
                    self.heads
                );
            }
        }
        let mut out = vec![0.0; tokens * width];
        with_parameter(query_key_value, |values| {
            for token in values.chunks_exact(3 * width) {
                rows.extend_from_slice(&token[width..]);
            }
            let rows: &[f32] = rows;
            let mut queries = Vec::with_capacity(tokens);
            let mut outputs = out.chunks_exact_mut(width);
            let mut tokens = values.chunks_exact(3 * width);
            for (sequence, &fresh) in self.sequences.iter().zip(&self.fresh) {
                let first = sequence.len() - fresh;
                let tokens = tokens.by_ref().zip(outputs.by_ref()).take(fresh);
                queries.extend(tokens.enumerate().map(|(index, (token, out))| Query {
                    query: &token[..width],
                    rows,
                    seen: &sequence[..=first + index],
                    heads: self.heads,
                    scale: self.scale,
                    bias,
                    out,
                }));
            }
            let arch = Arch::new();
            let work: usize = queries.iter().map(|query| query.seen.len() * width).sum();
            if work < PARALLEL_WORK {
                queries.into_iter().for_each(|query| arch.dispatch(query));
            } else {
                queries
                    .into_par_iter()
                    .for_each(|query| arch.dispatch(query));
            }
        })?;
        Tensor::from_vec(out, (tokens, width), &Device::Cpu)
    }

    /// Goes on with copies of the sequences `origins`, in this order; the others end.
    ///
    /// # Errors
    /// When an origin does not exist.
    pub fn select(&mut self, origins: &[usize]) -> Result<()> {
        let copied: Option<Vec<_>> = origins
            .iter()
            .map(|origin| self.sequences.get(*origin).cloned())
            .collect();
        match copied {
            Some(sequences) => {
                self.fresh = vec![0; sequences.len()];
                self.sequences = sequences;
                Ok(())
            }
            None => bail!(
                "attention: {origins:?} name a sequence that is not among {}",
                self.sequences.len()
            ),
        }
    }
}

/// One token's attention, all its heads.
struct Query<'a> {
    query: &'a [f32],
    rows: &'a [f32],
    seen: &'a [u32],
    heads: usize,
    scale: f32,
    bias: Option<&'a PositionBias>,
    out: &'a mut [f32],
}

impl WithSimd for Query<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let width = self.query.len();
        let head_width = width / self.heads;
        let mut scores = vec![0.0; self.seen.len()];
        for head in 0..self.heads {
            let start = head * head_width;
            let query = &self.query[start..start + head_width];
            for (score, row) in scores.iter_mut().zip(self.seen) {
                let key = *row as usize * 2 * width + start;
                *score = dot_by_vectors(simd, query, &self.rows[key..key + head_width]);
            }
            let bias = self.bias.map(|bias| bias.row(head, self.seen.len() - 1));
            softmax(&mut scores, self.scale, bias);
            let out = &mut self.out[start..start + head_width];
            for (score, row) in scores.iter().zip(self.seen) {
                let value = *row as usize * 2 * width + width + start;
                let value = &self.rows[value..value + head_width];
                for (out, value) in out.iter_mut().zip(value) {
                    *out = score.mul_add(*value, *out);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Draws;
    use crate::{Mask, self_attention};

    fn scale(width: usize, heads: usize) -> f32 {
        1.0 / ((width / heads) as f32).sqrt()
    }

    fn values(tensor: &Tensor) -> Vec<f32> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn step_by_step_equals_all_at_once() -> Result<()> {
        let mut draws = Draws::new(1);
        let (heads, width, length) = (3, 3 * 20, 9);
        let tokens = draws.normal(0.0, 1.0, (length, 3 * width))?;
        let expected = self_attention(&tokens, &[length], heads, Mask::Causal)?;
        let mut steps = KeyValueCache::new(1, (heads, width), scale(width, heads), 1)?;
        let mut outputs = Vec::new();
        for (start, count) in [(0, 4), (4, 1), (5, 1), (6, 3)] {
            let positions = steps.extend(&[count])?;
            assert_eq!(positions[0] as usize, start);
            outputs.push(steps.attend(0, &tokens.narrow(0, start, count)?, None)?);
        }
        let stepped = Tensor::cat(&outputs, 0)?;
        let worst = (&stepped - &expected)?
            .abs()?
            .max_all()?
            .to_scalar::<f32>()?;
        assert!(worst < 1e-5, "{worst}");

        let mut whole = KeyValueCache::new(1, (heads, width), scale(width, heads), 1)?;
        whole.extend(&[length])?;
        let whole = whole.attend(0, &tokens, None)?;
        assert_eq!(values(&whole), values(&stepped));
        Ok(())
    }

    #[test]
    fn a_selected_sequence_goes_on_as_its_origin() -> Result<()> {
        let mut draws = Draws::new(2);
        let (heads, width) = (2, 32);
        let mut draw = |rows| draws.normal(0.0, 1.0, (rows, 3 * width));
        let (a, b, next) = (draw(2)?, draw(3)?, draw(1)?);
        let alone = |first: &Tensor| -> Result<Vec<f32>> {
            let mut cache = KeyValueCache::new(1, (heads, width), scale(width, heads), 1)?;
            cache.extend(&[first.dims()[0]])?;
            cache.attend(0, first, None)?;
            cache.extend(&[1])?;
            Ok(values(&cache.attend(0, &next, None)?))
        };
        let mut cache = KeyValueCache::new(1, (heads, width), scale(width, heads), 2)?;
        cache.extend(&[2, 3])?;
        cache.attend(0, &Tensor::cat(&[&a, &b], 0)?, None)?;
        cache.select(&[1, 0, 1])?;
        assert_eq!(cache.extend(&[1, 1, 1])?, [3, 2, 3]);
        let found = values(&cache.attend(0, &Tensor::cat(&[&next, &next, &next], 0)?, None)?);
        let (a, b) = (alone(&a)?, alone(&b)?);
        assert_eq!(found, [b.clone(), a, b].concat());
        Ok(())
    }

    #[test]
    fn a_bias_is_added_to_the_scores() -> Result<()> {
        let mut draws = Draws::new(3);
        let (heads, width, side) = (2, 8, 3);
        let tokens = draws.normal(0.0, 1.0, (side, 3 * width))?;
        // So large that each token sees one key only: its own, the first, the second.
        let seen = [0, 0, 1];
        let bias = |index: usize| {
            let (query, key) = (index / side % side, index % side);
            if seen[query] == key { 1e4 } else { 0.0 }
        };
        let bias = (0..heads * side * side).map(bias).collect();
        let bias = PositionBias::new(bias, heads, side)?;
        let mut cache = KeyValueCache::new(1, (heads, width), 1.0, 1)?;
        cache.extend(&[side])?;
        let found = cache.attend(0, &tokens, Some(&bias))?;
        let tokens = tokens.to_vec2::<f32>()?;
        for (row, key) in found.to_vec2::<f32>()?.iter().zip(seen) {
            assert_eq!(row, &tokens[key][2 * width..]);
        }
        Ok(())
    }

    #[test]
    fn what_does_not_fit_is_an_error() -> Result<()> {
        assert!(KeyValueCache::new(1, (3, 8), 1.0, 1).is_err());
        assert!(PositionBias::new(vec![0.0; 7], 2, 2).is_err());
        let mut cache = KeyValueCache::new(1, (2, 8), 1.0, 1)?;
        assert!(cache.extend(&[1, 1]).is_err());
        assert!(cache.select(&[1]).is_err());
        cache.extend(&[2])?;
        let token = Tensor::zeros((1, 24), candle_core::DType::F32, &Device::Cpu)?;
        assert!(cache.attend(0, &token, None).is_err());
        let tokens = Tensor::zeros((2, 24), candle_core::DType::F32, &Device::Cpu)?;
        assert!(cache.attend(1, &tokens, None).is_err());
        let bias = PositionBias::new(vec![0.0; 2], 2, 1)?;
        assert!(cache.attend(0, &tokens, Some(&bias)).is_err());
        cache.attend(0, &tokens, None)?;
        assert!(cache.attend(0, &tokens, None).is_err());
        Ok(())
    }
}
