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
    text::Candidate,
    vectors::{narrowed, product, soft_max, unit, widened},
};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;
use unprompt_eye::TextList;

/// The fields.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Retrieval {
    /// The name of that member, which stands before this one.
    query: String,
    /// A shipped list (`parti`, or `eye`, the large one) or a text file with one prompt a line.
    prompts: String,
    /// What the cosines are divided by before the soft-max over all prompts.
    temperature: f64,
    /// Whether the mean embedding of the list is subtracted from each before it is compared.
    #[serde(default)]
    centred: bool,
    /// Whether the query is brought to unit length first, so that its length says nothing.
    #[serde(default)]
    unit_query: bool,
    /// Whether the mean embedding of the list is subtracted from the result: what is left is what
    /// the query says beyond the list, and is short where it says little.
    #[serde(default)]
    residual: bool,
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
            "query `{}`: no member of kind `label-mean`, `head` or `regressor` of this name stands \
             before",
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
        let query = loader.position(&self.query)?;
        let asked = Asked {
            query,
            unit_query: self.unit_query,
            residual: self.residual,
            evidence: self.evidence,
        };
        if self.prompts == unprompt_eye::NAME {
            let keys = CarriedKeys {
                list: loader.carried_prompts()?,
                centred: self.centred,
                temperature: self.temperature,
            };
            return Ok(Box::new(LoadedCarried { asked, keys }));
        }
        let table = loader.prompts(&self.prompts)?;
        Ok(Box::new(Loaded {
            asked,
            keys: Keys::new(&table, self.centred, self.temperature),
            table,
        }))
    }
}

/// How a list is asked.
#[derive(Debug)]
struct Asked {
    /// The place of the member whose embedding is the query.
    query: usize,
    unit_query: bool,
    residual: bool,
    evidence: usize,
}

impl Asked {
    fn query(&self, seen: &Seen<'_>) -> Vec<f64> {
        let query = &seen.before[self.query].embedding;
        match self.unit_query {
            true => unit(query),
            false => query.clone(),
        }
    }

    /// The result without the list's mean, where that is asked.
    fn result(&self, mut embedding: Vec<f64>, mean: impl Iterator<Item = f64>) -> MemberResult {
        if self.residual {
            embedding
                .iter_mut()
                .zip(mean)
                .for_each(|(value, mean)| *value -= mean);
        }
        MemberResult::of_embedding(embedding)
    }
}

#[derive(Debug)]
struct LoadedCarried {
    asked: Asked,
    keys: CarriedKeys,
}

