//! Texts with their embeddings, compact, and used where they lie.
//!
//! The container is a safetensors file. Nothing is unpacked when it is opened: embeddings are rows
//! of bytes that queries are multiplied with, texts lie in compressed blocks and only the block of a
//! text that is asked for is read.

use crate::{Damaged, quantised::Row};
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

    /// The inner product of each embedding with a query.
    pub fn products(&self, query: &[f32]) -> Vec<f32> {
        let mut products = vec![0.0; self.len()];
        products
            .par_chunks_mut(PART)
            .enumerate()
            .for_each(|(part, found)| {
                Arch::new().dispatch(Products {
                    list: self,
                    first: part * PART,
                    query,
                    found,
                });
            });
        products
    }

    /// The sum of embeddings, each times its weight.
    pub fn weighted_sum(&self, weights: &[f64]) -> Vec<f64> {
        let parts: Vec<Vec<f64>> = weights
            .par_chunks(PART)
            .enumerate()
            .map(|(part, weights)| {
                Arch::new().dispatch(WeightedSum {
                    list: self,
                    first: part * PART,
                    weights,
                })
            })
            .collect();
        let mut sum = vec![0.0; self.width];
        for part in parts {
            sum.iter_mut()
                .zip(part)
                .for_each(|(sum, part)| *sum += part);
        }
        sum
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

/// The products of a part of a list with a query.
struct Products<'a> {
    list: &'a TextList,
    first: usize,
    query: &'a [f32],
    found: &'a mut [f32],
}

impl WithSimd for Products<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (index, found) in self.found.iter_mut().enumerate() {
            *found = self.list.row(self.first + index).product(self.query);
        }
    }
}

/// The weighted sum of a part of a list.
struct WeightedSum<'a> {
    list: &'a TextList,
    first: usize,
    weights: &'a [f64],
}

impl WithSimd for WeightedSum<'_> {
    type Output = Vec<f64>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Vec<f64> {
        let mut sum = vec![0.0; self.list.width];
        for (index, weight) in self.weights.iter().enumerate() {
            if *weight != 0.0 {
                self.list.row(self.first + index).add_to(&mut sum, *weight);
            }
        }
        sum
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
