//! `unprompt draw`.

use super::JobFlags;
use clap::Args;
use std::{path::PathBuf, str::FromStr, time::Duration};
use unprompt::job::Shard;

#[derive(Args, Debug)]
pub(crate) struct Draw {
    /// Prompts
    #[arg(value_name = "TEXT", required_unless_present = "from")]
    pub(crate) texts: Vec<String>,
    /// Records or a table with a `prompt` each, as `predict` writes them, after the texts given
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) how: DrawHow,
    /// Seed of each prompt's first picture
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Pictures of each prompt, from as many seeds that follow each other
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) count: u32,
    /// Pictures that are drawn together; more need more memory, and are a little faster each
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) batch: u16,
    /// What the pictures do not show
    #[arg(long, value_name = "TEXT")]
    pub(crate) negative: Option<String>,
    /// Noise of diffusers in place of a seed's, to compare: a safetensors file with `noise`, (steps + 1,
    /// pictures, channels, rows, columns), its first the beginning
    #[arg(long, value_name = "FILE")]
    pub(crate) noise: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) job: DrawJob,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Jobs")]
pub(crate) struct DrawJob {
    /// Folder of a job that survives: begins one, or goes on with the one that is there. It takes the
    /// place of --out; `pairs.csv` in it is what `train` reads
    #[arg(long, value_name = "DIR")]
    pub(crate) job: Option<PathBuf>,
    /// Do only the I-th of N shares, counted from 1, as `2/3`; other processes do the others
    #[arg(long, value_name = "I/N", requires = "job", default_value_t = Shard::WHOLE)]
    pub(crate) shard: Shard,
    /// Go on only: refuse to begin a new job
    #[arg(long, requires = "job")]
    pub(crate) resume: bool,
    /// Records of each file that is written [default: a 64th of all, from 16 to 1000]
    #[arg(long, value_name = "N", requires = "job",
          value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) part_size: Option<u64>,
    /// Longest time without a picture, as `90s` or `10m`; one that takes this long alone fails
    #[arg(long, value_name = "TIME", requires = "job", default_value = "1h",
          value_parser = super::duration::duration)]
    pub(crate) time_limit: Duration,
    /// Leave out a prompt whose embedding's cosine with an earlier one is this or more; 1 leaves out none
    #[arg(long, value_name = "X", requires = "job", default_value_t = 0.9)]
    pub(crate) dedup: f64,
}

impl DrawJob {
    /// The same as the flags of other jobs, whose items are files.
    pub(crate) fn flags(&self) -> JobFlags {
        JobFlags {
            job: self.job.clone(),
            from: None,
            exclude: Vec::new(),
            shard: self.shard,
            watch: false,
            resume: self.resume,
            part_size: self.part_size,
            time_limit: self.time_limit,
            memory_limit: None,
        }
    }
}

/// What a picture is drawn with.
#[derive(Args, Debug)]
pub(crate) struct DrawHow {
    /// Stable Diffusion 1, 2 or XL in the layout of diffusers: a folder, or a hub id
    #[arg(long, value_name = "M")]
    pub(crate) model: String,
    /// Steps from noise to picture
    #[arg(long, value_name = "N", default_value_t = 25,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) steps: u32,
    /// How far the prompt counts beyond the negative one; 1 leaves that out, and halves the work
    #[arg(long, value_name = "X", default_value_t = 7.5)]
    pub(crate) guidance: f32,
    /// Width and height in pixels, multiples of 8 [default: what the model was trained on]
    #[arg(long, value_name = "WxH")]
    pub(crate) size: Option<Size>,
    /// ddim, euler, euler-a, dpm++-2m, dpm++-2m-karras or pndm [default: the one of the model's folder]
    #[arg(long, value_name = "NAME")]
    pub(crate) scheduler: Option<String>,
}

/// A width and a height in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) width: usize,
    pub(crate) height: usize,
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let sides = text.split_once(['x', 'X', '×']);
        let sides = sides.and_then(|(width, height)| {
            let side = |text: &str| text.trim().parse().ok();
            Some((side(width)?, side(height)?))
        });
        match sides {
            Some((width, height)) => Ok(Self { width, height }),
            None => Err("a size is two numbers, such as 512x768".into()),
        }
    }
}
