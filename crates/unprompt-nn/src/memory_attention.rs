//! Attention to a whole sequence whose keys and values were packed before: of a decoder to its
//! picture, or of an encoder to itself where positions are added to the scores.

use crate::{
    attention::composed_attention,
    cpu::{is_fused, with_parameter},
    matmul::{Product, Sides, accumulate_tile, tile_height},
    output::{Unwritten, written},
    panels::{PANEL, Panels, Tiles},
    row_softmax::softmax,
};
use candle_core::{Device, IndexOp, Result, Tensor, bail};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// The keys and values of one sequence, on the CPU each head's in the order in which the kernel reads
/// them.
#[derive(Debug)]
pub struct Memory {
    tokens: Tokens,
    heads: usize,
    length: usize,
    width: usize,
}

#[derive(Debug)]
enum Tokens {
    Packed(Vec<Head>),
    /// Keys and values, both (heads, length, head width).
    Stored(Tensor, Tensor),
}

#[derive(Debug)]
struct Head {
    keys: Panels,
    values: Panels,
}

/// What is added to the scores: (heads, query positions, keys).
#[derive(Clone, Copy, Debug)]
pub struct MemoryBias<'a> {
    /// heads * query positions * keys values.
    pub values: &'a [f32],
    /// How many query positions there are.
    pub positions: usize,
    /// The position of each query.
    pub of_query: &'a [u32],
}

impl Memory {
    /// Packs `key_value`, (length, 2 * width): each token's key and value, each of them `heads`
    /// heads side by side.
    ///
    /// # Errors
    /// When the heads do not divide the width.
    pub fn new(key_value: &Tensor, heads: usize) -> Result<Self> {
        let (length, double) = key_value.dims2()?;
        if heads == 0 || length == 0 || !double.is_multiple_of(2 * heads) || double == 0 {
            bail!("attention: {:?} for {heads} heads", key_value.dims());
        }
        let (width, head_width) = (double / 2, double / 2 / heads);
        if !is_fused(key_value) {
            // (2, heads, length, head width)
            let parts = key_value.reshape((length, 2, heads, head_width))?;
            let parts = parts.permute((1, 2, 0, 3))?.contiguous()?;
            return Ok(Self {
                tokens: Tokens::Stored(parts.i(0)?, parts.i(1)?),
                heads,
                length,
                width,
            });
        }
        let packed = with_parameter(key_value, |rows| {
            let pack = |head: usize| {
                let (keys, values) = (head * head_width, width + head * head_width);
                Head {
                    keys: Panels::from_rows(&rows[keys..], length, head_width, double),
                    values: Panels::from_columns(&rows[values..], head_width, length, double),
                }
            };
            (0..heads).into_par_iter().map(pack).collect()
        })?;
        Ok(Self {
            tokens: Tokens::Packed(packed),
            heads,
            length,
            width,
        })
    }

    /// Tokens of the sequence.
    pub fn length(&self) -> usize {
        self.length
    }
}

