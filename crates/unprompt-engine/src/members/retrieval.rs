//! Soft retrieval: the mean of all prompts of a list, weighted by how near they are to another
//! member's embedding.

use crate::{
    error::{InputError, Result},
    lists::phrase_table::PhraseTable,
    members::{
        check_temperature,
        kind::{Before, Member, MemberKind, MemberResult, Seen},
        loader::Loader,
    },
    record::Evidence,
    vectors::{product, soft_max, unit},
};
use rayon::prelude::*;
use serde::Deserialize;
use std::{cmp::Ordering, sync::Arc};

/// The fields.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Retrieval {
    /// The name of that member, which stands before this one.
    query: String,
    /// A shipped list (`parti`) or a text file with one prompt a line.
    prompts: String,
    /// What the cosines are divided by before the soft-max over all prompts.
    temperature: f64,
    /// Whether the mean embedding of the list is subtracted from each before it is compared.
    #[serde(default)]
    centred: bool,
    /// How many of the nearest prompts are shown.
    #[serde(default = "five")]
    evidence: usize,
}

fn five() -> usize {
    5
}

impl MemberKind for Retrieval {
    fn check(&self, before: &Before<'_>) -> std::result::Result<(), String> {
        check_temperature(self.temperature)?;
        if self.evidence == 0 {
            return Err("evidence must be at least 1".into());
        }
        let query = before.position(&self.query);
        if query.is_some_and(|place| before.members[place].1.is_query()) {
            return Ok(());
        }
        Err(format!(
            "query `{}`: no member of kind `label-mean` or `regressor` of this name stands before",
            self.query
        ))
    }

    fn prompts(&self) -> Option<&str> {
        Some(&self.prompts)
    }

    fn has_text(&self) -> bool {
        true
    }

    fn load(&self, loader: &mut Loader<'_>) -> Result<Box<dyn Member>> {
        let table = loader.prompts(&self.prompts)?;
        Ok(Box::new(Loaded {
            query: loader.position(&self.query)?,
            keys: Keys::new(&table, self.centred, self.temperature),
            table,
            evidence: self.evidence,
        }))
    }
}

#[derive(Debug)]
struct Loaded {
    /// The place of the member whose embedding is the query.
    query: usize,
    keys: Keys,
    table: Arc<PhraseTable>,
    evidence: usize,
}

impl Member for Loaded {
    fn results(&self, pictures: &[Seen<'_>]) -> Vec<std::result::Result<MemberResult, InputError>> {
        let result = |seen: &Seen<'_>| {
            let query = &seen.before[self.query].embedding;
            let found = self.keys.search(query, &self.table, self.evidence);
            let mut result = MemberResult::of_embedding(found.embedding);
            for (index, similarity) in found.nearest {
                let candidate = self.table.candidate(index);
                let prompt = candidate.text.clone();
                result.texts.push(candidate);
                result.evidence.push(Evidence { prompt, similarity });
            }
            Ok(result)
        };
        pictures.par_iter().map(result).collect()
    }
}

/// What was retrieved for one picture.
struct Retrieved {
    /// The weighted mean of the prompts' embeddings, not normalised.
    embedding: Vec<f64>,
    /// The nearest prompts, the nearest first: index into the list, and cosine to the query.
    nearest: Vec<(usize, f64)>,
}

/// A list of prompts that is ready to be searched.
#[derive(Debug)]
struct Keys {
    keys: Vec<Vec<f64>>,
    temperature: f64,
}

impl Keys {
    /// Keys at unit length; with `centred` after the mean of all prompts is subtracted.
    fn new(table: &PhraseTable, centred: bool, temperature: f64) -> Self {
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
    fn search(&self, query: &[f64], table: &PhraseTable, evidence: usize) -> Retrieved {
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
        let found = Keys::new(&table, false, 0.5).search(&[1.0, 0.0], &table, 3);
        let total = 2.0 * 2f64.exp() + 2.0;
        assert!((found.embedding[0] - 2.0 * 2f64.exp() / total).abs() < 1e-12);
        assert!(found.embedding[1].abs() < 1e-12);
        assert_eq!(found.nearest, [(0, 1.0), (3, 1.0), (1, 0.0)]);
    }

    #[test]
    fn a_short_query_stays_near_the_mean() {
        let table = table();
        for centred in [false, true] {
            let found = Keys::new(&table, centred, 0.1).search(&[0.0, 0.0], &table, 1);
            for (found, mean) in found.embedding.iter().zip(&table.mean) {
                assert!((found - mean).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn centred_keys_lack_what_all_prompts_have_in_common() {
        let table = table();
        // The mean is (0.5, 0): the key of `b` becomes (-0.5, 1) at unit length.
        let found = Keys::new(&table, true, 1.0).search(&[-1.0, 2.0], &table, 1);
        assert_eq!(found.nearest[0].0, 1);
        assert!((found.nearest[0].1 - 1.0).abs() < 1e-12);
    }
}
