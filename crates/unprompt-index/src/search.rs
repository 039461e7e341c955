//! Exact search: every row passes by once for a whole batch of queries.

use crate::{
    IndexError, Result, Space,
    build::to_unit_length,
    nearest::{Nearest, Neighbour, by_similarity},
    segment::Segment,
};
use rayon::prelude::*;
use std::sync::{Mutex, PoisonError};
use unprompt_nn::Queries;

/// Queries that share one pass: what they need stays in the second-level cache.
const MOST_QUERIES: usize = 256;

/// Rows between two looks at their products.
const BLOCK_ROWS: usize = 480;

/// Pieces of work for each thread, so that a slow one can be helped.
const PIECES: usize = 4;

/// The `count` rows nearest to each query. The order of two rows depends on nothing but their
/// similarities and their numbers, so it does not matter how the work is divided.
pub(crate) fn search(
    segments: &[Segment],
    space: Space,
    queries: &[Vec<f32>],
    count: usize,
) -> Result<Vec<Vec<Neighbour>>> {
    let width = segments.first().map_or(0, |segment| segment.width(space));
    let mut firsts = Vec::with_capacity(segments.len());
    let mut rows = 0;
    for segment in segments {
        firsts.push(rows);
        rows += segment.rows() as u64;
    }
    let count = count.min(usize::try_from(rows).unwrap_or(usize::MAX));
    if count == 0 {
        return Ok(vec![Vec::new(); queries.len()]);
    }
    let mut found = Vec::with_capacity(queries.len());
    for (batch, queries) in queries.chunks(MOST_QUERIES).enumerate() {
        let mut values = Vec::with_capacity(queries.len() * width);
        for (index, query) in queries.iter().enumerate() {
            values.extend(to_unit_length(query, width).map_err(|message| {
                let index = batch * MOST_QUERIES + index;
                IndexError::Embedding(format!("query {index} {message}"))
            })?);
        }
        let queries = Queries::new(&values, width);
        let floors = Floors(Mutex::new(vec![f32::NEG_INFINITY; queries.len()]));
        let pieces = PIECES * rayon::current_num_threads();
        let size = segments.len().div_ceil(pieces);
        let pieces: Vec<Result<Vec<Nearest>>> = segments
            .par_chunks(size)
            .zip(firsts.par_chunks(size))
            .with_max_len(1)
            .map(|(segments, firsts)| piece(segments, firsts, space, &queries, count, &floors))
            .collect();
        found.extend(merged(pieces, queries.len(), count)?);
    }
    Ok(found)
}

/// The nearest rows of some segments, in the calling thread.
fn piece(
    segments: &[Segment],
    firsts: &[u64],
    space: Space,
    queries: &Queries,
    count: usize,
    floors: &Floors,
) -> Result<Vec<Nearest>> {
    let mut nearest = vec![Nearest::new(count); queries.len()];
    // Beside each other, for a quick look at a whole row.
    let mut thresholds = vec![f32::NEG_INFINITY; queries.len()];
    let stride = queries.stride();
    let mut products = vec![0.0; BLOCK_ROWS * stride];
    for (segment, first) in segments.iter().zip(firsts) {
        segment.check()?;
        segment.prefetch(space);
        let (rows, width) = (segment.embeddings(space), segment.width(space));
        for (block, rows) in rows.chunks(BLOCK_ROWS * width).enumerate() {
            let products = &mut products[..rows.len() / width * stride];
            queries.multiply(rows, products);
            let first = first + (block * BLOCK_ROWS) as u64;
            for (row, products) in products.chunks_exact(stride).enumerate() {
                if !any_above(products, &thresholds) {
                    continue;
                }
                let of_queries = nearest.iter_mut().zip(&mut thresholds).zip(products);
                for ((nearest, threshold), similarity) in of_queries {
                    if *similarity > *threshold {
                        let row = first + row as u64;
                        let own = nearest.add(Neighbour {
                            row,
                            similarity: *similarity,
                        });
                        *threshold = threshold.max(own);
                    }
                }
            }
        }
        segment.release();
        floors.exchange(&mut thresholds);
    }
    Ok(nearest)
}

/// For each query a similarity that as many rows as are wanted reach, in whichever piece: what lies
/// below is not among the nearest, so no piece need collect it. How early a piece hears of it changes
/// what it collects, not what is found.
struct Floors(Mutex<Vec<f32>>);

impl Floors {
    fn exchange(&self, thresholds: &mut [f32]) {
        let mut floors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (floor, threshold) in floors.iter_mut().zip(thresholds) {
            *floor = floor.max(*threshold);
            // A row that reaches another piece's floor and no more may still come before its rows.
            *threshold = threshold.max(floor.next_down());
        }
    }
}

/// Without an early end, which would keep the compiler from using vectors.
fn any_above(products: &[f32], thresholds: &[f32]) -> bool {
    let pairs = products.iter().zip(thresholds);
    pairs.fold(false, |any, (product, threshold)| {
        any | (product > threshold)
    })
}

/// What the pieces found, as one list for each query.
fn merged(
    pieces: Vec<Result<Vec<Nearest>>>,
    queries: usize,
    count: usize,
) -> Result<Vec<Vec<Neighbour>>> {
    let mut found = vec![Vec::new(); queries];
    for piece in pieces {
        for (found, nearest) in found.iter_mut().zip(piece?) {
            found.extend(nearest.into_found());
        }
    }
    for found in &mut found {
        found.sort_unstable_by(by_similarity);
        found.truncate(count);
    }
    Ok(found)
}
