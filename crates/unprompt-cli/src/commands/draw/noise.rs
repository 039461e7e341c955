//! Noise that was made elsewhere.

use anyhow::{Context, Result, bail};
use std::path::Path;
use unprompt::{
    diffusion::Noise,
    models::{Checkpoint, Pickle},
};

/// The tensor's name.
const NAME: &str = "noise";

/// Noise of several pictures: of the beginning, and of each step.
pub(super) struct GivenNoise {
    name: String,
    values: Vec<f32>,
    /// Pieces for each picture, pictures, and values of a piece.
    pieces: usize,
    pictures: usize,
    length: usize,
}

impl GivenNoise {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let name = format!("--noise {}", path.display());
        let checkpoint = Checkpoint::open(path, Pickle::Deny).with_context(|| name.clone())?;
        let shape = checkpoint.tensor(NAME).map(|tensor| tensor.shape.to_vec());
        let Some(&[pieces, pictures, channels, rows, columns]) = shape.as_deref() else {
            bail!(
                "{name}: a tensor `{NAME}` of (steps + 1, pictures, channels, rows, columns) is needed, found {}",
                shape.map_or_else(|| "none".to_owned(), |shape| format!("{shape:?}"))
            );
        };
        let values = checkpoint
            .tensor_f32(NAME, &[pieces, pictures, channels, rows, columns])
            .with_context(|| name.clone())?;
        if values.is_empty() {
            bail!("{name}: the tensor `{NAME}` is empty");
        }
        Ok(Self {
            name,
            values,
            pieces,
            pictures,
            length: channels * rows * columns,
        })
    }

    /// Refuses more pictures than it has noise for.
    pub(super) fn check(&self, pictures: usize) -> Result<()> {
        if pictures > self.pictures {
            bail!(
                "{}: it has noise for {} pictures only, and {pictures} are to be drawn",
                self.name,
                self.pictures
            );
        }
        Ok(())
    }

    /// That of one picture, of those that were [checked](Self::check).
    pub(super) fn of(&self, picture: usize) -> Noise {
        let piece = |index: usize| {
            let start = (index * self.pictures + picture) * self.length;
            self.values[start..start + self.length].to_vec()
        };
        Noise::Given {
            start: piece(0),
            steps: (1..self.pieces).map(piece).collect(),
        }
    }
}
