//! How an inverted bottleneck's outputs are divided, and where its inputs lie among their zeros.

use super::Lanes;
use crate::convolution::Axis;
use std::ops::Range;

/// Values after the depthwise convolution that a band has at most, if it has more than a row: they
/// wait in the second-level cache.
const BAND_VALUES: usize = 1 << 17;

/// The axes of a picture under a depthwise convolution.
#[derive(Clone, Copy)]
pub(super) struct Axes {
    pub(super) rows: Axis,
    pub(super) columns: Axis,
}

/// Outputs that are computed together: rows of a picture, or pictures.
pub(super) struct Band {
    pub(super) axes: Axes,
    pub(super) pictures: Range<usize>,
    /// The rows of each picture's outputs.
    pub(super) rows: Range<usize>,
    /// The rows of each picture's inputs that they need.
    pub(super) inputs: Range<usize>,
    /// Rows of zeros above these.
    above: usize,
    /// Rows and columns of a picture's inputs with the zeros around them.
    pub(super) padded: (usize, usize),
}

impl Band {
    /// Divides the outputs of a batch with so many channels between: whole pictures, as many as
    /// fit, or parts of one.
    pub(super) fn divide(axes: Axes, batch: usize, channels: usize) -> Vec<Self> {
        let rows = axes.rows.outputs;
        let row_values = (axes.columns.outputs * channels).max(1);
        let part = |length: usize, index: usize, count: usize| {
            length * index / count..length * (index + 1) / count
        };
        let pictures = BAND_VALUES / (rows * row_values).max(1);
        if pictures > 0 {
            let count = batch.div_ceil(pictures);
            let band = |index| Self::new(axes, part(batch, index, count), 0..rows);
            return (0..count).map(band).collect();
        }
        let count = rows.div_ceil((BAND_VALUES / row_values).max(1));
        let bands = (0..batch).flat_map(|picture| {
            let band = move |index| Self::new(axes, picture..picture + 1, part(rows, index, count));
            (0..count).map(band)
        });
        bands.collect()
    }

    fn new(axes: Axes, pictures: Range<usize>, rows: Range<usize>) -> Self {
        let (down, across) = (axes.rows, axes.columns);
        let first = rows.start * down.stride;
        let height = (rows.len() - 1) * down.stride + down.kernel;
        let width = (across.outputs - 1) * across.stride + across.kernel;
        // All inputs of whole pictures, so that these follow each other.
        let inputs = if rows.len() == down.outputs {
            0..down.size
        } else {
            let start = first.saturating_sub(down.pad_before);
            start
                ..down
                    .size
                    .min((first + height).saturating_sub(down.pad_before))
        };
        let above = down.pad_before.saturating_sub(first);
        Self {
            axes,
            pictures,
            rows,
            above,
            padded: (
                height.max(above + inputs.len()),
                width.max(across.pad_before + across.size),
            ),
            inputs,
        }
    }

    /// Pixels of its outputs.
    pub(super) fn outputs(&self) -> usize {
        self.pictures.len() * self.rows.len() * self.axes.columns.outputs
    }

    /// The first of them in a plane of all.
    pub(super) fn first_output(&self) -> usize {
        (self.pictures.start * self.axes.rows.outputs + self.rows.start) * self.axes.columns.outputs
    }

    /// The first of its inputs in a plane of all.
    pub(super) fn first_input(&self) -> usize {
        (self.pictures.start * self.axes.rows.size + self.inputs.start) * self.axes.columns.size
    }

    /// How many of its inputs come before the end of what an output row needs.
    #[inline(always)]
    pub(super) fn needed(&self, picture: usize, row: usize) -> usize {
        let down = self.axes.rows;
        let end = (self.rows.start + row) * down.stride + down.kernel;
        let rows = end.saturating_sub(down.pad_before + self.inputs.start);
        (picture * self.inputs.len() + rows.min(self.inputs.len())) * self.axes.columns.size
    }

    /// Pixels of a plane of its inputs with the zeros around them.
    pub(super) fn plane(&self) -> usize {
        self.pictures.len() * self.padded.0 * self.padded.1
    }

    /// Where each of its inputs lies in such a plane.
    pub(super) fn positions(&self) -> Vec<usize> {
        let (height, width) = self.padded;
        let across = self.axes.columns;
        let count = self.pictures.len() * self.inputs.len() * across.size;
        let mut positions = Vec::with_capacity(count);
        for picture in 0..self.pictures.len() {
            for row in 0..self.inputs.len() {
                let start = (picture * height + self.above + row) * width + across.pad_before;
                positions.extend(start..start + across.size);
            }
        }
        positions
    }

    /// Writes the zeros of such a plane.
    pub(super) fn clear_around(&self, plane: &mut [Lanes]) {
        let (height, width) = self.padded;
        let across = self.axes.columns;
        for picture in plane.chunks_exact_mut(height * width) {
            let (above, rest) = picture.split_at_mut(self.above * width);
            let (inside, below) = rest.split_at_mut(self.inputs.len() * width);
            above.fill(Lanes::ZERO);
            below.fill(Lanes::ZERO);
            for row in inside.chunks_exact_mut(width) {
                row[..across.pad_before].fill(Lanes::ZERO);
                row[across.pad_before + across.size..].fill(Lanes::ZERO);
            }
        }
    }
}
