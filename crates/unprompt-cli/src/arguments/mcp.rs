//! What `unprompt mcp` accepts.

use clap::Args;
use std::path::PathBuf;

#[derive(Args, Debug)]
pub(crate) struct Mcp {
    /// Folder whose pictures may be looked at; may be given several times
    #[arg(long = "root", value_name = "DIR")]
    pub(crate) roots: Vec<PathBuf>,
    /// Preset: a name, or a TOML file of your own [default: lite]
    #[arg(long, env = "UNPROMPT_PRESET")]
    pub(crate) preset: Option<String>,
    /// Captioner, for `picture_caption`: BLIP or OFA
    #[arg(long, value_name = "M")]
    pub(crate) captioner: Option<String>,
}
