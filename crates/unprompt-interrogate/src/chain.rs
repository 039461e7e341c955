//! The flavor chain: a prompt that grows by the phrase that brings it nearest to the picture.

use crate::{
    Behaviour, InterrogateError, PhraseEncoder, Result, TokenBudget,
    budget::is_full,
    prompt_scorer::{Candidate, PromptScorer},
    ranking::{End, top},
};
use std::{collections::HashSet, time::Instant};

/// Phrases that are tried between two looks at the clock. The likeliest come first.
const TRIED_AT_ONCE: usize = 128;

/// Of the candidates of a step, one in so many is tried again by the tower that decides, and this
/// many at least. What eight bits change of a similarity is far less than what sets the best apart
/// from those behind them.
const DECIDED: (usize, usize) = (64, 8);

/// How a chain grows.
#[derive(Clone, Copy, Debug)]
pub struct ChainOptions {
    /// Phrases that are appended even if they make the prompt less similar.
    pub min_count: usize,
    /// Phrases that are appended at most.
    pub max_count: usize,
    /// Away from the picture: the least similar prompt is looked for.
    pub reverse: bool,
    /// When to stop and give the best so far. Results then depend on the machine.
    pub deadline: Option<Instant>,
}

/// What a chain found.
#[derive(Clone, Debug, PartialEq)]
pub struct Chain {
    /// The start, if there was one, and the phrases in order.
    pub phrases: Vec<String>,
    /// Whether the search went to its end and not to its deadline.
    pub complete: bool,
}

/// What a chain begins with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start<'a> {
    pub(crate) text: &'a str,
    /// What later prompts are compared with; its cosine, or times -1 where the least similar are looked
    /// for, unless the caller has another number.
    pub(crate) similarity: Option<f32>,
}

impl<'a> Start<'a> {
    pub(crate) fn of(text: &'a str) -> Self {
        Self {
            text,
            similarity: None,
        }
    }
}

/// Grows a prompt from `start`, or from the best phrase alone.
pub(crate) fn chain(
    encoder: &PhraseEncoder,
    budget: &TokenBudget,
    behaviour: Behaviour,
    picture: &[f32],
    phrases: Vec<String>,
    start: Option<Start<'_>>,
    options: &ChainOptions,
) -> Result<Chain> {
    let compat = behaviour == Behaviour::Compat060;
    let sign = if options.reverse { -1.0 } else { 1.0 };
    let mut seen = HashSet::new();
    let phrases: Vec<String> = phrases
        .into_iter()
        .filter(|phrase| seen.insert(phrase.clone()))
        .collect();
    let mut search = Search {
        encoder,
        budget,
        compat,
        scorer: PromptScorer::new(encoder, encoder.scout().unwrap_or(encoder.tower()), picture),
        judge: encoder
            .scout()
            .map(|_| PromptScorer::new(encoder, encoder.tower(), picture)),
        candidates: Candidate::all(encoder, phrases)?,
        sign,
        deadline: options.deadline,
        complete: true,
    };
    let mut current: Vec<String> = Vec::new();
    let mut current_similarity;
    match start {
        Some(Start { text, similarity }) => {
            current.push(text.to_owned());
            current_similarity = match similarity {
                Some(similarity) => similarity,
                None => sign * encoder.similarities(picture, &[text])?[0],
            };
        }
        None => {
            let Some((phrase, similarity)) = search.first(picture)? else {
                return Ok(search.ends_with(current));
            };
            // 0.6.0 compares later ones with the similarity itself, whichever way it goes.
            current_similarity = if compat {
                sign * similarity
            } else {
                similarity
            };
            current.push(phrase);
        }
    }
    let (mut best, mut best_similarity) = (current.clone(), current_similarity);
    for index in 0..options.max_count {
        let Some((phrase, similarity)) = search.next(&current.join(", "))? else {
            break;
        };
        let mut longer = current.clone();
        longer.push(phrase);
        if similarity > best_similarity {
            (best, best_similarity) = (longer.clone(), similarity);
        }
        if similarity <= current_similarity && index >= options.min_count {
            break;
        }
        (current, current_similarity) = (longer, similarity);
        if !search.complete || compat && is_full(&current.join(", "), encoder)? {
            break;
        }
    }
    Ok(search.ends_with(best))
}

