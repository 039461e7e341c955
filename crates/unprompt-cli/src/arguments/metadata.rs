//! `unprompt metadata`.

use clap::{ArgGroup, Args, ValueEnum};
use std::path::PathBuf;
use unprompt::metadata::write::Form;

#[derive(Args, Debug)]
#[command(group = ArgGroup::new("prompt").args(["write", "from"]))]
pub(crate) struct Metadata {
    /// Pictures, folders, or `-` for standard input
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Put this prompt into the files (PNG, JPEG, WebP); pixels stay untouched
    #[arg(long, value_name = "TEXT")]
    pub(crate) write: Option<String>,
    /// Put prompts into the files that these records or tables name, as `predict` writes them
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Option<PathBuf>,
    /// Take prompts, workflows and records of generators out of the files
    #[arg(long, conflicts_with = "prompt")]
    pub(crate) strip: bool,
    /// Where prompts are put
    #[arg(long, value_enum, default_value_t, requires = "prompt")]
    pub(crate) form: PromptForm,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum PromptForm {
    /// Both, but `parameters` only where that loses no record of another program
    #[default]
    Auto,
    /// XMP and `parameters`
    Both,
    /// XMP dc:description, and dc:subject for a list with commas
    Xmp,
    /// What the web UI reads: PNG text `parameters`, EXIF UserComment in JPEG and WebP
    Parameters,
}

impl PromptForm {
    pub(crate) fn form(self) -> Form {
        match self {
            Self::Auto => Form::Auto,
            Self::Both => Form::Both,
            Self::Xmp => Form::Xmp,
            Self::Parameters => Form::Parameters,
        }
    }
}
