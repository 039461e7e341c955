//! Joins images, models and text into predictions.
//!
//! | folder | what is in it |
//! |---|---|
//! | `pipeline` | the stages from a picture's bytes to its record, in the order in which they happen |
//! | `preset` | the file format of presets, and what one still needs on this machine |
//! | `members` | one file a kind of member: its fields, what it asks of networks, its result |
//! | `encoders` | networks by name: from a model's files to pictures and texts encoded |
//! | `lists` | lists of prompts, their embeddings, and indexes of them |
//!
//! Invariant: this is the only crate in which images, models and the hub meet.
//!
//! Invariant: a broken input costs its own record and nothing else; records come in the order of
//! the inputs and do not depend on how they were batched.

mod baseline;
mod encoders;
mod error;
mod known_prompts;
mod lists;
mod members;
mod missing_model;
mod pipeline;
mod preset;
mod record;
mod source;
mod text;
mod vectors;

pub use baseline::{Baselines, Prior};
pub use encoders::{
    captioner::{CaptionOptions, Captioner},
    classifier::{Classifier, Label},
    feature_tower::FeatureTower,
    image_encoder::{ImageEncoder, Views},
    located::reference as model_reference,
    picture_interrogator::{
        Captioned, LabelChoice, Opening, PictureInterrogator, label_folder, token_counter,
    },
    remote_captioner::RemoteCaptioner,
    sentence_encoder::load_sentence_encoder,
    text_encoder::{ClipTextEncoder, SiglipTextEncoder, TextEncoder, Tokenizer},
    trained_vit::load_vit_tensors,
};
pub use error::{EngineError, InputError, Result};
pub use known_prompts::{KnownPrompt, KnownPrompts};
pub use lists::{
    carried::similar_prompts,
    prompt_index::{IndexQuery, IndexRequest, IndexSearch, build_index},
    store::{export_index, remove_exported},
};
pub use members::MemberSpec;
pub use missing_model::{MissingModel, NextStep};
pub use pipeline::{
    PredictOptions, Predictor, PreparedPicture,
    text_search::{FoundText, TextQuery, search_texts},
};
pub use preset::{
    Preset,
    calibration::{Calibration, ConfidenceFeature},
    fitted_blend::FittedBlend,
    missing::{complete_preset, missing_models},
};
pub use record::{
    Evidence, FailureRecord, MemberRecord, ModelReceipt, Outcome, PredictionRecord, PromptSource,
    Receipt,
};
pub use source::{
    IntoSources, Source, SourceList, is_picture_file, source_list, sources, sources_besides,
};
pub use text::Candidate;
pub use unprompt_remote::{Question, RemoteError, is_remote};
