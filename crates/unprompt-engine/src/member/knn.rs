//! k-nearest-neighbour regression over a prompt index, for all pictures of a batch at once.

use crate::{Evidence, InputError, members::MemberResult, text_search::Candidate};
use std::sync::Arc;
use unprompt_index::{NearestPrompts, PromptIndex, Regressed, Regression, Space};

/// An index that is open, and how it is asked.
#[derive(Debug)]
pub(crate) struct Knn {
    pub(crate) index: PromptIndex,
    pub(crate) regression: Regression,
    pub(crate) space: Space,
    /// The name of the CLIP that sees the pictures, where they are looked up in its space.
    pub(crate) clip: Option<String>,
    /// How many prompts are shown.
    pub(crate) evidence: usize,
}

impl Knn {
    /// What each query gives. They pass over the index together; where that fails, each is asked
    /// alone, so that one that cannot be looked up costs no other its result.
    pub(crate) fn search(
        &self,
        queries: &[Vec<f32>],
    ) -> Vec<std::result::Result<MemberResult, InputError>> {
        search(
            &self.index,
            &self.regression,
            self.space,
            self.evidence,
            queries,
        )
    }
}

fn search(
    prompts: &dyn NearestPrompts,
    regression: &Regression,
    space: Space,
    evidence: usize,
    queries: &[Vec<f32>],
) -> Vec<std::result::Result<MemberResult, InputError>> {
    if let Ok(found) = regression.predict(prompts, space, queries) {
        return found
            .into_iter()
            .map(|one| Ok(result(one, evidence)))
            .collect();
    }
    let alone = |query: &Vec<f32>| {
        let found = regression.predict(prompts, space, std::slice::from_ref(query));
        let mut found = found.map_err(Arc::new)?;
        Ok(result(found.swap_remove(0), evidence))
    };
    queries.iter().map(alone).collect()
}

fn result(found: Regressed, evidence: usize) -> MemberResult {
    let mut result = MemberResult {
        embedding: found.embedding.into_iter().map(f64::from).collect(),
        texts: Vec::new(),
        evidence: Vec::new(),
    };
    for found in found.matches.into_iter().take(evidence) {
        result.evidence.push(Evidence {
            prompt: found.prompt.clone(),
            similarity: found.similarity.into(),
        });
        result.texts.push(Candidate {
            text: found.prompt,
            embedding: found.embedding,
        });
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use unprompt_index::{IndexError, Match, Result};

    /// Two prompts, and no answer to a query of zeros or of another width.
    struct TwoPrompts;

    impl NearestPrompts for TwoPrompts {
        fn nearest(&self, _: Space, queries: &[Vec<f32>], count: usize) -> Result<Vec<Vec<Match>>> {
            let nearest = |query: &Vec<f32>| {
                if query.len() != 2 || query.iter().all(|value| *value == 0.0) {
                    return Err(IndexError::Embedding("no direction".into()));
                }
                let mut matches: Vec<Match> = [("right", [1.0, 0.0]), ("up", [0.0, 1.0])]
                    .into_iter()
                    .enumerate()
                    .map(|(row, (prompt, place))| Match {
                        row: row as u64,
                        prompt: prompt.into(),
                        similarity: place[0] * query[0] + place[1] * query[1],
                        embedding: place.to_vec(),
                    })
                    .collect();
                matches.sort_by(|a, b| b.similarity.total_cmp(&a.similarity));
                matches.truncate(count);
                Ok(matches)
            };
            queries.iter().map(nearest).collect()
        }
    }

    #[test]
    fn a_query_without_a_direction_costs_only_its_own_result() {
        let queries = [vec![0.0, 1.0], vec![0.0, 0.0], vec![0.6, 0.8]];
        let found = search(
            &TwoPrompts,
            &Regression::default(),
            Space::Clip,
            1,
            &queries,
        );
        assert!(found[1].is_err());
        for (index, similarity) in [(0, 1.0f32), (2, 0.8)] {
            let result = found[index].as_ref().unwrap();
            assert_eq!(result.texts.len(), 1);
            assert_eq!(result.texts[0].text, "up");
            assert_eq!(result.evidence[0].prompt, "up");
            assert_eq!(result.evidence[0].similarity, f64::from(similarity));
            // The weights are 1 / (d^6 + 1e-4), so the nearer prompt has nearly all.
            assert!(result.embedding[1] > 0.98, "{:?}", result.embedding);
        }
    }
}
