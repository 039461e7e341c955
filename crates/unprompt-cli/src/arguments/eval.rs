//! `unprompt eval`.

use super::{DrawHow, draw::Size};
use clap::Args;
use std::path::PathBuf;

#[derive(Args, Debug)]
pub(crate) struct Eval {
    /// Pictures, folders, or `-` for standard input
    #[arg(required_unless_present = "table1", value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// The truth: a prompts.csv, a submission, or records with a `prompt` or an `embedding`
    #[arg(long, required_unless_present = "table1", value_name = "T")]
    pub(crate) truth: Option<PathBuf>,
    /// The text of every member for this one picture, each with its score, as Table 1 of the paper has
    /// them; without --truth against the prompt that the file carries
    #[arg(long, value_name = "PICTURE", conflicts_with_all = ["paths", "report", "judge", "redraw"])]
    pub(crate) table1: Option<PathBuf>,
    /// Preset: a name, or a TOML file of your own
    #[arg(long, default_value = unprompt::Preset::DEFAULT, env = "UNPROMPT_PRESET")]
    pub(crate) preset: String,
    /// File to write the report to: one page of HTML that needs no network
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// CLIP or SigLIP that says how near pictures and texts are (CLIP-T), and with --redraw how alike
    /// pictures are (CLIP-I): a name, a hub id or a path [default: for CLIP-T none; for CLIP-I the
    /// smallest CLIP that is here, or else the tower that the program carries]
    #[arg(long, value_name = "CLIP")]
    pub(crate) judge: Option<String>,
    /// Take the prompt that a file carries, as `predict` does; that measures no model
    #[arg(long, overrides_with = "no_metadata")]
    pub(crate) metadata: bool,
    /// Predict even where the file carries its prompt: the default here
    #[arg(long, overrides_with = "metadata")]
    pub(crate) no_metadata: bool,
    #[command(flatten)]
    pub(crate) redraw: EvalRedraw,
}

/// Pictures that are drawn again from what was predicted.
#[derive(Args, Debug)]
#[command(next_help_heading = "Drawing again")]
pub(crate) struct EvalRedraw {
    /// Draw the N best pictures, N in the middle and the N worst again from their predicted prompts; the
    /// report shows both side by side, and how alike they are
    #[arg(long, value_name = "N", requires = "model",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) redraw: Option<u32>,
    /// What --redraw draws with: a Stable Diffusion 1, 2 or XL in the layout of diffusers, as a folder or a
    /// hub id
    #[arg(long, value_name = "M", requires = "redraw")]
    pub(crate) model: Option<String>,
    /// Steps from noise to picture
    #[arg(long, value_name = "N", requires = "redraw", default_value_t = 25,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) steps: u32,
    /// How far the prompt counts beyond the negative one; 1 leaves that out, and halves the work
    #[arg(long, value_name = "X", requires = "redraw", default_value_t = 7.5)]
    pub(crate) guidance: f32,
    /// Width and height in pixels, multiples of 8 [default: what the model was trained on]
    #[arg(long, value_name = "WxH", requires = "redraw")]
    pub(crate) size: Option<Size>,
    /// ddim, euler, euler-a, dpm++-2m, dpm++-2m-karras or pndm [default: the one of the model's folder]
    #[arg(long, value_name = "NAME", requires = "redraw")]
    pub(crate) scheduler: Option<String>,
    /// Seed of every picture that is drawn
    #[arg(long, value_name = "N", requires = "redraw", default_value_t = 0)]
    pub(crate) seed: u64,
    /// What the drawn pictures do not show
    #[arg(long, value_name = "TEXT", requires = "redraw")]
    pub(crate) negative: Option<String>,
}

impl EvalRedraw {
    /// How many of each, and what they are drawn with; `None` where none is asked for.
    pub(crate) fn how(&self) -> Option<(usize, DrawHow)> {
        let how = DrawHow {
            model: self.model.clone()?,
            steps: self.steps,
            guidance: self.guidance,
            size: self.size,
            scheduler: self.scheduler.clone(),
        };
        Some((self.redraw? as usize, how))
    }
}