/// `softmax(scale * q · kᵀ + bias) · v`: the first queries attend to the first memory, as many as
/// its count says, the next to the second, and so on.
///
/// `queries` is (queries, width), the result too. What a query gives does not depend on the others.
///
/// # Errors
/// When counts, widths, heads or the bias do not fit each other, or there is a bias and the CPU does not
/// compute in f32.
pub fn memory_attention(
    queries: &Tensor,
    memories: &[(&Memory, usize)],
    scale: f32,
    bias: Option<&MemoryBias>,
) -> Result<Tensor> {
    let (count, width) = queries.dims2()?;
    if memories.iter().map(|(_, count)| count).sum::<usize>() != count
        || memories.iter().any(|(memory, _)| memory.width != width)
    {
        bail!(
            "attention: queries {:?} for memories of {:?}",
            queries.dims(),
            memories
                .iter()
                .map(|(memory, count)| (*count, memory.width))
                .collect::<Vec<_>>()
        );
    }
    if let Some(bias) = bias {
        let fits =
            |memory: &Memory| bias.values.len() == memory.heads * bias.positions * memory.length;
        if bias.of_query.len() != count
            || bias
                .of_query
                .iter()
                .any(|position| *position as usize >= bias.positions)
            || !memories.iter().all(|(memory, _)| fits(memory))
        {
            bail!(
                "attention: a bias of {} values, {} positions and {} queries for {count} queries",
                bias.values.len(),
                bias.positions,
                bias.of_query.len()
            );
        }
    }
    if !is_fused(queries) {
        return composed(queries, memories, scale, bias);
    }
    let mut packed = Vec::with_capacity(memories.len());
    for (memory, count) in memories {
        let Tokens::Packed(heads) = &memory.tokens else {
            bail!("attention: queries in f32 on the cpu for keys and values elsewhere");
        };
        packed.push((heads, memory.length, *count));
    }
    let arch = Arch::new();
    let height = tile_height(arch);
    let compute = |queries: &[f32], mut out: Unwritten<'_>| {
        let mut pieces = Vec::new();
        let mut start = 0;
        for &(heads, length, count) in packed.iter().filter(|(.., count)| *count > 0) {
            let head_width = width / heads.len();
            for first in (0..count).step_by(height) {
                let real = height.min(count - first);
                let begin = pieces.len();
                pieces.extend(heads.iter().enumerate().map(|(index, head)| Piece {
                    head,
                    index,
                    length,
                    queries: &queries[(start + first) * width + index * head_width..],
                    stride: width,
                    positions: bias.map(|bias| &bias.of_query[start + first..][..real]),
                    bias,
                    scale,
                    out: Vec::with_capacity(real),
                }));
                for _ in 0..real {
                    let mut row = out.take(width);
                    for piece in &mut pieces[begin..] {
                        piece.out.push(row.take(head_width));
                    }
                }
            }
            start += count;
        }
        pieces
            .into_par_iter()
            .for_each(|piece| arch.dispatch(piece));
    };
    let out = with_parameter(queries, |queries| {
        written(count * width, |out| compute(queries, out))
    })??;
    Tensor::from_vec(out, (count, width), &Device::Cpu)
}

/// The same from candle's operations.
fn composed(
    queries: &Tensor,
    memories: &[(&Memory, usize)],
    scale: f32,
    bias: Option<&MemoryBias>,
) -> Result<Tensor> {
    if bias.is_some() {
        bail!("attention: what is added to scores is for the cpu in f32");
    }
    let width = queries.dim(1)?;
    let mut outputs = Vec::with_capacity(memories.len());
    let mut start = 0;
    for (memory, count) in memories.iter().filter(|(_, count)| *count > 0) {
        let Tokens::Stored(keys, values) = &memory.tokens else {
            bail!("attention: keys and values in f32 on the cpu for queries elsewhere");
        };
        // (heads, queries, head width)
        let query = queries.narrow(0, start, *count)?;
        let query = query.reshape((*count, memory.heads, width / memory.heads))?;
        let query = query.transpose(0, 1)?.contiguous()?;
        let output = composed_attention([&query, keys, values], f64::from(scale), None)?;
        outputs.push(output.transpose(0, 1)?.reshape((*count, width))?);
        start += count;
    }
    match outputs.is_empty() {
        true => Ok(queries.clone()),
        false => Tensor::cat(&outputs, 0),
    }
}

/// A few queries of one head.
struct Piece<'a, 'b> {
    head: &'a Head,
    index: usize,
    length: usize,
    queries: &'a [f32],
    stride: usize,
    positions: Option<&'a [u32]>,
    bias: Option<&'a MemoryBias<'b>>,
    scale: f32,
    out: Vec<Unwritten<'a>>,
}

