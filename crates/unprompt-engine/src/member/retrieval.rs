//! Soft retrieval: the mean of all prompts of a list, weighted by how near they are.

use super::{
    blend::{product, unit},
    soft_max,
};
use crate::phrase_table::PhraseTable;
use std::cmp::Ordering;

/// What was retrieved for one picture.
pub(crate) struct Retrieved {
    /// The weighted mean of the prompts' embeddings, not normalised.
    pub(crate) embedding: Vec<f64>,
    /// The nearest prompts, the nearest first: index into the list, and cosine to the query.
    pub(crate) nearest: Vec<(usize, f64)>,
}

/// A list of prompts that is ready to be searched.
#[derive(Debug)]
pub(crate) struct Retrieval {
    keys: Vec<Vec<f64>>,
    temperature: f64,
}

impl Retrieval {
    /// Keys at unit length; with `centred` after the mean of all prompts is subtracted.
    pub(crate) fn new(table: &PhraseTable, centred: bool, temperature: f64) -> Self {
        let key = |row: &Vec<f32>| {
            let values = row.iter().zip(&table.mean);
            let shift =
                |(value, mean): (&f32, &f64)| f64::from(*value) - if centred { *mean } else { 0.0 };
            unit(&values.map(shift).collect::<Vec<f64>>())
        };
        Self {
            keys: table.rows.iter().map(key).collect(),
            temperature,
        }
    }

    /// Weights are the soft-max of query times key over the temperature: a short query weighs all
    /// prompts nearly alike.
    pub(crate) fn search(&self, query: &[f64], table: &PhraseTable, evidence: usize) -> Retrieved {
        let products: Vec<f64> = self.keys.iter().map(|key| product(query, key)).collect();
        let mut embedding = vec![0.0; table.mean.len()];
        let weights = soft_max(products.iter().copied(), self.temperature);
        for (row, weight) in table.rows.iter().zip(weights) {
            embedding
                .iter_mut()
                .zip(row)
                .for_each(|(sum, value)| *sum += weight * f64::from(*value));
        }
        let mut order: Vec<usize> = (0..products.len()).collect();
        // The sort is stable, so ties stay in the order of the list.
        order.sort_by(|a, b| {
            products[*b]
                .partial_cmp(&products[*a])
                .unwrap_or(Ordering::Equal)
        });
        let length = product(query, query).sqrt().max(1e-12);
        let nearest = order.into_iter().take(evidence);
        Retrieved {
            embedding,
            nearest: nearest
                .map(|index| (index, products[index] / length))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> PhraseTable {
        let texts = ["a", "b", "c", "d"].map(String::from).to_vec();
        let rows = vec![
            vec![1.0, 0.0],
            vec![0.0, 1.0],
            vec![0.0, -1.0],
            vec![1.0, 0.0],
        ];
        PhraseTable::from_rows(texts, rows)
    }

    #[test]
    fn prompts_weigh_by_the_soft_max_of_their_cosines() {
        let table = table();
        let found = Retrieval::new(&table, false, 0.5).search(&[1.0, 0.0], &table, 3);
        let total = 2.0 * 2f64.exp() + 2.0;
        assert!((found.embedding[0] - 2.0 * 2f64.exp() / total).abs() < 1e-12);
        assert!(found.embedding[1].abs() < 1e-12);
        assert_eq!(found.nearest, [(0, 1.0), (3, 1.0), (1, 0.0)]);
    }

    #[test]
    fn a_short_query_stays_near_the_mean() {
        let table = table();
        for centred in [false, true] {
            let found = Retrieval::new(&table, centred, 0.1).search(&[0.0, 0.0], &table, 1);
            for (found, mean) in found.embedding.iter().zip(&table.mean) {
                assert!((found - mean).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn centred_keys_lack_what_all_prompts_have_in_common() {
        let table = table();
        // The mean is (0.5, 0): the key of `b` becomes (-0.5, 1) at unit length.
        let found = Retrieval::new(&table, true, 1.0).search(&[-1.0, 2.0], &table, 1);
        assert_eq!(found.nearest[0].0, 1);
        assert!((found.nearest[0].1 - 1.0).abs() < 1e-12);
    }
}
