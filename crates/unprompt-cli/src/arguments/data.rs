//! `unprompt data`.

use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum Data {
    /// How many captions repeat each other, and what of a test set is among them
    Check(DataCheck),
}

#[derive(Args, Debug)]
pub(crate) struct DataCheck {
    /// Captioned pictures: PATH[,OPTION...], as `train head --data` takes them
    #[arg(required = true, value_name = "SPEC")]
    pub(crate) data: Vec<String>,
    /// A test set: a prompts.csv, a submission, or records with a `prompt` or an `embedding`
    #[arg(long, value_name = "TRUTH")]
    pub(crate) against: Option<PathBuf>,
    /// Predictions for the test set, to be scored with and without what is known beforehand
    #[arg(long, value_name = "P", requires = "against")]
    pub(crate) pred: Option<PathBuf>,
    /// File to write the group of every caption to, as CSV: what a split has to keep together
    #[arg(long, value_name = "FILE")]
    pub(crate) groups: Option<PathBuf>,
    /// Sentence encoder: a name, a hub id or a path
    #[arg(long, value_name = "M", default_value = "all-MiniLM-L6-v2")]
    pub(crate) encoder: String,
}
