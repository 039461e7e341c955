//! The finished picture, and what its file says of it.

use crate::{DiffusionError, Result};
use unprompt_image::RgbImage;
use unprompt_metadata::write::{Form, write};

/// A picture that was drawn.
#[derive(Clone, Debug)]
pub struct Drawn {
    /// The pixels.
    pub image: RgbImage,
    /// The latents that they were decoded from: (channels, rows, columns).
    pub latents: Vec<f32>,
    /// How it was drawn.
    pub infotext: Infotext,
}

/// How a picture was drawn, as the web UI of AUTOMATIC1111 writes it into its files.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Infotext {
    /// The prompt.
    pub prompt: String,
    /// The negative prompt; empty where there was none.
    pub negative: String,
    /// Key and value, in order.
    pub settings: Vec<(&'static str, String)>,
}

impl Infotext {
    /// What stands behind the prompt.
    fn rest(&self) -> String {
        let mut rest = String::new();
        if !self.negative.is_empty() {
            rest = format!("Negative prompt: {}\n", self.negative);
        }
        let quoted = |value: &str| match value.contains([',', ':', '\n', '"']) {
            true => serde_json::Value::from(value).to_string(),
            false => value.to_owned(),
        };
        let pairs = self
            .settings
            .iter()
            .map(|(key, value)| format!("{key}: {}", quoted(value)));
        rest + &pairs.collect::<Vec<_>>().join(", ")
    }
}

impl Drawn {
    /// The file: a PNG whose text `parameters` says how it was drawn, so that whoever reads prompts out
    /// of pictures finds this one's.
    ///
    /// # Errors
    /// When the prompt is longer than what is written into files.
    pub fn png(&self) -> Result<Vec<u8>> {
        let failed = |error: &dyn std::fmt::Display| DiffusionError::Picture(error.to_string());
        let RgbImage {
            width,
            height,
            pixels,
            ..
        } = &self.image;
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, *width, *height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder
            .add_itxt_chunk("parameters".to_owned(), self.infotext.rest())
            .map_err(|error| failed(&error))?;
        let mut writer = encoder.write_header().map_err(|error| failed(&error))?;
        writer
            .write_image_data(pixels)
            .map_err(|error| failed(&error))?;
        writer.finish().map_err(|error| failed(&error))?;
        if self.infotext.prompt.trim().is_empty() {
            return Ok(bytes);
        }
        // Which keeps the settings, and sees to it that any prompt is read back as it was.
        let written = write(&bytes, &self.infotext.prompt, Form::Parameters);
        Ok(written.map_err(|error| failed(&error))?.bytes)
    }
}

/// (rows, columns, 3) of values around -1 to 1 as bytes: halves to even, as numpy rounds.
pub(crate) fn to_bytes(values: &[f32]) -> Vec<u8> {
    let byte = |value: &f32| ((value / 2.0 + 0.5).clamp(0.0, 1.0) * 255.0).round_ties_even() as u8;
    values.iter().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use unprompt_metadata::read;

    #[test]
    fn the_file_says_what_was_drawn_and_how() {
        let image = RgbImage::from_pixels(2, 1, vec![1, 2, 3, 4, 5, 6]).unwrap();
        for (prompt, negative) in [
            ("a cat, detailed", "blurry, bad"),
            ("a\nSteps: 5, Sampler: x\nNegative prompt: y", ""),
            (" leading and trailing ", "n\nm"),
        ] {
            let drawn = Drawn {
                image: image.clone(),
                latents: Vec::new(),
                infotext: Infotext {
                    prompt: prompt.into(),
                    negative: negative.into(),
                    settings: vec![
                        ("Steps", "20".into()),
                        ("Sampler", "Euler a".into()),
                        ("CFG scale", "7.5".into()),
                        ("Seed", "3".into()),
                        ("Size", "2x1".into()),
                        ("Model", "sd, 1.5".into()),
                    ],
                },
            };
            let png = drawn.png().unwrap();
            let found = read(&png).unwrap().unwrap();
            assert_eq!(found.prompt, prompt);
            assert_eq!(found.negative_prompt.as_deref().unwrap_or(""), negative);
            let decoded = unprompt_image::decode(&png, &Default::default()).unwrap();
            assert_eq!(decoded.pixels, image.pixels);
        }
    }

    #[test]
    fn values_are_rounded_as_numpy_rounds_them() {
        assert_eq!(
            to_bytes(&[-2.0, -1.0, 0.0, 1.0, 7.0, f32::NAN]),
            [0, 0, 128, 255, 255, 0]
        );
    }
}
