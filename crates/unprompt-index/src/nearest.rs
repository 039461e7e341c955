//! The best of a stream of rows.

use std::cmp::Ordering;

/// A row that was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbour {
    /// The row.
    pub row: u64,
    /// Cosine of the query and the row.
    pub similarity: f32,
}

/// The largest similarity first, equal ones by row. Similarities are finite; zero is zero, whatever
/// its sign.
pub(crate) fn by_similarity(a: &Neighbour, b: &Neighbour) -> Ordering {
    let similarity = b.similarity.partial_cmp(&a.similarity);
    similarity
        .unwrap_or(Ordering::Equal)
        .then(a.row.cmp(&b.row))
}

/// Collects twice as many as are wanted, then drops the worse half: a constant cost for each.
#[derive(Clone, Debug)]
pub(crate) struct Nearest {
    count: usize,
    found: Vec<Neighbour>,
    threshold: f32,
}

impl Nearest {
    /// For the best `count` rows, at least one.
    pub(crate) fn new(count: usize) -> Self {
        Self {
            count,
            found: Vec::new(),
            threshold: f32::NEG_INFINITY,
        }
    }

    /// Takes a row, which must come after all that were added before; returns the similarity that
    /// the next one must exceed to be of any interest: an equal one comes later in the order.
    pub(crate) fn add(&mut self, neighbour: Neighbour) -> f32 {
        self.found.push(neighbour);
        if self.found.len() >= 2 * self.count.max(32) {
            let last = self.count - 1;
            let (_, worst, _) = self.found.select_nth_unstable_by(last, by_similarity);
            self.threshold = worst.similarity;
            self.found.truncate(self.count);
        }
        self.threshold
    }

    /// The best rows and perhaps some others, in no order.
    pub(crate) fn into_found(self) -> Vec<Neighbour> {
        self.found
    }
}
