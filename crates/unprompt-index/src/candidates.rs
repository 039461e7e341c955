//! Rows that another store found, brought into the order of the exact search.

use crate::{
    IndexError, Match, Result,
    build::to_unit_length,
    nearest::{Neighbour, by_similarity},
};
use half::f16;
use unprompt_nn::Queries;

/// A row that another store holds and that may be among the nearest. Embeddings are the bits of IEEE
/// half-precision numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its row: the order of first appearance in the list.
    pub row: u64,
    /// The prompt.
    pub prompt: String,
    /// Its embedding in the space that is searched.
    pub searched: Vec<u16>,
    /// Its sentence embedding.
    pub sentence: Vec<u16>,
}

/// Queries of `width` numbers at unit length.
///
/// # Errors
/// [`IndexError::Embedding`] for the first that is of another width or has no direction.
pub fn unit_queries(queries: &[Vec<f32>], width: usize) -> Result<Vec<Vec<f32>>> {
    let unit = |(index, query): (usize, &Vec<f32>)| {
        let unit = to_unit_length(query, width)
            .map_err(|message| IndexError::Embedding(format!("query {index} {message}")))?;
        Ok(unit.collect())
    };
    queries.iter().enumerate().map(unit).collect()
}

/// The `count` candidates nearest to a query of unit length, with the similarities that
/// [`crate::PromptIndex`] gives the same rows, to the bit.
///
/// # Errors
/// [`IndexError::Embedding`] where a candidate is of another width.
pub fn rank(query: &[f32], candidates: Vec<Candidate>, count: usize) -> Result<Vec<Match>> {
    let width = query.len();
    if let Some(other) = candidates.iter().find(|one| one.searched.len() != width) {
        let found = other.searched.len();
        return Err(IndexError::Embedding(format!(
            "row {} has {found} numbers, expected {width}",
            other.row
        )));
    }
    if width == 0 {
        return Ok(Vec::new());
    }
    let queries = Queries::new(query, width);
    let rows: Vec<u16> = candidates
        .iter()
        .flat_map(|one| &one.searched)
        .copied()
        .collect();
    let mut products = vec![0.0; candidates.len() * queries.stride()];
    queries.multiply(&rows, &mut products);
    let of_rows = products.chunks_exact(queries.stride());
    let place = |(candidate, products): (Candidate, &[f32])| {
        let place = Neighbour {
            row: candidate.row,
            similarity: products[0],
        };
        (place, candidate)
    };
    let mut ranked: Vec<(Neighbour, Candidate)> =
        candidates.into_iter().zip(of_rows).map(place).collect();
    ranked.sort_by(|(a, _), (b, _)| by_similarity(a, b));
    ranked.truncate(count);
    let found = |(place, candidate): (Neighbour, Candidate)| Match {
        row: place.row,
        prompt: candidate.prompt,
        similarity: place.similarity,
        embedding: candidate
            .sentence
            .into_iter()
            .map(|bits| f16::from_bits(bits).to_f32())
            .collect(),
    };
    Ok(ranked.into_iter().map(found).collect())
}
