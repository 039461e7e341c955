//! Pictures to vectors: the image tower of a CLIP or a SigLIP, or a Vision Transformer that
//! regresses.

use crate::{
    encoders::{
        located::{Kind, Located, refuse_named_without_pictures},
        of_sources::of_sources,
        preprocessing::{clip_preprocessor, siglip_preprocessor, vit_preprocessor},
    },
    error::{InputError, Result},
    source::Source,
};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::Deserialize;
use std::borrow::Borrow;
use unprompt_hub::{Hub, Progress, ResolvedModel};
use unprompt_image::{Layout, Limits, Preprocessor, RgbImage, decode};
use unprompt_models::{
    ClipCheckpoint, ClipImageTower, ClipImageTowerByBlocks, Compute, Vit, mean_of_views,
    normalize_regression, to_unit_length,
};

/// What [`ImageEncoder`] is made of.
const NEEDED: &str = "a CLIP, a SigLIP or a Vision Transformer";

/// Which views of a picture are averaged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Views {
    /// The picture as it is.
    #[default]
    #[serde(rename = "none")]
    Plain,
    /// The picture and its mirror image.
    #[serde(rename = "flip")]
    Flip,
}

/// A network that gives a picture a vector, with its preprocessing.
#[derive(Debug)]
pub struct ImageEncoder {
    network: Network,
    preprocessor: Preprocessor,
}

#[derive(Debug)]
enum Network {
    Clip(Box<ClipImageTower>),
    ClipByBlocks(Box<ClipImageTowerByBlocks>),
    Vit(Box<Vit>),
}

impl ImageEncoder {
    /// Resolves and builds an image encoder.
    ///
    /// # Errors
    /// When the model cannot be had, or is none of CLIP, SigLIP and Vision Transformer.
    pub fn load(
        hub: &Hub,
        name: &str,
        compute: &Compute,
        progress: &dyn Progress,
    ) -> Result<(ResolvedModel, Self)> {
        Self::load_with_heads(hub, name, None, compute, progress)
    }

    /// As [`load`](Self::load), with the number of attention heads of a Vision Transformer whose
    /// tensors stand alone: no shape shows it, and without it timm's number for that width is taken.
    ///
    /// # Errors
    /// As `load`; when a number is given and the model is none of these.
    pub fn load_with_heads(
        hub: &Hub,
        name: &str,
        heads: Option<usize>,
        compute: &Compute,
        progress: &dyn Progress,
    ) -> Result<(ResolvedModel, Self)> {
        refuse_named_without_pictures(hub, name, NEEDED)?;
        let located = Located::new(hub, name, progress)?;
        let kind = located.kind()?;
        if !kind.is_vit() {
            located.refuse_heads(heads, kind)?;
        }
        let encoder = match kind {
            Kind::Clip => {
                let checkpoint = located.clip(compute)?;
                Self::of_clip(&located, &checkpoint)?
            }
            Kind::Siglip => {
                let checkpoint = located.siglip(compute)?;
                let tower = located.named(checkpoint.image_tower())?;
                let size = tower.image_size();
                Self {
                    network: Network::Vit(Box::new(tower)),
                    preprocessor: siglip_preprocessor(&located, checkpoint.is_open_clip(), size)?,
                }
            }
            Kind::TimmVit | Kind::TransformersVit | Kind::BareVit => {
                let vit = located.vit(heads, compute, progress)?;
                let preprocessor = vit_preprocessor(&located, kind, vit.image_size())?;
                Self {
                    network: Network::Vit(Box::new(vit)),
                    preprocessor,
                }
            }
            other => return located.refuse(other, NEEDED),
        };
        Ok((located.resolved, encoder))
    }

    /// The image side of a CLIP that is open.
    pub(crate) fn of_clip(located: &Located, checkpoint: &ClipCheckpoint) -> Result<Self> {
        let tower = located.named(checkpoint.image_tower())?;
        let size = tower.image_size();
        Ok(Self {
            network: Network::Clip(Box::new(tower)),
            preprocessor: clip_preprocessor(located, checkpoint.is_open_clip(), size)?,
        })
    }

    /// The same with the network's blocks left in the file: for a use that embeds a picture now and
    /// then, and needs the memory for something else.
    pub(crate) fn of_clip_by_blocks(located: &Located, checkpoint: ClipCheckpoint) -> Result<Self> {
        let is_open_clip = checkpoint.is_open_clip();
        let tower = located.named(checkpoint.into_image_tower_by_blocks())?;
        let size = tower.image_size();
        Ok(Self {
            network: Network::ClipByBlocks(Box::new(tower)),
            preprocessor: clip_preprocessor(located, is_open_clip, size)?,
        })
    }

