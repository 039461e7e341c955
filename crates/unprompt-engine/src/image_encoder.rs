//! Pictures to vectors: the image tower of a CLIP or a SigLIP, or a Vision Transformer that
//! regresses.

use crate::{
    InputError, Result,
    loading::{Kind, Located, refuse_named_without_pictures},
};
use rayon::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};
use std::borrow::Borrow;
use unprompt_hub::{Hub, Progress, ResolvedModel};
use unprompt_image::{
    Filter, HALF, IMAGENET_MEAN, IMAGENET_STD, Layout, Normalize, Preprocessor, RgbImage,
};
use unprompt_models::{
    ClipCheckpoint, ClipImageTower, ClipImageTowerByBlocks, Compute, ModelError, Vit,
    mean_of_views, normalize_regression, to_unit_length,
};

/// Where transformers keeps what happens to a picture before the network.
const PREPROCESSOR_CONFIG: &str = "preprocessor_config.json";
const PROCESSOR_CONFIG: &str = "processor_config.json";

/// What [`ImageEncoder`] is made of.
const NEEDED: &str = "a CLIP, a SigLIP or a Vision Transformer";

/// Which views of a picture are averaged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
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
        refuse_named_without_pictures(hub, name, NEEDED)?;
        let located = Located::new(hub, name, progress)?;
        let kind = located.kind()?;
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
                let vit = located.named(Vit::load(located.path(), located.options(compute)))?;
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
        let prepare = |image: &RgbImage| {
            let pixels = self.preprocessor.apply(image, Layout::Hwc)?;
            let mirrored = (views == Views::Flip).then(|| mirror(&pixels.data, pixels.width));
            Ok([Some(pixels.data), mirrored])
        };
        let prepared: std::result::Result<Vec<_>, InputError> = images
            .par_iter()
            .map(|image| prepare(image.borrow()))
            .collect();
        let inputs: Vec<Vec<f32>> = prepared?.into_iter().flatten().flatten().collect();
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

/// Reads one of a model's configuration files as text, if it is there.
fn configuration(located: &Located, name: &str) -> Result<Option<String>> {
    let Some(path) = located.resolved.files.get(name) else {
        return Ok(None);
    };
    let text = std::fs::read_to_string(path).map_err(|error| ModelError::Configuration {
        path: path.clone(),
        message: error.to_string(),
    });
    located.named(text).map(Some)
}

fn parsed(
    located: &Located,
    name: &str,
    preprocessor: unprompt_image::Result<Preprocessor>,
) -> Result<Preprocessor> {
    located.named(preprocessor.map_err(|error| ModelError::Configuration {
        path: located.resolved.dir.join(name),
        message: error.to_string(),
    }))
}

fn clip_preprocessor(
    located: &Located,
    open_clip: bool,
    (height, width): (usize, usize),
) -> Result<Preprocessor> {
    if open_clip {
        return open_clip_preprocessor(located, (height, width), &[]);
    }
    let defaults = json!({
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": height.min(width)},
        "crop_size": {"height": height, "width": width},
    });
    image_processor_or(located, &defaults)
}

/// As a CLIP's, but what a file leaves open is SigLIP's own: the picture squeezed into the square,
/// and values from -1 to 1.
fn siglip_preprocessor(
    located: &Located,
    open_clip: bool,
    (height, width): (usize, usize),
) -> Result<Preprocessor> {
    if open_clip {
        let defaults = [
            ("mean", json!([0.5, 0.5, 0.5])),
            ("std", json!([0.5, 0.5, 0.5])),
            ("interpolation", json!("bicubic")),
            ("resize_mode", json!("squash")),
        ];
        return open_clip_preprocessor(located, (height, width), &defaults);
    }
    let defaults = json!({
        "image_processor_type": "SiglipImageProcessor",
        "size": {"height": height, "width": width},
    });
    image_processor_or(located, &defaults)
}

/// The `preprocess_cfg` of open_clip, with what it lacks of `defaults`, and with the network's own
/// size: open_clip takes that whatever the file says, and published files often say nothing.
fn open_clip_preprocessor(
    located: &Located,
    (height, width): (usize, usize),
    defaults: &[(&str, Value)],
) -> Result<Preprocessor> {
    let name = "open_clip_config.json";
    let mut json = configuration(located, name)?.unwrap_or_else(|| "{}".into());
    // What is wrong with it is said where it is read.
    if let Ok(mut config) = serde_json::from_str::<Value>(&json) {
        if let Some(config) = config.as_object_mut() {
            let preprocess = config.entry("preprocess_cfg").or_insert_with(|| json!({}));
            if let Some(preprocess) = preprocess.as_object_mut() {
                preprocess.insert("size".into(), json!([height, width]));
                for (name, value) in defaults {
                    preprocess.entry(*name).or_insert_with(|| value.clone());
                }
            }
        }
        json = config.to_string();
    }
    parsed(located, name, Preprocessor::from_open_clip_config(&json))
}

/// The image processor of a folder of transformers. Version 5 saves it within the configuration
/// of the whole processor, which then comes first.
pub(crate) fn image_processor(located: &Located) -> Result<Option<Preprocessor>> {
    for name in [PROCESSOR_CONFIG, PREPROCESSOR_CONFIG] {
        let Some(json) = configuration(located, name)? else {
            continue;
        };
        let is_of_a_tokenizer_alone = name == PROCESSOR_CONFIG
            && serde_json::from_str::<Value>(&json)
                .is_ok_and(|config| config.get("image_processor").is_none());
        if !is_of_a_tokenizer_alone {
            let preprocessor = Preprocessor::from_preprocessor_config(&json);
            return parsed(located, name, preprocessor).map(Some);
        }
    }
    Ok(None)
}

/// The same, or the one of `defaults` where the folder has none.
fn image_processor_or(located: &Located, defaults: &Value) -> Result<Preprocessor> {
    match image_processor(located)? {
        Some(preprocessor) => Ok(preprocessor),
        None => {
            let preprocessor = Preprocessor::from_preprocessor_config(&defaults.to_string());
            parsed(located, PREPROCESSOR_CONFIG, preprocessor)
        }
    }
}

/// The preprocessing of a Vision Transformer, from its own configuration where it has one.
pub(crate) fn vit_preprocessor(
    located: &Located,
    kind: Kind,
    (height, width): (usize, usize),
) -> Result<Preprocessor> {
    let (height, width) = (height as u32, width as u32);
    match kind {
        Kind::TimmVit => {
            let json = configuration(located, "config.json")?.unwrap_or_default();
            parsed(
                located,
                "config.json",
                Preprocessor::from_timm_config(&json),
            )
        }
        Kind::TransformersVit => match image_processor(located)? {
            Some(preprocessor) => Ok(preprocessor),
            None => {
                let normalize = Normalize {
                    mean: HALF,
                    std: HALF,
                };
                Ok(Preprocessor::squash(
                    width,
                    height,
                    Filter::Bilinear,
                    normalize,
                ))
            }
        },
        // The paper's notebook resizes its square pictures without a crop; others need one.
        _ => {
            let normalize = Normalize {
                mean: IMAGENET_MEAN,
                std: IMAGENET_STD,
            };
            let side = height.min(width);
            Ok(Preprocessor::shortest_side_crop(
                side,
                side,
                Filter::Bilinear,
                normalize,
            ))
        }
    }
}
