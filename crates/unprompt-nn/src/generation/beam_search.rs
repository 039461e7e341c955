//! Beam search for one picture.

use super::{
    beam::{Beam, Candidate, NOTHING},
    constraints::{constrain, normaliser},
    hypotheses::{GeneratedLength, Hypotheses, WholeLength},
    options::{GenerationOptions, LengthPenalty},
    search::{Continuation, Generated, Result, Search},
};

pub(super) struct BeamSearch<'o> {
    beams: Vec<Beam>,
    limit: usize,
    hypotheses: Box<dyn Hypotheses>,
    options: &'o GenerationOptions,
}

impl<'o> BeamSearch<'o> {
    pub(super) fn new(prompt: &[u32], limit: usize, options: &'o GenerationOptions) -> Self {
        // All beams begin alike, so that only the first one's continuations may count.
        let beam = |index| Beam {
            tokens: prompt.to_vec(),
            score: if index == 0 { 0.0 } else { NOTHING },
        };
        let hypotheses: Box<dyn Hypotheses> = match options.length_penalty_of {
            LengthPenalty::GeneratedTokens => {
                Box::new(GeneratedLength::new(prompt, limit, options))
            }
            LengthPenalty::WholeSequence => Box::new(WholeLength::new(limit, options)),
        };
        Self {
            beams: (0..options.beams).map(beam).collect(),
            limit,
            hypotheses,
            options,
        }
    }

    /// The best continuations of all beams, twice as many as beams: even when each beam's best one
    /// ends it, as many as beams go on.
    fn candidates(&self, logits: &[&[f32]]) -> Result<Vec<Candidate>> {
        let count = 2 * self.options.beams;
        let mut best: Vec<Candidate> = Vec::with_capacity(count + 1);
        let mut scores = Vec::new();
        for (index, beam) in self.beams.iter().enumerate() {
            // In the first step there is one row, which serves all beams.
            let row = logits[index.min(logits.len() - 1)];
            let (largest, rest) = normaliser(row, beam.tokens.len())?;
            scores.clear();
            scores.extend(row.iter().map(|logit| logit - largest - rest));
            constrain(&beam.tokens, self.limit, self.options, &mut scores);
            for (token, score) in scores.iter().enumerate() {
                let score = score + beam.score;
                if best.len() == count && best.last().is_some_and(|last| score <= last.score) {
                    continue;
                }
                // Behind its equals: ties are broken by beam, then by token.
                let place = best.partition_point(|other| other.score >= score);
                let token = token as u32;
                best.insert(
                    place,
                    Candidate {
                        score,
                        beam: index,
                        token,
                    },
                );
                best.truncate(count);
            }
        }
        Ok(best)
    }
}

impl Search for BeamSearch<'_> {
    fn advance(&mut self, logits: &[&[f32]]) -> Result<Vec<Continuation>> {
        if logits.is_empty() {
            return Ok(Vec::new());
        }
        let candidates = self.candidates(logits)?;
        let chosen = self.hypotheses.take(&self.beams, &candidates);
        let next = |candidate: &Candidate| {
            let mut tokens = self.beams[candidate.beam].tokens.clone();
            tokens.push(candidate.token);
            Beam {
                tokens,
                score: candidate.score,
            }
        };
        self.beams = chosen.iter().map(next).collect();
        if self.hypotheses.is_done(&self.beams) {
            return Ok(Vec::new());
        }
        let row = |candidate: &Candidate| {
            let row = candidate.beam.min(logits.len() - 1);
            (row, candidate.token)
        };
        Ok(chosen.iter().map(row).collect())
    }

    fn finish(self: Box<Self>) -> Generated {
        self.hypotheses.finish(&self.beams)
    }
}
