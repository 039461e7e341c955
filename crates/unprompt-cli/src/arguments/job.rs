//! The arguments of jobs.

use clap::{Args, Subcommand, ValueEnum};
use std::{path::PathBuf, time::Duration};
use unprompt::job::Shard;

#[derive(Args, Debug)]
#[command(next_help_heading = "Jobs")]
pub(crate) struct JobFlags {
    /// Folder of a job that survives: begins one, or goes on with the one that is there
    #[arg(long, value_name = "DIR")]
    pub(crate) job: Option<PathBuf>,
    /// File of paths, one a line, as if they were given; `-` for standard input
    #[arg(long, value_name = "FILE", requires = "job")]
    pub(crate) from: Option<PathBuf>,
    /// Leave out what matches: a pattern with a `/` looks at the whole path, one without at the name
    #[arg(long, value_name = "GLOB", requires = "job")]
    pub(crate) exclude: Vec<String>,
    /// Do only the I-th of N shares, counted from 1, as `2/3`; other processes do the others
    #[arg(long, value_name = "I/N", requires = "job", default_value_t = Shard::WHOLE)]
    pub(crate) shard: Shard,
    /// Go on only: refuse to begin a new job
    #[arg(long, requires = "job")]
    pub(crate) resume: bool,
    /// Go on with pictures that arrive, until a signal ends it; one whose file was written in the last two
    /// seconds is waited for
    #[arg(long, requires = "job", conflicts_with = "shard")]
    pub(crate) watch: bool,
    /// Records of each file that is written [default: a 64th of all, from 16 to 1000]
    #[arg(long, value_name = "N", requires = "job",
          value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) part_size: Option<u64>,
    /// Longest time without a result, as `90s` or `10m`; then pictures are tried one by one, and one
    /// that takes this long fails
    #[arg(long, value_name = "TIME", requires = "job", default_value = "10m",
          value_parser = super::duration::duration)]
    pub(crate) time_limit: Duration,
    /// Most memory that the worker may take, as `8GB`; then pictures are tried one by one, and one that
    /// takes this much fails [default: nine tenths of what there is]
    #[arg(long, value_name = "SIZE", requires = "job", value_parser = super::bytes::bytes)]
    pub(crate) memory_limit: Option<u64>,
}

#[derive(Args, Debug)]
pub(crate) struct Merge {
    /// Folder of a job that is done
    #[arg(value_name = "DIR")]
    pub(crate) job: PathBuf,
    /// What is written: one file, or files as another program reads them
    #[arg(long, value_enum, default_value_t)]
    pub(crate) layout: Layout,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Layout {
    /// One file, as the parts are [default for --out: `merged.parquet` or `merged.jsonl` in DIR]
    #[default]
    File,
    /// A folder for clip-retrieval and autofaiss [default for --out: `clip-retrieval` in DIR]
    ClipRetrieval,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Job {
    /// How far a job is
    Status {
        /// Its folder
        #[arg(value_name = "DIR")]
        job: PathBuf,
        /// The same as --format json
        #[arg(long)]
        json: bool,
    },
}
