//! What the command line accepts.

mod blend;
mod bytes;
mod caption;
mod data;
mod draw;
mod duration;
mod eval;
mod files;
mod formats;
mod index;
mod interrogate;
mod job;
mod mcp;
mod memory;
mod metadata;
mod redraw;
mod reference;
mod serve;
mod sidecars;
mod train;

pub(crate) use blend::{Blend, BlendFit, Feature};
pub(crate) use caption::{Caption, LengthOf};
pub(crate) use data::{Data, DataCheck, DataSplit};
pub(crate) use draw::{Draw, DrawHow};
pub(crate) use eval::Eval;
pub(crate) use index::{Index, IndexBuild, IndexExport, IndexInfo, IndexSearch};
pub(crate) use interrogate::Interrogate;
pub(crate) use job::{Job, JobFlags, Layout, Merge};
pub(crate) use mcp::Mcp;
pub(crate) use metadata::Metadata;
pub(crate) use redraw::Redraw;
pub(crate) use reference::{Completions, Man, Page, Reference};
pub(crate) use serve::Serve;
pub(crate) use sidecars::{SidecarMode, Sidecars};
pub(crate) use train::{Solver, Strength, Train, TrainHead, TrainVit};

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Turns an image back into its prompt.
#[derive(Debug, Parser)]
#[command(
    name = "unprompt",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags of every command.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Common {
    /// Open no socket: use only what is on this machine
    #[arg(long, global = true)]
    pub(crate) offline: bool,
    /// Where to compute
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        env = "UNPROMPT_DEVICE"
    )]
    pub(crate) device: Device,
    /// Number type to compute in
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        env = "UNPROMPT_DTYPE"
    )]
    pub(crate) dtype: Precision,
    /// Threads to compute with [default: one for each core]
    #[arg(long, global = true, value_name = "N", env = "UNPROMPT_THREADS")]
    pub(crate) threads: Option<usize>,
    /// Pictures or texts that are worked on together; more need more memory
    #[arg(long, global = true, value_name = "N", default_value_t = 16, env = "UNPROMPT_BATCH_SIZE",
          value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) batch_size: u16,
    /// What pictures may take that are decoded at the same time, as 2GiB or 500MB; one that needs more
    /// fails [default: half of what is free, at least 2GiB]
    #[arg(long, global = true, value_name = "SIZE", env = "UNPROMPT_MEMORY",
          value_parser = memory::bytes)]
    pub(crate) memory: Option<u64>,
    /// Show no progress and no notes; errors are still shown
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// How results are written
    #[arg(long, global = true, value_enum, default_value_t)]
    pub(crate) format: Format,
    /// File to write results to, all or nothing; its ending says the format too [default: standard output]
    #[arg(long, short, global = true, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Read weights from pickles (.bin, .pth) too; nothing in them is ever executed
    #[arg(long, global = true, env = "UNPROMPT_ALLOW_PICKLE")]
    pub(crate) allow_pickle: bool,
    /// Let a preset send pictures to captioners on other servers that it names
    #[arg(long, global = true, env = "UNPROMPT_ALLOW_REMOTE")]
    pub(crate) allow_remote: bool,
}

impl Arguments {
    /// Reads the command line of the process.
    pub(crate) fn from_command_line() -> Result<Self, clap::Error> {
        let matches = Self::definition().try_get_matches()?;
        let mut arguments = Self::from_arg_matches(&matches)?;
        let common = &mut arguments.common;
        // The name that programs give to standard output.
        common.out.take_if(|out| out.as_os_str() == "-");
        if let Some(format) = common.out.as_deref().and_then(formats::named_by)
            && arguments.command.writes_records()
            && formats::is_unsaid(&matches)
        {
            common.format = format;
        }
        Ok(arguments)
    }

