//! Texts with their embeddings, compact, and used where they lie.
//!
//! The container is a safetensors file. Nothing is unpacked when it is opened: embeddings are rows
//! of bytes that queries are multiplied with, texts lie in compressed blocks and only the block of a
//! text that is asked for is read.

use crate::{
    Damaged,
    quantised::{Row, product},
};
use flate2::read::DeflateDecoder;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;
use safetensors::SafeTensors;
use std::{io::Read, ops::Range};

/// Texts of one block. More compress better, fewer are unpacked sooner: a block takes 0.1 ms.
pub(crate) const BLOCK: usize = 256;
/// A block of texts is never longer than this, whatever it claims.
const LARGEST_BLOCK: u64 = 1 << 20;
/// Rows that one thread takes at a time. Sums are made of such parts, so that they have the same
/// bits with any number of threads.
const PART: usize = 2048;
/// Rows that a sum takes at a time: registers hold as many.
const FOUR: usize = 4;
/// Rows that are added in single precision before their sum is added in double; a divisor of a part.
const FEW: usize = 64;

/// A list of texts with their embeddings.
#[derive(Debug)]
pub struct TextList {
    width: usize,
    /// (count, width)
    values: &'static [i8],
    scales: Vec<f32>,
    centred: Vec<f32>,
    printable: &'static [u8],
    blocks: &'static [u8],
    block_ends: Vec<u32>,
    mean: Vec<f32>,
    segments: Vec<Segment>,
}

/// A part of a list that comes from one source.
#[derive(Clone, Debug)]
pub struct Segment {
    /// What it is called.
    pub name: String,
    /// Its rows.
    pub rows: Range<usize>,
    /// The mean of its embeddings.
    pub mean: Vec<f32>,
}

impl TextList {
    /// Opens a list that is part of the program.
    ///
    /// # Errors
    /// When the bytes are no list.
    pub fn open(bytes: &'static [u8]) -> Result<Self, Damaged> {
        let tensors = SafeTensors::deserialize(bytes).map_err(Damaged::new)?;
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(Damaged::new)?;
        let metadata = header.metadata().as_ref();
        let names = metadata.and_then(|metadata| metadata.get("segments"));
        let names = names.ok_or_else(|| Damaged::new("no segments are named"))?;
        let names: Vec<(String, usize)> = serde_json::from_str(names).map_err(Damaged::new)?;

        let values = tensors.tensor("values").map_err(Damaged::new)?;
        let &[count, width] = values.shape() else {
            return Err(Damaged::new("`values` has another shape"));
        };
        let floats = |name: &str, length: usize| -> Result<Vec<f32>, Damaged> {
            let tensor = tensors.tensor(name).map_err(Damaged::new)?;
            let values = tensor.data().as_chunks::<4>().0;
            if tensor.dtype() != safetensors::Dtype::F32 || values.len() != length {
                return Err(Damaged::new(format!("`{name}` has another length")));
            }
            Ok(values
                .iter()
                .map(|value| f32::from_le_bytes(*value))
                .collect())
        };
        let segment_means = floats("segment_means", names.len() * width)?;
        let mut segments = Vec::new();
        let mut start = 0;
        for ((name, rows), mean) in names
            .into_iter()
            .zip(segment_means.chunks_exact(width.max(1)))
        {
            segments.push(Segment {
                name,
                rows: start..start.saturating_add(rows),
                mean: mean.to_vec(),
            });
            start = start.saturating_add(rows);
        }
        let ends = tensors.tensor("block_ends").map_err(Damaged::new)?;
        let list = Self {
            width,
            values: bytemuck::cast_slice(bytes_of(bytes, &tensors, "values")?),
            scales: floats("scales", count)?,
            centred: floats("centred", count)?,
            printable: bytes_of(bytes, &tensors, "printable")?,
            blocks: bytes_of(bytes, &tensors, "blocks")?,
            block_ends: ends
                .data()
                .as_chunks::<4>()
                .0
                .iter()
                .map(|end| u32::from_le_bytes(*end))
                .collect(),
            mean: floats("mean", width)?,
            segments,
        };
        let whole = start == count
            && width > 0
            && list.values.len() == count * width
            && list.printable.len() == count
            && list.block_ends.len() == count.div_ceil(BLOCK)
            && list
                .block_ends
                .last()
                .is_none_or(|end| *end as usize == list.blocks.len());
        whole
            .then_some(list)
            .ok_or_else(|| Damaged::new("its parts do not belong together"))
    }

