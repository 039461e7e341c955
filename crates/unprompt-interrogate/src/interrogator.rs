//! Pictures' vectors and captions to prompts.

use crate::{
    Behaviour, Contribution, InterrogateError, LabelSet, LabelTable, Mode, PhraseEncoder, Result,
    TableCache, TableProgress, TokenBudget,
    chain::{Chain, ChainOptions, chain},
    labels::NEGATIVE,
    modes::{Found, Picture},
};
use serde::Serialize;
use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

/// What is made of pictures, and how.
#[derive(Debug)]
pub struct InterrogateOptions {
    /// Which prompt is made.
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

/// One picture.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Its unit vector from the image tower that belongs to the text tower.
    pub picture: &'a [f32],
    /// What the prompt begins with.
    pub caption: Option<&'a str>,
}

/// What is told of one picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Interrogation {
    /// The prompt; `None` for an analysis.
    pub prompt: Option<String>,
    /// Its cosine with the picture.
    pub similarity: Option<f32>,
    /// What each phrase adds, if that was asked for.
    pub contributions: Option<Vec<Contribution>>,
    /// The first labels of each table, for an analysis.
    pub tables: Option<Vec<(String, Vec<RankedLabel>)>>,
    /// Whether the search went to its end and not to its time limit.
    pub complete: bool,
}

/// A label with its cosine.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RankedLabel {
    /// The label.
    pub label: String,
    /// Its cosine with the picture.
    pub similarity: f32,
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
            if list.name() == NEGATIVE && options.mode == Mode::Negative {
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

    /// Each picture's prompt or analysis. All pictures are compared with the labels together.
    ///
    /// # Errors
    /// The outer one concerns all pictures, the inner ones one each: a caption that is missing or
    /// that cannot be tokenised.
    pub fn interrogate(&self, subjects: &[Subject]) -> Result<Vec<Result<Interrogation>>> {
        let pictures: Vec<&[f32]> = subjects.iter().map(|subject| subject.picture).collect();
        let width = self.encoder.tower().width();
        if pictures.iter().any(|picture| picture.len() != width) {
            let message = format!("a picture's vector has not the text tower's {width} numbers");
            return Err(InterrogateError::Options(message));
        }
        let tables = self
            .tables
            .iter()
            .map(|table| table.similarities(&pictures))
            .collect::<Result<Vec<_>>>()?;
        let one = |(index, subject): (usize, &Subject)| {
            let similarities = tables.iter().map(|table| table[index].as_slice());
            self.interrogate_one(subject, similarities.collect())
        };
        Ok(subjects.iter().enumerate().map(one).collect())
    }

    fn interrogate_one(
        &self,
        subject: &Subject,
        similarities: Vec<&[f32]>,
    ) -> Result<Interrogation> {
        let started = Instant::now();
        let mode = self.options.mode;
        let caption = subject.caption.filter(|caption| !caption.is_empty());
        if caption.is_none()
            && mode.takes_caption()
            && self.options.behaviour == Behaviour::Compat060
        {
            let message = "0.6.0 makes this prompt of a caption, and there is none";
            return Err(InterrogateError::Options(message.into()));
        }
        let picture = Picture {
            interrogator: self,
            vector: subject.picture,
            caption,
            similarities,
        };
        if mode == Mode::Analyze {
            return Ok(Interrogation {
                prompt: None,
                similarity: None,
                contributions: None,
                tables: Some(picture.analysis()?),
                complete: true,
            });
        }
        let Found {
            phrases,
            similarity,
            complete,
        } = picture.found(mode, started)?;
        let prompt = phrases.join(", ");
        let similarity = match similarity {
            Some(similarity) => similarity,
            None => self.encoder.similarities(subject.picture, &[&prompt])?[0],
        };
        let contributions = self.options.explain;
        let contributions = contributions.then(|| picture.contributions(&phrases, similarity));
        Ok(Interrogation {
            prompt: Some(prompt),
            similarity: Some(similarity),
            contributions: contributions.transpose()?,
            tables: None,
            complete,
        })
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