impl Member for LoadedCarried {
    fn results(&self, pictures: &[Seen<'_>]) -> Vec<std::result::Result<MemberResult, InputError>> {
        let list = self.keys.list;
        let mean = widened(list.mean());
        let queries: Vec<Vec<f64>> = pictures.iter().map(|seen| self.asked.query(seen)).collect();
        let result = |found: Retrieved| {
            let mean = mean.iter().copied();
            let mut result = self.asked.result(found.embedding, mean);
            for (index, similarity) in found.nearest {
                let prompt = list.text(index)?;
                result.texts.push(Candidate {
                    text: prompt.clone(),
                    embedding: list.embedding(index),
                });
                result.evidence.push(Evidence { prompt, similarity });
            }
            Ok(result)
        };
        let found = self.keys.search(&queries, self.asked.evidence);
        found.into_par_iter().map(result).collect()
    }
}

/// The list that the program carries, searched where it lies.
#[derive(Debug)]
struct CarriedKeys {
    list: &'static TextList,
    centred: bool,
    temperature: f64,
}

impl CarriedKeys {
    /// As [`Keys::search`], of many queries, which read the list together. Prompts whose weight is too small
    /// to change a digit of the sum are left out of it.
    fn search(&self, queries: &[Vec<f64>], evidence: usize) -> Vec<Retrieved> {
        const LEAST_WEIGHT: f64 = 1e-9;
        let list = self.list;
        let mean = widened(list.mean());
        let narrow: Vec<Vec<f32>> = queries.iter().map(|query| narrowed(query)).collect();
        let weigh = |(query, products): (&Vec<f64>, Vec<f32>)| {
            let shift = match self.centred {
                true => product(query, &mean),
                false => 0.0,
            };
            let products = products.into_iter().enumerate();
            let products: Vec<f64> = products
                .map(|(index, product)| match self.centred {
                    true => (f64::from(product) - shift) * f64::from(list.centred_scale(index)),
                    false => f64::from(product),
                })
                .collect();
            let mut weights = soft_max(products.iter().copied(), self.temperature);
            for weight in &mut weights {
                if *weight < LEAST_WEIGHT {
                    *weight = 0.0;
                }
            }
            let length = product(query, query).sqrt();
            (weights, nearest(&products, length, evidence))
        };
        let products = list.products_of_all(&narrow);
        let found = queries.par_iter().zip(products).map(weigh);
        let (weights, nearest): (Vec<Vec<f64>>, Vec<_>) = found.unzip();
        let embeddings = list.weighted_sums(&weights).into_iter();
        let found = embeddings.zip(nearest);
        found
            .map(|(embedding, nearest)| Retrieved { embedding, nearest })
            .collect()
    }
}

/// The places of the largest products, the largest first, ties in the order of the list, each with
/// its cosine to a query of this length.
fn nearest(products: &[f64], length: f64, count: usize) -> Vec<(usize, f64)> {
    let mut nearest: Vec<(usize, f64)> = Vec::new();
    for (index, product) in products.iter().copied().enumerate() {
        let place = nearest.partition_point(|(_, before)| *before >= product);
        if place < count {
            nearest.insert(place, (index, product));
            nearest.truncate(count);
        }
    }
    let length = length.max(1e-12);
    nearest
        .into_iter()
        .map(|(index, product)| (index, product / length))
        .collect()
}

#[derive(Debug)]
struct Loaded {
    asked: Asked,
    keys: Keys,
    table: Arc<PhraseTable>,
}

impl Member for Loaded {
    fn results(&self, pictures: &[Seen<'_>]) -> Vec<std::result::Result<MemberResult, InputError>> {
        let result = |seen: &Seen<'_>| {
            let query = self.asked.query(seen);
            let found = self.keys.search(&query, &self.table, self.asked.evidence);
            let mean = self.table.mean.iter().copied();
            let mut result = self.asked.result(found.embedding, mean);
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
        Retrieved {
            embedding,
            nearest: nearest(&products, product(query, query).sqrt(), evidence),
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

    #[test]
    fn the_carried_list_is_searched_as_any_other() {
        let rows: Vec<Vec<f32>> = (0..50)
            .map(|index| {
                let angle = index as f32 * 0.7;
                let row = [angle.cos(), angle.sin(), (2.0 * angle).cos(), 0.5];
                let length = row.iter().map(|value| value * value).sum::<f32>().sqrt();
                row.iter().map(|value| value / length).collect()
            })
            .collect();
        let texts: Vec<String> = (0..50).map(|index| format!("a {index}")).collect();
        let segment = unprompt_eye::NewSegment {
            name: "all".into(),
            texts: texts.clone(),
            embeddings: rows.clone(),
        };
        let bytes = unprompt_eye::make_list(&[segment]).unwrap();
        let list = TextList::open(Box::leak(bytes.into_boxed_slice())).unwrap();
        let list: &'static TextList = Box::leak(Box::new(list));
        let table = PhraseTable::from_rows(texts, rows);
        for centred in [false, true] {
            let temperature = 0.1;
            let query = [0.3, -0.2, 0.5, 0.1];
            let expected = Keys::new(&table, centred, temperature).search(&query, &table, 3);
            let keys = CarriedKeys {
                list,
                centred,
                temperature,
            };
            // Rows at unit length, so that centred ones differ from the table's by rounding alone.
            let found = keys.search(&[query.to_vec()], 3).swap_remove(0);
            for (found, expected) in found.embedding.iter().zip(&expected.embedding) {
                assert!((found - expected).abs() < 0.02, "{found} {expected}");
            }
            let places = |found: &Retrieved| -> Vec<usize> {
                found.nearest.iter().map(|(place, _)| *place).collect()
            };
            assert_eq!(places(&found), places(&expected), "{centred}");
        }
    }

    #[test]
    fn the_nearest_come_first_and_ties_in_the_order_of_the_list() {
        let products = [0.5, 2.0, -1.0, 2.0, 1.0];
        assert_eq!(nearest(&products, 2.0, 3), [(1, 1.0), (3, 1.0), (4, 0.5)]);
        assert_eq!(nearest(&products, 0.0, 0), []);
        assert_eq!(nearest(&[], 1.0, 3), []);
    }

    #[test]
    fn a_residual_is_what_the_query_says_beyond_the_list() {
        let asked = Asked {
            query: 0,
            unit_query: true,
            residual: true,
            evidence: 1,
        };
        let result = asked.result(vec![1.0, 2.0], [0.5, 2.0].into_iter());
        assert_eq!(result.embedding, [0.5, 0.0]);
    }
}
