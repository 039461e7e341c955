//! What a model does to a picture, and doing it.

use super::{
    geometry,
    steps::{CropRounding, ResizeTarget, Step},
};
use crate::{Alpha, DecodeOptions, Filter, ImageError, ImageErrorKind, Limits, Result, RgbImage};
use serde::{Deserialize, Serialize};

/// Channel means of ImageNet, of values in `[0, 1]` (torchvision, timm, EfficientNet-Lite).
pub const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
/// Channel standard deviations of ImageNet, of values in `[0, 1]`.
pub const IMAGENET_STD: [f32; 3] = [0.229, 0.224, 0.225];
/// Maps `[0, 1]` to `[-1, 1]`, as mean and as standard deviation (ViT of transformers, Inception).
pub const HALF: [f32; 3] = [0.5; 3];
/// Channel means that OpenAI's CLIP was trained with, of values in `[0, 1]` (also BLIP).
pub const CLIP_MEAN: [f32; 3] = [0.48145466, 0.4578275, 0.40821073];
/// Channel standard deviations that OpenAI's CLIP was trained with, of values in `[0, 1]`.
#[allow(clippy::excessive_precision)] // as published
pub const CLIP_STD: [f32; 3] = [0.26862954, 0.26130258, 0.27577711];

/// What a model does to a picture before its first layer: explicit steps, nothing implied.
///
/// The geometric steps work on 8-bit samples, in order. Then every sample `x` becomes
/// `(f32(x * rescale) - mean) / std` in `f32`, which is what torchvision's `ToTensor` and
/// `Normalize` (open_clip, timm) and the Pil processors of transformers 5 compute, to the bit;
/// transformers' default torchvision processors fuse the two and differ in the last place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Preprocessor {
    /// Resizes and crops, in order.
    pub steps: Vec<Step>,
    /// Factor on the samples, usually 1/255; `None` leaves 0 to 255.
    pub rescale: Option<f64>,
    /// Mean and standard deviation per channel; `None` leaves the rescaled values.
    pub normalize: Option<Normalize>,
    /// How the model's reference treats transparency: for [`crate::DecodeOptions::alpha`], since
    /// the pictures that reach [`Preprocessor::apply`] have no alpha any more.
    pub alpha: Alpha,
}

/// Mean and standard deviation per channel (R, G, B), in the units of the rescaled samples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Normalize {
    /// Subtracted first.
    pub mean: [f32; 3],
    /// Divided by then; never zero.
    pub std: [f32; 3],
}

/// Order of the values in [`Pixels`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Channel, height, width: three planes.
    Chw,
    /// Height, width, channel: interleaved.
    Hwc,
}

/// A model's input picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Pixels {
    /// Number of channels: always 3 (R, G, B).
    pub channels: usize,
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
    /// Order of `data`.
    pub layout: Layout,
    /// `channels * height * width` normalised values.
    pub data: Vec<f32>,
}

impl Preprocessor {
    /// Squashes to an exact size: ViT of transformers, BLIP.
    pub fn squash(width: u32, height: u32, filter: Filter, normalize: Normalize) -> Self {
        let target = ResizeTarget::Exact { width, height };
        Self::of_steps(vec![Step::Resize { target, filter }], normalize)
    }

    /// Resizes the shorter side to `shortest_side`, then cuts out a centred square of `crop`
    /// pixels, as torchvision's `Resize` and `CenterCrop` do: CLIP, EfficientNet, most of timm.
    pub fn shortest_side_crop(
        shortest_side: u32,
        crop: u32,
        filter: Filter,
        normalize: Normalize,
    ) -> Self {
        let target = ResizeTarget::ShortestSide(shortest_side);
        let crop = Step::CenterCrop {
            width: crop,
            height: crop,
            rounding: CropRounding::HalfToEven,
            fill: [0; 3],
        };
        Self::of_steps(vec![Step::Resize { target, filter }, crop], normalize)
    }

    pub(super) fn of_steps(steps: Vec<Step>, normalize: Normalize) -> Self {
        Self {
            steps,
            rescale: Some(1.0 / 255.0),
            normalize: Some(normalize),
            alpha: Alpha::Drop,
        }
    }

    /// How a picture for this model is decoded: its transparency as [`Preprocessor::alpha`] says.
    pub fn decode_options(&self, limits: Limits) -> DecodeOptions {
        DecodeOptions {
            limits,
            alpha: self.alpha,
            ..DecodeOptions::default()
        }
    }

    /// Height and width of the result, when every picture gives the same.
    pub fn output_size(&self) -> Option<(usize, usize)> {
        self.steps.iter().fold(None, |size, step| match *step {
            Step::CenterCrop { width, height, .. }
            | Step::Resize {
                target: ResizeTarget::Exact { width, height },
                ..
            } => Some((height as usize, width as usize)),
            Step::Resize {
                target: ResizeTarget::ShortestSide(side),
                ..
            } => size
                .filter(|&(height, width)| height == width)
                .map(|_| (side as usize, side as usize)),
            Step::Resize { .. } => None,
        })
    }

    /// The geometric steps alone: the 8-bit picture that the model sees.
    ///
    /// # Errors
    /// [`ImageErrorKind::InvalidArgument`] when a picture is so elongated that a step's result
    /// would be empty or larger than 64 Mpx, or its fields disagree.
    pub fn apply_steps(&self, image: &RgbImage) -> Result<RgbImage> {
        image.check()?;
        let mut steps = self.steps.iter();
        let Some(first) = steps.next() else {
            return Ok(image.clone());
        };
        let first = geometry::apply(*first, image)?;
        steps.try_fold(first, |image, step| geometry::apply(*step, &image))
    }

    /// Makes a model's input of a picture.
    ///
    /// # Errors
    /// As [`Preprocessor::apply_steps`]; [`ImageErrorKind::InvalidConfig`] when a standard
    /// deviation is zero or not a number.
    pub fn apply(&self, image: &RgbImage, layout: Layout) -> Result<Pixels> {
        let values = self.value_table()?;
        let image = self.apply_steps(image)?;
        let pixels = image.pixels.as_chunks::<3>().0;
        let data = match layout {
            Layout::Hwc => pixels
                .iter()
                .flat_map(|pixel| std::array::from_fn::<_, 3, _>(|c| values[c][pixel[c] as usize]))
                .collect(),
            Layout::Chw => {
                let mut data = Vec::with_capacity(pixels.len() * 3);
                for (channel, values) in values.iter().enumerate() {
                    data.extend(pixels.iter().map(|pixel| values[pixel[channel] as usize]));
                }
                data
            }
        };
        Ok(Pixels {
            channels: 3,
            height: image.height as usize,
            width: image.width as usize,
            layout,
            data,
        })
    }

    /// The normalised value of each sample value, per channel: there are only 768 of them.
    fn value_table(&self) -> Result<[[f32; 256]; 3]> {
        let factor = self.rescale.unwrap_or(1.0);
        let normalize = self.normalize.unwrap_or(Normalize {
            mean: [0.0; 3],
            std: [1.0; 3],
        });
        if normalize
            .std
            .iter()
            .any(|&std| std == 0.0 || !std.is_finite())
        {
            return Err(ImageError::new(
                ImageErrorKind::InvalidConfig,
                format!(
                    "standard deviations must be finite and not zero, found {:?}",
                    normalize.std
                ),
            ));
        }
        Ok(std::array::from_fn(|channel| {
            std::array::from_fn(|sample| {
                let rescaled = (sample as f64 * factor) as f32;
                (rescaled - normalize.mean[channel]) / normalize.std[channel]
            })
        }))
    }
}
