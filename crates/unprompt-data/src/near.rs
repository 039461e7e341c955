//! Texts that say nearly the same, found by their embeddings.
//!
//! Two pictures with nearly the same caption on both sides of a split make a score look better than it
//! is. The thresholds are those by which the best public solutions of the competition "Stable
//! Diffusion - Image to Prompts" cleaned their prompts: from .9 on one of two is dropped, from .7 on
//! both belong on the same side.

use rayon::prelude::*;
use std::collections::BTreeSet;

/// From this cosine on two texts count as the same.
pub const SAME: f32 = 0.9;
/// From this cosine on two texts belong on the same side of a split.
pub const ALIKE: f32 = 0.7;

/// Chains that a product is summed in: its bits do not depend on the machine.
const CHAINS: usize = 16;

/// Texts one after the other, each compared with all that were kept before it.
///
/// Memory holds the embeddings of those that were kept. A text that is dropped belongs to the group of
/// the one that it repeats, and groups grow together where a text is near to several: two texts of
/// one group need not be alike themselves. Every comparison is exact, and the result is the same for
/// any batches and any number of threads.
#[derive(Debug)]
pub struct NearDuplicates {
    width: usize,
    /// Rows that were kept, end to end.
    rows: Vec<f32>,
    /// The text of each row.
    text_of: Vec<usize>,
    texts: Vec<Text>,
    /// Of each row another one of its group with a smaller number, or itself.
    parent: Vec<usize>,
}

#[derive(Clone, Copy, Debug)]
struct Text {
    /// Its row, or that of the text that it repeats.
    row: usize,
    is_kept: bool,
}

/// What was found about a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextGroup {
    /// Its group: numbers from 0 in the order in which groups first appear.
    pub group: usize,
    /// The earlier text that it repeats, if it does; texts are counted from 0.
    pub repeats: Option<usize>,
}

impl NearDuplicates {
    /// For embeddings of this many numbers.
    pub fn new(width: usize) -> Self {
        Self {
            width,
            rows: Vec::new(),
            text_of: Vec::new(),
            texts: Vec::new(),
            parent: Vec::new(),
        }
    }

    /// Takes texts by their embeddings, which are of any length in space and of the width; numbers that
    /// are missing count as 0.
    pub fn push(&mut self, embeddings: &[Vec<f32>]) {
        let embeddings: Vec<Vec<f32>> = embeddings.iter().map(|row| unit(row)).collect();
        let before = self.text_of.len();
        let seen: Vec<Seen> = embeddings
            .par_iter()
            .map(|embedding| self.look(embedding, 0..before))
            .collect();
        for (embedding, mut seen) in embeddings.iter().zip(seen) {
            let of_batch = self.look(embedding, before..self.text_of.len());
            seen.alike.extend(of_batch.alike);
            if of_batch.nearest.1 > seen.nearest.1 {
                seen.nearest = of_batch.nearest;
            }
            self.take(embedding, seen);
        }
    }

    /// What was found about each text, in their order.
    pub fn groups(&self) -> Vec<TextGroup> {
        let mut number = vec![usize::MAX; self.parent.len()];
        let mut next = 0;
        self.texts
            .iter()
            .map(|text| {
                let root = self.root(text.row);
                if number[root] == usize::MAX {
                    number[root] = next;
                    next += 1;
                }
                TextGroup {
                    group: number[root],
                    repeats: (!text.is_kept).then(|| self.text_of[text.row]),
                }
            })
            .collect()
    }

    /// Compares with some rows.
    fn look(&self, embedding: &[f32], rows: std::ops::Range<usize>) -> Seen {
        let mut seen = Seen {
            nearest: (0, f32::NEG_INFINITY),
            alike: BTreeSet::new(),
        };
        for row in rows {
            let similarity = product(&self.rows[row * self.width..][..self.width], embedding);
            if similarity >= ALIKE {
                seen.alike.insert(self.root(row));
            }
            if similarity > seen.nearest.1 {
                seen.nearest = (row, similarity);
            }
        }
        seen
    }

    fn take(&mut self, embedding: &[f32], seen: Seen) {
        let (nearest, similarity) = seen.nearest;
        if similarity >= SAME {
            self.texts.push(Text {
                row: nearest,
                is_kept: false,
            });
            return;
        }
        let row = self.text_of.len();
        self.rows
            .extend_from_slice(&embedding[..self.width.min(embedding.len())]);
        self.rows.resize((row + 1) * self.width, 0.0);
        self.text_of.push(self.texts.len());
        self.texts.push(Text { row, is_kept: true });
        let roots: BTreeSet<usize> = seen.alike.into_iter().map(|row| self.root(row)).collect();
        let first = roots.first().copied().unwrap_or(row);
        self.parent.push(first);
        for root in roots {
            self.parent[root] = first;
        }
    }

    /// The row that stands for a row's group: the first of them.
    fn root(&self, mut row: usize) -> usize {
        while self.parent[row] != row {
            row = self.parent[row];
        }
        row
    }
}

/// What was seen of a text among rows.
struct Seen {
    nearest: (usize, f32),
    /// Roots of the groups that it is near to.
    alike: BTreeSet<usize>,
}

/// For each of some texts the nearest one of a stream of others.
#[derive(Debug)]
pub struct NearestTexts {
    wanted: Vec<Vec<f32>>,
    found: Vec<Option<NearestText>>,
}

/// The nearest text that has come by.
#[derive(Clone, Debug, PartialEq)]
pub struct NearestText {
    /// The text.
    pub text: String,
    /// Where it is from, as the caller calls it.
    pub source: String,
    /// Cosine of the embeddings.
    pub similarity: f32,
}

