//! One sequence at a time: greedy, or drawn.

use super::{
    constraints::{constrain, normaliser},
    options::{GenerationOptions, Sampling},
    search::{Continuation, Generated, Result, Search},
};

pub(super) struct SingleSearch<'o> {
    tokens: Vec<u32>,
    prompt: usize,
    limit: usize,
    sum: f32,
    random: SplitMix,
    options: &'o GenerationOptions,
}

impl<'o> SingleSearch<'o> {
    pub(super) fn new(prompt: &[u32], limit: usize, options: &'o GenerationOptions) -> Self {
        Self {
            tokens: prompt.to_vec(),
            prompt: prompt.len(),
            limit,
            sum: 0.0,
            random: SplitMix(options.sampling.map_or(0, |sampling| sampling.seed)),
            options,
        }
    }
}

impl Search for SingleSearch<'_> {
    fn advance(&mut self, logits: &[&[f32]]) -> Result<Vec<Continuation>> {
        let Some(logits) = logits.first() else {
            return Ok(Vec::new());
        };
        let (largest, rest) = normaliser(logits, self.tokens.len())?;
        // The logits themselves are compared: two that differ may share their log-probability.
        let mut scores = logits.to_vec();
        let forced = constrain(&self.tokens, self.limit, self.options, &mut scores);
        let token = match &self.options.sampling {
            None => first_of_the_largest(&scores),
            Some(sampling) => draw(&scores, sampling, &mut self.random),
        };
        if forced.is_none() {
            self.sum += logits[token] - largest - rest;
        }
        let token = token as u32;
        self.tokens.push(token);
        let ends = token == self.options.end_token || self.tokens.len() == self.limit;
        Ok(if ends { Vec::new() } else { vec![(0, token)] })
    }

    fn finish(self: Box<Self>) -> Generated {
        let generated = (self.tokens.len() - self.prompt) as f64;
        Generated {
            score: self.sum / generated.powf(self.options.length_penalty) as f32,
            token_ids: self.tokens,
        }
    }
}

fn first_of_the_largest(scores: &[f32]) -> usize {
    let mut best = 0;
    for (index, score) in scores.iter().enumerate() {
        if *score > scores[best] {
            best = index;
        }
    }
    best
}

/// Draws a token: temperature, then the `top_k` largest (and those equal to the last of them), then
/// the fewest that reach `top_p`, in the order of transformers' warpers.
fn draw(scores: &[f32], sampling: &Sampling, random: &mut SplitMix) -> usize {
    let mut order: Vec<usize> = (0..scores.len())
        .filter(|index| scores[*index] > f32::NEG_INFINITY)
        .collect();
    // Stable: equal scores stay in the order of the vocabulary.
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    let Some(&first) = order.first() else {
        return 0;
    };
    if sampling.top_k > 0 && sampling.top_k < order.len() {
        let smallest = scores[order[sampling.top_k - 1]];
        order.retain(|index| scores[*index] >= smallest);
    }
    let largest = f64::from(scores[first]);
    let temperature = f64::from(sampling.temperature);
    let weight = |index: &usize| ((f64::from(scores[*index]) - largest) / temperature).exp();
    let total: f64 = order.iter().map(weight).sum();
    let wanted = f64::from(sampling.top_p) * total;
    let mut kept = 0.0;
    let mut count = 0;
    for index in &order {
        if kept >= wanted {
            break;
        }
        kept += weight(index);
        count += 1;
    }
    let mut left = random.uniform() * kept;
    for index in &order[..count] {
        left -= weight(index);
        if left < 0.0 {
            return *index;
        }
    }
    order[count - 1]
}

/// Steele, Lea and Flood's SplitMix64: small, and the same everywhere.
struct SplitMix(u64);

impl SplitMix {
    /// In [0, 1), in steps of 2^-53.
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        (z >> 11) as f64 / (1u64 << 53) as f64
    }
}