    /// How many texts there are.
    pub fn len(&self) -> usize {
        self.scales.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.scales.is_empty()
    }

    /// Numbers of an embedding.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The mean of all embeddings.
    pub fn mean(&self) -> &[f32] {
        &self.mean
    }

    /// The parts of the list, in order.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The part of a name.
    pub fn segment(&self, name: &str) -> Option<&Segment> {
        self.segments.iter().find(|segment| segment.name == name)
    }

    /// Whether a text may be shown as a prediction; see [`is_printable`](crate::is_printable).
    pub fn is_printable(&self, index: usize) -> bool {
        self.printable[index] != 0
    }

    /// One over the length of an embedding after the mean of all is subtracted.
    pub fn centred_scale(&self, index: usize) -> f32 {
        self.centred[index]
    }

    /// An embedding, of unit length but for rounding.
    pub fn embedding(&self, index: usize) -> Vec<f32> {
        self.row(index).values()
    }

    /// The inner product of each embedding with a query of this width.
    pub fn products(&self, query: &[f32]) -> Vec<f32> {
        self.products_of_all(&[query]).swap_remove(0)
    }

    /// The same of many queries, for each what it alone would get: the rows are read once for all.
    pub fn products_of_all(&self, queries: &[impl AsRef<[f32]> + Sync]) -> Vec<Vec<f32>> {
        let queries: Vec<&[f32]> = queries.iter().map(AsRef::as_ref).collect();
        let mut products = vec![vec![0.0; self.len()]; queries.len()];
        let mut parts: Vec<Vec<&mut [f32]>> = Vec::new();
        parts.resize_with(self.len().div_ceil(PART), Vec::new);
        for products in &mut products {
            for (part, found) in parts.iter_mut().zip(products.chunks_mut(PART)) {
                part.push(found);
            }
        }
        let parts = parts.into_par_iter().enumerate();
        parts.for_each(|(part, mut found)| {
            Arch::new().dispatch(Products {
                list: self,
                first: part * PART,
                queries: &queries,
                found: &mut found,
            });
        });
        products
    }

    /// Sums of all embeddings, each times its weight: one sum for each of `weights`, which are as many as
    /// there are embeddings. Each is what it would be alone.
    pub fn weighted_sums(&self, weights: &[impl AsRef<[f64]> + Sync]) -> Vec<Vec<f64>> {
        let weights: Vec<&[f64]> = weights.iter().map(AsRef::as_ref).collect();
        let parts = (0..self.len().div_ceil(PART)).into_par_iter();
        let parts: Vec<Vec<Vec<f64>>> = parts
            .map(|part| {
                let rows = part * PART..self.len().min((part + 1) * PART);
                let of_rows: Vec<&[f64]> = weights
                    .iter()
                    .map(|weights| &weights[rows.clone()])
                    .collect();
                Arch::new().dispatch(WeightedSums {
                    list: self,
                    first: rows.start,
                    weights: &of_rows,
                })
            })
            .collect();
        let mut sums = vec![vec![0.0; self.width]; weights.len()];
        for part in parts {
            for (sum, part) in sums.iter_mut().zip(part) {
                sum.iter_mut()
                    .zip(part)
                    .for_each(|(sum, part)| *sum += part);
            }
        }
        sums
    }

    /// A text.
    ///
    /// # Errors
    /// When its block is damaged.
    pub fn text(&self, index: usize) -> Result<String, Damaged> {
        let block = self.block(index / BLOCK)?;
        let text = block.split('\n').nth(index % BLOCK);
        text.map(str::to_owned)
            .ok_or_else(|| Damaged::new("a text is missing"))
    }

    /// Texts in their order, each block unpacked once.
    ///
    /// # Errors
    /// When a block is damaged.
    pub fn texts(&self, rows: Range<usize>) -> Result<Vec<String>, Damaged> {
        let mut texts = Vec::with_capacity(rows.len());
        for block in rows.start / BLOCK..rows.end.div_ceil(BLOCK) {
            let all = self.block(block)?;
            let wanted = all.split('\n').enumerate();
            let wanted = wanted.filter(|(index, _)| rows.contains(&(block * BLOCK + index)));
            texts.extend(wanted.map(|(_, text)| text.to_owned()));
        }
        match texts.len() == rows.len() {
            true => Ok(texts),
            false => Err(Damaged::new("a text is missing")),
        }
    }