impl WithSimd for Piece<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let (length, real) = (self.length, self.out.len());
        let shape = (real, self.head.keys.k());
        let queries = Tiles::new(self.queries, shape, self.stride, real);
        // (real, keys): soft-max runs along the rows.
        let stride = length.next_multiple_of(PANEL);
        let mut scores = vec![0.0; real * stride];
        let mut product = Product::ZERO;
        for panel in 0..self.head.keys.count() {
            let sides = Sides {
                x: queries.tile(0).0,
                panel: self.head.keys.panel(panel),
                next: &[],
            };
            accumulate_tile(simd, sides, real, &mut product, false);
            for (scores, product) in scores.chunks_exact_mut(stride).zip(product.iter()) {
                scores[panel * PANEL..(panel + 1) * PANEL].copy_from_slice(product);
            }
        }
        for (row, scores) in scores.chunks_exact_mut(stride).enumerate() {
            let bias = match (self.bias, self.positions) {
                (Some(bias), Some(positions)) => {
                    let position = self.index * bias.positions + positions[row] as usize;
                    Some(&bias.values[position * length..(position + 1) * length])
                }
                _ => None,
            };
            softmax(&mut scores[..length], self.scale, bias);
        }
        let weights = Tiles::new(&scores, (real, length), stride, real);
        for panel in 0..self.head.values.count() {
            let sides = Sides {
                x: weights.tile(0).0,
                panel: self.head.values.panel(panel),
                next: &[],
            };
            accumulate_tile(simd, sides, real, &mut product, false);
            for (out, product) in self.out.iter_mut().zip(product.iter()) {
                out.push(product);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Draws;
    use crate::{Mask, self_attention};
    use candle_core::DType;

    #[test]
    fn equals_self_attention_and_depends_on_no_other_query() -> Result<()> {
        let mut draws = Draws::new(1);
        for (heads, head_width, length) in [(3, 64, 77), (2, 20, 5), (1, 8, 33), (4, 16, 130)] {
            let width = heads * head_width;
            let tokens = draws.normal(0.0, 1.0, (length, 3 * width))?;
            let expected = self_attention(&tokens, &[length], heads, Mask::None)?;
            let queries = tokens.narrow(1, 0, width)?.contiguous()?;
            let memory = Memory::new(&tokens.narrow(1, width, 2 * width)?, heads)?;
            let scale = 1.0 / (head_width as f32).sqrt();
            let found = memory_attention(&queries, &[(&memory, length)], scale, None)?;
            let double = tokens.to_dtype(DType::F64)?;
            let stored = Memory::new(&double.narrow(1, width, 2 * width)?, heads)?;
            let queries_there = double.narrow(1, 0, width)?.contiguous()?;
            let composed = memory_attention(&queries_there, &[(&stored, length)], scale, None)?;
            for expected in [expected, composed.to_dtype(DType::F32)?] {
                let worst = (&found - expected)?.abs()?.max_all()?.to_scalar::<f32>()?;
                assert!(worst < 1e-5, "{worst}");
            }
            // What is packed for one is not for the other.
            assert!(memory_attention(&queries, &[(&stored, length)], scale, None).is_err());
            assert!(memory_attention(&queries_there, &[(&memory, length)], scale, None).is_err());
            for count in [1, 3, 4] {
                let part = memory_attention(
                    &queries.narrow(0, 1, count)?,
                    &[(&memory, count)],
                    scale,
                    None,
                )?;
                let whole = found.narrow(0, 1, count)?;
                assert_eq!(part.to_vec2::<f32>()?, whole.to_vec2::<f32>()?);
            }
        }
        Ok(())
    }

    #[test]
    fn each_query_attends_to_its_own_memory_with_its_own_bias() -> Result<()> {
        let mut draws = Draws::new(2);
        let (heads, width, length) = (2, 16, 6);
        let mut draw = |rows, columns| draws.normal(0.0, 1.0, (rows, columns));
        let first = draw(length, 2 * width)?;
        let memories = [
            Memory::new(&first, heads)?,
            Memory::new(&draw(length, 2 * width)?, heads)?,
        ];
        let queries = draw(3, width)?;
        // The query at position p sees key p only.
        let see = |index: usize| {
            if index / length % 4 == index % length {
                1e4
            } else {
                0.0
            }
        };
        let bias: Vec<f32> = (0..heads * 4 * length).map(see).collect();
        let bias = MemoryBias {
            values: &bias,
            positions: 4,
            of_query: &[3, 0, 2],
        };
        let pairs = [(&memories[0], 1), (&memories[1], 2)];
        let found = memory_attention(&queries, &pairs, 1.0, Some(&bias))?;
        let values = first.narrow(1, width, width)?.to_vec2::<f32>()?;
        assert_eq!(found.to_vec2::<f32>()?[0], values[3]);
        let wrong = MemoryBias {
            of_query: &[4, 0, 0],
            ..bias
        };
        assert!(memory_attention(&queries, &pairs, 1.0, Some(&wrong)).is_err());
        assert!(memory_attention(&queries, &pairs[..1], 1.0, None).is_err());
        assert!(Memory::new(&first, 3).is_err());
        Ok(())
    }
}