struct Search<'a> {
    encoder: &'a PhraseEncoder,
    budget: &'a TokenBudget,
    compat: bool,
    scorer: PromptScorer<'a>,
    /// Where the scorer is not exact.
    judge: Option<PromptScorer<'a>>,
    /// Those that are not in the prompt yet.
    candidates: Vec<Candidate>,
    sign: f32,
    deadline: Option<Instant>,
    complete: bool,
}

impl Search<'_> {
    fn ends_with(&self, phrases: Vec<String>) -> Chain {
        Chain {
            phrases,
            complete: self.complete,
        }
    }

    /// The best phrase by itself, with its similarity times the sign.
    fn first(&mut self, picture: &[f32]) -> Result<Option<(String, f32)>> {
        let phrases: Vec<&str> = self.candidates.iter().map(|c| c.phrase.as_str()).collect();
        let similarities = self.encoder.similarities(picture, &phrases)?;
        let places: Vec<usize> = (0..similarities.len()).collect();
        let taken = self.take(None, &places, similarities)?;
        self.or_fails(taken)
    }

    /// The phrase that is best behind `prompt`, with the similarity of both times the sign.
    fn next(&mut self, prompt: &str) -> Result<Option<(String, f32)>> {
        let at_once = match self.deadline {
            Some(_) => TRIED_AT_ONCE,
            None => self.candidates.len().max(1),
        };
        let mut similarities = Vec::new();
        let all: Vec<&Candidate> = self.candidates.iter().collect();
        for candidates in all.chunks(at_once) {
            if self
                .deadline
                .is_some_and(|deadline| Instant::now() >= deadline)
            {
                self.complete = false;
                break;
            }
            similarities.extend(self.scorer.similarities(prompt, candidates)?);
        }
        let places: Vec<usize> = (0..similarities.len()).collect();
        if self.judge.is_none() {
            let taken = self.take(Some(prompt), &places, similarities)?;
            return self.or_fails(taken);
        }
        for similarity in &mut similarities {
            *similarity *= self.sign;
        }
        let count = similarities.len();
        let ranked = top(&similarities, places.into_iter(), count, End::Largest);
        for places in ranked.chunks((count / DECIDED.0).max(DECIDED.1)) {
            // Ties are broken by the list.
            let mut places = places.to_vec();
            places.sort_unstable();
            let candidates: Vec<&Candidate> = places
                .iter()
                .map(|place| &self.candidates[*place])
                .collect();
            let Some(judge) = &mut self.judge else {
                break;
            };
            let similarities = judge.similarities(prompt, &candidates)?;
            if let Some(taken) = self.take(Some(prompt), &places, similarities)? {
                return Ok(Some(taken));
            }
        }
        self.or_fails(None)
    }

    fn or_fails(&self, taken: Option<(String, f32)>) -> Result<Option<(String, f32)>> {
        if taken.is_none() && self.compat {
            let message = "0.6.0 fails where a chain has no label left; it needs more candidates";
            return Err(InterrogateError::Options(message.into()));
        }
        Ok(taken)
    }

    /// Takes the best out of the candidates at some places, one that fits behind `prompt`.
    fn take(
        &mut self,
        prompt: Option<&str>,
        places: &[usize],
        mut similarities: Vec<f32>,
    ) -> Result<Option<(String, f32)>> {
        for similarity in &mut similarities {
            *similarity *= self.sign;
        }
        // Few do not fit, so that the best are looked for a few at a time.
        let mut tried = HashSet::new();
        for count in (0..).map(|power| 1usize << (3 * power)) {
            let best = top(&similarities, 0..similarities.len(), count, End::Largest);
            for index in &best {
                if !tried.insert(*index) {
                    continue;
                }
                let phrase = &self.candidates[places[*index]].phrase;
                let fits = match prompt {
                    _ if self.compat => true,
                    Some(prompt) => {
                        let text = format!("{prompt}, {phrase}");
                        self.reads(&text)? && self.budget.admits(&text, self.encoder)?
                    }
                    None => self.reads(phrase)? && self.budget.admits(phrase, self.encoder)?,
                };
                if fits {
                    let taken = self.candidates.remove(places[*index]);
                    return Ok(Some((taken.phrase, similarities[*index])));
                }
            }
            if best.len() == similarities.len() {
                break;
            }
        }
        Ok(None)
    }

    /// Whether the text tower reads a text to its end: what it does not read has no similarity.
    fn reads(&self, text: &str) -> Result<bool> {
        Ok(self.encoder.tokenizer().count(text)? <= self.encoder.context_length())
    }
}
