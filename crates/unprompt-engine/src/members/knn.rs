//! k-nearest-neighbour regression over a prompt index, for all pictures of a batch at once.

use crate::{
    encoders::{
        image_encoder::Views,
        located::reference,
        networks::{VectorOf, together},
        text_encoder::clip_models,
    },
    error::{InputError, Result},
    lists::{
        list_index::ListIndex,
        prompt_index::require,
        store::{holds_password, shown},
    },
    members::{
        kind::{Before, Member, MemberKind, MemberResult, NamedIndex, Seen},
        loader::Loader,
    },
    record::{Evidence, ModelReceipt},
    text::Candidate,
    vectors::narrowed,
};
use schemars::JsonSchema;
use serde::Deserialize;
use std::{path::PathBuf, sync::Arc};
use unprompt_index::{NearestPrompts, NegativeDistance, PromptStore, Regressed, Regression, Space};

/// The most prompts that a regression averages: each comes with its embeddings.
const MOST_NEIGHBOURS: usize = 10_000;

/// The fields.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Knn {
    /// The folder of the index, or the address of its table. Either this or `prompts` is there.
    #[serde(default)]
    index: Option<PathBuf>,
    /// A shipped list (`parti`) or a text file with one prompt a line; its index is made when it
    /// is first needed, and kept.
    #[serde(default)]
    prompts: Option<String>,
    /// The CLIP of the index; without it the one that the index names.
    #[serde(default)]
    clip: Option<String>,
    /// The member whose embedding is looked up among the prompts' sentence embeddings, and which
    /// stands before this one; without it the picture is, among their CLIP embeddings.
    #[serde(default)]
    from: Option<String>,
    /// How many prompts are averaged.
    #[serde(default = "hundred")]
    neighbours: usize,
    /// Whether a distance that rounding brings below zero has the smallest weight, as in the
    /// public notebook, and not the largest.
    #[serde(default)]
    as_published: bool,
    /// How many of the nearest prompts are shown.
    #[serde(default = "five")]
    evidence: usize,
}

fn hundred() -> usize {
    100
}

fn five() -> usize {
    5
}

impl MemberKind for Knn {
    fn check(&self, before: &Before<'_>) -> std::result::Result<(), String> {
        match (&self.index, &self.prompts) {
            (Some(place), None) if holds_password(place) => {
                return Err(
                    "`index` holds a password, and presets are shared and kept; leave it out \
                     and set PGPASSWORD"
                        .into(),
                );
            }
            (Some(_), None) => {}
            (None, Some(_)) if self.clip.is_some() => {}
            (None, Some(_)) => {
                return Err("`prompts` needs `clip`: the CLIP that its index is made with".into());
            }
            _ => {
                let message = "either `index`, a folder made by `unprompt index build`, or \
                               `prompts`, a list, must be there";
                return Err(message.into());
            }
        }
        for (name, count) in [("neighbours", self.neighbours), ("evidence", self.evidence)] {
            if count == 0 || count > MOST_NEIGHBOURS {
                return Err(format!(
                    "{name} {count}, which must be from 1 to {MOST_NEIGHBOURS}"
                ));
            }
        }
        match &self.from {
            Some(from) if before.position(from).is_none() => Err(format!(
                "from `{from}`: no member of this name stands before"
            )),
            _ => Ok(()),
        }
    }

    fn models(&self) -> Vec<&str> {
        // An index of its own says what it was built with, once it is open.
        self.clip.as_deref().map(clip_models).unwrap_or_default()
    }

    fn index(&self) -> Option<NamedIndex<'_>> {
        Some(NamedIndex {
            place: self.index.as_deref()?,
            clip: self.clip.as_deref(),
        })
    }

    fn lists(&self) -> Vec<&str> {
        self.prompts.as_deref().into_iter().collect()
    }

    fn has_text(&self) -> bool {
        true
    }

    fn is_loaded_last(&self) -> bool {
        // An interrogator may bring the CLIP.
        true
    }

    fn load(&self, loader: &mut Loader<'_>) -> Result<Box<dyn Member>> {
        let (encoder_model, encoder) = loader.encoder()?;
        let (name, index) = match (&self.index, &self.prompts, &self.clip) {
            (Some(place), ..) => (shown(place), loader.index(place)?),
            (None, Some(list), Some(clip)) => {
                let index = ListIndex {
                    list,
                    clip,
                    sentence_model: encoder_model,
                    sentence: encoder,
                    compute: loader.compute,
                };
                let index = index.open(loader.hub, loader.progress, loader.tables)?;
                let index: Arc<dyn PromptStore> = Arc::new(index);
                (list.clone(), index)
            }
            _ => return Err(loader.failed("neither an index nor a list with a CLIP".into())),
        };
        require(&name, index.sentence(), encoder_model, "`encoder`")?;
        let query = match &self.from {
            Some(from) => Query::Member(loader.position(from)?),
            None => {
                let clip = self.clip.as_ref().unwrap_or(&index.clip().name);
                let (vector, _) = loader.vector(clip, None, Views::Plain)?;
                let model = loader.hub.resolve(&reference(clip)?, loader.progress)?;
                require(&name, index.clip(), &model, "`clip`")?;
                Query::Picture(vector)
            }
        };
        loader.receipts.push(ModelReceipt::of_index(&name, &*index));
        Ok(Box::new(Loaded {
            index,
            regression: Regression {
                neighbours: self.neighbours,
                negative: match self.as_published {
                    true => NegativeDistance::AsPublished,
                    false => NegativeDistance::Zero,
                },
            },
            query,
            evidence: self.evidence,
        }))
    }
}

/// What is looked up, and so in which space.
#[derive(Clone, Copy, Debug)]
enum Query {
    /// The picture, by its CLIP vector.
    Picture(VectorOf),
    /// The embedding of the member at this place.
    Member(usize),
}

/// An index that is open, and how it is asked.
#[derive(Debug)]
struct Loaded {
    index: Arc<dyn PromptStore>,
    regression: Regression,
    query: Query,
    evidence: usize,
}

impl Member for Loaded {
    fn results(&self, pictures: &[Seen<'_>]) -> Vec<std::result::Result<MemberResult, InputError>> {
        let query = |seen: &Seen<'_>| match self.query {
            Query::Picture(vector) => seen.encoded.vector(vector).to_vec(),
            Query::Member(place) => narrowed(&seen.before[place].embedding),
        };
        let space = match self.query {
            Query::Picture(_) => Space::Clip,
            Query::Member(_) => Space::Sentence,
        };
        let queries: Vec<Vec<f32>> = pictures.iter().map(query).collect();
        search(
            &*self.index,
            &self.regression,
            space,
            self.evidence,
            &queries,
        )
    }
}

/// What each query gives. They pass over the index together; where that fails, each is asked alone,
/// so that one that cannot be looked up costs no other its result.
fn search(
    prompts: &dyn NearestPrompts,
    regression: &Regression,
    space: Space,
    evidence: usize,
    queries: &[Vec<f32>],
) -> Vec<std::result::Result<MemberResult, InputError>> {
    let found = together(queries, |queries| {
        Ok(regression
            .predict(prompts, space, queries)
            .map_err(Arc::new)?)
    });
    let result = |found: std::result::Result<_, _>| Ok(result(found?, evidence));
    found.into_iter().map(result).collect()
}

fn result(found: Regressed, evidence: usize) -> MemberResult {
    let embedding = found.embedding.into_iter().map(f64::from).collect();
    let mut result = MemberResult::of_embedding(embedding);
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
