//! Joins images, models and text into predictions.
//!
//! The path of one picture:
//!
//! ```text
//! Source -> bytes -> metadata? --found--> its prompt ------------------> embedding
//!                       | none                                              ^
//!                       v                                                   |
//!                    Image -> Pixels -> members (labels, ...) -> blend -----+
//! ```
//!
//! Invariant: this is the only crate in which images, models and the hub meet.
//!
//! Invariant: a broken input costs its own record and nothing else; records come in the order of
//! the inputs and do not depend on how they were batched.

mod baseline;
mod calibration;
mod captioner;
mod classifier;
mod encoder;
mod error;
mod fitted_preset;
mod image_encoder;
mod index;
mod interrogator;
mod list_index;
mod loading;
mod member;
mod member_spec;
mod members;
mod missing;
mod phrase_table;
mod predictor;
mod preset;
mod prompt_list;
mod published_labels;
mod record;
mod source;
mod text_encoder;
mod text_search;

pub use baseline::Baselines;
pub use calibration::{Calibration, ConfidenceFeature};
pub use captioner::{CaptionOptions, Captioner};
pub use classifier::{Classifier, Label};
pub use encoder::load_sentence_encoder;
pub use error::{EngineError, InputError, Result};
pub use fitted_preset::FittedBlend;
pub use image_encoder::{ImageEncoder, Views};
pub use index::{IndexRequest, IndexSearch, build_index};
pub use interrogator::{LabelChoice, PictureInterrogator, token_counter};
pub use loading::reference as model_reference;
pub use member_spec::{InterrogatorMode, MemberKind, MemberSpec};
pub use missing::{MissingModel, NextStep, complete_preset, missing_models};
pub use predictor::{PredictOptions, Predictor};
pub use preset::Preset;
pub use record::{
    Evidence, FailureRecord, MemberRecord, ModelReceipt, Outcome, PredictionRecord, PromptSource,
    Receipt,
};
pub use source::{Source, is_picture_file, sources, sources_besides};
pub use text_encoder::{ClipTextEncoder, SiglipTextEncoder, TextEncoder, Tokenizer};
pub use text_search::{Candidate, FoundText, TextQuery, search_texts};