    /// The texts of a block, one a line.
    fn block(&self, block: usize) -> Result<String, Damaged> {
        let missing = || Damaged::new("a block of texts is missing");
        let end = *self.block_ends.get(block).ok_or_else(missing)? as usize;
        let start = match block {
            0 => 0,
            _ => self.block_ends[block - 1] as usize,
        };
        let packed = self.blocks.get(start..end).ok_or_else(missing)?;
        let mut texts = String::new();
        DeflateDecoder::new(packed)
            .take(LARGEST_BLOCK)
            .read_to_string(&mut texts)
            .map_err(Damaged::new)?;
        Ok(texts)
    }

    #[inline(always)]
    pub(crate) fn row(&self, index: usize) -> Row<'_> {
        let start = index * self.width;
        Row {
            scale: self.scales[index],
            values: &self.values[start..start + self.width],
        }
    }
}

/// The products of a part of a list with queries.
struct Products<'a, 'b> {
    list: &'a TextList,
    first: usize,
    queries: &'a [&'a [f32]],
    /// Of each query.
    found: &'a mut [&'b mut [f32]],
}

impl WithSimd for Products<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let rows = self.found.first().map_or(0, |found| found.len());
        let mut wide = vec![0.0f32; self.list.width];
        for index in 0..rows {
            let row = self.list.row(self.first + index);
            row.widen_to(&mut wide);
            for (query, found) in self.queries.iter().zip(&mut *self.found) {
                found[index] = product(&wide, query) * row.scale;
            }
        }
    }
}

/// The weighted sums of a part of a list.
struct WeightedSums<'a> {
    list: &'a TextList,
    first: usize,
    /// Of each sum.
    weights: &'a [&'a [f64]],
}

impl WithSimd for WeightedSums<'_> {
    type Output = Vec<Vec<f64>>;

    /// A few rows are added in single precision, their sums in double.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Vec<Vec<f64>> {
        let width = self.list.width;
        let rows = self.weights.first().map_or(0, |weights| weights.len());
        let mut sums = vec![vec![0.0f64; width]; self.weights.len()];
        let mut wide = vec![0.0f32; FOUR * width];
        let mut few = vec![vec![0.0f32; width]; self.weights.len()];
        for start in (0..rows).step_by(FOUR) {
            // Rows behind the last keep what was there, and weigh nothing.
            let count = FOUR.min(rows - start);
            let mut scales = [0.0f32; FOUR];
            for place in 0..count {
                let row = self.list.row(self.first + start + place);
                row.widen_to(&mut wide[place * width..(place + 1) * width]);
                scales[place] = row.scale;
            }
            let (first, others) = wide.split_at(width);
            let (second, others) = others.split_at(width);
            let (third, fourth) = others.split_at(width);
            for (few, weights) in few.iter_mut().zip(self.weights) {
                let mut weigh = [0.0f32; FOUR];
                for place in 0..count {
                    weigh[place] = (weights[start + place] * f64::from(scales[place])) as f32;
                }
                let rows = first.iter().zip(second).zip(third).zip(fourth);
                for (few, (((first, second), third), fourth)) in few.iter_mut().zip(rows) {
                    *few += weigh[0] * first;
                    *few += weigh[1] * second;
                    *few += weigh[2] * third;
                    *few += weigh[3] * fourth;
                }
            }
            if (start + FOUR).is_multiple_of(FEW) || start + FOUR >= rows {
                for (sum, few) in sums.iter_mut().zip(&mut few) {
                    for (sum, few) in sum.iter_mut().zip(few) {
                        *sum += f64::from(*few);
                        *few = 0.0;
                    }
                }
            }
        }
        sums
    }
}

/// The bytes of a tensor, for as long as the program runs.
fn bytes_of(
    bytes: &'static [u8],
    tensors: &SafeTensors,
    name: &str,
) -> Result<&'static [u8], Damaged> {
    let data = tensors
        .tensor(name)
        .map_err(Damaged::new)?
        .data()
        .as_ptr_range();
    let whole = bytes.as_ptr_range();
    let offset = data.start.addr() - whole.start.addr();
    let length = data.end.addr() - data.start.addr();
    bytes
        .get(offset..offset + length)
        .ok_or_else(|| Damaged::new("a part lies outside"))
}
