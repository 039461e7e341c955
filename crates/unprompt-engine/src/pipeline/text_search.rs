//! Text out of an embedding: the text whose own embedding is nearest, found among whole texts and by
//! chaining phrases greedily.
//!
//! Whole texts are measured first. Then the best so far grows by one phrase at a time, ", " between
//! them, as long as the encoder itself says that the longer text is nearer. Only a few phrases a
//! step are measured: those that promise most when embeddings are simply added, which costs nothing.
//! A phrase that says a word again is left out, which costs no score and reads better.
//!
//! Invariant: what is found is never farther from the embedding than the nearest whole text.
//!
//! Invariant: pictures are searched side by side so that their texts are embedded together; what is
//! found for one does not depend on the others.

use crate::{
    text::Candidate,
    vectors::{cosine, widened},
};
use std::collections::{BTreeSet, HashMap};
use unprompt_models::{ModelError, SentenceEncoder};

/// Tokens that a chain may have, the two special ones included: what a CLIP reads.
const TOKEN_BUDGET: usize = 77;
/// Phrases that a chain may have. Later ones bring little and read like a list of search results: on
/// 277 prompts whose pictures were measured, three keep about nine tenths of what six gain.
const PHRASE_BUDGET: usize = 3;
/// Longer texts that are measured in each step.
const MEASURED_A_STEP: usize = 6;
/// A phrase has to bring this much cosine; less is not worth the words.
const LEAST_GAIN: f64 = 2e-3;

/// Words that say nothing by themselves, so that two phrases may share them.
const FUNCTION_WORDS: [&str; 20] = [
    "a", "an", "and", "are", "as", "at", "by", "for", "from", "in", "is", "its", "of", "on", "or",
    "that", "the", "to", "while", "with",
];

/// What the search asks of a sentence encoder.
trait TextSpace {
    /// One embedding a text.
    fn embed(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, ModelError>;
    /// How many tokens a text has, the special ones included.
    fn tokens(&self, text: &str) -> Result<usize, ModelError>;
}

impl TextSpace for SentenceEncoder {
    fn embed(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, ModelError> {
        Self::embed(self, texts)
    }

    fn tokens(&self, text: &str) -> Result<usize, ModelError> {
        Ok(self.tokenize(text)?.len())
    }
}

/// What is searched for one picture.
#[derive(Clone, Debug)]
pub struct TextQuery {
    /// The embedding that the text should have.
    pub target: Vec<f64>,
    /// Texts that may be taken as they are, and begin a chain.
    pub whole: Vec<Candidate>,
    /// What chains are made of.
    pub phrases: Vec<Candidate>,
}

/// The text that was found, and its cosine with the target.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FoundText {
    /// The text.
    pub text: String,
    /// Its cosine with the target.
    pub similarity: f64,
}

/// The text of each query in the space of a sentence encoder. Ties go to whole texts before chains,
/// and then to the first; a query without any text finds the empty one.
pub fn search_texts(encoder: &SentenceEncoder, queries: &[TextQuery]) -> Vec<FoundText> {
    search(encoder, queries)
}

fn search(space: &impl TextSpace, queries: &[TextQuery]) -> Vec<FoundText> {
    let mut chains: Vec<Option<Chain>> = queries.iter().map(Chain::start).collect();
    for _ in 1..PHRASE_BUDGET {
        let longer: Vec<Vec<Step>> = queries
            .iter()
            .zip(&chains)
            .map(|(query, chain)| match chain {
                Some(chain) if !chain.ended => chain.steps(space, query),
                _ => Vec::new(),
            })
            .collect();
        if longer.iter().all(Vec::is_empty) {
            break;
        }
        let texts = longer.iter().flatten().map(|step| &step.text);
        let embeddings = embed(space, texts);
        for ((query, chain), steps) in queries.iter().zip(&mut chains).zip(longer) {
            if let Some(chain) = chain {
                chain.grow(query, steps, &embeddings);
            }
        }
    }
    let found = |chain: Option<Chain>| match chain {
        Some(chain) => FoundText {
            text: chain.best.text,
            similarity: chain.similarity,
        },
        None => FoundText::default(),
    };
    chains.into_iter().map(found).collect()
}

/// The embeddings of distinct texts, by text. A text that the encoder refuses has none, and does
/// not cost the others theirs.
fn embed<'a>(
    space: &impl TextSpace,
    texts: impl Iterator<Item = &'a String>,
) -> HashMap<String, Vec<f32>> {
    let texts: Vec<String> = texts
        .cloned()
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    match space.embed(&texts) {
        Ok(rows) => texts.into_iter().zip(rows).collect(),
        Err(_) => {
            let alone = |text: String| {
                let row = space.embed(std::slice::from_ref(&text)).ok()?.pop()?;
                Some((text, row))
            };
            texts.into_iter().filter_map(alone).collect()
        }
    }
}

