//! From an 8-bit picture to a model's input.

mod geometry;
mod hugging_face;
mod json;
mod open_clip;
mod preprocessor;
mod steps;
mod timm;

pub use preprocessor::{
    CLIP_MEAN, CLIP_STD, HALF, IMAGENET_MEAN, IMAGENET_STD, Layout, Normalize, Pixels, Preprocessor,
};
pub use steps::{CropRounding, ResizeTarget, Step};

use crate::Result;

/// The configuration files of other libraries.
impl Preprocessor {
    /// Reads a Hugging Face `preprocessor_config.json` (or the `image_processor` part of a
    /// `processor_config.json`) of the classes ViTImageProcessor, CLIPImageProcessor,
    /// SiglipImageProcessor and BlipImageProcessor, their feature-extractor forerunners, and their
    /// Fast and Pil variants. A missing key takes the class's default of transformers 5.
    ///
    /// Resizing follows Pillow, as transformers' Pil processors do. [`Preprocessor::alpha`] is
    /// [`Alpha::OverWhite`](crate::Alpha::OverWhite) where the class converts to RGB, as transformers 5 does.
    ///
    /// # Errors
    /// [`InvalidConfig`](crate::ImageErrorKind::InvalidConfig) naming the key: no JSON object, another class, a size out
    /// of 1 to 16,384, a zero standard deviation, padding asked for.
    pub fn from_preprocessor_config(json: &str) -> Result<Self> {
        hugging_face::parse(json)
    }

    /// Reads the `preprocess_cfg` of an `open_clip_config.json` (or that object alone). A missing
    /// key takes open_clip's default.
    ///
    /// # Errors
    /// [`InvalidConfig`](crate::ImageErrorKind::InvalidConfig) naming the key.
    pub fn from_open_clip_config(json: &str) -> Result<Self> {
        open_clip::parse(json)
    }

    /// Reads the `pretrained_cfg` of a timm `config.json` (or that object alone), as timm's
    /// `resolve_data_config` and evaluation transform do. A missing key takes timm's default.
    ///
    /// # Errors
    /// [`InvalidConfig`](crate::ImageErrorKind::InvalidConfig) naming the key.
    pub fn from_timm_config(json: &str) -> Result<Self> {
        timm::parse(json)
    }
}