impl NearestTexts {
    /// For texts by their embeddings, of any length in space.
    pub fn new(wanted: Vec<Vec<f32>>) -> Self {
        let found = vec![None; wanted.len()];
        let wanted = wanted.iter().map(|row| unit(row)).collect();
        Self { wanted, found }
    }

    /// Looks at texts with their embeddings, of the width of the others. Of equally near ones the first
    /// that came counts.
    pub fn push(&mut self, source: &str, texts: &[(&str, &[f32])]) {
        let rows = texts.iter().map(|(text, row)| (*text, unit(row)));
        let texts: Vec<(&str, Vec<f32>)> = rows.collect();
        let found = self.found.par_iter_mut().zip(&self.wanted);
        found.for_each(|(found, wanted)| {
            for (text, embedding) in &texts {
                let similarity = product(embedding, wanted);
                if found
                    .as_ref()
                    .is_none_or(|best| similarity > best.similarity)
                {
                    *found = Some(NearestText {
                        text: (*text).to_owned(),
                        source: source.to_owned(),
                        similarity,
                    });
                }
            }
        });
    }

    /// What was found for each text; `None` where no text came by.
    pub fn found(&self) -> &[Option<NearestText>] {
        &self.found
    }
}

/// A row of length 1 in its direction; without a direction as it is.
fn unit(row: &[f32]) -> Vec<f32> {
    let length = product(row, row).sqrt();
    let length = if length > 0.0 { length } else { 1.0 };
    row.iter().map(|value| value / length).collect()
}

/// The inner product in fixed chains.
fn product(left: &[f32], right: &[f32]) -> f32 {
    let mut sums = [0.0f32; CHAINS];
    let (left, left_rest) = left.as_chunks::<CHAINS>();
    let (right, right_rest) = right.as_chunks::<CHAINS>();
    for (left, right) in left.iter().zip(right) {
        for ((sum, left), right) in sums.iter_mut().zip(left).zip(right) {
            *sum += left * right;
        }
    }
    let rest = left_rest
        .iter()
        .zip(right_rest)
        .map(|(left, right)| left * right);
    sums.iter().sum::<f32>() + rest.sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A direction in the plane, in degrees, with zeros around it.
    fn at(degrees: f32) -> Vec<f32> {
        let mut row = vec![0.0; 20];
        (row[3], row[18]) = (degrees.to_radians().cos(), degrees.to_radians().sin());
        row
    }

    fn groups(degrees: &[f32], batch: usize) -> Vec<(usize, Option<usize>)> {
        let mut near = NearDuplicates::new(20);
        let rows: Vec<Vec<f32>> = degrees.iter().copied().map(at).collect();
        rows.chunks(batch).for_each(|batch| near.push(batch));
        let found = near.groups().into_iter();
        found.map(|text| (text.group, text.repeats)).collect()
    }

    #[test]
    fn near_texts_are_grouped_and_nearer_ones_dropped() {
        // .9 is 25.8 degrees, .7 is 45.6 degrees.
        let degrees = [0.0, 20.0, 120.0, 40.0, 45.0, 220.0, 220.0];
        let expected = [
            (0, None),
            (0, Some(0)),
            (1, None),
            (0, None),
            // Nearer to 40 than to 0.
            (0, Some(3)),
            (2, None),
            (2, Some(5)),
        ];
        for batch in 1..9 {
            assert_eq!(groups(&degrees, batch), expected, "{batch}");
        }
    }

    #[test]
    fn what_counts_is_the_direction() {
        let mut near = NearDuplicates::new(20);
        let rows = [(9.0, 0.0), (0.1, 60.0), (3.0, 20.0), (0.0, 0.0)].map(|(length, degrees)| {
            let row = at(degrees).into_iter();
            row.map(|value| value * length).collect()
        });
        near.push(&rows);
        let found = near.groups().into_iter();
        let found: Vec<_> = found.map(|text| (text.group, text.repeats)).collect();
        assert_eq!(found, [(0, None), (1, None), (0, Some(0)), (2, None)]);
        let mut nearest = NearestTexts::new(vec![vec![0.0, 5.0]]);
        nearest.push("x", &[("a", &[7.0, 7.0]), ("b", &[0.0, 0.1])]);
        let found = nearest.found()[0].as_ref().unwrap();
        assert_eq!((found.text.as_str(), found.similarity), ("b", 1.0));
    }

    #[test]
    fn groups_grow_together_where_one_text_is_near_to_both() {
        let found = groups(&[0.0, 80.0, 200.0, 40.0], 2);
        assert_eq!(found, [(0, None), (0, None), (1, None), (0, None)]);
        assert_eq!(groups(&[0.0, 80.0], 2), [(0, None), (1, None)]);
        assert!(groups(&[], 1).is_empty());
    }

    #[test]
    fn the_nearest_text_is_the_first_of_equal_ones() {
        let mut nearest = NearestTexts::new(vec![at(0.0), at(90.0)]);
        assert_eq!(nearest.found(), [None, None]);
        let (a, b, c) = (at(30.0), at(60.0), at(30.0));
        nearest.push("x", &[("a", &a), ("b", &b)]);
        nearest.push("y", &[("c", &c)]);
        let found: Vec<(&str, &str)> = nearest
            .found()
            .iter()
            .flatten()
            .map(|found| (found.text.as_str(), found.source.as_str()))
            .collect();
        assert_eq!(found, [("a", "x"), ("b", "x")]);
        let similarity = nearest.found()[0].as_ref().unwrap().similarity;
        assert!((similarity - 30f32.to_radians().cos()).abs() < 1e-6);
    }
}
