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

    /// The inner product with a query of the same width, in sixteen fixed chains; compiled into the
    /// instruction set of the caller.
    #[inline(always)]
    pub(crate) fn product(&self, query: &[f32]) -> f32 {
        let mut sums = [0.0f32; CHAINS];
        let (values, rest) = self.values.as_chunks::<CHAINS>();
        let (query, query_rest) = query.as_chunks::<CHAINS>();
        for (values, query) in values.iter().zip(query) {
            for ((sum, value), query) in sums.iter_mut().zip(values).zip(query) {
                *sum += f32::from(*value) * query;
            }
        }
        let rest = rest.iter().zip(query_rest);
        let rest: f32 = rest.map(|(value, query)| f32::from(*value) * query).sum();
        (sums.iter().sum::<f32>() + rest) * self.scale
    }

    /// Adds the row times a weight; compiled into the instruction set of the caller.
    #[inline(always)]
    pub(crate) fn add_to(&self, sum: &mut [f64], weight: f64) {
        let weight = weight * f64::from(self.scale);
        // A loop, not `for_each`: a closure may stay a function without the caller's instructions.
        for (sum, value) in sum.iter_mut().zip(self.values) {
            *sum += weight * f64::from(*value);
        }
    }
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
        assert!((bytes.product(&row) - exact).abs() < 1e-6);
        let mut sum = vec![1.0; 35];
        bytes.add_to(&mut sum, 2.0);
        assert!((sum[3] - 1.0 - 2.0 * f64::from(bytes.values()[3])).abs() < 1e-7);
        assert_eq!(quantise(&[0.0, -0.0]).1, [0, 0]);
    }
}
