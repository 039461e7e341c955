//! What can be asked of the models, and what they answer.

use serde::{Deserialize, Serialize};
use unprompt::{
    CaptionOptions, Label, PredictionRecord, Source, Views,
    interrogate::{Interrogation, Mode},
    metadata::Metadata,
    models::Caption,
};

/// What is done with each input. Equal tasks of different requests are done together.
#[derive(Clone, Debug, PartialEq)]
pub enum Task {
    /// The prompt of each picture.
    Predict {
        /// Whether the prompt that a file carries is taken.
        metadata: bool,
    },
    /// The record that each file carries.
    Metadata,
    /// The labels of each picture.
    Classify {
        /// How many.
        top: usize,
    },
    /// What each picture shows, in words.
    Caption(Box<CaptionOptions>),
    /// A prompt of labels, or an analysis.
    Interrogate {
        /// Which.
        mode: Mode,
        /// What the prompt begins with; `None` leaves it to the captioner, if there is one.
        caption: Option<String>,
    },
    /// The vector of each picture.
    EmbedImage {
        /// Which views are averaged.
        views: Views,
        /// Whether it keeps its length.
        raw: bool,
    },
    /// The vector of each text.
    EmbedText {
        /// Whether it keeps its length.
        raw: bool,
    },
}

/// What something is done with.
#[derive(Clone, Debug)]
pub enum Input {
    /// A picture, by the name that its record shows.
    Picture(Source),
    /// A text.
    Text(String),
}

/// What became of one input. Each task has its own.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Of [`Task::Predict`].
    Prediction(Box<PredictionRecord>),
    /// Of [`Task::Metadata`]; `None` where the file has no record.
    Metadata(Option<Box<Metadata>>),
    /// Of [`Task::Classify`].
    Labels(Vec<Label>),
    /// Of [`Task::Caption`].
    Caption(Caption),
    /// Of [`Task::Interrogate`], with the caption that the prompt begins with.
    Interrogation(Box<Interrogation>, Option<String>),
    /// Of [`Task::EmbedImage`] and [`Task::EmbedText`].
    Vector(Vec<f32>),
}

/// Why one input has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputFailure(pub String);

/// One result for each input, in their order.
pub(crate) type Answers = Vec<Result<Answer, InputFailure>>;

/// The modes of an interrogation by their names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ModeName {
    Classic,
    Fast,
    #[default]
    Best,
    Negative,
    Competition,
    Analyze,
}

impl ModeName {
    pub(crate) fn of(mode: Mode) -> Self {
        match mode {
            Mode::Classic => Self::Classic,
            Mode::Fast => Self::Fast,
            Mode::Best => Self::Best,
            Mode::Negative => Self::Negative,
            Mode::Competition => Self::Competition,
            Mode::Analyze => Self::Analyze,
        }
    }

    pub(crate) fn mode(self) -> Mode {
        match self {
            Self::Classic => Mode::Classic,
            Self::Fast => Mode::Fast,
            Self::Best => Mode::Best,
            Self::Negative => Mode::Negative,
            Self::Competition => Mode::Competition,
            Self::Analyze => Mode::Analyze,
        }
    }
}
