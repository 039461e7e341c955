//! Prompts to what the UNet is told.

use crate::{DiffusionError, Result, error::configuration};
use candle_core::{D, Tensor};
use std::path::Path;
use unprompt_models::{ClipCheckpoint, ClipTextTower, ClipTokenizer, LoadOptions};

/// The text encoders of a pipeline: one, or two side by side.
#[derive(Debug)]
pub(crate) struct TextEncoders {
    encoders: Vec<Encoder>,
    /// Blocks left out at the end, where the normalisation is left out too: SDXL.
    before_last: bool,
}

#[derive(Debug)]
struct Encoder {
    tokenizer: ClipTokenizer,
    tower: ClipTextTower,
}

/// A prompt as the UNet is told it.
#[derive(Clone, Debug)]
pub(crate) struct Encoded {
    /// (tokens, width)
    pub(crate) tokens: Tensor,
    /// The pooled text of the second encoder, projected.
    pub(crate) pooled: Option<Vec<f32>>,
}

impl Encoder {
    fn open(tokenizer: &Path, encoder: &Path, options: &LoadOptions) -> Result<Self> {
        let tower = ClipCheckpoint::open(encoder, options.clone())?.text_tower()?;
        let tokenizer = ClipTokenizer::from_folder(tokenizer, tower.context_length())?;
        Ok(Self { tokenizer, tower })
    }
}

impl TextEncoders {
    /// The one of Stable Diffusion 1 and 2.
    pub(crate) fn one(folder: &Path, options: &LoadOptions) -> Result<Self> {
        let (tokenizer, encoder) = (folder.join("tokenizer"), folder.join("text_encoder"));
        Ok(Self {
            encoders: vec![Encoder::open(&tokenizer, &encoder, options)?],
            before_last: false,
        })
    }

    /// The two of SDXL.
    pub(crate) fn two(folder: &Path, options: &LoadOptions) -> Result<Self> {
        let mut encoders = Vec::with_capacity(2);
        for [tokenizer, encoder] in [
            ["tokenizer", "text_encoder"],
            ["tokenizer_2", "text_encoder_2"],
        ] {
            let (tokenizer, encoder) = (folder.join(tokenizer), folder.join(encoder));
            if !encoder.is_dir() {
                return Err(configuration(
                    &encoder,
                    "no such folder; SDXL with one text encoder (its refiner) is not built",
                ));
            }
            encoders.push(Encoder::open(&tokenizer, &encoder, options)?);
        }
        Ok(Self {
            encoders,
            before_last: true,
        })
    }

    /// Numbers per token, of all encoders side by side.
    pub(crate) fn width(&self) -> usize {
        let widths = self.encoders.iter().map(|one| one.tower.hidden_width());
        widths.sum()
    }

    /// Tokens of every text, padding included.
    pub(crate) fn tokens(&self) -> usize {
        self.encoders
            .first()
            .map_or(0, |one| one.tokenizer.context_length())
    }

    /// How many tokens of a prompt, start and end included, are not looked at.
    pub(crate) fn cut(&self, prompt: &str) -> Result<usize> {
        let mut most = 0;
        for Encoder { tokenizer, .. } in &self.encoders {
            let count = tokenizer.count(prompt)?;
            most = most.max(count.saturating_sub(tokenizer.context_length()));
        }
        Ok(most)
    }

    /// A prompt, cut where it is too long and padded where it is short.
    pub(crate) fn encode(&self, prompt: &str) -> Result<Encoded> {
        let (mut parts, mut pooled) = (Vec::new(), None);
        for Encoder { tokenizer, tower } in &self.encoders {
            let ids = tokenizer.encode_padded(prompt)?;
            let skipped = usize::from(self.before_last);
            parts.push(tower.token_vectors(&ids, skipped, !self.before_last)?);
            if self.before_last {
                pooled = tower.forward(&[&ids])?.pop();
            }
        }
        let lengths: Vec<usize> = parts.iter().map(|part| part.dims()[0]).collect();
        if lengths.windows(2).any(|pair| pair[0] != pair[1]) {
            return Err(DiffusionError::Request(format!(
                "the two tokenizers make texts of {lengths:?} tokens; the parts of the folder do not belong \
                 together"
            )));
        }
        Ok(Encoded {
            tokens: Tensor::cat(&parts, D::Minus1)?,
            pooled,
        })
    }

    /// What stands for no negative prompt where the model was trained with nothing at all.
    pub(crate) fn nothing(like: &Encoded) -> Result<Encoded> {
        Ok(Encoded {
            tokens: like.tokens.zeros_like()?,
            pooled: like.pooled.as_ref().map(|pooled| vec![0.0; pooled.len()]),
        })
    }
}
