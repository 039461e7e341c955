//! A folder of diffusers, and what is known of drawing with it beforehand.

use crate::{
    DiffusionError, Result, SchedulerKind, Settings,
    configuration::Configuration,
    schedule::{Schedule, Stated},
    text::{Encoded, TextEncoders},
    unet::UNet,
    vae::Vae,
};
use candle_core::{DType, Device, Tensor};
use std::{
    path::Path,
    time::{Duration, Instant},
};
use unprompt_models::{Dtype, LoadOptions};
use unprompt_nn::{Activation, Linear};

/// How long the machine's speed is measured.
const MOMENT: Duration = Duration::from_millis(100);
/// Feature maps of the decoder that are there at once: the input that is carried around, what is between the
/// convolutions, and the output.
const MAPS: u64 = 4;
/// How often a graphics card has the largest of them beside that, as the patches under a kernel of 3 x 3.
const PATCHES: u64 = 9;

/// A Stable Diffusion: its networks, and what its folder says of how they are used.
#[derive(Debug)]
pub struct Pipeline {
    text: TextEncoders,
    pub(crate) unet: UNet,
    pub(crate) vae: Vae,
    stated: Stated,
    scheduler: SchedulerKind,
    family: Family,
    is_on_cpu: bool,
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

impl Pipeline {
    /// Opens a folder. `note` is told what is left out or stands in for something else.
    ///
    /// # Errors
    /// When int8 is asked for; otherwise names the file and the tensor, setting or part that is missing,
    /// broken or not built.
    pub fn open(folder: &Path, options: &LoadOptions, note: &mut dyn FnMut(&str)) -> Result<Self> {
        if options.compute.dtype() == Dtype::Int8 {
            return Err(DiffusionError::Request(
                "pictures are drawn in f32, on a graphics card in f16 and bf16 too; leave out int8"
                    .into(),
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
        let is_xl = family != Family::Stable;
        let unet = UNet::open(&folder.join("unet"), options)?;
        let vae = Vae::open(&folder.join("vae"), options, is_xl)?;
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
        if unet.config().added.is_some() != is_xl {
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
            is_on_cpu: options.compute.is_cpu(),
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
        Settings::usual_side(side, self.multiple())
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
        let tokens = encoded.tokens.to_dtype(DType::F32)?;
        Ok((tokens.flatten_all()?.to_vec1()?, encoded.pooled))
    }

    /// How often the UNet looks at each picture: once a step, but for PNDM, whose first steps take more.
    ///
    /// # Errors
    /// As [`draw`](Self::draw), as far as the settings tell.
    pub fn evaluations(&self, settings: &Settings) -> Result<usize> {
        Ok(self.schedule(settings)?.times.len())
    }

    pub(crate) fn schedule(&self, settings: &Settings) -> Result<Schedule> {
        let config = self.stated.settings(settings.scheduler)?;
        Schedule::new(&config, settings.steps)
    }

    /// Multiplications and additions that a picture takes, within a few per cent: all steps, then the
    /// decoder.
    ///
    /// # Errors
    /// As [`draw`](Self::draw), as far as the settings tell.
    pub fn work(&self, settings: &Settings) -> Result<(u64, u64)> {
        let size = settings.latent_size(self.multiple())?;
        let both = if settings.is_guided() { 2 } else { 1 };
        let evaluation = self.unet.work(size, self.text.tokens()) * both;
        let count = self.evaluations(settings)? as u64;
        Ok((evaluation * count, self.vae.work(size)))
    }

    /// Seconds that one multiplication and addition takes, from multiplying matrices of the networks' kind
    /// for a moment.
    ///
    /// # Errors
    /// When the device fails.
    pub fn measure(&self) -> Result<f64> {
        // A card needs more to be busy with.
        let side: usize = if self.is_on_cpu { 1024 } else { 8192 };
        let square = |value: f32| -> Result<Tensor> {
            let values = Tensor::full(value, (side, side), &Device::Cpu)?;
            self.unet.beside_weights(&values)
        };
        let (layer, rows) = (
            Linear::new(&square(0.5)?, None, Activation::Identity)?,
            square(0.25)?,
        );
        let multiply = || -> Result<f32> {
            let product = layer.forward(&rows)?;
            // A card has finished when it is asked for a value.
            let value = product.get(0)?.get(0)?.to_dtype(DType::F32)?;
            Ok(value.to_scalar()?)
        };
        multiply()?;
        let (start, mut count) = (Instant::now(), 0u32);
        while start.elapsed() < MOMENT {
            multiply()?;
            count += 1;
        }
        Ok(start.elapsed().as_secs_f64() / (f64::from(count) * (side as f64).powi(3)))
    }

    /// Whether pictures can be drawn so, before anything is.
    ///
    /// # Errors
    /// As [`draw`](Self::draw), as far as the settings tell.
    pub fn check(&self, settings: &Settings) -> Result<()> {
        settings.latent_size(self.multiple())?;
        if !settings.guidance.is_finite() {
            return Err(DiffusionError::Request(format!(
                "guidance {}: a number is needed",
                settings.guidance
            )));
        }
        self.schedule(settings)?;
        Ok(())
    }

    /// Bytes that decoding one picture takes beside the weights, about.
    ///
    /// # Errors
    /// As [`draw`](Self::draw), for the size.
    pub fn memory(&self, settings: &Settings) -> Result<u64> {
        let largest = self.vae.largest_map(settings.latent_size(self.multiple())?);
        let maps = if self.is_on_cpu { MAPS } else { MAPS + PATCHES };
        Ok(maps * largest * size_of::<f32>() as u64)
    }

    /// A prompt, or what stands for none.
    pub(crate) fn encoded(&self, prompt: Option<&str>) -> Result<Encoded> {
        let encoded = self.text.encode(prompt.unwrap_or(""))?;
        match (prompt, self.family) {
            (None, Family::Xl { zeros: true }) => TextEncoders::nothing(&encoded),
            _ => Ok(encoded),
        }
    }
}
