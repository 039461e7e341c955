//! From noise to pictures, step by step.

use crate::{
    DiffusionError, Drawing, Drawn, Infotext, Noise, Pipeline, Result, Settings,
    noise::NoiseStream, picture::to_bytes, schedule::History, text::Encoded, unet::Condition,
};
use candle_core::{DType, Device, Tensor};
use unprompt_image::RgbImage;

impl Pipeline {
    /// Draws pictures together. `watch` is told after each [evaluation](Self::evaluations) which one it was,
    /// counted from 1, and the latents of all pictures: (channels, rows, columns) each.
    ///
    /// What a picture becomes does not depend on the others, bit for bit.
    ///
    /// # Errors
    /// When the size is no multiple of [`multiple`](Self::multiple) or out of bounds, the steps are more
    /// than the scheduler has, the noise does not fit, or the weights give what is no number.
    pub fn draw(
        &self,
        drawings: &[Drawing],
        settings: &Settings,
        watch: &mut dyn FnMut(usize, &[Vec<f32>]),
    ) -> Result<Vec<Drawn>> {
        self.check(settings)?;
        let (rows, columns) = settings.latent_size(self.multiple())?;
        let schedule = self.schedule(settings)?;
        let channels = self.vae.latents();
        let length = channels * rows * columns;
        let conditions = drawings
            .iter()
            .map(|drawing| self.conditions(drawing, settings))
            .collect::<Result<Vec<_>>>()?;
        // Negative ones first, then the prompts; only these without guidance.
        let told: Vec<&Condition> = match settings.is_guided() {
            true => {
                let negative = conditions
                    .iter()
                    .filter_map(|(negative, _)| negative.as_ref());
                negative
                    .chain(conditions.iter().map(|(_, prompt)| prompt))
                    .collect()
            }
            false => conditions.iter().map(|(_, prompt)| prompt).collect(),
        };
        let mut streams: Vec<NoiseStream> = drawings
            .iter()
            .map(|drawing| NoiseStream::new(&drawing.noise))
            .collect();
        let mut pictures = Vec::with_capacity(drawings.len());
        for stream in &mut streams {
            let mut noise = stream.next(length)?;
            noise.iter_mut().for_each(|value| *value *= schedule.start);
            pictures.push(noise);
        }
        let mut histories = vec![History::default(); drawings.len()];
        for (step, time) in schedule.times.iter().enumerate() {
            let divisor = schedule.divisor(step);
            let copies = told.len().checked_div(drawings.len()).unwrap_or(0);
            let mut seen = Vec::with_capacity(told.len() * length);
            for _ in 0..copies {
                for picture in &pictures {
                    let scaled: Vec<f32> = picture.iter().map(|value| value / divisor).collect();
                    seen.extend(channels_last(&scaled, channels));
                }
            }
            if told.is_empty() {
                break;
            }
            let shape = (told.len(), rows, columns, channels);
            let seen = Tensor::from_vec(seen, shape, &Device::Cpu)?;
            let output = self.unet.forward(&seen, *time, &told)?;
            let output = output
                .to_dtype(DType::F32)?
                .flatten_all()?
                .to_vec1::<f32>()?;
            let outputs: Vec<Vec<f32>> = output
                .chunks_exact(length)
                .map(|output| channels_first(output, channels))
                .collect();
            for (index, picture) in pictures.iter_mut().enumerate() {
                let guided = match outputs.get(drawings.len() + index) {
                    Some(prompted) => guide(&outputs[index], prompted, settings.guidance),
                    None => outputs[index].clone(),
                };
                let noise = match schedule.is_ancestral() {
                    true => Some(streams[index].next(length)?),
                    false => None,
                };
                let history = &mut histories[index];
                schedule.advance(step, picture, &guided, noise.as_deref(), history);
                if picture.iter().any(|value| !value.is_finite()) {
                    return Err(DiffusionError::NotFinite { step: step + 1 });
                }
            }
            watch(step + 1, &pictures);
        }
        drop(conditions);
        pictures
            .into_iter()
            .zip(drawings)
            .map(|(latents, drawing)| self.finish(latents, drawing, settings))
            .collect()
    }

    /// What the UNet is told: the negative prompt where it counts, and the prompt.
    fn conditions(
        &self,
        drawing: &Drawing,
        settings: &Settings,
    ) -> Result<(Option<Condition>, Condition)> {
        let prompt = self.encoded(Some(&drawing.prompt))?;
        let negative = match settings.is_guided() {
            true => Some(self.encoded(drawing.negative.as_deref())?),
            false => None,
        };
        // SDXL: the size before it was cropped, where it was cropped, and the size it is to have.
        let (height, width) = (settings.height as f32, settings.width as f32);
        let numbers = [height, width, 0.0, 0.0, height, width];
        let told = |encoded: &Encoded| {
            let pooled = encoded.pooled.as_deref();
            self.unet
                .condition(&encoded.tokens, pooled.map(|pooled| (pooled, &numbers[..])))
        };
        Ok((negative.as_ref().map(told).transpose()?, told(&prompt)?))
    }

    fn finish(&self, latents: Vec<f32>, drawing: &Drawing, settings: &Settings) -> Result<Drawn> {
        let (rows, columns) = settings.latent_size(self.multiple())?;
        let channels = self.vae.latents();
        let shape = (1, rows, columns, channels);
        let seen = Tensor::from_vec(channels_last(&latents, channels), shape, &Device::Cpu)?;
        let pixels = self.vae.decode(&seen)?.to_dtype(DType::F32)?;
        let pixels = pixels.flatten_all()?.to_vec1::<f32>()?;
        if pixels.iter().any(|value| !value.is_finite()) {
            return Err(DiffusionError::Request(
                "the VAE gave values that are no numbers; its weights are damaged".into(),
            ));
        }
        let (width, height) = (settings.width, settings.height);
        let image = RgbImage::from_pixels(width as u32, height as u32, to_bytes(&pixels))
            .map_err(|error| DiffusionError::Picture(error.to_string()))?;
        let mut said = vec![
            ("Steps", settings.steps.to_string()),
            ("Sampler", settings.scheduler.sampler().to_owned()),
            ("CFG scale", settings.guidance.to_string()),
        ];
        if let Noise::Seed(seed) = drawing.noise {
            said.push(("Seed", seed.to_string()));
        }
        said.push(("Size", format!("{width}x{height}")));
        Ok(Drawn {
            image,
            latents,
            infotext: Infotext {
                prompt: drawing.prompt.clone(),
                negative: drawing.negative.clone().unwrap_or_default(),
                settings: said,
            },
        })
    }
}

/// From the answer to the negative prompt towards, and beyond, the one to the prompt.
fn guide(negative: &[f32], prompted: &[f32], guidance: f32) -> Vec<f32> {
    let both = negative.iter().zip(prompted);
    both.map(|(negative, prompted)| negative + guidance * (prompted - negative))
        .collect()
}

/// (channels, pixels) to (pixels, channels).
fn channels_last(values: &[f32], channels: usize) -> Vec<f32> {
    turned(values, channels)
}

/// (pixels, channels) to (channels, pixels).
fn channels_first(values: &[f32], channels: usize) -> Vec<f32> {
    turned(values, values.len().checked_div(channels).unwrap_or(0))
}

/// (rows, columns) to (columns, rows).
fn turned(values: &[f32], rows: usize) -> Vec<f32> {
    let columns = values.len().checked_div(rows).unwrap_or(0);
    let mut out = Vec::with_capacity(values.len());
    for column in 0..columns {
        out.extend((0..rows).map(|row| values[row * columns + column]));
    }
    out
}
