//! Brings a component's rows to the picture's size, with libjpeg's "fancy" triangle filters.

use super::frame::{Component, Frame};

/// How one component is enlarged.
#[derive(Clone, Copy)]
enum Method {
    /// 1:1.
    Copy,
    /// Twice as wide, 3:1 mix of the two nearest columns.
    Wide,
    /// Twice as high, 3:1 mix of the two nearest rows.
    High,
    /// Both.
    WideAndHigh,
    /// Whole-number repetition.
    Repeat { across: usize, down: usize },
}

/// Hands out enlarged rows of one component.
pub(super) struct Upsampler<'f> {
    component: &'f Component,
    method: Method,
    /// Vertical mixes of the row in work, 4 times a sample.
    sums: Vec<u16>,
}

impl<'f> Upsampler<'f> {
    pub(super) fn new(frame: &Frame, component: &'f Component) -> Self {
        let (across, down) = (frame.max_h / component.h, frame.max_v / component.v);
        let wide_enough = component.width > 2;
        let method = match (across, down) {
            (1, 1) => Method::Copy,
            (2, 1) if wide_enough => Method::Wide,
            (1, 2) => Method::High,
            (2, 2) if wide_enough => Method::WideAndHigh,
            _ => Method::Repeat { across, down },
        };
        Self {
            component,
            method,
            sums: Vec::new(),
        }
    }

    fn row(&self, y: usize) -> &'f [u8] {
        let y = y.min(self.component.height - 1);
        &self.component.samples[y * self.component.blocks_across * 8..][..self.component.width]
    }

    /// The row nearest to output row `y`, and the next nearest, which is above for even rows.
    fn row_pair(&self, y: usize) -> (&'f [u8], &'f [u8]) {
        let near = y / 2;
        let far = if y.is_multiple_of(2) {
            near.saturating_sub(1)
        } else {
            near + 1
        };
        (self.row(near), self.row(far))
    }

    /// Row `y` of the picture; at least the picture's width is written.
    pub(super) fn fill(&mut self, y: usize, output: &mut Vec<u8>) {
        output.clear();
        match self.method {
            Method::Copy => output.extend_from_slice(self.row(y)),
            Method::Repeat { across, down } => {
                for &sample in self.row(y / down) {
                    output.extend(std::iter::repeat_n(sample, across));
                }
            }
            Method::High => {
                let (near, far) = self.row_pair(y);
                let bias = if y.is_multiple_of(2) { 1 } else { 2 };
                output.extend(near.iter().zip(far).map(|(&near, &far)| {
                    ((u16::from(near) * 3 + u16::from(far) + bias) >> 2) as u8
                }));
            }
            Method::Wide => widen::<4>(self.row(y).iter().map(|&sample| u16::from(sample)), output),
            Method::WideAndHigh => {
                let (near, far) = self.row_pair(y);
                self.sums.clear();
                let mixes = near.iter().zip(far);
                self.sums
                    .extend(mixes.map(|(&near, &far)| u16::from(near) * 3 + u16::from(far)));
                widen::<16>(self.sums.iter().copied(), output);
            }
        }
    }
}

/// Doubles a row: 3/4 of the nearest value, 1/4 of the next; `DIVISOR` is 4 for samples and 16 for
/// sums that are four times a sample. The rounding alternates, as libjpeg's does, so that the
/// result has no bias.
fn widen<const DIVISOR: u16>(values: impl Iterator<Item = u16>, output: &mut Vec<u8>) {
    // Rounding of the left and the right half of each value.
    let (left_bias, right_bias) = if DIVISOR == 4 { (1, 2) } else { (8, 7) };
    let mut values = values.peekable();
    let mut previous = None;
    while let Some(value) = values.next() {
        let left = previous.unwrap_or(value);
        let right = values.peek().copied().unwrap_or(value);
        output.push(((value * 3 + left + left_bias) / DIVISOR) as u8);
        output.push(((value * 3 + right + right_bias) / DIVISOR) as u8);
        previous = Some(value);
    }
}
