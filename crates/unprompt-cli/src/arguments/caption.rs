//! The arguments of `unprompt caption`.

use super::{
    job::JobFlags,
    sidecars::{Deny, Sidecars},
};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// The captioner of clip-interrogator.
pub(super) const DEFAULT_CAPTIONER: &str = "Salesforce/blip-image-captioning-large";

#[derive(Args, Debug)]
pub(crate) struct Caption {
    /// Pictures, folders, or `-` for standard input
    #[arg(required_unless_present = "from", value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Captioner, BLIP or OFA: a name, a hub id or a path; or one on another server, openai:MODEL@URL
    #[arg(long, default_value = DEFAULT_CAPTIONER, env = "UNPROMPT_CAPTIONER")]
    pub(crate) model: String,
    /// Texts that are followed at a time; more find likelier captions and take longer [default: the
    /// model's own]
    #[arg(long, value_name = "N")]
    pub(crate) beams: Option<usize>,
    /// No run of N tokens comes twice; 0 lets all come [default: the model's own]
    #[arg(long, value_name = "N")]
    pub(crate) no_repeat_ngram: Option<usize>,
    /// Tokens that a caption has at least, those of its beginning included
    #[arg(long, value_name = "N")]
    pub(crate) min_length: Option<usize>,
    /// Tokens that a caption has at most, those of its beginning included
    #[arg(long, value_name = "N", conflicts_with = "max_new_tokens")]
    pub(crate) max_length: Option<usize>,
    /// Tokens that are written at most [default: the model's own]
    #[arg(long, value_name = "N")]
    pub(crate) max_new_tokens: Option<usize>,
    /// What a BLIP goes on from, or an OFA is asked
    #[arg(long, value_name = "TEXT")]
    pub(crate) prompt: Option<String>,
    /// Power of the length by which a text's score is divided; more favours long captions
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub(crate) length_penalty: Option<f64>,
    /// Which length that is [default: the model's own]
    #[arg(long, value_enum)]
    pub(crate) length_of: Option<LengthOf>,
    /// End as soon as as many texts are finished as there are beams
    #[arg(long)]
    pub(crate) early_stopping: bool,
    /// Draw words at random, the same for the same seed, in place of taking the likeliest
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// With --seed: below 1 likely words are drawn more often, above 1 less often
    #[arg(long, value_name = "X", default_value_t = 1.0, requires = "seed")]
    pub(crate) temperature: f32,
    /// With --seed: draw from the N likeliest words only; 0 for all
    #[arg(long, value_name = "N", default_value_t = 50, requires = "seed")]
    pub(crate) top_k: usize,
    /// With --seed: draw from the likeliest words that together reach this probability
    #[arg(long, value_name = "X", default_value_t = 1.0, requires = "seed")]
    pub(crate) top_p: f32,
    #[command(flatten)]
    pub(crate) job: JobFlags,
    #[command(flatten)]
    pub(crate) sidecars: Sidecars,
    #[command(flatten)]
    pub(crate) deny: Deny,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LengthOf {
    /// The tokens written, the last one included, as transformers 5 counts
    Generated,
    /// The whole text but its last token, as transformers 4 counts
    Whole,
}
