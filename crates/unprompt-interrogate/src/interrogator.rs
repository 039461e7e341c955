//! What prompts are made with: a text tower and the labels that it has embedded.

use crate::{
    Behaviour, InterrogateError, LabelSet, LabelTable, Mode, PhraseEncoder, Result, TableCache,
    TableProgress, TokenBudget,
    chain::{Chain, ChainOptions, Start, chain},
    labels::NEGATIVE,
};
use std::{collections::HashSet, time::Duration};

/// What is made of pictures, and how.
#[derive(Debug)]
pub struct InterrogateOptions {
    /// Which prompt is made; with [`Mode::Analyze`], whose tables are those of all modes, any prompt
    /// can be asked for, see [`Interrogator::interrogate_in`].
    pub mode: Mode,
    /// Whether the reference's mistakes are repeated.
    pub behaviour: Behaviour,
    /// Phrases of a chain that are appended even if they do not help.
    pub min_flavors: usize,
    /// Most labels after the caption; `None` is 32, or 3 flavors in the modes that have few.
    pub max_flavors: Option<usize>,
    /// Labels that a chain is made of.
    pub candidates: usize,
    /// Most tokens of a prompt.
    pub budget: TokenBudget,
    /// For each picture; a chain then gives the best that it has found.
    pub time: Option<Duration>,
    /// Whether each phrase's contribution is told.
    pub explain: bool,
    /// Labels of each table in an analysis.
    pub top: usize,
    /// Labels that 0.6.0 ranks at once; without meaning for [`Behaviour::Fixed`].
    pub chunk_size: usize,
}

impl InterrogateOptions {
    /// The settings of clip-interrogator.
    pub fn new(mode: Mode, behaviour: Behaviour) -> Self {
        Self {
            mode,
            behaviour,
            min_flavors: 8,
            max_flavors: None,
            candidates: 2048,
            budget: TokenBudget::of_context(),
            time: None,
            explain: false,
            top: 5,
            chunk_size: 2048,
        }
    }
}

/// A text tower with the embeddings of its labels.
#[derive(Debug)]
pub struct Interrogator {
    pub(crate) encoder: PhraseEncoder,
    pub(crate) tables: Vec<LabelTable>,
    /// Places in the tables that are ranked together, laid end to end; with
    /// [`Behaviour::Fixed`] each label once.
    pub(crate) merged: Vec<usize>,
    /// Labels that are always candidates of the negative mode.
    pub(crate) negative: Vec<String>,
    pub(crate) options: InterrogateOptions,
}

impl Interrogator {
    /// Takes the tables that the mode needs from the cache, or makes them.
    ///
    /// # Errors
    /// When the options do not go together or the network fails.
    pub fn load(
        encoder: PhraseEncoder,
        labels: LabelSet,
        cache: Option<&TableCache>,
        options: InterrogateOptions,
        progress: &dyn TableProgress,
    ) -> Result<Self> {
        if options.behaviour == Behaviour::Compat060 && options.time.is_some() {
            let message = "0.6.0 has no time limit; it cannot be repeated with one";
            return Err(InterrogateError::Options(message.into()));
        }
        let mut tables = Vec::new();
        let mut negative = Vec::new();
        for list in labels.lists() {
            let has_negative = matches!(options.mode, Mode::Negative | Mode::Analyze);
            if list.name() == NEGATIVE && has_negative {
                let used = (0..list.labels().len()).filter(|index| list.is_used(*index));
                negative.extend(used.map(|index| list.labels()[index].clone()));
            }
            if options.mode.ranks(list.name()) {
                tables.push(LabelTable::load(list.clone(), &encoder, cache, progress)?);
            }
        }
        if tables.is_empty() && negative.is_empty() {
            let message = format!("no table is left that the mode {:?} uses", options.mode);
            return Err(InterrogateError::Options(message));
        }
        let merged = merged(&tables, options.behaviour);
        Ok(Self {
            encoder,
            tables,
            merged,
            negative,
            options,
        })
    }

    /// The text tower with its tokenizer.
    pub fn encoder(&self) -> &PhraseEncoder {
        &self.encoder
    }

    /// The tables, in the order in which they are ranked together.
    pub fn tables(&self) -> &[LabelTable] {
        &self.tables
    }

    /// Grows a prompt by phrases of one's own, from `start` or from the best of them.
    ///
    /// # Errors
    /// When a text cannot be tokenised or the network fails.
    pub fn chain(
        &self,
        picture: &[f32],
        phrases: Vec<String>,
        start: Option<&str>,
        options: &ChainOptions,
    ) -> Result<Chain> {
        self.grow(picture, phrases, start.map(Start::of), options)
    }

    /// As [`chain`](Self::chain), from a text whose similarity counts as what the caller says.
    ///
    /// # Errors
    /// As [`chain`](Self::chain).
    pub fn chain_from(
        &self,
        picture: &[f32],
        phrases: Vec<String>,
        (text, similarity): (&str, f32),
        options: &ChainOptions,
    ) -> Result<Chain> {
        let start = Start {
            text,
            similarity: Some(similarity),
        };
        self.grow(picture, phrases, Some(start), options)
    }

    fn grow(
        &self,
        picture: &[f32],
        phrases: Vec<String>,
        start: Option<Start<'_>>,
        options: &ChainOptions,
    ) -> Result<Chain> {
        let (budget, behaviour) = (&self.options.budget, self.options.behaviour);
        chain(
            &self.encoder,
            budget,
            behaviour,
            picture,
            phrases,
            start,
            options,
        )
    }
}

fn merged(tables: &[LabelTable], behaviour: Behaviour) -> Vec<usize> {
    let (mut places, mut start) = (Vec::new(), 0);
    let mut seen = HashSet::new();
    for table in tables.iter().filter(|table| table.name() != NEGATIVE) {
        let list = table.list();
        for (index, label) in list.labels().iter().enumerate() {
            let again = behaviour == Behaviour::Fixed && !seen.insert(label);
            if list.is_used(index) && !again {
                places.push(start + index);
            }
        }
        start += list.labels().len();
    }
    places
}
