//! Networks by the name that a user gave: from its files to pictures and texts encoded.

pub(crate) mod captioner;
pub(crate) mod classifier;
pub(crate) mod deferred_encoder;
pub(crate) mod feature_tower;
pub(crate) mod image_encoder;
pub(crate) mod located;
pub(crate) mod networks;
pub(crate) mod of_sources;
pub(crate) mod picture_interrogator;
mod preprocessing;
mod published_labels;
pub(crate) mod remote_captioner;
pub(crate) mod sentence_encoder;
pub(crate) mod text_encoder;
pub(crate) mod trained_vit;
