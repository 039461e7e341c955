//! `unprompt eval`.

use clap::Args;
use std::path::PathBuf;

#[derive(Args, Debug)]
pub(crate) struct Eval {
    /// Pictures, folders, or `-` for standard input
    #[arg(required_unless_present = "table1", value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// The truth: a prompts.csv, a submission, or records with a `prompt` or an `embedding`
    #[arg(long, required_unless_present = "table1", value_name = "T")]
    pub(crate) truth: Option<PathBuf>,
    /// The text of every member for this one picture, each with its score, as Table 1 of the paper has
    /// them; without --truth against the prompt that the file carries
    #[arg(long, value_name = "PICTURE", conflicts_with_all = ["paths", "report", "judge"])]
    pub(crate) table1: Option<PathBuf>,
    /// Preset: a name, or a TOML file of your own
    #[arg(long, default_value = unprompt::Preset::DEFAULT, env = "UNPROMPT_PRESET")]
    pub(crate) preset: String,
    /// File to write the report to: one page of HTML that needs no network
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// CLIP or SigLIP that says how near pictures and texts are (CLIP-T): a name, a hub id or a path
    #[arg(long, value_name = "CLIP")]
    pub(crate) judge: Option<String>,
    /// Take the prompt that a file carries, as `predict` does; that measures no model
    #[arg(long, overrides_with = "no_metadata")]
    pub(crate) metadata: bool,
    /// Predict even where the file carries its prompt: the default here
    #[arg(long, overrides_with = "metadata")]
    pub(crate) no_metadata: bool,
}
