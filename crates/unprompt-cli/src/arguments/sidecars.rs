//! The arguments of texts beside pictures.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

#[derive(Args, Debug)]
#[command(next_help_heading = "Texts beside pictures")]
pub(crate) struct Sidecars {
    /// Write each text into a file beside its picture, `cat.txt` for `cat.png`; what to do where there is one
    #[arg(long, value_enum, value_name = "MODE", conflicts_with = "job")]
    pub(crate) sidecar: Option<SidecarMode>,
    /// How the names of these files end, kohya's --caption_extension
    #[arg(long, value_name = "EXT", default_value = "txt", value_parser = extension)]
    pub(crate) sidecar_ext: String,
    /// What these texts begin with, such as a trigger word: "sks, "
    #[arg(long, value_name = "TEXT", requires = "sidecar")]
    pub(crate) prefix: Option<String>,
    /// What these texts end with: ", photograph"
    #[arg(long, value_name = "TEXT", requires = "sidecar")]
    pub(crate) suffix: Option<String>,
    /// File of lines FROM,TO, kohya's --tag_replacement: phrases of these texts that become others
    #[arg(long, value_name = "FILE", requires = "sidecar")]
    pub(crate) replace: Option<PathBuf>,
    /// Leave beginnings such as "a picture of" out of these texts
    #[arg(long, requires = "sidecar")]
    pub(crate) strip_leads: bool,
}

/// Phrases that are not wanted. Not a part of [`Sidecars`], for `interrogate` has a flag of this name
/// that does more.
#[derive(Args, Debug)]
#[command(next_help_heading = "Texts beside pictures")]
pub(crate) struct Deny {
    /// File of phrases, one a line, kohya's --undesired_tags: parts of these texts, between commas, that
    /// contain one are left out
    #[arg(long, value_name = "FILE", requires = "sidecar")]
    pub(crate) deny: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SidecarMode {
    /// Leave it and do not look at the picture
    Skip,
    /// Replace it
    Overwrite,
    /// Put the text behind what is there, after a comma
    Append,
    /// Put the text before what is there, and a comma
    Prepend,
}

/// Letters, digits and what joins them, with or without the full stop before.
fn extension(text: &str) -> Result<String, String> {
    let bare = text.strip_prefix('.').unwrap_or(text);
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-');
    if bare.is_empty() || bare.starts_with('.') || !bare.chars().all(is_plain) {
        return Err("the ending of a file's name is expected, as `txt` or `caption`".into());
    }
    Ok(bare.to_owned())
}
