//! Pictures to captions: a captioner with its preprocessing.

use crate::{
    encoders::{
        located::{Kind, Located, refuse_open_clips_name},
        of_sources::of_sources,
        preprocessing::image_processor,
    },
    error::{InputError, Result},
    source::Source,
};
use rayon::prelude::*;
use unprompt_hub::{Hub, ModelRef, Progress, ResolvedModel};
use unprompt_image::{
    CLIP_MEAN, CLIP_STD, Filter, HALF, Layout, Limits, Normalize, Preprocessor, RgbImage, decode,
};
use unprompt_models::{
    Blip, Caption, Compute, GenerationOptions, ImageToText, LengthPenalty, Ofa, Sampling,
};

/// A model whose vocabulary is that of the uncased BERT, which bare BLIP files come without.
const UNCASED_BERT: &str = "all-MiniLM-L6-v2";

/// What is asked of captions; what is not is the model's own (see [`Captioner::default_options`]).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CaptionOptions {
    /// What the model goes on from (BLIP) or is asked (OFA).
    pub prompt: Option<String>,
    /// Sequences that are followed at a time; 1 is greedy.
    pub beams: Option<usize>,
    /// No run of this many tokens comes twice; 0 lets all come.
    pub no_repeat_ngram: Option<usize>,
    /// Tokens at least, the prompt's included.
    pub min_length: Option<usize>,
    /// Tokens at most, the prompt's included.
    pub max_length: Option<usize>,
    /// Tokens generated at most; comes before `max_length`.
    pub max_new_tokens: Option<usize>,
    /// The power of the length by which a beam's score is divided.
    pub length_penalty: Option<f64>,
    /// Which length that is.
    pub length_penalty_of: Option<LengthPenalty>,
    /// Ends as soon as there are as many finished sequences as beams.
    pub early_stopping: Option<bool>,
    /// Draws tokens in place of taking the most probable.
    pub sampling: Option<Sampling>,
}

/// A network that writes captions, from picture to text.
#[derive(Debug)]
pub struct Captioner {
    model: Box<dyn ImageToText>,
    preprocessor: Preprocessor,
}

impl Captioner {
    /// Resolves and builds a captioner: a BLIP or an OFA.
    ///
    /// # Errors
    /// When the model cannot be had or is no captioner.
    pub fn load(
        hub: &Hub,
        name: &str,
        compute: &Compute,
        progress: &dyn Progress,
    ) -> Result<(ResolvedModel, Self)> {
        refuse_open_clips_name(name, None, "a captioner")?;
        let located = Located::new(hub, name, progress)?;
        let kind = located.kind()?;
        let (model, mean, std): (Box<dyn ImageToText>, _, _) = match kind {
            Kind::Blip => {
                let blip = Blip::load(located.path(), None, located.options(compute));
                (Box::new(located.named(blip)?), CLIP_MEAN, CLIP_STD)
            }
            Kind::OriginalBlip => {
                let vocabulary = if Blip::has_vocabulary(located.path()) {
                    None
                } else {
                    Some(hub.resolve(&UNCASED_BERT.parse::<ModelRef>()?, progress)?)
                };
                let vocabulary = vocabulary
                    .as_ref()
                    .map(|model| model.file("tokenizer.json"))
                    .transpose()?;
                let blip = Blip::load(located.path(), vocabulary, located.options(compute));
                (Box::new(located.named(blip)?), CLIP_MEAN, CLIP_STD)
            }
            Kind::Ofa => {
                let ofa = Ofa::load(located.path(), located.options(compute));
                (Box::new(located.named(ofa)?), HALF, HALF)
            }
            other => return located.refuse(other, "a captioner"),
        };
        let preprocessor = match image_processor(&located)? {
            Some(preprocessor) => preprocessor,
            None => {
                let (height, width) = model.image_size();
                let normalize = Normalize { mean, std };
                Preprocessor::squash(width as u32, height as u32, Filter::Bicubic, normalize)
            }
        };
        Ok((
            located.resolved,
            Self {
                model,
                preprocessor,
            },
        ))
    }

