//! Embeddings in eight bits: one scale a row.

/// A row of bytes and what they are multiplied with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'a> {
    pub(crate) scale: f32,
    pub(crate) values: &'a [i8],
}

/// Running sums of one product: as many as the widest registers hold.
const CHAINS: usize = 16;

impl Row<'_> {
    pub(crate) fn values(&self) -> Vec<f32> {
        self.values
            .iter()
            .map(|value| f32::from(*value) * self.scale)
            .collect()
    }

    /// The bytes as numbers; compiled into the instruction set of the caller.
    #[inline(always)]
    pub(crate) fn widen_to(&self, wide: &mut [f32]) {
        // A loop, not `for_each`: a closure may stay a function without the caller's instructions.
        for (wide, value) in wide.iter_mut().zip(self.values) {
            *wide = f32::from(*value);
        }
    }
}

/// The inner product of two vectors of the same width, in sixteen fixed chains; compiled into the instruction
/// set of the caller.
#[inline(always)]
pub(crate) fn product(left: &[f32], right: &[f32]) -> f32 {
    let mut sums = [0.0f32; CHAINS];
    let (left, left_rest) = left.as_chunks::<CHAINS>();
    let (right, right_rest) = right.as_chunks::<CHAINS>();
    for (left, right) in left.iter().zip(right) {
        for ((sum, left), right) in sums.iter_mut().zip(left).zip(right) {
            *sum += left * right;
        }
    }
    let mut rest = 0.0;
    for (left, right) in left_rest.iter().zip(right_rest) {
        rest += left * right;
    }
    sums.iter().sum::<f32>() + rest
}

/// The bytes and the scale nearest to a row: the largest value becomes 127.
pub(crate) fn quantise(row: &[f32]) -> (f32, Vec<i8>) {
    let largest = row
        .iter()
        .fold(0.0f32, |largest, value| largest.max(value.abs()));
    let scale = largest.max(f32::MIN_POSITIVE) / 127.0;
    let byte = |value: &f32| (value / scale).round().clamp(-127.0, 127.0) as i8;
    (scale, row.iter().map(byte).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_near_to_what_it_was() {
        let row: Vec<f32> = (0..35)
            .map(|index| ((index * 37 % 35) as f32 - 17.0) / 100.0)
            .collect();
        let (scale, values) = quantise(&row);
        let bytes = Row {
            scale,
            values: &values,
        };
        for (found, value) in bytes.values().iter().zip(&row) {
            assert!((found - value).abs() <= scale / 2.0 + 1e-7);
        }
        let exact: f32 = bytes
            .values()
            .iter()
            .zip(&row)
            .map(|(left, right)| left * right)
            .sum();
        let mut wide = [0.0; 35];
        bytes.widen_to(&mut wide);
        assert_eq!(wide[3] * scale, bytes.values()[3]);
        assert!((product(&wide, &row) * scale - exact).abs() < 1e-6);
        assert_eq!(quantise(&[0.0, -0.0]).1, [0, 0]);
    }
}
