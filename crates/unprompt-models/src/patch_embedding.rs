//! Pictures to tokens: the beginning of ViT and of CLIP's image tower.

use crate::Result;
use candle_core::{Device, Tensor, bail};
use unprompt_nn::{Activation, Padding, PatchConv2d};

/// Cuts a picture into patches, puts the class token (and registers) before them and adds the
/// positions.
#[derive(Debug)]
pub(crate) struct PatchEmbedding {
    patches: PatchConv2d,
    // (prefix tokens, width), their positions already added
    prefix: Option<Tensor>,
    // (patches, width)
    positions: Tensor,
    width: usize,
    image_size: (usize, usize),
}

impl PatchEmbedding {
    /// `weight` is (width, 3, patch, patch), `prefix` (tokens, width), `positions` (tokens, width)
    /// for the patches alone or for prefix and patches; `image_size` is height and width.
    pub(crate) fn new(
        weight: &Tensor,
        bias: Option<&Tensor>,
        prefix: Option<Tensor>,
        positions: Tensor,
        image_size: (usize, usize),
    ) -> Result<Self> {
        let (width, _, patch, _) = weight.dims4()?;
        let count = (image_size.0 / patch) * (image_size.1 / patch);
        let prefix_count = prefix.as_ref().map_or(0, |prefix| prefix.dims()[0]);
        let (prefix, positions) = match (prefix, positions.dims2()?.0) {
            (prefix, rows) if rows == count => (prefix, positions),
            (Some(prefix), rows) if rows == count + prefix_count => {
                let prefix = (prefix + positions.narrow(0, 0, prefix_count)?)?;
                (Some(prefix), positions.narrow(0, prefix_count, count)?)
            }
            (_, rows) => bail_positions(rows, count, prefix_count)?,
        };
        Ok(Self {
            patches: PatchConv2d::new(weight, bias, (patch, Padding::None), Activation::Identity)?,
            prefix,
            positions,
            width,
            image_size,
        })
    }

    /// Height and width of the pictures.
    pub(crate) fn image_size(&self) -> (usize, usize) {
        self.image_size
    }

    /// Class token and registers before a picture's patches.
    pub(crate) fn prefix_count(&self) -> usize {
        self.prefix.as_ref().map_or(0, |prefix| prefix.dims()[0])
    }

    /// Tokens of one picture.
    pub(crate) fn token_count(&self) -> usize {
        self.prefix_count() + self.positions.dims()[0]
    }

    /// The tokens of all pictures, end to end: (pictures * tokens, width). A picture is
    /// height * width * 3 normalised values, channels last.
    pub(crate) fn forward<P: AsRef<[f32]>>(&self, pictures: &[P]) -> Result<Tensor> {
        let (height, width) = self.image_size;
        let mut pixels = Vec::with_capacity(pictures.len() * height * width * 3);
        for picture in pictures {
            let picture = picture.as_ref();
            if picture.len() != height * width * 3 {
                return Err(candle_core::Error::Msg(format!(
                    "a picture of {} values where {height} x {width} x 3 are needed",
                    picture.len()
                ))
                .into());
            }
            pixels.extend_from_slice(picture);
        }
        let pixels = Tensor::from_vec(pixels, (pictures.len(), height, width, 3), &Device::Cpu)?;
        let patches = self.patches.forward(&pixels)?;
        let count = self.positions.dims()[0];
        let patches = patches.reshape((pictures.len(), count, self.width))?;
        let patches = patches.broadcast_add(&self.positions)?;
        let tokens = match &self.prefix {
            None => patches,
            Some(prefix) => {
                let prefix = prefix.unsqueeze(0)?;
                let prefix =
                    prefix.broadcast_as((pictures.len(), self.prefix_count(), self.width))?;
                Tensor::cat(&[&prefix.contiguous()?, &patches], 1)?
            }
        };
        Ok(tokens.flatten(0, 1)?)
    }
}

fn bail_positions<T>(rows: usize, count: usize, prefix: usize) -> candle_core::Result<T> {
    bail!(
        "the position table has {rows} rows where {count} patches and {prefix} tokens before them \
         are needed"
    )
}