    /// How a picture becomes the network's input.
    pub fn preprocessor(&self) -> &Preprocessor {
        &self.preprocessor
    }

    /// Numbers of a vector.
    pub fn width(&self) -> usize {
        match &self.network {
            Network::Clip(tower) => tower.width(),
            Network::ClipByBlocks(tower) => tower.width(),
            Network::Vit(vit) => vit.outputs(),
        }
    }

    /// The number of values that a regressor gives; `None` for a network without a head.
    pub fn regression_width(&self) -> Option<usize> {
        match &self.network {
            Network::Vit(vit) if vit.has_head() => Some(vit.outputs()),
            _ => None,
        }
    }

    /// One vector for each picture.
    ///
    /// A CLIP's feature, or a regressor's output divided by its largest magnitude, is brought to
    /// unit length; with two views their mean is returned, which is a little shorter, as the
    /// pipeline's reference leaves it. With `raw` nothing is normalised.
    ///
    /// # Errors
    /// The first picture that is too elongated to be resized, or whose vector is not finite.
    pub fn embed(
        &self,
        images: &[impl Borrow<RgbImage> + Sync],
        views: Views,
        raw: bool,
    ) -> std::result::Result<Vec<Vec<f32>>, InputError> {
        let prepared: std::result::Result<Vec<_>, InputError> = images
            .par_iter()
            .map(|image| self.prepare(image.borrow(), views))
            .collect();
        self.forward(&prepared?, views, raw)
    }

    /// As [`embed`](Self::embed), of pictures by where they are: one result for each, whatever is wrong
    /// with the others.
    pub fn embed_sources(
        &self,
        sources: &[Source],
        limits: &Limits,
        views: Views,
        raw: bool,
    ) -> Vec<std::result::Result<Vec<f32>, InputError>> {
        let prepare = |bytes: &[u8], limits| self.read(bytes, limits, views);
        of_sources(sources, limits, prepare, |pictures| {
            self.forward(pictures, views, raw)
        })
    }

    /// The views of an encoded picture as the network takes them.
    ///
    /// # Errors
    /// When it is no picture, one beyond the limits, or too elongated to be resized.
    pub(crate) fn read(
        &self,
        bytes: &[u8],
        limits: Limits,
        views: Views,
    ) -> std::result::Result<Vec<Vec<f32>>, InputError> {
        let image = decode(bytes, &self.preprocessor.decode_options(limits))?;
        self.prepare(&image, views)
    }

    /// The views of a picture as the network takes them.
    ///
    /// # Errors
    /// When the picture is too elongated to be resized.
    pub(crate) fn prepare(
        &self,
        image: &RgbImage,
        views: Views,
    ) -> std::result::Result<Vec<Vec<f32>>, InputError> {
        let pixels = self.preprocessor.apply(image, Layout::Hwc)?;
        let mirrored = (views == Views::Flip).then(|| mirror(&pixels.data, pixels.width));
        Ok([pixels.data].into_iter().chain(mirrored).collect())
    }

    /// As [`embed`](Self::embed), of pictures that are prepared.
    ///
    /// # Errors
    /// The first picture whose vector is not finite.
    pub(crate) fn forward(
        &self,
        pictures: &[impl Borrow<Vec<Vec<f32>>>],
        views: Views,
        raw: bool,
    ) -> std::result::Result<Vec<Vec<f32>>, InputError> {
        let inputs: Vec<&Vec<f32>> = pictures.iter().flat_map(Borrow::borrow).collect();
        let mut outputs = match &self.network {
            Network::Clip(tower) => tower.forward(&inputs)?,
            Network::ClipByBlocks(tower) => tower.forward(&inputs)?,
            Network::Vit(vit) => vit.forward(&inputs)?,
        };
        if !raw {
            outputs.iter_mut().for_each(|output| match &self.network {
                Network::Vit(vit) if vit.has_head() => normalize_regression(output),
                _ => to_unit_length(output),
            });
        }
        Ok(match views {
            Views::Plain => outputs,
            Views::Flip => outputs.chunks_exact(2).map(mean_of_views).collect(),
        })
    }
}

/// The mirror image of pixels laid out height, width, channel.
fn mirror(pixels: &[f32], width: usize) -> Vec<f32> {
    let mut mirrored = Vec::with_capacity(pixels.len());
    for row in pixels.chunks_exact(width * 3) {
        mirrored.extend(row.as_chunks::<3>().0.iter().rev().flatten());
    }
    mirrored
}
