//! A folder of diffusers, and drawing with it.

use crate::{
    DiffusionError, Drawn, Infotext, Noise, Result, SchedulerKind,
    configuration::Configuration,
    noise::NoiseStream,
    picture::to_bytes,
    schedule::{History, Schedule, Stated},
    text::{Encoded, TextEncoders},
    unet::{Condition, UNet},
    vae::Vae,
};
use candle_core::{Device, Tensor};
use std::{
    path::Path,
    time::{Duration, Instant},
};
use unprompt_image::RgbImage;
use unprompt_models::{Dtype, LoadOptions};
use unprompt_nn::{Activation, Linear};

/// The smallest side of a picture, in pixels, and the largest.
const SMALLEST_SIDE: usize = 64;
const LARGEST_SIDE: usize = 4096;
/// How long the machine's speed is measured.
const MOMENT: Duration = Duration::from_millis(100);

/// A Stable Diffusion: its networks, and what its folder says of how they are used.
#[derive(Debug)]
pub struct Pipeline {
    text: TextEncoders,
    unet: UNet,
    vae: Vae,
    stated: Stated,
    scheduler: SchedulerKind,
    family: Family,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    /// 1 and 2.
    Stable,
    Xl {
        /// What stands for no negative prompt is nothing at all.
        zeros: bool,
    },
}

/// One picture to draw.
#[derive(Clone, Debug)]
pub struct Drawing {
    /// What it shows.
    pub prompt: String,
    /// What it does not show; `None` is an empty text, or with SDXL what its folder says.
    pub negative: Option<String>,
    /// What it is drawn from.
    pub noise: Noise,
}

impl Drawing {
    /// Of a prompt and a seed.
    pub fn new(prompt: impl Into<String>, seed: u64) -> Self {
        Self {
            prompt: prompt.into(),
            negative: None,
            noise: Noise::Seed(seed),
        }
    }
}

/// How pictures are drawn.
#[derive(Clone, Debug)]
pub struct Settings {
    /// In pixels, a multiple of [`Pipeline::multiple`].
    pub width: usize,
    /// In pixels, the same.
    pub height: usize,
    /// Steps from noise to picture.
    pub steps: usize,
    /// How far the picture is driven from the negative prompt towards the prompt; 1 and less leaves the
    /// negative prompt out, and halves the work.
    pub guidance: f32,
    /// Which steps.
    pub scheduler: SchedulerKind,
}

impl Settings {
    /// What is usual: the size that the model was trained on, its folder's scheduler, 25 steps, guidance
    /// 7.5.
    pub fn of(pipeline: &Pipeline) -> Self {
        let side = pipeline.usual_side();
        Self {
            width: side,
            height: side,
            steps: 25,
            guidance: 7.5,
            scheduler: pipeline.scheduler,
        }
    }
}

