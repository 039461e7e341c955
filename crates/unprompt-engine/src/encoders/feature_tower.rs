//! A tower that stays as it is, under a head that is trained.

use crate::{
    encoders::{
        classifier::Classifier,
        image_encoder::{ImageEncoder, Views},
        located::{Kind, Located, refuse_named_without_pictures},
    },
    error::{InputError, Result},
};
use unprompt_hub::{Hub, Progress, ResolvedModel};
use unprompt_image::{DecodeOptions, Limits, RgbImage};
use unprompt_models::{Compute, Features};

/// What [`FeatureTower`] is made of.
const NEEDED: &str = "an EfficientNet-Lite, a CLIP, a SigLIP or a Vision Transformer";

/// A network whose features a head takes.
#[derive(Debug)]
pub struct FeatureTower {
    network: Network,
}

#[derive(Debug)]
enum Network {
    Classifier(Box<Classifier>, usize),
    Encoder(Box<ImageEncoder>),
}

impl FeatureTower {
    /// Resolves and builds a tower.
    ///
    /// # Errors
    /// When the model cannot be had, or is none of those that give a picture features.
    pub fn load(
        hub: &Hub,
        name: &str,
        compute: &Compute,
        progress: &dyn Progress,
    ) -> Result<(ResolvedModel, Self)> {
        refuse_named_without_pictures(hub, name, NEEDED)?;
        let located = Located::new(hub, name, progress)?;
        match located.kind()? {
            Kind::EfficientNetLite => {
                let (resolved, classifier) = Classifier::load(hub, name, compute, progress)?;
                let Some(width) = classifier.features_width() else {
                    return located.refuse(Kind::EfficientNetLite, NEEDED);
                };
                let network = Network::Classifier(Box::new(classifier), width);
                Ok((resolved, Self { network }))
            }
            Kind::Clip | Kind::Siglip | Kind::TimmVit | Kind::TransformersVit | Kind::BareVit => {
                let (resolved, encoder) = ImageEncoder::load(hub, name, compute, progress)?;
                let network = Network::Encoder(Box::new(encoder));
                Ok((resolved, Self { network }))
            }
            other => located.refuse(other, NEEDED),
        }
    }

    /// What a head takes of it.
    pub fn kind(&self) -> Features {
        match &self.network {
            Network::Classifier(..) => Features::Pooled,
            Network::Encoder(_) => Features::Vector,
        }
    }

    /// How many features there are.
    pub fn width(&self) -> usize {
        match &self.network {
            Network::Classifier(_, width) => *width,
            Network::Encoder(encoder) => encoder.width(),
        }
    }

    /// How a picture is decoded for it.
    pub fn decode_options(&self, limits: Limits) -> DecodeOptions {
        match &self.network {
            Network::Classifier(classifier, _) => classifier.preprocessor().decode_options(limits),
            Network::Encoder(encoder) => encoder.preprocessor().decode_options(limits),
        }
    }

    /// The features of a picture, the same alone and among others.
    ///
    /// # Errors
    /// When the picture is too elongated to be resized, or its features are not finite.
    pub fn features(&self, image: &RgbImage) -> std::result::Result<Vec<f32>, InputError> {
        match &self.network {
            Network::Classifier(classifier, _) => classifier.features(image),
            Network::Encoder(encoder) => {
                let mut found = encoder.embed(&[image], Views::Plain, false)?;
                Ok(found.pop().unwrap_or_default())
            }
        }
    }
}
