//! `unprompt train` and `unprompt data`.

use clap::{Args, Subcommand, ValueEnum};
use std::str::FromStr;

#[derive(Debug, Subcommand)]
pub(crate) enum Train {
    /// A head from the features of a frozen tower to the sentence encoder's space, into `--out DIR`
    Head(TrainHead),
    /// All of a Vision Transformer of timm's layout, so that it gives a picture's embedding, into `--out
    /// DIR`
    Vit(TrainVit),
}

#[derive(Args, Debug)]
pub(crate) struct TrainHead {
    /// Captioned pictures: PATH[,OPTION...]; may be given several times. Options: name=N, weight=X,
    /// most=N, layout=csv|sidecar|shards|jsonl|coco|tokens|diffusiondb|parquet, images=DIR, strip-leads, first-sentence,
    /// words=N
    #[arg(long, required = true, value_name = "SPEC")]
    pub(crate) data: Vec<String>,
    /// Tower: an EfficientNet-Lite, a CLIP, a SigLIP or a Vision Transformer; a name, a hub id or a path;
    /// may be given several times, the head then takes the features of all
    #[arg(long, value_name = "M", default_value = "efficientnet-lite0")]
    pub(crate) tower: Vec<String>,
    /// Sentence encoder: a name, a hub id or a path
    #[arg(long, value_name = "M", default_value = "all-MiniLM-L6-v2")]
    pub(crate) encoder: String,
    /// How the head is found
    #[arg(long, value_enum, default_value_t)]
    pub(crate) solver: Solver,
    /// ridge: what is added to the diagonal of the features' second moments, which are near 1; `auto`
    /// takes the best of .01 to 100 by cross-validation
    #[arg(long, value_name = "X|auto", default_value = "1")]
    pub(crate) strength: Strength,
    /// ridge: parts of the cross-validation; pictures with nearly the same caption are in one
    #[arg(long, value_name = "K", default_value_t = 5,
          value_parser = clap::value_parser!(u16).range(2..=1000))]
    pub(crate) folds: u16,
    /// mlp: width of the hidden layer
    #[arg(long, value_name = "N", default_value_t = 512,
          value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(crate) hidden: u32,
    /// mlp: how many of the captions' most frequent words the hidden layer has to tell besides [0: none]
    #[arg(long, value_name = "N", default_value_t = 0,
          value_parser = clap::value_parser!(u32).range(0..=65_536))]
    pub(crate) vocabulary: u32,
    #[command(flatten)]
    pub(crate) gradient: GradientArguments,
}

/// What training by gradient is told.
#[derive(Args, Debug)]
pub(crate) struct GradientArguments {
    /// linear, mlp: how often each picture is seen
    #[arg(long, value_name = "N", default_value_t = 20,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) epochs: u32,
    /// linear, mlp: pictures that a step sees
    #[arg(long, value_name = "N", default_value_t = 256,
          value_parser = clap::value_parser!(u32).range(2..=65_536))]
    pub(crate) samples: u32,
    /// linear, mlp: the highest rate of learning
    #[arg(long, value_name = "X", default_value_t = 1e-3)]
    pub(crate) rate: f64,
    /// linear, mlp: weight decay
    #[arg(long, value_name = "X", default_value_t = 0.01)]
    pub(crate) decay: f64,
    /// linear, mlp: from which the start and every order follow
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
}

/// The strength of a ridge.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Strength {
    /// The best by cross-validation.
    Auto,
    Is(f64),
}

impl FromStr for Strength {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            _ => text
                .parse()
                .map(Self::Is)
                .map_err(|_| format!("`{text}` is neither a number nor `auto`")),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Solver {
    /// In closed form, with an intercept for each source
    #[default]
    Ridge,
    /// A linear layer without bias, by gradient
    Linear,
    /// Two linear layers with a batch normalisation and a ReLU between, by gradient
    Mlp,
}

#[derive(Args, Debug)]
pub(crate) struct TrainVit {
    /// Captioned pictures: PATH[,OPTION...]; may be given several times, as for `train head`. Of pictures
    /// with the same captions an epoch sees one
    #[arg(long, required = true, value_name = "SPEC")]
    pub(crate) data: Vec<String>,
    /// The network to begin with: a Vision Transformer of timm with a class token, a name, a hub id or a
    /// path
    #[arg(long, required = true, value_name = "M")]
    pub(crate) tower: String,
    /// Its attention heads, where its tensors stand alone (a .pth without config.json)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) heads: Option<u16>,
    /// Sentence encoder: a name, a hub id or a path
    #[arg(long, value_name = "M", default_value = "all-MiniLM-L6-v2")]
    pub(crate) encoder: String,
    /// Epochs of the head alone
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) head_epochs: u32,
    /// The highest rate of the head alone
    #[arg(long, value_name = "X", default_value_t = 1e-3)]
    pub(crate) head_rate: f64,
    /// Epochs of all layers
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) epochs: u32,
    /// The highest rate of the head in these; layers before it learn more slowly
    #[arg(long, value_name = "X", default_value_t = 1e-4)]
    pub(crate) rate: f64,
    /// Epochs of all layers on pictures as they are, at the end
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) last_epochs: u32,
    /// The highest rate in these
    #[arg(long, value_name = "X", default_value_t = 1e-5)]
    pub(crate) last_rate: f64,
    /// How much more slowly each layer learns than the one behind it
    #[arg(long, value_name = "X", default_value_t = 0.6)]
    pub(crate) layer_decay: f64,
    /// Weight decay
    #[arg(long, value_name = "X", default_value_t = 0.05)]
    pub(crate) decay: f64,
    /// How slowly the average of the weights, which is kept, follows them
    #[arg(long, value_name = "X", default_value_t = 0.9998)]
    pub(crate) average: f64,
    /// Pictures that a step sees; `--batch-size` of them go through the network at once
    #[arg(long, value_name = "N", default_value_t = 32,
          value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(crate) samples: u32,
    /// The smallest share of a picture's area that is seen
    #[arg(long, value_name = "X", default_value_t = 0.5)]
    pub(crate) least_area: f64,
    /// By how much brightness, contrast and saturation are moved at most
    #[arg(long, value_name = "X", default_value_t = 0.05)]
    pub(crate) jitter: f64,
    /// Operations of RandAugment on each picture
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(crate) operations: u32,
    /// How strong they are, 0 to 10
    #[arg(long, value_name = "X", default_value_t = 9.0)]
    pub(crate) magnitude: f64,
    /// From which every order and change follows
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Keep the state of the run every so many steps, and every ten minutes
    #[arg(long, value_name = "N", default_value_t = 200,
          value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) every: u64,
    /// Stop after so many steps; `--resume` goes on
    #[arg(long, value_name = "N")]
    pub(crate) steps: Option<u64>,
    /// Go on with the run that was begun in the folder
    #[arg(long)]
    pub(crate) resume: bool,
}
