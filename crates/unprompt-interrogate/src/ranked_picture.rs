//! How each mode makes a prompt of one picture.

use crate::{
    Asked, Behaviour, Interrogator, Mode, RankedLabel, Result,
    budget::joined,
    chain::{ChainOptions, Start, chain},
    labels::{ARTISTS, FLAVORS, MEDIUMS, MOVEMENTS, NEGATIVE, TRENDINGS},
    ranking::{End, rank_as_060, top},
};
use serde::Serialize;
use std::time::Instant;

/// What a phrase of a prompt is worth.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Contribution {
    /// The phrase.
    pub phrase: String,
    /// The prompt's cosine less that of the prompt without the phrase.
    pub contribution: f32,
}

/// A prompt.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) phrases: Vec<String>,
    /// The cosine of all of it, where it is known.
    pub(crate) similarity: Option<f32>,
    /// Whether the search went to its end.
    pub(crate) complete: bool,
}

/// One picture with its cosine to every label.
pub(crate) struct RankedPicture<'a> {
    pub(crate) interrogator: &'a Interrogator,
    pub(crate) asked: Asked,
    /// Unit vector.
    pub(crate) vector: &'a [f32],
    pub(crate) caption: Option<&'a str>,
    /// By table of the interrogator.
    pub(crate) similarities: Vec<&'a [f32]>,
}