    /// How a picture becomes the network's input.
    pub fn preprocessor(&self) -> &Preprocessor {
        &self.preprocessor
    }

    /// How the model generates where nothing else is asked for.
    pub fn default_options(&self) -> GenerationOptions {
        self.model.default_options()
    }

    /// Tells before any work whether the model can do what is asked.
    ///
    /// # Errors
    /// When an option does not fit the model, or leaves no room after the prompt.
    pub fn check(
        &self,
        options: &CaptionOptions,
    ) -> std::result::Result<(), unprompt_models::ModelError> {
        let prompt = options.prompt.as_deref();
        self.model.check(prompt, &self.generation_options(options))
    }

    /// One caption for each picture, the same whatever the others are.
    ///
    /// # Errors
    /// The first picture that is too elongated to be resized or whose caption's probabilities are
    /// no numbers, or an option that does not fit the model.
    pub fn caption(
        &self,
        images: &[RgbImage],
        options: &CaptionOptions,
    ) -> std::result::Result<Vec<Caption>, InputError> {
        let pixels: std::result::Result<Vec<_>, InputError> =
            images.par_iter().map(|image| self.prepare(image)).collect();
        self.forward(&pixels?, options)
    }

    /// As [`caption`](Self::caption), of pictures by where they are: one result for each, whatever is
    /// wrong with the others.
    pub fn caption_sources(
        &self,
        sources: &[Source],
        limits: &Limits,
        options: &CaptionOptions,
    ) -> Vec<std::result::Result<Caption, InputError>> {
        let prepare = |bytes: &[u8], limits| self.read(bytes, limits);
        of_sources(sources, limits, prepare, |pixels| {
            self.forward(pixels, options)
        })
    }

    /// An encoded picture as the network takes it.
    ///
    /// # Errors
    /// When it is no picture, one beyond the limits, or too elongated to be resized.
    pub(crate) fn read(
        &self,
        bytes: &[u8],
        limits: Limits,
    ) -> std::result::Result<Vec<f32>, InputError> {
        self.prepare(&decode(bytes, &self.preprocessor.decode_options(limits))?)
    }

    /// A picture as the network takes it.
    ///
    /// # Errors
    /// When the picture is too elongated to be resized.
    pub(crate) fn prepare(&self, image: &RgbImage) -> std::result::Result<Vec<f32>, InputError> {
        Ok(self.preprocessor.apply(image, Layout::Hwc)?.data)
    }

    /// As [`caption`](Self::caption), of pictures that are prepared.
    ///
    /// # Errors
    /// The first picture whose caption's probabilities are no numbers, or an option that does not
    /// fit the model.
    pub(crate) fn forward(
        &self,
        pixels: &[Vec<f32>],
        options: &CaptionOptions,
    ) -> std::result::Result<Vec<Caption>, InputError> {
        let prompt = options.prompt.as_deref();
        let generation = self.generation_options(options);
        Ok(self.model.caption(pixels, prompt, &generation)?)
    }

    fn generation_options(&self, options: &CaptionOptions) -> GenerationOptions {
        let own = self.model.default_options();
        let (max_length, max_new_tokens) = match (options.max_length, options.max_new_tokens) {
            (length, Some(new)) => (length.unwrap_or(own.max_length), Some(new)),
            (Some(length), None) => (length, None),
            (None, None) => (own.max_length, own.max_new_tokens),
        };
        GenerationOptions {
            beams: options.beams.unwrap_or(own.beams),
            no_repeat_ngram: options.no_repeat_ngram.unwrap_or(own.no_repeat_ngram),
            min_length: options.min_length.unwrap_or(own.min_length),
            max_length,
            max_new_tokens,
            length_penalty: options.length_penalty.unwrap_or(own.length_penalty),
            length_penalty_of: options.length_penalty_of.unwrap_or(own.length_penalty_of),
            early_stopping: options.early_stopping.unwrap_or(own.early_stopping),
            sampling: options.sampling.or(own.sampling),
            ..own
        }
    }
}