impl Pipeline {
    /// Opens a folder. `note` is told what is left out or stands in for something else.
    ///
    /// # Errors
    /// Names the file and the tensor, setting or part that is missing, broken or not built.
    pub fn open(folder: &Path, options: &LoadOptions, note: &mut dyn FnMut(&str)) -> Result<Self> {
        if options.compute.dtype() != Dtype::F32 || !options.compute.is_cpu() {
            return Err(DiffusionError::Request(
                "pictures are drawn in f32 on the processor; leave out the device and the number type".into(),
            ));
        }
        let index = Configuration::read(&folder.join("model_index.json"))?;
        let class: String = index.or("_class_name", String::new())?;
        let family = match class.as_str() {
            "StableDiffusionPipeline" => Family::Stable,
            "StableDiffusionXLPipeline" => Family::Xl {
                zeros: index.or("force_zeros_for_empty_prompt", true)?,
            },
            other => {
                return Err(index.refuse(&format!(
                    "`_class_name` `{other}` is not built; StableDiffusionPipeline and \
                     StableDiffusionXLPipeline are"
                )));
            }
        };
        let checker: Option<[Option<String>; 2]> = index.optional("safety_checker")?;
        if matches!(checker, Some([_, Some(_)])) {
            note("the folder's safety checker is left out: pictures are written as they are drawn");
        }
        let stated = Stated::read(&folder.join("scheduler").join("scheduler_config.json"))?;
        let (scheduler, stand_in) = stated.kind()?;
        if let Some(stand_in) = stand_in {
            note(&stand_in);
        }
        let text = match family {
            Family::Stable => TextEncoders::one(folder, options)?,
            Family::Xl { .. } => TextEncoders::two(folder, options)?,
        };
        let unet = UNet::open(&folder.join("unet"), options.pickle)?;
        let vae = Vae::open(&folder.join("vae"), options.pickle)?;
        let (latents, width) = (unet.config().latents, unet.config().text);
        let refuse = |part: &str, message: String| {
            crate::error::configuration(&folder.join(part).join("config.json"), message)
        };
        if latents != vae.latents() {
            let other = vae.latents();
            return Err(refuse(
                "unet",
                format!("`in_channels` {latents} where the VAE has {other}"),
            ));
        }
        if width != text.width() {
            let other = text.width();
            return Err(refuse(
                "unet",
                format!("`cross_attention_dim` {width} where the text encoders have {other}"),
            ));
        }
        if unet.config().added.is_some() != (family != Family::Stable) {
            return Err(refuse(
                "unet",
                format!("`addition_embed_type` does not fit a {class}"),
            ));
        }
        Ok(Self {
            text,
            unet,
            vae,
            stated,
            scheduler,
            family,
        })
    }

    /// The scheduler of the folder, or what stands in for it.
    pub fn scheduler(&self) -> SchedulerKind {
        self.scheduler
    }

    /// Sides of pictures are multiples of this many pixels.
    pub fn multiple(&self) -> usize {
        self.vae.factor()
    }

    /// The side of the pictures that the model was trained on.
    pub fn usual_side(&self) -> usize {
        let side = self.unet.config().size.saturating_mul(self.vae.factor());
        let largest = LARGEST_SIDE / self.multiple() * self.multiple();
        side.clamp(SMALLEST_SIDE.next_multiple_of(self.multiple()), largest)
    }

    /// How many tokens at the end of a prompt the model cannot see.
    ///
    /// # Errors
    /// When the tokenizer cannot take the text.
    pub fn cut(&self, prompt: &str) -> Result<usize> {
        self.text.cut(prompt)
    }

    /// What the UNet is told of a prompt, or of none: the vectors of all tokens, one after the other, and
    /// with SDXL the pooled one.
    ///
    /// # Errors
    /// When the tokenizer cannot take the text.
    pub fn told(&self, prompt: Option<&str>) -> Result<(Vec<f32>, Option<Vec<f32>>)> {
        let encoded = self.encoded(prompt)?;
        Ok((encoded.tokens.flatten_all()?.to_vec1()?, encoded.pooled))
    }

    /// Multiplications and additions that a picture takes, within a few per cent: all steps, then the
    /// decoder.
    ///
    /// # Errors
    /// As [`draw`](Self::draw), for the size.
    pub fn work(&self, settings: &Settings) -> Result<(u64, u64)> {
        let size = self.latent_size(settings)?;
        let evaluations = if is_guided(settings) { 2 } else { 1 };
        let step = self.unet.work(size, self.text.tokens()) * evaluations;
        Ok((step * settings.steps as u64, self.vae.work(size)))
    }

    /// Multiplies matrices of the networks' kind for a moment, and tells how many multiplications and
    /// additions that were: with the time that it took, how fast this machine is.
    ///
    /// # Errors
    /// Never, but for a broken build.
    pub fn measure() -> Result<u64> {
        const SIDE: usize = 1024;
        let layer = Tensor::full(0.5f32, (SIDE, SIDE), &Device::Cpu)?;
        let layer = Linear::new(&layer, None, Activation::Identity)?;
        let rows = Tensor::full(0.25f32, (SIDE, SIDE), &Device::Cpu)?;
        let mut work = 0;
        let start = Instant::now();
        while start.elapsed() < MOMENT {
            layer.forward(&rows)?;
            work += (SIDE * SIDE * SIDE) as u64;
        }
        Ok(work)
    }

