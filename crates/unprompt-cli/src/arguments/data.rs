//! `unprompt data`.

use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum Data {
    /// How many captions repeat each other, and what of a test set is among them
    Check(DataCheck),
    /// Parts for training and test that share no caption and none nearly alike, each a folder with a
    /// `pairs.csv`, into `--out DIR`
    Split(DataSplit),
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

#[derive(Args, Debug)]
pub(crate) struct DataSplit {
    /// Captioned pictures: PATH[,OPTION...], as `train head --data` takes them
    #[arg(required = true, value_name = "SPEC")]
    pub(crate) data: Vec<String>,
    /// Shares of the parts, such as .9,.1
    #[arg(
        long,
        value_name = "X,X...",
        value_delimiter = ',',
        conflicts_with = "folds",
        required_unless_present = "folds"
    )]
    pub(crate) fractions: Vec<f64>,
    /// So many parts of the same size
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u16).range(2..=1000))]
    pub(crate) folds: Option<u16>,
    /// Keep pictures whose captions repeat those of others, beside these
    #[arg(long)]
    pub(crate) keep_repeats: bool,
    /// From which follows what goes where
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Sentence encoder: a name, a hub id or a path
    #[arg(long, value_name = "M", default_value = "all-MiniLM-L6-v2")]
    pub(crate) encoder: String,
}
