//! The decoder's steps, shared by the searches of all sequences.

use super::{
    beam_search::BeamSearch,
    options::GenerationOptions,
    search::{Generated, GenerationError, Result, Search},
    single::SingleSearch,
};
use rayon::prelude::*;

/// A network that gives the next token's logits, with what it has computed before kept.
///
/// It begins with one sequence for each picture, all of them empty.
pub trait Decoder {
    /// Logits of a token.
    fn vocabulary(&self) -> usize;

    /// Tokens that a sequence can have at most.
    fn max_positions(&self) -> usize;

    /// Appends tokens to each of the sequences, at least one, and returns the logits after the last
    /// token of each: (sequences, vocabulary).
    ///
    /// # Errors
    /// When an operation fails.
    fn step(&mut self, tokens: &[Vec<u32>]) -> candle_core::Result<Vec<f32>>;

    /// Goes on with copies of the sequences `origins`, in this order; the others end.
    ///
    /// # Errors
    /// When an operation fails.
    fn select(&mut self, origins: &[usize]) -> candle_core::Result<()>;
}

/// Generates one sequence after each prompt; the decoder must have as many sequences.
///
/// # Errors
/// When the options do not fit the decoder or a prompt, a step fails, or logits are no numbers.
pub fn generate(
    decoder: &mut impl Decoder,
    prompts: &[Vec<u32>],
    options: &GenerationOptions,
) -> Result<Vec<Generated>> {
    options.check(decoder.vocabulary(), decoder.max_positions())?;
    let mut searches = Vec::with_capacity(prompts.len());
    for prompt in prompts {
        let limit = options.limit(prompt, decoder.vocabulary(), decoder.max_positions())?;
        searches.push(if options.beams == 1 {
            Box::new(SingleSearch::new(prompt, limit, options)) as Box<dyn Search + '_>
        } else {
            Box::new(BeamSearch::new(prompt, limit, options))
        });
    }
    // The searches that go on, each with the number of its rows.
    let mut live: Vec<(usize, usize)> = (0..searches.len()).map(|index| (index, 1)).collect();
    let mut tokens = prompts.to_vec();
    while !live.is_empty() {
        let logits = decoder.step(&tokens)?;
        if logits.len() != tokens.len() * decoder.vocabulary() {
            return Err(GenerationError::Options(format!(
                "{} logits for {} sequences over {} tokens",
                logits.len(),
                tokens.len(),
                decoder.vocabulary()
            )));
        }
        let mut rows = logits.chunks_exact(decoder.vocabulary());
        let rows: Vec<Vec<&[f32]>> = live
            .iter()
            .map(|(_, count)| rows.by_ref().take(*count).collect())
            .collect();
        let mut running: Vec<&mut Box<dyn Search + '_>> = Vec::with_capacity(live.len());
        let mut indices = live.iter().map(|(index, _)| *index).peekable();
        for (index, search) in searches.iter_mut().enumerate() {
            if indices.next_if_eq(&index).is_some() {
                running.push(search);
            }
        }
        let continuations = running
            .into_par_iter()
            .zip(&rows)
            .map(|(search, rows)| search.advance(rows))
            .collect::<Result<Vec<_>>>()?;
        tokens.clear();
        let mut origins = Vec::new();
        let mut first = 0;
        let mut next = Vec::with_capacity(live.len());
        for ((index, count), continuations) in live.iter().zip(continuations) {
            for (row, token) in &continuations {
                origins.push(first + row);
                tokens.push(vec![*token]);
            }
            if !continuations.is_empty() {
                next.push((*index, continuations.len()));
            }
            first += count;
        }
        live = next;
        if !live.is_empty() {
            decoder.select(&origins)?;
        }
    }
    Ok(searches.into_iter().map(|search| search.finish()).collect())
}
