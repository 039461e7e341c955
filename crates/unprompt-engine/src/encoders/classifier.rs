//! A classifier with its preprocessing and its labels.

use crate::{
    encoders::{
        located::{Kind, Located, refuse_named_without_pictures, refuse_open_clips_name},
        of_sources::of_sources,
        preprocessing::vit_preprocessor,
    },
    error::{EngineError, InputError, Result},
    source::Source,
};
use rayon::prelude::*;
use serde::Serialize;
use std::cmp::Ordering;
use unprompt_hub::{Hub, Progress, ResolvedModel};
use unprompt_image::{
    Filter, IMAGENET_MEAN, IMAGENET_STD, Layout, Limits, Normalize, Pixels, Preprocessor, RgbImage,
    decode,
};
use unprompt_models::{Compute, Dtype, EfficientNetLite, ModelError, Vit, imagenet_labels};

/// A network over classes with names, from picture to labels.
#[derive(Debug)]
pub struct Classifier {
    network: Network,
    preprocessor: Preprocessor,
    labels: Vec<String>,
    dtype: Dtype,
}

#[derive(Debug)]
enum Network {
    EfficientNetLite(Box<EfficientNetLite>),
    Vit(Box<Vit>),
}

/// What a classifier makes of a picture.
#[derive(Clone, Debug, Default)]
pub(crate) struct Classified {
    /// The most probable labels, the most probable first.
    pub(crate) labels: Vec<Label>,
    /// What its last layer takes; empty where [`Classifier::features_width`] has no number.
    pub(crate) features: Vec<f32>,
}

/// One label of a picture.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Label {
    /// The class.
    pub index: usize,
    /// Its name, as the checkpoint's configuration spells it.
    pub label: String,
    /// Soft-max over all classes.
    pub probability: f32,
    /// The network's output.
    pub logit: f32,
}

