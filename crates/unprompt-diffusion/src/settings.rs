//! What is drawn, and how.

use crate::{DiffusionError, Noise, Pipeline, Result, SchedulerKind};

/// The smallest side of a picture, in pixels, and the largest.
const SMALLEST_SIDE: usize = 64;
const LARGEST_SIDE: usize = 4096;

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
            scheduler: pipeline.scheduler(),
        }
    }

    /// Whether the negative prompt counts.
    pub(crate) fn is_guided(&self) -> bool {
        self.guidance > 1.0
    }

    /// Rows and columns of latents, one of which stands for so many pixels of a side.
    ///
    /// # Errors
    /// When a side is no multiple of that, or out of bounds; names the next that can be.
    pub(crate) fn latent_size(&self, multiple: usize) -> Result<(usize, usize)> {
        let Self { width, height, .. } = *self;
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

    /// The side in bounds that is nearest to one, for a model whose sides are such multiples.
    pub(crate) fn usual_side(side: usize, multiple: usize) -> usize {
        let largest = LARGEST_SIDE / multiple * multiple;
        side.clamp(SMALLEST_SIDE.next_multiple_of(multiple), largest)
    }
}
