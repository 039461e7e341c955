//! What the commands accept that tell of the program itself.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

#[derive(Args, Debug)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Args, Debug)]
pub(crate) struct Man {
    /// Write a page for each command into this folder, in place of one page to standard output
    #[arg(long, value_name = "DIR", conflicts_with = "out")]
    pub(crate) folder: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct Reference {
    /// Which page
    #[arg(value_enum)]
    pub(crate) what: Page,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Page {
    /// docs/commands.md: every command with its arguments
    Commands,
    /// docs/schemas/preset.json: what a preset's file may hold
    Preset,
    /// docs/schemas/records.json: the records that commands write
    Records,
}
