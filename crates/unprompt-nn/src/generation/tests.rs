//! The search over a decoder whose logits are a fixed function of the tokens.

use super::*;
use candle_core::bail;

const VOCABULARY: usize = 12;
const END: u32 = 11;

/// A decoder without a network: the logits after a sequence are drawn from a hash of it.
struct Hashed {
    sequences: Vec<Vec<u32>>,
    // sequences of each step
    steps: Vec<usize>,
    broken_after: Option<usize>,
}

impl Hashed {
    fn new(sequences: usize) -> Self {
        Self {
            sequences: vec![Vec::new(); sequences],
            steps: Vec::new(),
            broken_after: None,
        }
    }
}

fn logits(tokens: &[u32]) -> Vec<f32> {
    (0..VOCABULARY as u64)
        .map(|token| {
            let mut hash = token + 1;
            for t in tokens {
                hash = (hash ^ u64::from(*t)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                hash ^= hash >> 29;
            }
            (hash % 1000) as f32 / 250.0
        })
        .collect()
}

impl Decoder for Hashed {
    fn vocabulary(&self) -> usize {
        VOCABULARY
    }

    fn max_positions(&self) -> usize {
        40
    }

    fn step(&mut self, tokens: &[Vec<u32>]) -> candle_core::Result<Vec<f32>> {
        if tokens.len() != self.sequences.len() {
            bail!("{} for {} sequences", tokens.len(), self.sequences.len());
        }
        self.steps.push(tokens.len());
        let mut rows = Vec::new();
        for (sequence, tokens) in self.sequences.iter_mut().zip(tokens) {
            sequence.extend(tokens);
            let broken = self
                .broken_after
                .is_some_and(|after| sequence.len() > after);
            rows.extend(logits(sequence));
            if broken && let Some(last) = rows.last_mut() {
                *last = f32::NAN;
            }
        }
        Ok(rows)
    }

    fn select(&mut self, origins: &[usize]) -> candle_core::Result<()> {
        self.sequences = origins
            .iter()
            .map(|origin| self.sequences[*origin].clone())
            .collect();
        Ok(())
    }
}

fn options() -> GenerationOptions {
    GenerationOptions {
        end_token: END,
        max_length: 14,
        ..GenerationOptions::default()
    }
}

fn one(prompt: &[u32], options: &GenerationOptions) -> Generated {
    generate(&mut Hashed::new(1), &[prompt.to_vec()], options)
        .unwrap()
        .remove(0)
}

fn log_probability(tokens: &[u32], next: u32) -> f64 {
    let logits = logits(tokens);
    let sum: f64 = logits.iter().map(|logit| f64::from(*logit).exp()).sum();
    f64::from(logits[next as usize]) - sum.ln()
}

#[test]
fn greedy_takes_the_first_of_the_largest_and_scores_their_mean() {
    let found = one(&[3], &options());
    let mut tokens = vec![3];
    let mut sum = 0.0;
    while tokens.len() < 14 && tokens.last() != Some(&END) {
        let logits = logits(&tokens);
        let largest = logits.iter().copied().fold(f32::MIN, f32::max);
        let next = logits.iter().position(|logit| *logit == largest).unwrap() as u32;
        sum += log_probability(&tokens, next);
        tokens.push(next);
    }
    assert_eq!(found.token_ids, tokens);
    let expected = sum / (tokens.len() - 1) as f64;
    assert!((f64::from(found.score) - expected).abs() < 1e-5);
}

#[test]
fn many_beams_find_the_best_of_all_sequences() {
    // Of length 4 with 12 tokens there are few enough to try them all.
    let all = GenerationOptions {
        beams: 6,
        max_length: 4,
        ..options()
    };
    for first in 0..8 {
        for length_penalty in [0.0, 1.0, 2.0] {
            let found = one(
                &[first],
                &GenerationOptions {
                    length_penalty,
                    ..all.clone()
                },
            );
            let own: f64 = (1..found.token_ids.len())
                .map(|end| log_probability(&found.token_ids[..end], found.token_ids[end]))
                .sum();
            let length = (found.token_ids.len() - 1) as f64;
            assert!((own / length.powf(length_penalty) - f64::from(found.score)).abs() < 1e-5);
            let mut best = f64::NEG_INFINITY;
            let mut open = vec![(vec![first], 0.0)];
            while let Some((tokens, score)) = open.pop() {
                for next in 0..VOCABULARY as u32 {
                    let score = score + log_probability(&tokens, next);
                    let mut tokens = tokens.clone();
                    tokens.push(next);
                    if next == END || tokens.len() == 4 {
                        let length = (tokens.len() - 1) as f64;
                        best = best.max(score / length.powf(length_penalty));
                    } else {
                        open.push((tokens, score));
                    }
                }
            }
            assert!(f64::from(found.score) <= best + 1e-5);
            // Six of twelve beams lose a little at most.
            assert!(f64::from(found.score) > best - 0.5, "{found:?} {best}");
        }
    }
}

#[test]
fn a_sequence_depends_on_no_other_in_its_batch() {
    let prompts: Vec<Vec<u32>> = (0..9).map(|token| vec![token, 2]).collect();
    for options in [
        options(),
        GenerationOptions {
            beams: 3,
            ..options()
        },
        GenerationOptions {
            beams: 5,
            length_penalty_of: LengthPenalty::WholeSequence,
            ..options()
        },
        GenerationOptions {
            sampling: Some(Sampling {
                seed: 7,
                temperature: 0.8,
                top_k: 5,
                top_p: 0.9,
            }),
            ..options()
        },
    ] {
        let mut decoder = Hashed::new(prompts.len());
        let together = generate(&mut decoder, &prompts, &options).unwrap();
        assert_eq!(decoder.steps[0], prompts.len());
        for (prompt, together) in prompts.iter().zip(&together) {
            assert_eq!(&one(prompt, &options), together);
        }
        let lengths: Vec<usize> = together.iter().map(|g| g.token_ids.len()).collect();
        assert!(lengths.iter().any(|length| *length < 14), "{lengths:?}");
    }
}

#[test]
fn lengths_tokens_and_repetitions_are_kept_to() {
    for beams in [1, 4] {
        for prompt in 0..8u32 {
            let options = GenerationOptions {
                beams,
                min_length: 9,
                no_repeat_ngram: 2,
                suppressed_tokens: vec![4, 5],
                forced_first_token: Some(7),
                forced_end_token: Some(END),
                ..options()
            };
            let found = one(&[prompt], &options).token_ids;
            assert!(found.len() > 9 && found.len() <= 14, "{found:?}");
            assert_eq!((found[1], found[found.len() - 1]), (7, END), "{found:?}");
            assert!(!found[1..].iter().any(|t| [4, 5].contains(t)), "{found:?}");
            let pairs: Vec<&[u32]> = found.windows(2).collect();
            for (index, pair) in pairs.iter().enumerate() {
                assert!(!pairs[..index].contains(pair), "{found:?}");
            }
            let new = GenerationOptions {
                max_new_tokens: Some(3),
                min_length: 30,
                ..options
            };
            assert_eq!(one(&[prompt, 1], &new).token_ids.len(), 5);
        }
    }
}

#[test]
fn a_seed_draws_the_same_and_another_seed_others() {
    let drawn = |seed| {
        let sampling = Some(Sampling {
            seed,
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
        });
        one(
            &[1],
            &GenerationOptions {
                sampling,
                ..options()
            },
        )
    };
    assert_eq!(drawn(1), drawn(1));
    let others: Vec<Generated> = (0..20).map(drawn).collect();
    assert!(others.iter().any(|other| *other != others[0]));
    // The likeliest token alone is drawn where nothing else is left.
    let sampling = Some(Sampling {
        seed: 3,
        temperature: 1.0,
        top_k: 0,
        top_p: 1e-6,
    });
    let found = one(
        &[1],
        &GenerationOptions {
            sampling,
            ..options()
        },
    );
    assert_eq!(found.token_ids, one(&[1], &options()).token_ids);
}

#[test]
fn draws_follow_the_probabilities() {
    // One step from the same logits, many seeds.
    let mut counts = [0.0; VOCABULARY];
    let draws = 4000;
    for seed in 0..draws {
        let sampling = Some(Sampling {
            seed,
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
        });
        let options = GenerationOptions {
            sampling,
            max_new_tokens: Some(1),
            ..options()
        };
        counts[one(&[6], &options).token_ids[1] as usize] += 1.0 / draws as f64;
    }
    for (token, count) in counts.iter().enumerate() {
        let expected = log_probability(&[6], token as u32).exp();
        assert!(
            (count - expected).abs() < 0.04,
            "{token}: {count} {expected}"
        );
    }
}

#[test]
fn logits_that_are_no_numbers_are_an_error() {
    for beams in [1, 3] {
        let mut decoder = Hashed::new(1);
        decoder.broken_after = Some(2);
        let options = GenerationOptions {
            beams,
            min_length: 10,
            ..options()
        };
        let error = generate(&mut decoder, &[vec![1]], &options).unwrap_err();
        assert!(
            matches!(error, GenerationError::NotFinite { position: 3 }),
            "{error}"
        );
    }
}

#[test]
fn options_that_do_not_fit_are_errors() {
    let refused = |prompt: &[u32], options: GenerationOptions| {
        let result = generate(&mut Hashed::new(1), &[prompt.to_vec()], &options);
        assert!(
            matches!(result, Err(GenerationError::Options(_))),
            "{options:?}"
        );
    };
    let sampling = |temperature, top_p| {
        Some(Sampling {
            seed: 0,
            temperature,
            top_k: 0,
            top_p,
        })
    };
    refused(&[], options());
    refused(&[1; 14], options());
    refused(&[99], options());
    let with = |change: fn(&mut GenerationOptions)| {
        let mut changed = options();
        change(&mut changed);
        changed
    };
    refused(&[1], with(|o| o.beams = 0));
    refused(&[1], with(|o| o.beams = 7));
    refused(&[1], with(|o| o.beams = 65));
    refused(&[1], with(|o| o.max_length = 41));
    refused(&[1], with(|o| o.max_new_tokens = Some(40)));
    refused(&[1], with(|o| o.max_new_tokens = Some(0)));
    refused(&[1], with(|o| o.max_new_tokens = Some(usize::MAX)));
    refused(&[1], with(|o| o.end_token = 12));
    refused(&[1], with(|o| o.suppressed_tokens = vec![12]));
    refused(&[1], with(|o| o.length_penalty = f64::NAN));
    for (temperature, top_p) in [(0.0, 1.0), (f32::NAN, 1.0), (1.0, 0.0), (1.0, 1.5)] {
        let mut options = options();
        options.sampling = sampling(temperature, top_p);
        refused(&[1], options);
    }
    let mut both = options();
    (both.sampling, both.beams) = (sampling(1.0, 1.0), 2);
    refused(&[1], both);
}
