//! The frozen tower whose features heads are trained on: an EfficientNet-Lite.

use anyhow::{Context, Result};
use unprompt::{
    Hub, InputError, Progress, ResolvedModel,
    image::{Filter, IMAGENET_MEAN, IMAGENET_STD, Layout, Normalize, Preprocessor, RgbImage},
    model_reference,
    models::{EfficientNetLite, Pickle},
};

/// A network without its last layer, from picture to features.
pub(super) struct Tower {
    network: EfficientNetLite,
    preprocessor: Preprocessor,
}

impl Tower {
    /// Finds a tower by its name, and fetches it when it is not here.
    pub(super) fn load(
        hub: &Hub,
        name: &str,
        progress: &dyn Progress,
    ) -> Result<(ResolvedModel, Self)> {
        let model = hub.resolve(&model_reference(name)?, progress)?;
        let pickle = match hub.allows_pickle() {
            true => Pickle::Allow,
            false => Pickle::Deny,
        };
        let path = match model.files.values().next() {
            Some(file) if model.files.len() == 1 => file,
            _ => &model.dir,
        };
        let network = EfficientNetLite::load(path, pickle)
            .with_context(|| format!("tower `{name}`: an EfficientNet-Lite is needed"))?;
        let normalize = Normalize {
            mean: IMAGENET_MEAN,
            std: IMAGENET_STD,
        };
        // As the classifier is asked when it predicts.
        let preprocessor = Preprocessor::shortest_side_crop(224, 224, Filter::Bilinear, normalize);
        Ok((
            model,
            Self {
                network,
                preprocessor,
            },
        ))
    }

    /// How a picture becomes the network's input.
    pub(super) fn preprocessor(&self) -> &Preprocessor {
        &self.preprocessor
    }

    /// How many features there are.
    pub(super) fn width(&self) -> usize {
        self.network.width()
    }

    /// The features of a picture.
    pub(super) fn features(&self, image: &RgbImage) -> Result<Vec<f32>, InputError> {
        let pixels = self.preprocessor.apply(image, Layout::Hwc)?;
        let (height, width) = (pixels.height, pixels.width);
        let mut features = self.network.features(&[pixels.data], height, width)?;
        Ok(features.swap_remove(0))
    }
}
