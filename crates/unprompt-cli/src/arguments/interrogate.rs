//! The arguments of `unprompt interrogate`.

use super::{caption::DEFAULT_CAPTIONER, job::JobFlags, sidecars::Sidecars};
use clap::{Args, ValueEnum};
use std::{path::PathBuf, time::Duration};
use unprompt::interrogate::Mode;

#[derive(Args, Debug)]
pub(crate) struct Interrogate {
    /// Pictures, folders, or `-` for standard input
    #[arg(required_unless_present = "from", value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// CLIP: a name of open_clip, a hub id or a path
    #[arg(long, value_name = "M", default_value = "ViT-L-14/openai")]
    pub(crate) clip: String,
    /// Which prompt is made
    #[arg(long, value_enum, default_value_t)]
    pub(crate) mode: InterrogateMode,
    /// What the prompt begins with, in place of a captioner's words; "" for nothing
    #[arg(long, value_name = "TEXT", conflicts_with = "captioner")]
    pub(crate) caption: Option<String>,
    /// BLIP or OFA that writes what the prompt begins with: a hub id or a path
    #[arg(long, value_name = "M", default_value = DEFAULT_CAPTIONER)]
    pub(crate) captioner: String,
    /// Folder of label files, one label a line [default: the lists of clip-interrogator]
    #[arg(long, value_name = "DIR")]
    pub(crate) labels: Option<PathBuf>,
    /// Use no names of artists
    #[arg(long)]
    pub(crate) no_artists: bool,
    /// Tables to leave out, as `trendings,movements`
    #[arg(long, value_name = "TABLE", value_delimiter = ',')]
    pub(crate) without: Vec<String>,
    /// File of words and phrases, one a line: only labels that contain one of them are used
    #[arg(long, value_name = "FILE")]
    pub(crate) allow: Option<PathBuf>,
    /// File of words and phrases, one a line: labels that contain one of them are not used,
    /// nor parts of the texts that --sidecar writes
    #[arg(long, value_name = "FILE")]
    pub(crate) deny: Option<PathBuf>,
    /// Phrases that best and negative append even if they do not help
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub(crate) min_flavors: usize,
    /// Most labels of a prompt [default: 32; 3 flavors in classic and competition]
    #[arg(long, value_name = "N")]
    pub(crate) max_flavors: Option<usize>,
    /// Labels that best and negative choose from; fewer are faster
    #[arg(long, value_name = "N", default_value_t = 2048,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) candidates: u32,
    /// Most tokens of a prompt, start and end included [default: what the CLIP reads]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(3..))]
    pub(crate) max_tokens: Option<u32>,
    /// Model whose tokenizer counts for --max-tokens [default: the CLIP]
    #[arg(long, value_name = "M", requires = "max_tokens")]
    pub(crate) tokenizer: Option<String>,
    /// Time for each picture, as `5s` or `800ms`; best and negative then give the best so far
    #[arg(long, value_name = "TIME", value_parser = super::duration::duration)]
    pub(crate) budget: Option<Duration>,
    /// Tell what each phrase adds to the similarity
    #[arg(long)]
    pub(crate) explain: bool,
    /// Labels of each table in analyze
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) top: usize,
    /// Repeat this version of clip-interrogator to the letter
    #[arg(long, value_name = "VERSION", value_parser = ["0.6.0"],
          conflicts_with_all = ["no_artists", "without", "allow", "deny", "max_tokens", "budget"])]
    pub(crate) compat: Option<String>,
    /// Labels that 0.6.0 ranks at once
    #[arg(long, value_name = "N", default_value_t = 2048, requires = "compat",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) chunk_size: u32,
    /// Folder of label embeddings, that of clip-interrogator too [default: the program's cache]
    #[arg(long, value_name = "DIR", env = "UNPROMPT_LABEL_CACHE")]
    pub(crate) label_cache: Option<PathBuf>,
    /// Fetch label embeddings that clip-interrogator's author publishes, where there are any, as
    /// --compat does; only for the default lists and CLIPs by their names in open_clip
    #[arg(long, conflicts_with = "labels")]
    pub(crate) published_labels: bool,
    #[command(flatten)]
    pub(crate) job: JobFlags,
    #[command(flatten)]
    pub(crate) sidecars: Sidecars,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum InterrogateMode {
    /// Caption, the first medium, artist, site and movement, three flavors
    Classic,
    /// Caption, then the first labels of all tables
    Fast,
    /// Caption, then labels one by one, each the one that helps most
    #[default]
    Best,
    /// Labels that lead away from the picture
    Negative,
    /// Caption, the first medium and movement, three flavors
    Competition,
    /// The first labels of each table, and no prompt
    Analyze,
}

impl InterrogateMode {
    pub(crate) fn mode(self) -> Mode {
        match self {
            Self::Classic => Mode::Classic,
            Self::Fast => Mode::Fast,
            Self::Best => Mode::Best,
            Self::Negative => Mode::Negative,
            Self::Competition => Mode::Competition,
            Self::Analyze => Mode::Analyze,
        }
    }

    /// As the command line spells it.
    pub(crate) fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}