impl RankedPicture<'_> {
    /// The prompt that is asked for.
    pub(crate) fn found(&self, started: Instant) -> Result<Found> {
        let flavors = self.asked.max_flavors;
        let whole = |phrases: Result<Vec<String>>| {
            Ok(Found {
                phrases: phrases?,
                similarity: None,
                complete: true,
            })
        };
        match self.asked.mode {
            Mode::Classic => whole(self.classic(flavors.unwrap_or(3))),
            Mode::Fast => whole(self.fast(flavors.unwrap_or(32))),
            Mode::Competition => whole(self.competition(flavors.unwrap_or(3))),
            Mode::Best => self.best(flavors.unwrap_or(32), started),
            Mode::Negative => self.negative(flavors.unwrap_or(32), started),
            Mode::Analyze => whole(Ok(Vec::new())),
        }
    }

    fn is_compat(&self) -> bool {
        self.interrogator.options.behaviour == Behaviour::Compat060
    }

    fn joined(&self, phrases: &[String]) -> Result<Vec<String>> {
        let Interrogator {
            options, encoder, ..
        } = self.interrogator;
        joined(phrases, options.behaviour, &options.budget, encoder)
    }

    /// The caption and what follows it where it is not said by it already.
    fn opened_with(&self, medium: Option<String>) -> Vec<String> {
        let said = |medium: &String| self.caption.is_some_and(|c| c.starts_with(medium.as_str()));
        let medium = medium.filter(|medium| !said(medium));
        self.caption
            .map(str::to_owned)
            .into_iter()
            .chain(medium)
            .collect()
    }

    fn classic(&self, flavors: usize) -> Result<Vec<String>> {
        let medium = self.first(MEDIUMS)?;
        let artist = self.first(ARTISTS)?;
        let mut phrases = self.opened_with(medium);
        // No comma between them.
        if let (Some(last), Some(artist)) = (phrases.last_mut(), &artist) {
            *last = format!("{last} {artist}");
        } else {
            phrases.extend(artist);
        }
        phrases.extend(self.first(TRENDINGS)?);
        phrases.extend(self.first(MOVEMENTS)?);
        self.with_flavors(phrases, flavors)
    }

    fn competition(&self, flavors: usize) -> Result<Vec<String>> {
        let mut phrases = self.opened_with(self.first(MEDIUMS)?);
        phrases.extend(self.first(MOVEMENTS)?);
        self.with_flavors(phrases, flavors)
    }

    fn with_flavors(&self, mut phrases: Vec<String>, count: usize) -> Result<Vec<String>> {
        match self.ranked(FLAVORS, count, End::Largest)? {
            // Joined to nothing, with a comma before it.
            flavors if flavors.is_empty() && self.is_compat() => phrases.push(String::new()),
            flavors => phrases.extend(flavors),
        }
        self.joined(&phrases)
    }

    fn fast(&self, flavors: usize) -> Result<Vec<String>> {
        let mut phrases: Vec<String> = self.caption.map(str::to_owned).into_iter().collect();
        match self.merged(flavors)? {
            labels if labels.is_empty() && self.is_compat() => phrases.push(String::new()),
            labels => phrases.extend(labels),
        }
        self.joined(&phrases)
    }

    fn best(&self, flavors: usize, started: Instant) -> Result<Found> {
        let Interrogator {
            options, encoder, ..
        } = self.interrogator;
        let (fast, classic) = (self.fast(flavors)?, self.classic(flavors)?);
        let chained = chain(
            encoder,
            &options.budget,
            options.behaviour,
            self.vector,
            self.merged(self.asked.candidates)?,
            self.caption.map(Start::of),
            &ChainOptions {
                min_count: self.asked.min_flavors,
                max_count: flavors,
                reverse: false,
                deadline: options.time.map(|time| started + time),
            },
        )?;
        // The first of the most similar, in the order of 0.6.0.
        let caption: Vec<String> = self.caption.map(str::to_owned).into_iter().collect();
        let mut candidates = vec![caption, classic, fast, chained.phrases];
        if !self.is_compat() {
            // A caption that is too long is cut.
            candidates[0] = self.joined(&candidates[0])?;
            candidates.retain(|phrases| !phrases.is_empty());
        }
        let texts: Vec<String> = candidates
            .iter()
            .map(|phrases| phrases.join(", "))
            .collect();
        let similarities = encoder.similarities(self.vector, &texts)?;
        let best = top(&similarities, 0..texts.len(), 1, End::Largest);
        let mut found = Found {
            complete: chained.complete,
            ..Found::default()
        };
        if let Some(best) = best.first() {
            found.similarity = Some(similarities[*best]);
            found.phrases = candidates.swap_remove(*best);
        }
        Ok(found)
    }

    fn negative(&self, flavors: usize, started: Instant) -> Result<Found> {
        let mut phrases = self.ranked(FLAVORS, self.asked.candidates, End::Smallest)?;
        phrases.extend(self.interrogator.negative.iter().cloned());
        let options = &self.interrogator.options;
        let chained = chain(
            &self.interrogator.encoder,
            &options.budget,
            options.behaviour,
            self.vector,
            phrases,
            None,
            &ChainOptions {
                min_count: self.asked.min_flavors,
                max_count: flavors,
                reverse: true,
                deadline: options.time.map(|time| started + time),
            },
        )?;
        Ok(Found {
            phrases: chained.phrases,
            similarity: None,
            complete: chained.complete,
        })
    }

    /// The first labels of each table, with the cosines of their whole embeddings.
    pub(crate) fn analysis(&self) -> Result<Vec<(String, Vec<RankedLabel>)>> {
        let mut tables = Vec::new();
        for table in &self.interrogator.tables {
            let labels = self.ranked(table.name(), self.interrogator.options.top, End::Largest)?;
            let similarities = self
                .interrogator
                .encoder
                .similarities(self.vector, &labels)?;
            let ranked = labels.into_iter().zip(similarities);
            let ranked = ranked.map(|(label, similarity)| RankedLabel { label, similarity });
            tables.push((table.name().to_owned(), ranked.collect()));
        }
        Ok(tables)
    }

    /// How much each phrase adds to a prompt's similarity.
    pub(crate) fn contributions(
        &self,
        phrases: &[String],
        similarity: f32,
    ) -> Result<Vec<Contribution>> {
        let without = |left_out: usize| {
            let mut kept = phrases.to_vec();
            kept.remove(left_out);
            kept.join(", ")
        };
        let texts: Vec<String> = (0..phrases.len()).map(without).collect();
        let similarities = self
            .interrogator
            .encoder
            .similarities(self.vector, &texts)?;
        let pairs = phrases.iter().zip(similarities);
        Ok(pairs
            .map(|(phrase, without)| Contribution {
                phrase: phrase.clone(),
                contribution: similarity - without,
            })
            .collect())
    }

    fn first(&self, table: &str) -> Result<Option<String>> {
        Ok(self.ranked(table, 1, End::Largest)?.pop())
    }

    /// The first labels of a table; none where there is no such table.
    fn ranked(&self, name: &str, count: usize, end: End) -> Result<Vec<String>> {
        let Interrogator {
            tables, options, ..
        } = self.interrogator;
        let Some(index) = tables.iter().position(|table| table.name() == name) else {
            return Ok(Vec::new());
        };
        let (list, similarities) = (tables[index].list(), self.similarities[index]);
        let used = (0..similarities.len()).filter(|place| list.is_used(*place));
        let places = if self.is_compat() {
            rank_as_060(similarities, used, count, end, options.chunk_size)?
        } else {
            top(similarities, used, count, end)
        };
        let label = |place: usize| list.labels()[place].clone();
        Ok(places.into_iter().map(label).collect())
    }

    /// The first labels of all tables that are ranked together.
    fn merged(&self, count: usize) -> Result<Vec<String>> {
        let Interrogator { tables, merged, .. } = self.interrogator;
        let mut similarities = Vec::new();
        let mut labels: Vec<&String> = Vec::new();
        for (table, values) in tables.iter().zip(&self.similarities) {
            if table.name() != NEGATIVE {
                similarities.extend_from_slice(values);
                labels.extend(table.list().labels());
            }
        }
        let used = merged.iter().copied();
        let places = if self.is_compat() {
            rank_as_060(
                &similarities,
                used,
                count,
                End::Largest,
                self.asked.chunk_size,
            )?
        } else {
            top(&similarities, used, count, End::Largest)
        };
        Ok(places
            .into_iter()
            .map(|place| labels[place].clone())
            .collect())
    }
}
