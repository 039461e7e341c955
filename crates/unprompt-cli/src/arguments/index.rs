//! `unprompt index`.

use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum Index {
    /// Embed a list of prompts into `--out DIR`; an interrupted build goes on where it ended
    Build(IndexBuild),
    /// The prompts nearest to each picture, and the embedding that they predict
    Search(IndexSearch),
    /// What an index holds
    Info {
        /// Folder of the index
        #[arg(value_name = "DIR")]
        index: PathBuf,
        /// Read every file and compare it with its digest
        #[arg(long)]
        check: bool,
    },
    /// Write an index to one parquet file, `--out FILE`, for a vector database
    Export {
        /// Folder of the index
        #[arg(value_name = "DIR")]
        index: PathBuf,
    },
}

#[derive(Args, Debug)]
pub(crate) struct IndexBuild {
    /// Prompts: .csv, .jsonl, .parquet, or text with one a line
    #[arg(value_name = "PROMPTS")]
    pub(crate) prompts: PathBuf,
    /// CLIP or SigLIP: a name such as `ViT-L-14/openai`, a hub id or a path
    #[arg(long, value_name = "M")]
    pub(crate) clip: String,
    /// Sentence encoder: a name, a hub id or a path
    #[arg(long, value_name = "M", default_value = "all-MiniLM-L6-v2")]
    pub(crate) sentence: String,
    /// Column or key that holds the prompts
    #[arg(long, value_name = "NAME", default_value = "prompt")]
    pub(crate) column: String,
    /// Prompts in a file of the index: what is lost at most when a build is interrupted
    #[arg(long, value_name = "N", default_value_t = 2048,
          value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub(crate) segment_rows: u32,
}

#[derive(Args, Debug)]
pub(crate) struct IndexSearch {
    /// Folder of the index
    #[arg(value_name = "DIR")]
    pub(crate) index: PathBuf,
    /// Pictures, folders, or `-` for standard input
    #[arg(value_name = "PATH", required_unless_present = "texts")]
    pub(crate) paths: Vec<PathBuf>,
    /// A text to look up instead, by its sentence embedding; may be given several times
    #[arg(long = "text", value_name = "TEXT", conflicts_with = "paths")]
    pub(crate) texts: Vec<String>,
    /// Prompts shown for each
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) top: usize,
    /// Where the index's CLIP is, if not where its name says
    #[arg(long, value_name = "M")]
    pub(crate) clip: Option<String>,
    /// Where the index's sentence encoder is, if not where its name says
    #[arg(long, value_name = "M")]
    pub(crate) sentence: Option<String>,
    /// Give a distance that rounds below zero the smallest weight, as the published notebook does
    #[arg(long)]
    pub(crate) as_published: bool,
}