    /// Whether pictures can be drawn so, before anything is.
    ///
    /// # Errors
    /// As [`draw`](Self::draw), as far as the settings tell.
    pub fn check(&self, settings: &Settings) -> Result<()> {
        self.latent_size(settings)?;
        if !settings.guidance.is_finite() {
            return Err(DiffusionError::Request(format!(
                "guidance {}: a number is needed",
                settings.guidance
            )));
        }
        let config = self.stated.settings(settings.scheduler)?;
        Schedule::new(&config, settings.steps)?;
        Ok(())
    }

    /// Bytes that decoding one picture takes beside the weights.
    ///
    /// # Errors
    /// As [`draw`](Self::draw), for the size.
    pub fn memory(&self, settings: &Settings) -> Result<u64> {
        Ok(self.vae.memory(self.latent_size(settings)?))
    }

    /// Draws pictures together. `watch` is told after each step which one it was, counted from 1, and
    /// the latents of all pictures: (channels, rows, columns) each.
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
        let (rows, columns) = self.latent_size(settings)?;
        let config = self.stated.settings(settings.scheduler)?;
        let schedule = Schedule::new(&config, settings.steps)?;
        let channels = self.vae.latents();
        let length = channels * rows * columns;
        let conditions = drawings
            .iter()
            .map(|drawing| self.conditions(drawing, settings))
            .collect::<Result<Vec<_>>>()?;
        // Negative ones first, then the prompts; only these without guidance.
        let told: Vec<&Condition> = match is_guided(settings) {
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
            let output = output.flatten_all()?.to_vec1::<f32>()?;
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

    /// Rows and columns of latents.
    fn latent_size(&self, settings: &Settings) -> Result<(usize, usize)> {
        let multiple = self.multiple();
        let Settings { width, height, .. } = *settings;
        let fits = |side: usize| {
            side.is_multiple_of(multiple) && (SMALLEST_SIDE..=LARGEST_SIDE).contains(&side)
        };
        if fits(width) && fits(height) {
            return Ok((height / multiple, width / multiple));
        }
        let smallest = SMALLEST_SIDE.next_multiple_of(multiple);
        let largest = LARGEST_SIDE / multiple * multiple;
        let near = |side: usize| {
            let below = (side / multiple * multiple).clamp(smallest, largest);
            let above = below.saturating_add(multiple).min(largest);
            match fits(side) {
                true => side.to_string(),
                false if side < smallest => smallest.to_string(),
                false if below == above => below.to_string(),
                false => format!("{below} or {above}"),
            }
        };
        Err(DiffusionError::Request(format!(
            "a size of {width}x{height}: sides are multiples of {multiple} from {smallest} to {largest}; the \
             next are {} wide and {} high",
            near(width),
            near(height)
        )))
    }

    /// A prompt, or what stands for none.
    fn encoded(&self, prompt: Option<&str>) -> Result<Encoded> {
        let encoded = self.text.encode(prompt.unwrap_or(""))?;
        match (prompt, self.family) {
            (None, Family::Xl { zeros: true }) => TextEncoders::nothing(&encoded),
            _ => Ok(encoded),
        }
    }

    /// What the UNet is told: the negative prompt where it counts, and the prompt.
    fn conditions(
        &self,
        drawing: &Drawing,
        settings: &Settings,
    ) -> Result<(Option<Condition>, Condition)> {
        let prompt = self.encoded(Some(&drawing.prompt))?;
        let negative = match is_guided(settings) {
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
        let (rows, columns) = self.latent_size(settings)?;
        let channels = self.vae.latents();
        let shape = (1, rows, columns, channels);
        let seen = Tensor::from_vec(channels_last(&latents, channels), shape, &Device::Cpu)?;
        let pixels = self.vae.decode(&seen)?.flatten_all()?.to_vec1::<f32>()?;
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

/// Whether the negative prompt counts.
fn is_guided(settings: &Settings) -> bool {
    settings.guidance > 1.0
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