impl Classifier {
    /// Resolves and builds a classifier. EfficientNet-Lite is a small network of convolutions and
    /// always computes in f32 on the CPU.
    ///
    /// # Errors
    /// When the model cannot be had or is no classifier.
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
        refuse_open_clips_name(name, None, "a classifier")?;
        refuse_named_without_pictures(hub, name, "a classifier")?;
        let located = Located::new(hub, name, progress)?;
        let kind = located.kind()?;
        if !kind.is_vit() {
            located.refuse_heads(heads, kind)?;
        }
        let classifier = match kind {
            Kind::EfficientNetLite => {
                let model = EfficientNetLite::load(located.path(), located.pickle);
                Self::of_efficientnet(located.named(model)?)
            }
            Kind::TimmVit | Kind::TransformersVit | Kind::BareVit => {
                let vit = located.vit(heads, compute, progress)?;
                if !vit.has_head() {
                    return located.refuse(kind, "a network with a head");
                }
                let preprocessor = vit_preprocessor(&located, kind, vit.image_size())?;
                let labels = names(vit.labels(), vit.outputs());
                Self {
                    network: Network::Vit(Box::new(vit)),
                    preprocessor,
                    labels,
                    dtype: compute.dtype(),
                }
            }
            other => return located.refuse(other, "a classifier"),
        };
        Ok((located.resolved, classifier))
    }

    /// The classifier that the program carries.
    ///
    /// # Errors
    /// When the program was built from a damaged file.
    pub fn carried() -> Result<Self> {
        let model = EfficientNetLite::carried(unprompt_eye::tower());
        let model = model.map_err(|reason| EngineError::Model {
            name: unprompt_eye::NAME.to_owned(),
            reason,
        })?;
        Ok(Self::of_efficientnet(model))
    }

    fn of_efficientnet(model: EfficientNetLite) -> Self {
        Self {
            labels: names(None, model.classes()),
            network: Network::EfficientNetLite(Box::new(model)),
            preprocessor: efficientnet_preprocessor(),
            dtype: Dtype::F32,
        }
    }

    /// How many features its last layer takes, where they can be had: EfficientNet-Lite's.
    pub fn features_width(&self) -> Option<usize> {
        match &self.network {
            Network::EfficientNetLite(model) => Some(model.width()),
            Network::Vit(_) => None,
        }
    }

    /// The numbers that the network computes in.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Its labels, by class.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// How a picture becomes the network's input.
    pub fn preprocessor(&self) -> &Preprocessor {
        &self.preprocessor
    }

    /// The `top` most probable labels, the most probable first; equal ones in order of index.
    ///
    /// # Errors
    /// When the picture is too elongated to be resized, or the network's output is not finite.
    pub fn classify(
        &self,
        image: &RgbImage,
        top: usize,
    ) -> std::result::Result<Vec<Label>, InputError> {
        let mut found = self.forward(&[self.prepare(image)?], top)?;
        Ok(found.swap_remove(0).labels)
    }

    /// As [`classify`](Self::classify), of pictures by where they are: one result for each, whatever is
    /// wrong with the others.
    pub fn classify_sources(
        &self,
        sources: &[Source],
        limits: &Limits,
        top: usize,
    ) -> Vec<std::result::Result<Vec<Label>, InputError>> {
        let prepare = |bytes: &[u8], limits| {
            self.prepare(&decode(bytes, &self.preprocessor.decode_options(limits))?)
        };
        of_sources(sources, limits, prepare, |pictures| {
            let found = self.forward(pictures, top)?;
            Ok(found.into_iter().map(|one| one.labels).collect())
        })
    }

    /// The features of a picture, see [`features_width`](Self::features_width).
    ///
    /// # Errors
    /// As [`classify`](Self::classify).
    pub fn features(&self, image: &RgbImage) -> std::result::Result<Vec<f32>, InputError> {
        let mut found = self.forward(&[self.prepare(image)?], 0)?;
        Ok(found.swap_remove(0).features)
    }

    /// A picture as the network takes it.
    ///
    /// # Errors
    /// When the picture is too elongated to be resized.
    pub(crate) fn prepare(&self, image: &RgbImage) -> std::result::Result<Pixels, InputError> {
        Ok(self.preprocessor.apply(image, Layout::Hwc)?)
    }

    /// As [`classify`](Self::classify), of pictures that are prepared.
    ///
    /// # Errors
    /// The first picture for which the network's output is not finite.
    pub(crate) fn forward(
        &self,
        pictures: &[Pixels],
        top: usize,
    ) -> std::result::Result<Vec<Classified>, InputError> {
        let found: Vec<(Vec<f32>, Vec<f32>)> = match &self.network {
            Network::EfficientNetLite(model) => pictures
                .par_iter()
                .map(
                    |Pixels {
                         data,
                         height,
                         width,
                         ..
                     }| {
                        let features = model.features(&[data], *height, *width)?;
                        let logits = model.logits_of(&features)?;
                        Ok(logits.into_iter().zip(features))
                    },
                )
                .collect::<std::result::Result<Vec<_>, ModelError>>()?
                .into_iter()
                .flatten()
                .collect(),
            Network::Vit(vit) => {
                let pixels: Vec<_> = pictures.iter().map(|pixels| &pixels.data).collect();
                let logits = vit.forward(&pixels)?.into_iter();
                logits.map(|logits| (logits, Vec::new())).collect()
            }
        };
        let classified = |(logits, features): (Vec<f32>, _)| Classified {
            labels: self.top(&logits, top),
            features,
        };
        Ok(found.into_iter().map(classified).collect())
    }

    fn top(&self, logits: &[f32], top: usize) -> Vec<Label> {
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let exponentials: Vec<f64> = logits
            .iter()
            .map(|logit| f64::from(logit - largest).exp())
            .collect();
        let total: f64 = exponentials.iter().sum();
        let mut order: Vec<usize> = (0..logits.len()).collect();
        // The sort is stable, so ties stay in order of index.
        order.sort_by(|a, b| {
            logits[*b]
                .partial_cmp(&logits[*a])
                .unwrap_or(Ordering::Equal)
        });
        let label = |index: usize| Label {
            index,
            label: self.labels[index].clone(),
            probability: (exponentials[index] / total) as f32,
            logit: logits[index],
        };
        order.into_iter().take(top).map(label).collect()
    }
}

/// The classes' names: the checkpoint's own, else ImageNet-1k's if there are as many, else their
/// numbers.
fn names(own: Option<&[String]>, classes: usize) -> Vec<String> {
    let imagenet = imagenet_labels();
    match own {
        Some(own) => own.to_vec(),
        None if imagenet.len() == classes => imagenet.into_iter().map(String::from).collect(),
        None => (0..classes).map(|class| class.to_string()).collect(),
    }
}

/// The preprocessing that the package efficientnet-lite-pytorch documents: the short side to 224,
/// bilinear, the centre, ImageNet's mean and deviation.
fn efficientnet_preprocessor() -> Preprocessor {
    let normalize = Normalize {
        mean: IMAGENET_MEAN,
        std: IMAGENET_STD,
    };
    Preprocessor::shortest_side_crop(224, 224, Filter::Bilinear, normalize)
}
