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

mod classifier;
mod encoder;
mod error;
mod image_encoder;
mod interrogator;
mod loading;
mod member;
mod predictor;
mod preset;
mod record;
mod source;
mod text_encoder;

pub use classifier::{Classifier, Label};
pub use encoder::load_sentence_encoder;
pub use error::{EngineError, InputError, Result};
pub use image_encoder::{ImageEncoder, Views};
pub use interrogator::{LabelChoice, PictureInterrogator, token_counter};
pub use predictor::{PredictOptions, Predictor};
pub use preset::{MemberKind, MemberSpec, Preset};
pub use record::{
    FailureRecord, MemberRecord, ModelReceipt, Outcome, PredictionRecord, PromptSource, Receipt,
};
pub use source::{Source, sources};
pub use text_encoder::{ClipTextEncoder, TextEncoder, Tokenizer};
