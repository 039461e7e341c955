//! Turns an image back into its prompt: as text, and as the 384-d all-MiniLM-L6-v2 embedding of
//! that text.
//!
//! ```no_run
//! use unprompt::interrogate::NoTableProgress;
//! use unprompt::{
//!     Compute, Hub, HubOptions, NoProgress, Outcome, PredictOptions, Predictor, Preset, Source,
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let hub = Hub::from_env(HubOptions::default())?;
//! let predictor = Predictor::load(&hub, Preset::load("lite")?, &Compute::default(), &NoProgress, &NoTableProgress)?;
//! let picture = Source::File("picture.png".into());
//! for outcome in predictor.predict(&[picture], &PredictOptions::default())? {
//!     match outcome {
//!         Outcome::Prediction(found) => println!("{}: {}", found.path, found.prompt),
//!         Outcome::Failure(failed) => eprintln!("{}: {}", failed.path, failed.error),
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Invariant: this crate only names what the others hold.

pub use unprompt_engine::{
    Baselines, Calibration, Candidate, CaptionOptions, Captioned, Captioner, Classifier,
    ConfidenceFeature, EngineError, Evidence, FailureRecord, FeatureTower, FittedBlend, FoundText,
    ImageEncoder, InputError, KnownPrompt, KnownPrompts, Label, LabelChoice, MemberRecord,
    MemberSpec, MissingModel, ModelReceipt, NextStep, Opening, Outcome, PictureInterrogator,
    PredictOptions, PredictionRecord, Predictor, PreparedPicture, Preset, Prior, PromptSource,
    Question, Receipt, RemoteCaptioner, RemoteError, Source, SourceList, TextEncoder, TextQuery,
    Tokenizer, Views, complete_preset, is_picture_file, is_remote, label_folder,
    load_sentence_encoder, load_vit_tensors, missing_models, model_reference, search_texts,
    similar_prompts, source_list, sources, sources_besides, token_counter,
};
pub use unprompt_hub::{Hub, HubOptions, ModelRef, NoProgress, Progress, ResolvedModel};
pub use unprompt_models::{Compute, DeviceChoice, Dtype, SentenceEncoder};

/// Captioned pictures out of the layouts that data sets are published in.
pub mod data {
    pub use unprompt_data::*;
}

/// Drawing pictures of prompts: Stable Diffusion.
pub mod diffusion {
    pub use unprompt_diffusion::*;
}

/// Scoring predictions against the truth.
pub mod eval {
    pub use unprompt_eval::*;
}

/// Lists of prompts as an index: exact search and regression on the nearest ones.
pub mod index {
    pub use unprompt_engine::{
        IndexQuery, IndexRequest, IndexSearch, build_index, export_index, remove_exported,
    };
    pub use unprompt_index::*;
}

/// Naming, fetching, verifying and caching model files.
pub mod hub {
    pub use unprompt_hub::*;
}

/// Decoding, resizing and normalising pictures.
pub mod image {
    pub use unprompt_image::*;
}

/// CLIP Interrogator on vectors, tables and chains.
pub mod interrogate {
    pub use unprompt_interrogate::*;
}

/// Long lists of items, worked through by processes that may die.
pub mod job {
    pub use unprompt_job::*;
}

/// Reading the prompt that a picture carries, writing one, and taking it out.
pub mod metadata {
    pub use unprompt_metadata::*;
}

/// The networks themselves.
pub mod models {
    pub use unprompt_checkpoint::{Checkpoint, CheckpointError, Pickle};
    pub use unprompt_models::*;
}

/// Training heads between a frozen tower and the sentence encoder.
pub mod train {
    pub use unprompt_train::*;
}
