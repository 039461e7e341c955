//! What a job is: the file that must stay the same as long as it lasts.

use crate::record::Column;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The latest version of a job's folder. Older ones are read for ever, and written where nothing asks for
/// a later one: version 2 has items that came after the job was begun.
pub const VERSION: u32 = 2;

/// The version of a job whose items are those that it was begun with.
pub(crate) const FIRST_VERSION: u32 = 1;

/// The version of the tables of parts and of what is merged of them.
pub(crate) const TABLE_VERSION: u32 = 1;

/// What `format` says.
pub(crate) const FORMAT: &str = "unprompt job";

/// `job.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// That it is one.
    pub format: String,
    /// The version of the folder: at most [`VERSION`].
    pub version: u32,
    /// What is done.
    #[serde(flatten)]
    pub work: Work,
    /// Where the items come from, as the command line has it.
    pub inputs: Map<String, Value>,
    /// How parts are written.
    pub part_format: PartFormat,
    /// Items of the list.
    pub items: u64,
    /// Items of a part; the last one may have fewer.
    pub part_items: u64,
    /// The digest of `list.jsonl`.
    pub list_sha256: String,
}

/// What is done to every item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Work {
    /// The version of the program.
    pub program: String,
    /// The command.
    pub command: String,
    /// What the records depend on, by its flag's name.
    pub settings: Map<String, Value>,
    /// The models that are used.
    pub models: Vec<Model>,
    /// What a record holds between its `id` and its `error`.
    pub columns: Vec<Column>,
}

/// A model with the digest of its weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// As the command line or the preset names it.
    pub name: String,
    /// Over all its files.
    pub sha256: String,
    /// The number type it computes in.
    pub dtype: String,
}

/// How parts are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PartFormat {
    /// One record a line.
    Jsonl,
    /// A table.
    Parquet,
}

impl PartFormat {
    /// How the names of files end.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::Parquet => "parquet",
        }
    }
}

impl Work {
    /// The first thing in which `now` is other work than this, which a job was begun with.
    pub(crate) fn difference(&self, now: &Self) -> Option<String> {
        if self.command != now.command {
            return Some(format!(
                "this is a job of `{}`, not of `{}`",
                self.command, now.command
            ));
        }
        if self.program != now.program {
            return Some(format!(
                "the job was begun by version {}, and this is {}; go on with that one, or begin in another folder",
                self.program, now.program
            ));
        }
        difference("setting", &self.settings, &now.settings)
            .or_else(|| self.other_models(now))
            .or_else(|| {
                (self.columns != now.columns)
                    .then(|| "the records would have other columns".to_owned())
            })
    }

    fn other_models(&self, now: &Self) -> Option<String> {
        for (before, now) in self.models.iter().zip(&now.models) {
            if before.name != now.name {
                return Some(format!(
                    "the job was begun with the model `{}`, and this is `{}`",
                    before.name, now.name
                ));
            }
            if before != now {
                return Some(format!(
                    "the weights of `{}` are not those that the job was begun with (then {} {}, now {} {})",
                    now.name,
                    short(&before.sha256),
                    before.dtype,
                    short(&now.sha256),
                    now.dtype,
                ));
            }
        }
        (self.models.len() != now.models.len()).then(|| {
            format!(
                "the job was begun with {} models, and these are {}",
                self.models.len(),
                now.models.len()
            )
        })
    }
}

fn short(sha256: &str) -> &str {
    sha256.get(..12).unwrap_or(sha256)
}

/// The first key that has another value than `before`.
pub(crate) fn difference(
    what: &str,
    before: &Map<String, Value>,
    now: &Map<String, Value>,
) -> Option<String> {
    let mut keys: Vec<&String> = before.keys().chain(now.keys()).collect();
    keys.sort();
    let key = keys
        .into_iter()
        .find(|key| before.get(*key) != now.get(*key))?;
    let shown = |value: Option<&Value>| match value {
        None | Some(Value::Null) => "nothing".to_owned(),
        Some(Value::String(text)) => format!("`{text}`"),
        Some(value) => value.to_string(),
    };
    Some(format!(
        "the {what} `{key}` was {} when the job was begun, and is {} now",
        shown(before.get(key)),
        shown(now.get(key))
    ))
}
