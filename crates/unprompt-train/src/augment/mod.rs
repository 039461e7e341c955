//! A picture as it is seen once in training: a random part of it, at the network's size, a little
//! changed.
//!
//! What is left out hurts, as the best public solutions found: no mirror image, for "left" and writing
//! are part of what a prompt says, and none of RandAugment's operations that change colours beyond
//! recognition (posterize, solarize, equalize).

mod colour;
mod geometry;

use crate::{Result, TrainError, random::Random};
use serde::{Deserialize, Serialize};
use unprompt_image::{Filter, RgbImage, resize};

/// How much a picture is changed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Augment {
    /// The smallest share of a picture's area that is seen, above 0; 1 is all of it.
    pub least_area: f64,
    /// How far brightness, contrast and saturation are moved: by up to this share.
    pub jitter: f64,
    /// Operations of RandAugment, each done or left out by chance.
    pub operations: u32,
    /// How strong they are, 0 to 10.
    pub magnitude: f64,
}

impl Default for Augment {
    fn default() -> Self {
        Self {
            least_area: 0.5,
            jitter: 0.05,
            operations: 2,
            magnitude: 9.0,
        }
    }
}

/// Proportions of a part of a picture: up to this much narrower or wider than the whole.
const LEAST_RATIO: f64 = 0.75;

/// Tries until a part has to fit.
const TRIES: usize = 10;

/// How much a magnitude varies, as timm's `mstd0.5`.
const SPREAD: f64 = 0.5;

impl Augment {
    /// An error unless every number is in its range.
    pub(crate) fn check(&self) -> Result<()> {
        let fits = self.least_area > 0.0
            && self.least_area <= 1.0
            && (0.0..1.0).contains(&self.jitter)
            && self.operations <= 16
            && (0.0..=10.0).contains(&self.magnitude);
        fits.then_some(()).ok_or_else(|| {
            TrainError::Data(format!(
                "{self:?}: the area is above 0 and at most 1, the jitter below 1, there are at most \
                 16 operations, and their magnitude is 0 to 10"
            ))
        })
    }

    /// A picture of the size (width, height) that depends on the keys alone.
    ///
    /// # Errors
    /// When the size is absurd.
    pub fn view(
        &self,
        picture: &RgbImage,
        (width, height): (u32, u32),
        filter: Filter,
        keys: &[u64],
    ) -> Result<RgbImage> {
        let mut random = Random::of(keys);
        let part = self.part(picture, &mut random);
        let mut view = resize(&part, width, height, filter)
            .map_err(|error| TrainError::Data(error.to_string()))?;
        for _ in 0..self.operations {
            if random.below(2) == 1 {
                self.operation(&mut view, &mut random);
            }
        }
        if self.jitter > 0.0 {
            for change in [colour::brightness, colour::contrast, colour::saturation] {
                let factor = random.between(1.0 - self.jitter, 1.0 + self.jitter);
                change(&mut view, factor as f32);
            }
        }
        Ok(view)
    }

    /// A random part, as torchvision's `RandomResizedCrop` chooses it; the whole where none fits.
    fn part(&self, picture: &RgbImage, random: &mut Random) -> RgbImage {
        let (width, height) = (f64::from(picture.width), f64::from(picture.height));
        for _ in 0..TRIES {
            let area = width * height * random.between(self.least_area, 1.0);
            let ratio = random.between(LEAST_RATIO, 1.0);
            let ratio = if random.below(2) == 1 {
                ratio
            } else {
                1.0 / ratio
            };
            let part = (
                (area * ratio).sqrt().round() as u32,
                (area / ratio).sqrt().round() as u32,
            );
            if part.0 == 0 || part.1 == 0 || part.0 > picture.width || part.1 > picture.height {
                continue;
            }
            let left = random.below((picture.width - part.0) as usize + 1);
            let top = random.below((picture.height - part.1) as usize + 1);
            return geometry::cut(picture, (left, top), part);
        }
        picture.clone()
    }

    /// One operation of RandAugment, its strengths as in timm with `inc1`.
    fn operation(&self, view: &mut RgbImage, random: &mut Random) {
        // A sum of uniform numbers in place of a normal one.
        let noise: f64 = (0..12).map(|_| random.between(0.0, 1.0)).sum::<f64>() - 6.0;
        let level = ((self.magnitude + SPREAD * noise) / 10.0).clamp(0.0, 1.0);
        let sign = if random.below(2) == 1 { 1.0 } else { -1.0 };
        let factor = (1.0 + sign * 0.9 * level).max(0.1) as f32;
        let (width, height) = (f64::from(view.width), f64::from(view.height));
        match random.below(10) {
            0 => colour::spread(view),
            1 => colour::brightness(view, factor),
            2 => colour::contrast(view, factor),
            3 => colour::saturation(view, factor),
            4 => colour::sharpness(view, factor),
            5 => geometry::rotate(view, sign * 30.0 * level),
            6 => geometry::shear(view, sign * 0.3 * level, 0.0),
            7 => geometry::shear(view, 0.0, sign * 0.3 * level),
            8 => geometry::shift(view, sign * 0.45 * level * width, 0.0),
            _ => geometry::shift(view, 0.0, sign * 0.45 * level * height),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: u32, height: u32) -> RgbImage {
        let pixels = (0..width * height * 3).map(|index| (index * 7 % 251) as u8);
        RgbImage::from_pixels(width, height, pixels.collect()).unwrap()
    }

    #[test]
    fn a_view_is_its_keys() {
        let (picture, augment) = (picture(50, 31), Augment::default());
        let view = |keys: &[u64]| {
            let view = augment
                .view(&picture, (16, 12), Filter::Bicubic, keys)
                .unwrap();
            assert_eq!((view.width, view.height), (16, 12));
            view.pixels
        };
        assert_eq!(view(&[1, 2]), view(&[1, 2]));
        // All sizes and operations that a few hundred views meet.
        let mut views: Vec<Vec<u8>> = (0..300).map(|key| view(&[key])).collect();
        views.sort();
        views.dedup();
        assert_eq!(views.len(), 300);
    }

    #[test]
    fn without_changes_a_view_is_the_whole_picture() {
        let none = Augment {
            least_area: 1.0,
            jitter: 0.0,
            operations: 0,
            magnitude: 0.0,
        };
        // A part as large as the whole fits only where the proportions are the same.
        let picture = picture(1, 1);
        let view = none.view(&picture, (1, 1), Filter::Bicubic, &[3]).unwrap();
        assert_eq!(view.pixels, picture.pixels);
    }

    #[test]
    fn elongated_pictures_have_parts_too() {
        for (width, height) in [(1, 400), (400, 1), (2, 3)] {
            for key in 0..20 {
                let view = Augment::default().view(
                    &picture(width, height),
                    (8, 8),
                    Filter::Bilinear,
                    &[key],
                );
                assert_eq!(view.unwrap().pixels.len(), 192);
            }
        }
    }

    #[test]
    fn numbers_out_of_their_range_are_refused() {
        let refused = |change: fn(&mut Augment)| {
            let mut augment = Augment::default();
            change(&mut augment);
            assert!(augment.check().is_err(), "{augment:?}");
        };
        refused(|augment| augment.least_area = 0.0);
        refused(|augment| augment.least_area = f64::NAN);
        refused(|augment| augment.jitter = 1.0);
        refused(|augment| augment.operations = 17);
        refused(|augment| augment.magnitude = 11.0);
    }
}
