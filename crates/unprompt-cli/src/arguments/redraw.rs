//! `unprompt redraw`.

use super::DrawHow;
use clap::Args;
use std::path::PathBuf;

#[derive(Args, Debug)]
pub(crate) struct Redraw {
    /// Pictures, folders, or `-` for standard input
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Draw this prompt in place of the predicted one
    #[arg(long, value_name = "TEXT")]
    pub(crate) prompt: Option<String>,
    /// Preset that predicts the prompts: a name, or a TOML file of your own
    #[arg(long, default_value = unprompt::Preset::DEFAULT, env = "UNPROMPT_PRESET")]
    pub(crate) preset: String,
    #[command(flatten)]
    pub(crate) how: DrawHow,
    /// Seed of every picture
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
    /// What the pictures do not show
    #[arg(long, value_name = "TEXT")]
    pub(crate) negative: Option<String>,
    /// CLIP that says how alike the pictures are: a name, a hub id or a path [default: the smallest one
    /// that is here, or else the tower that the program carries]
    #[arg(long, value_name = "CLIP")]
    pub(crate) judge: Option<String>,
    /// File to write a page to that shows each picture beside the one drawn from its prompt
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
}
