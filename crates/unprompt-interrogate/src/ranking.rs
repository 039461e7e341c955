//! Similarities of many half-precision rows to some vectors, and the largest of them.

use crate::{InterrogateError, Result};
use half::{f16, slice::HalfFloatSliceExt};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;
use std::cmp::Ordering;
use unprompt_nn::dot_by_vectors;

/// Rows that are converted at once; they stay in the cache while the vectors pass.
const ROWS_AT_ONCE: usize = 64;

/// The scalar products of rows of `width` little-endian half-precision numbers with each of some
/// vectors: for each vector one number a row. Rows become single precision a few at a time.
pub(crate) fn row_products(rows: &[u8], width: usize, vectors: &[&[f32]]) -> Vec<Vec<f32>> {
    let count = rows.len() / (2 * width).max(1);
    let blocks: Vec<Vec<f32>> = rows
        .par_chunks(ROWS_AT_ONCE * 2 * width.max(1))
        .map(|rows| {
            let halves: Vec<f16> = rows
                .as_chunks::<2>()
                .0
                .iter()
                .map(|bytes| f16::from_le_bytes(*bytes))
                .collect();
            let mut singles = vec![0.0; halves.len()];
            halves.convert_to_f32_slice(&mut singles);
            Arch::new().dispatch(Products {
                rows: &singles,
                width,
                vectors,
            })
        })
        .collect();
    let mut products = vec![Vec::with_capacity(count); vectors.len()];
    for block in blocks {
        let rows = block.len() / vectors.len().max(1);
        for (products, block) in products.iter_mut().zip(block.chunks_exact(rows.max(1))) {
            products.extend_from_slice(block);
        }
    }
    products
}

struct Products<'a> {
    rows: &'a [f32],
    width: usize,
    vectors: &'a [&'a [f32]],
}

impl WithSimd for Products<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
        let mut products = Vec::with_capacity(self.vectors.len() * self.rows.len() / self.width);
        for vector in self.vectors {
            for row in self.rows.chunks_exact(self.width) {
                products.push(dot_by_vectors(simd, row, vector));
            }
        }
        products
    }
}

/// Which end of a ranking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Largest,
    Smallest,
}

/// The places of the `count` largest (or smallest) values among `places`, the first the most so;
/// equal ones in the order of their places.
pub(crate) fn top(
    values: &[f32],
    places: impl Iterator<Item = usize>,
    count: usize,
    end: End,
) -> Vec<usize> {
    let order = |a: &usize, b: &usize| -> Ordering {
        let by_value = match end {
            End::Largest => values[*b].total_cmp(&values[*a]),
            End::Smallest => values[*a].total_cmp(&values[*b]),
        };
        by_value.then(a.cmp(b))
    };
    let mut places: Vec<usize> = places.filter(|place| *place < values.len()).collect();
    if count < places.len() && count > 0 {
        places.select_nth_unstable_by(count - 1, order);
    }
    places.truncate(count);
    places.sort_unstable_by(order);
    places
}

/// As 0.6.0 ranks a table that is larger than its chunks: a few from each chunk, then the most
/// similar of those, even where the least similar are asked for.
pub(crate) fn rank_as_060(
    similarities: &[f32],
    used: impl Iterator<Item = usize>,
    count: usize,
    end: End,
    chunk_size: usize,
) -> Result<Vec<usize>> {
    let labels = similarities.len();
    if labels <= chunk_size {
        return Ok(top(similarities, used, count, end));
    }
    let chunks = labels.div_ceil(chunk_size);
    let kept = chunk_size / chunks;
    if kept == 0 {
        let message = format!(
            "0.6.0 keeps no label of {labels} in chunks of {chunk_size}; larger chunks are needed"
        );
        return Err(InterrogateError::Options(message));
    }
    let mut by_chunk = vec![Vec::new(); chunks];
    for place in used {
        by_chunk[place / chunk_size].push(place);
    }
    let survivors = by_chunk
        .into_iter()
        .flat_map(|places| top(similarities, places.into_iter(), kept, end));
    Ok(top(similarities, survivors, count, End::Largest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        std::iter::repeat_with(next).take(count).collect()
    }

    #[test]
    fn products_are_those_of_the_rounded_rows_for_any_width_and_number_of_vectors() {
        for (width, rows, vectors) in [(1, 3, 1), (20, 200, 2), (64, 65, 5), (769, 7, 3)] {
            let table: Vec<f16> = numbers(width * rows, 1)
                .into_iter()
                .map(f16::from_f32)
                .collect();
            let bytes: Vec<u8> = table.iter().flat_map(|x| x.to_le_bytes()).collect();
            let vectors: Vec<Vec<f32>> = (0..vectors).map(|seed| numbers(width, seed)).collect();
            let all: Vec<&[f32]> = vectors.iter().map(Vec::as_slice).collect();
            let found = row_products(&bytes, width, &all);
            assert_eq!(found.len(), vectors.len());
            for (vector, found) in vectors.iter().zip(&found) {
                assert_eq!(found.len(), rows);
                for (row, found) in table.chunks(width).zip(found) {
                    let terms = row.iter().zip(vector);
                    let exact: f64 = terms
                        .map(|(a, b)| f64::from(a.to_f32()) * f64::from(*b))
                        .sum();
                    assert!(
                        (exact - f64::from(*found)).abs() < 1e-5 * exact.abs().max(1.0),
                        "{exact}, {found}"
                    );
                }
                let alone = row_products(&bytes, width, &[vector]);
                assert_eq!(alone[0], *found);
            }
        }
        assert_eq!(row_products(&[], 4, &[&[0.0; 4]]), [Vec::<f32>::new()]);
    }

    #[test]
    fn the_top_is_sorted_and_ties_keep_the_order_of_the_list() {
        let values = [0.5, 0.9, -0.1, 0.9, 0.5, f32::NEG_INFINITY];
        let all = || 0..values.len();
        assert_eq!(top(&values, all(), 3, End::Largest), [1, 3, 0]);
        assert_eq!(top(&values, all(), 9, End::Largest), [1, 3, 0, 4, 2, 5]);
        assert_eq!(top(&values, all(), 4, End::Smallest), [5, 2, 0, 4]);
        assert_eq!(top(&values, [4, 0, 2].into_iter(), 1, End::Largest), [0]);
        assert_eq!(top(&values, all(), 0, End::Largest), [0usize; 0]);
        let many = numbers(5000, 3);
        let mut sorted: Vec<usize> = (0..5000).collect();
        sorted.sort_by(|a, b| many[*b].total_cmp(&many[*a]));
        assert_eq!(top(&many, 0..5000, 37, End::Largest), sorted[..37]);
    }

    #[test]
    fn chunks_lose_labels_and_the_last_stage_goes_the_wrong_way_as_in_060() -> Result<()> {
        let values = [0.9, 0.8, 0.7, 0.1, 0.2, 0.3, -0.5];
        let all = || 0..values.len();
        // Three chunks of 3, one label kept of each.
        let found = rank_as_060(&values, all(), 5, End::Largest, 3)?;
        assert_eq!(found, [0, 5, 6]);
        assert_eq!(top(&values, all(), 3, End::Largest), [0, 1, 2]);
        let found = rank_as_060(&values, all(), 1, End::Smallest, 3)?;
        assert_eq!(found, [2]);
        assert_eq!(top(&values, all(), 1, End::Smallest), [6]);
        assert_eq!(rank_as_060(&values, all(), 2, End::Smallest, 7)?, [6, 3]);
        assert!(rank_as_060(&values, all(), 2, End::Largest, 2).is_err());
        Ok(())
    }
}
