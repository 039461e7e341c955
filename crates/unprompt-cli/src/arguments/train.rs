//! `unprompt train` and `unprompt data`.

use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub(crate) enum Train {
    /// A head from the features of a frozen tower to the sentence encoder's space, into `--out DIR`
    Head(TrainHead),
}

#[derive(Args, Debug)]
pub(crate) struct TrainHead {
    /// Captioned pictures: PATH[,OPTION...]; may be given several times. Options: name=N, weight=X,
    /// most=N, layout=csv|sidecar|shards|jsonl|coco|tokens|diffusiondb|parquet, images=DIR, strip-leads, first-sentence,
    /// words=N
    #[arg(long, required = true, value_name = "SPEC")]
    pub(crate) data: Vec<String>,
    /// Tower: an EfficientNet-Lite, a name, a hub id or a path
    #[arg(long, value_name = "M", default_value = "efficientnet-lite0")]
    pub(crate) tower: String,
    /// Sentence encoder: a name, a hub id or a path
    #[arg(long, value_name = "M", default_value = "all-MiniLM-L6-v2")]
    pub(crate) encoder: String,
    /// How the head is found
    #[arg(long, value_enum, default_value_t)]
    pub(crate) solver: Solver,
    /// What the ridge adds to the diagonal of the features' second moments, which are near 1
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    pub(crate) strength: f64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Solver {
    /// In closed form, with an intercept for each source
    #[default]
    Ridge,
}