    /// Every command with its arguments, as help shows them.
    pub(crate) fn definition() -> clap::Command {
        formats::offer_what_is_written(Self::command())
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Device {
    /// The fastest there is
    #[default]
    Auto,
    /// The processor
    Cpu,
    /// An NVIDIA graphics card
    Cuda,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Precision {
    /// f32
    #[default]
    Auto,
    /// Single precision: the reference
    F32,
    /// Half precision, on CUDA
    F16,
    /// Half precision with the range of f32, on CUDA
    Bf16,
    /// 8-bit integer weights in the networks' blocks, on the processor: faster, a little less exact
    Int8,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Text,
    /// One array of records
    Json,
    /// One record a line
    Jsonl,
    /// A table with a header
    Csv,
    /// The competition's file of embeddings
    Submission,
    /// A table of columns, of jobs alone
    Parquet,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The prompt of each picture, and its embedding
    Predict(Predict),
    /// What each picture shows, in words
    Caption(Caption),
    /// A prompt of each picture from labels that a CLIP finds in it
    Interrogate(Box<Interrogate>),
    /// The labels that a classifier gives each picture
    Classify(Classify),
    /// Embeddings
    Embed {
        #[command(subcommand)]
        what: Embed,
    },
    /// The ids that a model's tokenizer makes of texts
    Tokenize(Tokenize),
    /// The prompt stored inside each file, if any; --write puts one there, --strip takes it out
    Metadata(Metadata),
    /// The mean cosine similarity of predictions and truth
    Score(Score),
    /// How well a preset does on pictures whose prompts are known, as a report in HTML too
    Eval(Box<Eval>),
    /// Weights of a preset, fitted to pictures whose prompts are known
    Blend {
        #[command(subcommand)]
        action: Blend,
    },
    /// A list of prompts that pictures are looked up in
    Index {
        #[command(subcommand)]
        action: Index,
    },
    /// The records of a job that is done, in one file
    Merge(Merge),
    /// Jobs: long lists of pictures that survive interruptions, begun with --job DIR of other commands
    Job {
        #[command(subcommand)]
        action: Job,
    },
    /// Weights of your own, trained on captioned pictures
    Train {
        #[command(subcommand)]
        what: Train,
    },
    /// What is in captioned pictures before something is trained on them
    Data {
        #[command(subcommand)]
        what: Data,
    },
    /// Pictures of prompts, drawn by a Stable Diffusion into `--out DIR`
    Draw(Box<Draw>),
    /// Pictures drawn again from the prompts found in them, and how alike they are
    Redraw(Box<Redraw>),
    /// Answer over HTTP, to clients of other servers too, with a page for people
    Serve(Box<Serve>),
    /// Tools for agents over standard input and output: the Model Context Protocol
    Mcp(Mcp),
    /// List, fetch, check and move models
    Models {
        #[command(subcommand)]
        action: Models,
    },
    /// The project's own measurements, with peers beside it in the same run
    Bench(Bench),
    /// What this machine has, with the next step for each gap
    Doctor,
    /// A script that completes commands in a shell
    Completions(Completions),
    /// The manual page of the program, or of every command
    Man(Man),
    /// The generated pages of docs/
    #[command(hide = true)]
    Reference(Reference),
}

impl Command {
    /// Whether `--out` is for the records that the command shows else, and not for a thing of its own.
    fn writes_records(&self) -> bool {
        let makes_things = matches!(
            self,
            Self::Blend { .. }
                | Self::Index { .. }
                | Self::Merge(_)
                | Self::Models { .. }
                | Self::Train { .. }
        );
        !makes_things
    }
}

#[derive(Args, Debug)]
pub(crate) struct Predict {
    /// Pictures, folders, or `-` for standard input
    #[arg(required_unless_present = "from", value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Preset: a name, or a TOML file of your own [default: lite]
    #[arg(long, env = "UNPROMPT_PRESET")]
    pub(crate) preset: Option<String>,
    /// Predict even where the file carries its prompt
    #[arg(long)]
    pub(crate) no_metadata: bool,
    #[command(flatten)]
    pub(crate) sidecars: Sidecars,
    #[command(flatten)]
    pub(crate) deny: sidecars::Deny,
    #[command(flatten)]
    pub(crate) job: JobFlags,
}

#[derive(Args, Debug)]
pub(crate) struct Classify {
    /// Pictures, folders, or `-` for standard input
    #[arg(required_unless_present = "from", value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Classifier: a name, a hub id or a path
    #[arg(long, default_value = "efficientnet-lite0")]
    pub(crate) model: String,
    /// Labels for each picture
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) top: usize,
    /// Attention heads of a Vision Transformer whose tensors stand alone (a .pth without config.json)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) heads: Option<u16>,
    #[command(flatten)]
    pub(crate) job: JobFlags,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Embed {
    /// One vector for each picture
    Image(EmbedImage),
    /// One vector for each text
    Text(EmbedText),
}

#[derive(Args, Debug)]
pub(crate) struct EmbedImage {
    /// Pictures, folders, or `-` for standard input
    #[arg(required_unless_present = "from", value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// CLIP, SigLIP or Vision Transformer: a name such as `ViT-L-14/openai`, a hub id or a path
    #[arg(long)]
    pub(crate) model: String,
    /// Leave out the normalisation
    #[arg(long)]
    pub(crate) raw: bool,
    /// Average the picture with its mirror image
    #[arg(long, value_enum, default_value_t)]
    pub(crate) tta: Tta,
    /// Attention heads of a Vision Transformer whose tensors stand alone (a .pth without config.json)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) heads: Option<u16>,
    #[command(flatten)]
    pub(crate) job: JobFlags,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Tta {
    /// The picture as it is
    #[default]
    None,
    /// The picture and its mirror image
    Flip,
}

#[derive(Args, Debug)]
pub(crate) struct EmbedText {
    /// Texts
    #[arg(value_name = "TEXT", required_unless_present = "file")]
    pub(crate) texts: Vec<String>,
    /// Sentence encoder, CLIP or SigLIP: a name, a hub id or a path
    #[arg(long, default_value = "all-MiniLM-L6-v2")]
    pub(crate) model: String,
    /// A file with one text per line, after the texts given; `-` for standard input
    #[arg(long, value_name = "F")]
    pub(crate) file: Option<PathBuf>,
    /// Leave out the normalisation to unit length
    #[arg(long)]
    pub(crate) raw: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Tokenize {
    /// Texts
    #[arg(required = true, value_name = "TEXT")]
    pub(crate) texts: Vec<String>,
    /// Sentence encoder, CLIP or SigLIP; `clip-bpe-vocabulary` is open_clip's tokenizer by itself
    #[arg(long)]
    pub(crate) model: String,
}

#[derive(Args, Debug)]
pub(crate) struct Score {
    /// Predictions: a submission, a prompts.csv, or records with a `prompt` or an `embedding`
    #[arg(long, value_name = "P")]
    pub(crate) pred: PathBuf,
    /// The truth, in any of the same forms
    #[arg(long, value_name = "T")]
    pub(crate) truth: PathBuf,
    /// Sentence encoder for rows that are prompts
    #[arg(long, default_value = "all-MiniLM-L6-v2")]
    pub(crate) model: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Models {
    /// Every named model and what the shared cache holds, with sizes
    List,
    /// Fetch models, or all that a preset needs [default: `lite`, that is its sentence encoder]
    Pull {
        /// Names, hub ids, presets
        #[arg(value_name = "M")]
        models: Vec<String>,
    },
    /// Hash every file and compare with what is listed [default: every model that is here]
    Verify {
        /// Names, hub ids
        #[arg(value_name = "M")]
        models: Vec<String>,
    },
    /// The folder of each model
    Path {
        /// Names, hub ids
        #[arg(required = true, value_name = "M")]
        models: Vec<String>,
    },
    /// Remove models from this machine
    Rm {
        /// Names, hub ids
        #[arg(required = true, value_name = "M")]
        models: Vec<String>,
    },
    /// Write models into one bundle, `--out FILE`, for a machine without a network
    Export {
        /// Names, hub ids, presets [default: `lite`, that is its sentence encoder]
        #[arg(value_name = "M")]
        models: Vec<String>,
    },
    /// Take models from bundles, or files that were brought by hand
    Import {
        /// Bundles, files, folders
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Bench {
    /// What to measure [default: the first prediction and the sentence encoder]
    #[arg(value_enum)]
    pub(crate) what: Option<BenchKind>,
    /// Python that has the peers installed
    #[arg(long, default_value = "python3", env = "UNPROMPT_BENCH_PYTHON")]
    pub(crate) python: PathBuf,
    /// Runs of each measurement; the median is shown
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) runs: u16,
    /// Small sizes, only to see that it works (draw, interrogate, job, memory, predict, serve)
    #[arg(long)]
    pub(crate) quick: bool,
    /// A picture to predict [default: one that the program carries]
    #[arg(long, value_name = "PATH")]
    pub(crate) picture: Option<PathBuf>,
    /// Rows of the index that is searched
    #[arg(long, value_name = "N", default_value_t = 1_000_000,
          value_parser = clap::value_parser!(u64).range(1000..=100_000_000))]
    pub(crate) rows: u64,
    /// A database to measure that index in too: the address of a table, which is made and dropped
    // A String that is read later: what clap refuses, it shows, and there may be a password in it.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) against: Option<String>,
    /// Only build that index, in this folder: what a measurement does in a process of its own
    #[arg(long, value_name = "DIR", hide = true)]
    pub(crate) build_index: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchKind {
    /// The classifier of the default alone, and whole predictions of a folder
    Predict,
    /// Exact search in a prompt index of random rows
    Index,
    /// ViT and CLIP at full size on random weights
    Towers,
    /// BLIP and OFA at full size on random weights
    Caption,
    /// Stable Diffusion 1.5 at full size on random weights
    Draw,
    /// CLIP Interrogator on random weights
    Interrogate,
    /// A folder of pictures with a job, without one, and with two shards
    Job,
    /// The memory that 10,000 and 100,000 pictures take, in a folder and as a job
    Memory,
    /// The Python package: its import, and a folder beside the command line and a script of torch
    Python,
    /// The server at 1, 8 and 64 clients, beside FastAPI around the same models
    Serve,
    /// A step of training a ViT at full size, on random weights
    Train,
    /// The features of a folder of JPEGs, as `train head` computes and keeps them
    Features,
}
