//! A classifier with its preprocessing and its labels.

use crate::{InputError, Result, encoder::load};
use serde::Serialize;
use std::cmp::Ordering;
use unprompt_hub::{Hub, Progress, ResolvedModel};
use unprompt_image::{
    Filter, IMAGENET_MEAN, IMAGENET_STD, Layout, Normalize, Preprocessor, RgbImage,
};
use unprompt_models::{EfficientNetLite, ModelError, imagenet_labels};

/// EfficientNet-Lite on ImageNet-1k, from picture to labels.
#[derive(Debug)]
pub struct Classifier {
    model: EfficientNetLite,
    preprocessor: Preprocessor,
    labels: Vec<&'static str>,
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
    /// Resolves and builds a classifier.
    ///
    /// # Errors
    /// When the model cannot be had or is not an EfficientNet-Lite over ImageNet-1k.
    pub fn load(hub: &Hub, name: &str, progress: &dyn Progress) -> Result<(ResolvedModel, Self)> {
        load(hub, name, progress, |resolved, pickle| {
            let path = match resolved.files.values().next() {
                // A model given as one file is that file; otherwise the folder is looked through.
                Some(file) if resolved.files.len() == 1 => file,
                _ => &resolved.dir,
            };
            let model = EfficientNetLite::load(path, pickle)?;
            let labels = imagenet_labels();
            if model.classes() != labels.len() {
                let message = format!(
                    "{} classes, where the {} of ImageNet-1k have names",
                    model.classes(),
                    labels.len()
                );
                return Err(ModelError::Configuration {
                    path: path.to_owned(),
                    message,
                });
            }
            Ok(Self {
                model,
                preprocessor: preprocessing(),
                labels,
            })
        })
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
        let pixels = self.preprocessor.apply(image, Layout::Hwc)?;
        let logits = self
            .model
            .logits(pixels.data, pixels.height, pixels.width)?;
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
            label: self.labels[index].to_owned(),
            probability: (exponentials[index] / total) as f32,
            logit: logits[index],
        };
        Ok(order.into_iter().take(top).map(label).collect())
    }
}

/// The preprocessing that the package efficientnet-lite-pytorch documents: the short side to 224,
/// bilinear, the centre, ImageNet's mean and deviation.
fn preprocessing() -> Preprocessor {
    let normalize = Normalize {
        mean: IMAGENET_MEAN,
        std: IMAGENET_STD,
    };
    Preprocessor::shortest_side_crop(224, 224, Filter::Bilinear, normalize)
}