/// The best text of a picture so far.
struct Chain {
    best: Candidate,
    similarity: f64,
    /// Phrases that are in it.
    used: Vec<usize>,
    ended: bool,
}

/// A chain that is one phrase longer.
struct Step {
    phrase: usize,
    text: String,
}

impl Chain {
    /// The nearest whole text or, if it is clearly nearer, the nearest single phrase.
    fn start(query: &TextQuery) -> Option<Self> {
        let mut best: Option<(f64, &Candidate)> = None;
        for (candidates, gain) in [(&query.whole, 0.0), (&query.phrases, LEAST_GAIN)] {
            for candidate in candidates {
                let similarity = similarity(&candidate.embedding, &query.target);
                if best.is_none_or(|(best, _)| similarity > best + gain) {
                    best = Some((similarity, candidate));
                }
            }
        }
        best.map(|(similarity, best)| Self {
            best: best.clone(),
            similarity,
            used: Vec::new(),
            ended: false,
        })
    }

    /// The longer chains that promise most, in the order of the phrases, within the budget.
    fn steps(&self, space: &impl TextSpace, query: &TextQuery) -> Vec<Step> {
        let said = words(&self.best.text);
        let says_again = |phrase: &str| words(phrase).iter().any(|word| said.contains(word));
        let mut promises: Vec<(f64, usize)> = query
            .phrases
            .iter()
            .enumerate()
            .filter(|(index, phrase)| {
                !self.used.contains(index)
                    && !self.best.text.contains(&phrase.text)
                    && !says_again(&phrase.text)
            })
            .map(|(index, phrase)| {
                let sum = self.best.embedding.iter().zip(&phrase.embedding);
                let sum: Vec<f32> = sum.map(|(left, right)| left + right).collect();
                (similarity(&sum, &query.target), index)
            })
            .collect();
        // The sort is stable, so ties stay in the order of the phrases.
        promises.sort_by(|a, b| b.0.total_cmp(&a.0));
        // A sentence that goes on has its full stop no more.
        let start = self.best.text.trim_end_matches(['.', ',', ' ']);
        let mut steps = Vec::new();
        if start.is_empty() {
            return steps;
        }
        for (_, phrase) in promises {
            let text = format!("{start}, {}", query.phrases[phrase].text);
            let fits = space
                .tokens(&text)
                .is_ok_and(|tokens| tokens <= TOKEN_BUDGET);
            if fits {
                steps.push(Step { phrase, text });
            }
            if steps.len() == MEASURED_A_STEP {
                break;
            }
        }
        steps.sort_by_key(|step| step.phrase);
        steps
    }

    /// Takes the best of the steps, or ends.
    fn grow(&mut self, query: &TextQuery, steps: Vec<Step>, rows: &HashMap<String, Vec<f32>>) {
        let mut best = self.similarity + LEAST_GAIN;
        let mut taken = None;
        for step in steps {
            let Some(row) = rows.get(&step.text) else {
                continue;
            };
            let similarity = similarity(row, &query.target);
            if similarity > best {
                best = similarity;
                taken = Some((step, row));
            }
        }
        match taken {
            Some((step, row)) => {
                self.similarity = best;
                self.used.push(step.phrase);
                self.best = Candidate {
                    text: step.text,
                    embedding: row.clone(),
                };
            }
            None => self.ended = true,
        }
    }
}

/// The words that a text says, in lower case, without [`FUNCTION_WORDS`].
fn words(text: &str) -> BTreeSet<String> {
    let text = text.to_lowercase();
    text.split(|character: char| !character.is_alphanumeric())
        .filter(|word| !word.is_empty() && !FUNCTION_WORDS.contains(word))
        .map(String::from)
        .collect()
}

/// The cosine of a text's embedding with a target.
fn similarity(embedding: &[f32], target: &[f64]) -> f64 {
    cosine(&widened(embedding), target)
}

#[cfg(test)]
mod tests;
