//! Groups of inner values that share a scale: what they are, and how numbers become them.

use crate::panels::PANEL;

/// Consecutive inner values that share a scale.
pub(super) const GROUP: usize = 64;

/// 1.5 * 2^23: added to a value below 2^22 in size, it leaves the value rounded to an integer, ties
/// to even, in the lowest bits.
const ROUND: f32 = 12_582_912.0;

/// A group of inner values of a panel's outputs, where a cache line starts.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub(super) struct WeightGroup {
    // (GROUP / word, PANEL, word)
    pub(super) words: [i8; PANEL * GROUP],
    pub(super) scales: [f32; PANEL],
    // of the integers of each output
    pub(super) sums: [f32; PANEL],
}

impl WeightGroup {
    pub(super) const ZERO: Self = Self {
        words: [0; PANEL * GROUP],
        scales: [0.0; PANEL],
        sums: [0.0; PANEL],
    };
}

/// What a group of a row's bytes stands for: `x = scale * (u - zero)`.
#[derive(Clone, Copy, Default)]
pub(super) struct Range {
    pub(super) scale: f32,
    // an integer
    pub(super) zero: f32,
}

/// One tile of rows, quantised: (groups, rows).
#[derive(Clone, Copy)]
pub(super) struct TileGroups<'a> {
    pub(super) words: &'a [u32],
    pub(super) ranges: &'a [Range],
    pub(super) rows: usize,
}

/// The values of a group, with zeros beyond them.
#[inline(always)]
pub(super) fn whole_group(values: &[f32]) -> [f32; GROUP] {
    match values.first_chunk() {
        Some(values) => *values,
        None => {
            let mut group = [0.0; GROUP];
            group[..values.len()].copy_from_slice(values);
            group
        }
    }
}

/// One output's weights: their scale, NaN if not all are finite, and the integers.
#[inline(always)]
pub(super) fn quantise_weights(values: &[f32; GROUP]) -> (f32, [i8; GROUP]) {
    let (low, high, not_finite) = range(values);
    let scale = high.max(-low) / 127.0;
    let factor = inverse(scale);
    let integers = values.map(|value| {
        let value = (value * factor).clamp(-127.0, 127.0);
        (value + ROUND).to_bits() as i8
    });
    (scale + not_finite, integers)
}

/// One row's inputs.
#[inline(always)]
pub(super) fn quantise_inputs(values: &[f32; GROUP]) -> (Range, [u8; GROUP]) {
    let (low, high, not_finite) = range(values);
    let scale = (high - low) / 255.0;
    let factor = inverse(scale);
    let zero = ((-low * factor).clamp(0.0, 255.0) + ROUND) - ROUND;
    let bytes = values.map(|value| {
        let value = value.mul_add(factor, zero).clamp(0.0, 255.0);
        (value + ROUND).to_bits() as u8
    });
    let scale = scale + not_finite;
    (Range { scale, zero }, bytes)
}

/// Zero for a scale so small that its inverse is infinite: the values are as good as zero.
#[inline(always)]
fn inverse(scale: f32) -> f32 {
    let inverse = 1.0 / scale;
    if inverse.is_finite() { inverse } else { 0.0 }
}

/// The smallest and the largest value, 0 among them, and 0 if all are finite, else NaN.
#[inline(always)]
fn range(values: &[f32; GROUP]) -> (f32, f32, f32) {
    // By halves: whole vectors as long as there are some.
    let (mut low, mut high, mut rest) = ([0.0f32; GROUP], [0.0f32; GROUP], [0.0f32; GROUP]);
    for i in 0..GROUP {
        low[i] = if values[i] < 0.0 { values[i] } else { 0.0 };
        high[i] = if values[i] > 0.0 { values[i] } else { 0.0 };
        rest[i] = values[i] * 0.0;
    }
    let mut half = GROUP / 2;
    while half > 0 {
        for i in 0..half {
            low[i] = if low[i + half] < low[i] {
                low[i + half]
            } else {
                low[i]
            };
            high[i] = if high[i + half] > high[i] {
                high[i + half]
            } else {
                high[i]
            };
            rest[i] += rest[i + half];
        }
        half /= 2;
    }
    (low[0], high[0], rest[0])
}
