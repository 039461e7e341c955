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
    Info(IndexInfo),
    /// Write an index to one parquet file, `--out FILE`, or into a database, `--to ADDRESS`
    Export(IndexExport),
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
#[command(override_usage = "unprompt index info [OPTIONS] <DIR>\n       \
                            unprompt index info [OPTIONS] --index <PLACE>")]
pub(crate) struct IndexInfo {
    /// Folder of the index, unless --index names its place
    // Several are taken and refused later: what clap refuses, it shows.
    #[arg(value_name = "DIR", required_unless_present = "index")]
    pub(crate) places: Vec<PathBuf>,
    /// Folder of the index, or the address of a table that `index export --to` made
    #[arg(long, value_name = "PLACE")]
    pub(crate) index: Option<PathBuf>,
    /// Read every file and compare it with its digest; of a table every prompt
    #[arg(long)]
    pub(crate) check: bool,
}

#[derive(Args, Debug)]
pub(crate) struct IndexExport {
    /// Folder of the index
    #[arg(value_name = "DIR")]
    pub(crate) index: PathBuf,
    /// Into a new table of PostgreSQL with pgvector, all or nothing:
    /// postgresql://USER@HOST:PORT/DATABASE?table=NAME; the password is taken from PGPASSWORD
    // A String that is read later: what clap refuses, it shows, and there may be a password in it.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) to: Option<String>,
    /// Give the table of --to HNSW indexes: faster searches that miss some of the nearest
    #[arg(long)]
    pub(crate) hnsw: bool,
}

#[derive(Args, Debug)]
#[command(
    override_usage = "unprompt index search [OPTIONS] <DIR> <PATH>...\n       \
                            unprompt index search [OPTIONS] --index <PLACE> <PATH>...\n       \
                            unprompt index search [OPTIONS] <DIR> --text <TEXT>..."
)]
pub(crate) struct IndexSearch {
    /// Folder of the index, unless --index names its place, then pictures, folders, or `-` for
    /// standard input
    #[arg(value_name = "PATH", required_unless_present = "index")]
    pub(crate) paths: Vec<PathBuf>,
    /// Folder of the index, or the address of a table that `index export --to` made
    #[arg(long, value_name = "PLACE")]
    pub(crate) index: Option<PathBuf>,
    /// A text to look up instead of pictures, by its sentence embedding; may be given several times
    #[arg(long = "text", value_name = "TEXT")]
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

impl IndexSearch {
    /// Where the index is, and the pictures. Without `--index` the first of the paths is the index.
    pub(crate) fn places(&self) -> (Option<&PathBuf>, &[PathBuf]) {
        match (&self.index, self.paths.split_first()) {
            (Some(place), _) => (Some(place), &self.paths),
            (None, Some((place, pictures))) => (Some(place), pictures),
            (None, None) => (None, &[]),
        }
    }
}
