//! What `unprompt serve` accepts.

use super::duration::duration;
use clap::Args;
use std::{net::IpAddr, path::PathBuf, time::Duration};

#[derive(Args, Debug)]
pub(crate) struct Serve {
    /// Address to listen on; one that others can reach needs an API key, or --insecure
    #[arg(long, default_value = "127.0.0.1", env = "UNPROMPT_HOST")]
    pub(crate) host: IpAddr,
    /// Port to listen on; 0 takes any that is free
    #[arg(long, default_value_t = 7870, env = "UNPROMPT_PORT")]
    pub(crate) port: u16,
    /// Preset: a name, or a TOML file of your own [default: eye]
    #[arg(long, env = "UNPROMPT_PRESET")]
    pub(crate) preset: Option<String>,
    /// Captioner, for /v1/caption and chats: BLIP or OFA
    #[arg(long, value_name = "M")]
    pub(crate) captioner: Option<String>,
    /// CLIP that interrogates, for /v1/interrogate and the interrogators' dialects
    #[arg(long, value_name = "M")]
    pub(crate) clip: Option<String>,
    /// Folder of label lists for it [default: clip-interrogator's]
    #[arg(long, value_name = "DIR", requires = "clip")]
    pub(crate) labels: Option<PathBuf>,
    /// Folder of label embeddings [default: the program's cache]
    #[arg(long, value_name = "DIR", env = "UNPROMPT_LABEL_CACHE")]
    pub(crate) label_cache: Option<PathBuf>,
    /// Image encoder, for /v1/embed/image: CLIP, SigLIP or Vision Transformer
    #[arg(long, value_name = "M")]
    pub(crate) image_encoder: Option<String>,
    /// Attention heads of an image encoder whose tensors stand alone (a .pth without config.json)
    #[arg(long, value_name = "N", requires = "image_encoder",
          value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) image_encoder_heads: Option<u16>,
    /// Text encoder, for /v1/embed/text [default: the preset's, if it is on this machine]
    #[arg(long, value_name = "M")]
    pub(crate) text_encoder: Option<String>,
    /// Classifier, for /v1/classify [default: the one that the program carries]
    #[arg(long, value_name = "M")]
    pub(crate) classifier: Option<String>,
    /// Attention heads of such a classifier
    #[arg(long, value_name = "N", requires = "classifier",
          value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) classifier_heads: Option<u16>,
    /// What clients have to know; on the command line others on this machine can read it
    #[arg(
        long,
        value_name = "KEY",
        env = "UNPROMPT_API_KEY",
        hide_env_values = true,
        conflicts_with = "api_key_file"
    )]
    pub(crate) api_key: Option<String>,
    /// A file that has it
    #[arg(long, value_name = "FILE", env = "UNPROMPT_API_KEY_FILE")]
    pub(crate) api_key_file: Option<PathBuf>,
    /// Listen on an address that others can reach, and ask for no key
    #[arg(long)]
    pub(crate) insecure: bool,
    /// Seconds from a request to its answer; more lets slow modes finish, and a full queue grow old
    #[arg(long, value_name = "SECONDS", default_value_t = 30, env = "UNPROMPT_REQUEST_TIMEOUT",
          value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(crate) request_timeout: u32,
    /// Give the models' memory back after so long without a request, as `10m`; the next one waits until they are
    /// loaded again [default: never]
    #[arg(long, value_name = "TIME", env = "UNPROMPT_IDLE_UNLOAD", value_parser = duration)]
    pub(crate) idle_unload: Option<Duration>,
    /// Requests that wait or are worked on; more are refused with 429
    #[arg(long, value_name = "N", default_value_t = 64, env = "UNPROMPT_MAX_REQUESTS",
          value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(crate) max_requests: u32,
    /// Megapixels of their pictures together; more are refused with 429
    #[arg(long, value_name = "N", default_value_t = 256, env = "UNPROMPT_MAX_MEGAPIXELS",
          value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    pub(crate) max_megapixels: u32,
    /// Pictures of one request
    #[arg(long, value_name = "N", default_value_t = 32, env = "UNPROMPT_MAX_PICTURES",
          value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) max_pictures: u32,
}
