//! `unprompt blend`.

use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum Blend {
    /// Find the weights that bring members nearest to the truth, and write a preset to `--out FILE`
    ///
    /// The table goes to standard output, in the way of `--format`.
    Fit(BlendFit),
}

#[derive(Args, Debug)]
pub(crate) struct BlendFit {
    /// The truth: a prompts.csv, a submission, or records with a `prompt` or an `embedding`
    #[arg(long, value_name = "T")]
    pub(crate) truth: PathBuf,
    /// Members: files in any form that `score` reads. Records of `predict` are a member for each of
    /// their `members`; NAME=FILE takes any file as one member of that name
    #[arg(long = "member", value_name = "FILE", required = true, num_args = 1..)]
    pub(crate) members: Vec<String>,
    /// Preset to start from, a name or a TOML file: its members are those that are weighted
    #[arg(long)]
    pub(crate) preset: Option<String>,
    /// Keep the weights of `--preset`, and only measure and calibrate
    #[arg(long, requires = "preset")]
    pub(crate) keep_weights: bool,
    /// Folds of the cross-validation; pictures of one prompt are always in one fold
    #[arg(long, value_name = "N", default_value_t = 5,
          value_parser = clap::value_parser!(u16).range(2..=1000))]
    pub(crate) folds: u16,
    /// What the expected score is told from [default: agreement where two members have a weight]
    #[arg(long, value_enum)]
    pub(crate) feature: Option<Feature>,
    /// Sentence encoder for rows that are prompts [default: that of the preset]
    #[arg(long)]
    pub(crate) model: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Feature {
    /// How near the members are to each other
    Agreement,
    /// How long the members' sum is: they say much, and do not cancel out
    Length,
    /// How near the prompt is to the embedding; needs records that the preset itself made
    Text,
}
