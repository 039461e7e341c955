//! The records that a prediction consists of, in the keys that the command line promises.

use serde::Serialize;
use unprompt_hub::ResolvedModel;
use unprompt_index::PromptStore;
use unprompt_models::Dtype;

/// One input's result: its prediction, or why there is none.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Outcome {
    /// A prediction.
    Prediction(Box<PredictionRecord>),
    /// A failure.
    Failure(FailureRecord),
}

impl Outcome {
    /// The prediction, or the failure as an error.
    ///
    /// # Errors
    /// Where there is no prediction.
    pub fn into_result(self) -> Result<Box<PredictionRecord>, FailureRecord> {
        match self {
            Self::Prediction(record) => Ok(record),
            Self::Failure(failure) => Err(failure),
        }
    }
}

/// What was found or predicted for one picture.
#[derive(Clone, Debug, Serialize)]
pub struct PredictionRecord {
    /// The input's path, `-` for standard input.
    pub path: String,
    /// The prompt.
    pub prompt: String,
    /// Whether the prompt was read from the file or predicted.
    pub source: PromptSource,
    /// Why the file's metadata could not be read: a prompt may be in them, and this one is predicted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata_error: Option<String>,
    /// The prompt's place in the sentence encoder's space: 384 numbers of unit length. `None`, in JSON
    /// `null`, only for a prompt that was read from the file where there is no encoder to embed it.
    pub embedding: Option<Vec<f32>>,
    /// Why there is no embedding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embedding_error: Option<String>,
    /// What each member of the preset gave; empty for a prompt that was read.
    pub members: Vec<MemberRecord>,
    /// Real prompts that are near what was seen, the nearest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
    /// The cosine with the true prompt that the preset's calibration expects, if it has one; never
    /// there for a prompt that was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_score: Option<f64>,
    /// The preset.
    pub preset: String,
    /// Time spent on this picture, in milliseconds; texts that were embedded together share it.
    pub elapsed_ms: f64,
    /// What computed it.
    pub receipt: Receipt,
}

/// A prompt of a list that was retrieved.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evidence {
    /// The prompt.
    pub prompt: String,
    /// The cosine by which it was found, from -1 to 1.
    pub similarity: f64,
}

/// Where a prompt comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PromptSource {
    /// The file carried it.
    Metadata,
    /// The models guessed it.
    Predicted,
}

/// One member's part of a prediction.
#[derive(Clone, Debug, Serialize)]
pub struct MemberRecord {
    /// Its name in the preset.
    pub name: String,
    /// Its weight in the blend.
    pub weight: f64,
    /// Its text, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Its embedding, of unit length.
    pub embedding: Vec<f32>,
    /// How long it was before it was brought to unit length, where that counts: in presets with
    /// `normalize_members = false`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<f64>,
}

/// What computed a record: enough to compute it again.
#[derive(Clone, Debug, Serialize)]
pub struct Receipt {
    /// This program's version.
    pub version: String,
    /// Number type that was asked for: f32, f16, bf16 or int8.
    pub dtype: &'static str,
    /// The models, in the order of the preset, then the prompt indexes.
    pub models: Vec<ModelReceipt>,
}

/// One model of a receipt.
#[derive(Clone, Debug, Serialize)]
pub struct ModelReceipt {
    /// The model as the preset names it.
    pub name: String,
    /// Commit, package version, `local`, or `remote` for a model on another server.
    pub revision: String,
    /// Digest over all its files; empty for a model on another server, whose files nobody here sees.
    pub sha256: String,
    /// Number type it computes in, or `remote`.
    pub dtype: &'static str,
}

impl ModelReceipt {
    pub(crate) fn new(model: &ResolvedModel, dtype: Dtype) -> Result<Self, unprompt_hub::Error> {
        Ok(Self {
            name: model.name.clone(),
            revision: model.revision.clone(),
            sha256: model.sha256()?.to_owned(),
            dtype: dtype.name(),
        })
    }
}

impl ModelReceipt {
    /// Of a file that the program carries.
    pub(crate) fn carried(file: &str) -> Self {
        Self {
            name: format!("{}/{file}", unprompt_eye::NAME),
            revision: env!("CARGO_PKG_VERSION").into(),
            sha256: unprompt_eye::sha256(file).into(),
            dtype: Dtype::F32.name(),
        }
    }
}

/// What receipts say of a model on another server.
const REMOTE: &str = "remote";

impl ModelReceipt {
    /// Of a model on another server.
    pub(crate) fn remote(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            revision: REMOTE.to_owned(),
            sha256: String::new(),
            dtype: REMOTE,
        }
    }
}

/// The revision that receipts give for a prompt index, whose name is its folder, table or list.
const PROMPT_INDEX: &str = "prompt index";

impl ModelReceipt {
    /// Of an index: the digest is that of its prompts, and its rows are in half precision.
    pub(crate) fn of_index(name: &str, index: &dyn PromptStore) -> Self {
        Self {
            name: name.to_owned(),
            revision: PROMPT_INDEX.to_owned(),
            sha256: index.prompts().sha256.clone(),
            dtype: Dtype::F16.name(),
        }
    }
}

/// An input without a result.
#[derive(Clone, Debug, Serialize)]
pub struct FailureRecord {
    /// The input's path, `-` for standard input.
    pub path: String,
    /// What is wrong with it.
    pub error: String,
}
