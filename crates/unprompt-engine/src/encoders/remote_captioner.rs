//! Captions by a model that another server runs.

use crate::{
    encoders::{captioner::CaptionOptions, of_sources::of_sources},
    error::{EngineError, InputError},
    source::Source,
};
use rayon::prelude::*;
use unprompt_hub::Hub;
use unprompt_image::{Alpha, DecodeOptions, Filter, Limits, Orientation, RgbImage, decode, resize};
use unprompt_remote::{Address, Question, Remote, RemoteError, Timeouts, png_of};

/// Pixels of the longer side of a picture as it leaves.
const LONGER_SIDE: u32 = 1024;
/// The variable that has the key.
const KEY: &str = "UNPROMPT_REMOTE_API_KEY";

/// A captioner elsewhere, `openai:MODEL@URL`.
///
/// Pictures leave this machine: upright, at most 1,024 pixels a side, transparency over white, and nothing
/// of their files but the pixels. What comes back is neither ours nor repeatable.
#[derive(Debug)]
pub struct RemoteCaptioner {
    remote: Remote,
}

impl RemoteCaptioner {
    /// Sees that somebody answers at the address. The key is taken from `UNPROMPT_REMOTE_API_KEY`.
    ///
    /// # Errors
    /// When the name cannot be read, `hub` is offline, nobody answers, or the key is refused.
    pub fn load(hub: &Hub, name: &str) -> Result<Self, EngineError> {
        let address = Address::parse(name)?;
        if !hub.may_ask_others() {
            return Err(RemoteError::NotAllowed {
                name: address.name,
                reason: "a captioner on another server cannot be asked offline (--offline or HF_HUB_OFFLINE)",
            }
            .into());
        }
        let key = std::env::var(KEY).ok();
        let remote = Remote::new(address, key.as_deref(), Timeouts::default())?;
        remote.check()?;
        Ok(Self { remote })
    }

    /// Its whole name.
    pub fn name(&self) -> &str {
        self.remote.name()
    }

    /// What it is asked, of what captioners here are asked.
    ///
    /// # Errors
    /// When something else is asked for than what to say and how much.
    pub fn question(&self, options: &CaptionOptions) -> Result<Question, RemoteError> {
        let usual = Question::default();
        let question = Question {
            text: options.prompt.clone().unwrap_or(usual.text),
            max_tokens: options.max_new_tokens.unwrap_or(usual.max_tokens),
        };
        let taken = CaptionOptions {
            prompt: options.prompt.clone(),
            max_new_tokens: options.max_new_tokens,
            ..CaptionOptions::default()
        };
        if *options == taken {
            return Ok(question);
        }
        Err(RemoteError::NotAllowed {
            name: self.name().to_owned(),
            reason: "a captioner on another server takes a prompt and a number of new tokens, and nothing else",
        })
    }

    /// One caption for each picture, by where they are.
    pub fn caption_sources(
        &self,
        sources: &[Source],
        limits: &Limits,
        question: &Question,
    ) -> Vec<Result<String, InputError>> {
        // Each alone: what is wrong with one costs no other its answer, and none is asked for twice.
        let described = of_sources(sources, limits, Self::read, |pictures| {
            Ok(self.forward(pictures, question))
        });
        described.into_iter().map(Result::flatten).collect()
    }

    /// An encoded picture as it leaves.
    ///
    /// # Errors
    /// When it is no picture, or one beyond the limits.
    pub(crate) fn read(bytes: &[u8], limits: Limits) -> Result<Vec<u8>, InputError> {
        let options = DecodeOptions {
            limits,
            alpha: Alpha::OverWhite,
            orientation: Orientation::Applied,
        };
        let image = shrunk(decode(bytes, &options)?)?;
        Ok(png_of(image.width, image.height, &image.pixels)?)
    }

    /// One answer for each picture as [`read`](Self::read) packs it.
    pub(crate) fn forward(
        &self,
        pictures: &[Vec<u8>],
        question: &Question,
    ) -> Vec<Result<String, InputError>> {
        let ask = |png: &Vec<u8>| Ok(self.remote.describe(png, question)?);
        pictures.par_iter().map(ask).collect()
    }
}

/// A picture whose longer side is not longer than what leaves.
fn shrunk(image: RgbImage) -> Result<RgbImage, InputError> {
    let (width, height) = (image.width, image.height);
    let longer = width.max(height);
    if longer <= LONGER_SIDE {
        return Ok(image);
    }
    let side = |side: u32| {
        let scaled = u64::from(side) * u64::from(LONGER_SIDE) / u64::from(longer);
        u32::try_from(scaled).unwrap_or(LONGER_SIDE).max(1)
    };
    Ok(resize(&image, side(width), side(height), Filter::Bicubic)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_picture_leaves_smaller_and_in_its_shape() {
        let image = |width: u32, height: u32| RgbImage {
            width,
            height,
            pixels: vec![7; (width * height * 3) as usize],
            format: None,
        };
        for ((width, height), expected) in [
            ((1024, 3), (1024, 3)),
            ((2048, 1000), (1024, 500)),
            ((3, 5000), (1, 1024)),
        ] {
            let found = shrunk(image(width, height)).unwrap();
            assert_eq!((found.width, found.height), expected);
        }
    }
}
