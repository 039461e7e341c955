//! The networks: configuration, layers and forward pass, one file a model.
//!
//! A model is built from a folder in its published layout and run on plain values; shapes, names
//! and defaults come from the checkpoint's own configuration files.
//!
//! Invariant: this crate fetches nothing and decodes no picture: it reads local folders and takes
//! pixels and texts.
//!
//! Invariant: each item of a batch gives the same bits as it gives alone.

mod attention_pool;
mod bert;
mod blip;
mod byte_level;
mod captioning;
mod clip;
mod clip_tokenizer;
mod compute;
mod configuration;
mod efficientnet_lite;
mod embedding;
mod error;
mod folder_tokenizer;
mod head;
mod imagenet;
mod ofa;
mod patch_embedding;
mod sentence_encoder;
mod sentence_tokenizer;
mod siglip;
mod tokenizers_within;
mod tower_config;
mod transformer;
mod vit;
mod weights;
mod word_pieces;

pub use bert::{Bert, BertConfig};
pub use blip::Blip;
pub use captioning::{Caption, ImageToText};
pub use clip::{
    ClipCheckpoint, ClipImageTower, ClipImageTowerByBlocks, ClipTextPrefix, ClipTextTower,
    KnownClip, known_clip, known_clips,
};
pub use clip_tokenizer::ClipTokenizer;
pub use compute::{Compute, DeviceChoice, Dtype, LoadOptions};
pub use efficientnet_lite::{EfficientNetLite, EfficientNetLiteConfig};
pub use embedding::{mean_of_views, normalize_regression, to_unit_length};
pub use error::{ModelError, Result};
pub use head::{Features, FurtherTower, Head, HeadConfig};
pub use imagenet::imagenet_labels;
pub use ofa::Ofa;
pub use sentence_encoder::{Pooling, SentenceEncoder};
pub use sentence_tokenizer::SentenceTokenizer;
pub use siglip::{
    KnownSiglip, SiglipCheckpoint, SiglipTextTower, SiglipTokenizer, is_siglip, known_siglip,
    known_siglips,
};
pub use unprompt_nn::{GenerationOptions, LengthPenalty, Sampling};
pub use vit::{Vit, VitTensors};

/// What networks of other crates are built with.
pub mod parts {
    pub use crate::{
        configuration::{read_json, read_json_optional},
        weights::Weights,
    };
}
