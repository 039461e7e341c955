//! Pictures' vectors and captions to prompts.

use crate::{
    Behaviour, Contribution, InterrogateError, Interrogator, Mode, RankedLabel, Result,
    ranked_picture::{Found, RankedPicture},
};
use std::time::Instant;

/// One picture.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Its unit vector from the image tower that belongs to the text tower.
    pub picture: &'a [f32],
    /// What the prompt begins with.
    pub caption: Option<&'a str>,
}

/// What may differ from the options from one call to the next.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// Which prompt is made; any where the options' is [`Mode::Analyze`], else the options'.
    pub mode: Mode,
    /// As in the options.
    pub min_flavors: usize,
    /// As in the options.
    pub max_flavors: Option<usize>,
    /// As in the options.
    pub candidates: usize,
    /// As in the options, of all tables together; each by itself has that of the options.
    pub chunk_size: usize,
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

impl Interrogator {
    /// Each picture's prompt or analysis. All pictures are compared with the labels together.
    ///
    /// # Errors
    /// The outer one concerns all pictures, the inner ones one each: a caption that is missing or
    /// that cannot be tokenised.
    pub fn interrogate(&self, subjects: &[Subject]) -> Result<Vec<Result<Interrogation>>> {
        self.interrogate_in(self.options.mode, subjects)
    }

    /// As [`interrogate`](Self::interrogate), in another mode than that of the options. The results are
    /// those of an interrogator with this mode in its options.
    ///
    /// # Errors
    /// As [`interrogate`](Self::interrogate), and when the tables were loaded for one mode that is not
    /// this one.
    pub fn interrogate_in(
        &self,
        mode: Mode,
        subjects: &[Subject],
    ) -> Result<Vec<Result<Interrogation>>> {
        let asked = Asked {
            mode,
            min_flavors: self.options.min_flavors,
            max_flavors: self.options.max_flavors,
            candidates: self.options.candidates,
            chunk_size: self.options.chunk_size,
        };
        self.interrogate_as(asked, subjects)
    }

    /// As [`interrogate_in`](Self::interrogate_in), with numbers of flavors of its own too.
    ///
    /// # Errors
    /// As [`interrogate_in`](Self::interrogate_in).
    pub fn interrogate_as(
        &self,
        asked: Asked,
        subjects: &[Subject],
    ) -> Result<Vec<Result<Interrogation>>> {
        let mode = asked.mode;
        if mode != self.options.mode && self.options.mode != Mode::Analyze {
            let loaded = self.options.mode;
            let message = format!("the tables are those of {loaded:?}, and not those of {mode:?}");
            return Err(InterrogateError::Options(message));
        }
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
            self.interrogate_one(asked, subject, similarities.collect())
        };
        Ok(subjects.iter().enumerate().map(one).collect())
    }

    fn interrogate_one(
        &self,
        asked: Asked,
        subject: &Subject,
        similarities: Vec<&[f32]>,
    ) -> Result<Interrogation> {
        let started = Instant::now();
        let mode = asked.mode;
        let caption = subject.caption.filter(|caption| !caption.is_empty());
        if caption.is_none()
            && mode.takes_caption()
            && self.options.behaviour == Behaviour::Compat060
        {
            let message = "0.6.0 makes this prompt of a caption, and there is none";
            return Err(InterrogateError::Options(message.into()));
        }
        let picture = RankedPicture {
            interrogator: self,
            asked,
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
        } = picture.found(started)?;
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
}
