//! Which sequences are finished, and when a search is: by the rules of two generations of
//! transformers.

use super::{
    beam::{Beam, Candidate, NOTHING},
    options::GenerationOptions,
    search::Generated,
};

/// The finished sequences of one search.
pub(super) trait Hypotheses: Send {
    /// Looks at the best continuations, two for each beam, the best first; keeps the ones that end
    /// a sequence and returns those that go on, one for each beam.
    fn take(&mut self, beams: &[Beam], candidates: &[Candidate]) -> Vec<Candidate>;

    /// Whether nothing better is to come, given the beams that go on.
    fn is_done(&mut self, beams: &[Beam]) -> bool;

    /// The best sequence.
    fn finish(self: Box<Self>, beams: &[Beam]) -> Generated;
}

/// The rules of transformers 5: `_update_finished_beams` and what is called around it.
pub(super) struct GeneratedLength {
    best: Vec<Finished>,
    prompt: usize,
    limit: usize,
    end_token: u32,
    length_penalty: f64,
    early_stopping: bool,
    can_improve: bool,
    all_end: bool,
}

#[derive(Clone)]
struct Finished {
    tokens: Vec<u32>,
    score: f32,
    is_real: bool,
}

impl GeneratedLength {
    pub(super) fn new(prompt: &[u32], limit: usize, options: &GenerationOptions) -> Self {
        let nothing = Finished {
            tokens: prompt.to_vec(),
            score: NOTHING,
            is_real: false,
        };
        Self {
            best: vec![nothing; options.beams],
            prompt: prompt.len(),
            limit,
            end_token: options.end_token,
            length_penalty: options.length_penalty,
            early_stopping: options.early_stopping,
            can_improve: true,
            all_end: false,
        }
    }

    fn is_full(&self) -> bool {
        self.best.iter().all(|finished| finished.is_real)
    }

    fn penalty(&self, length: usize) -> f32 {
        ((length - self.prompt) as f64).powf(self.length_penalty) as f32
    }
}

impl Hypotheses for GeneratedLength {
    fn take(&mut self, beams: &[Beam], candidates: &[Candidate]) -> Vec<Candidate> {
        let count = self.best.len();
        let length = beams[0].tokens.len() + 1;
        let ends =
            |candidate: &Candidate| candidate.token == self.end_token || length >= self.limit;
        self.all_end = candidates.iter().all(ends);
        let mut running: Vec<Candidate> = candidates.to_vec();
        for candidate in &mut running {
            if ends(candidate) {
                candidate.score += NOTHING;
            }
        }
        sort_by_score(&mut running, |candidate| candidate.score);
        running.truncate(count);

        // Only the best of the continuations may be kept: the others are there to go on.
        let closed = !self.can_improve || (self.early_stopping && self.is_full());
        let penalty = self.penalty(length);
        for candidate in candidates.iter().take(count) {
            if ends(candidate) && !closed {
                let mut tokens = beams[candidate.beam].tokens.clone();
                tokens.push(candidate.token);
                self.best.push(Finished {
                    tokens,
                    score: candidate.score / penalty,
                    is_real: true,
                });
            }
        }
        sort_by_score(&mut self.best, |finished| finished.score);
        self.best.truncate(count);
        running
    }

    fn is_done(&mut self, beams: &[Beam]) -> bool {
        let best_possible = beams[0].score / self.penalty(beams[0].tokens.len());
        let worst = self.best.last().map_or(NOTHING, |worst| worst.score);
        self.can_improve &= self
            .best
            .iter()
            .any(|finished| best_possible > if finished.is_real { worst } else { NOTHING });
        !self.can_improve || self.all_end || (self.early_stopping && self.is_full())
    }

    fn finish(self: Box<Self>, _: &[Beam]) -> Generated {
        let best = self.best.into_iter().next();
        let (token_ids, score) = best.map_or((Vec::new(), NOTHING), |b| (b.tokens, b.score));
        Generated { token_ids, score }
    }
}

/// The best first; equal ones stay in their order.
fn sort_by_score<T>(items: &mut [T], score: impl Fn(&T) -> f32) {
    items.sort_by(|a, b| score(b).total_cmp(&score(a)));
}

/// The rules of transformers 4: `BeamSearchScorer` and `BeamHypotheses`, as of 4.18.
pub(super) struct WholeLength {
    // in the order of their coming, with scores in double precision
    kept: Vec<(Vec<u32>, f64)>,
    worst: f64,
    beams: usize,
    limit: usize,
    end_token: u32,
    length_penalty: f64,
    early_stopping: bool,
    is_done: bool,
}

impl WholeLength {
    pub(super) fn new(limit: usize, options: &GenerationOptions) -> Self {
        Self {
            kept: Vec::new(),
            worst: 1e9,
            beams: options.beams,
            limit,
            end_token: options.end_token,
            length_penalty: options.length_penalty,
            early_stopping: options.early_stopping,
            is_done: false,
        }
    }

    /// `tokens` are without the end token.
    fn keep(&mut self, tokens: &[u32], sum: f32) {
        let score = f64::from(sum) / (tokens.len() as f64).powf(self.length_penalty);
        if self.kept.len() >= self.beams && score <= self.worst {
            return;
        }
        self.kept.push((tokens.to_vec(), score));
        if self.kept.len() <= self.beams {
            self.worst = self.worst.min(score);
            return;
        }
        let mut order: Vec<usize> = (0..self.kept.len()).collect();
        order.sort_by(|a, b| self.kept[*a].1.total_cmp(&self.kept[*b].1));
        self.worst = self.kept[order[1]].1;
        self.kept.remove(order[0]);
    }
}

impl Hypotheses for WholeLength {
    fn take(&mut self, beams: &[Beam], candidates: &[Candidate]) -> Vec<Candidate> {
        let mut running = Vec::with_capacity(self.beams);
        for (rank, candidate) in candidates.iter().enumerate() {
            if candidate.token != self.end_token {
                running.push(*candidate);
            } else if rank < self.beams {
                self.keep(&beams[candidate.beam].tokens, candidate.score);
            }
            if running.len() == self.beams {
                break;
            }
        }
        let length = beams[0].tokens.len() as f64;
        self.is_done = self.kept.len() >= self.beams
            && (self.early_stopping || {
                let best = candidates.first().map_or(NOTHING, |best| best.score);
                self.worst >= f64::from(best) / length.powf(self.length_penalty)
            });
        running
    }

    fn is_done(&mut self, beams: &[Beam]) -> bool {
        self.is_done || beams.is_empty() || beams[0].tokens.len() >= self.limit
    }

    fn finish(mut self: Box<Self>, beams: &[Beam]) -> Generated {
        if !self.is_done {
            for beam in beams {
                self.keep(&beam.tokens, beam.score);
            }
        }
        // Of equal ones the last that came.
        let best = self
            .kept
            .into_iter()
            .reduce(|best, next| if next.1 >= best.1 { next } else { best });
        let (mut token_ids, score) = best.unwrap_or_default();
        if token_ids.len() < self.limit {
            token_ids.push(self.end_token);
        }
        Generated {
            token_ids,
            score: score as f32,
        }
    }
}
