//! The inner product of two rows.

use crate::reduction::{CHAINS, join};
use pulp::{Arch, Simd, WithSimd};

/// The inner product of two rows of the same length, in sixteen chains of fused multiply-adds: the
/// same bits on every machine.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    Arch::new().dispatch(Dot(a, b))
}

struct Dot<'a>(&'a [f32], &'a [f32]);

impl WithSimd for Dot<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f32 {
        dot_by_vectors(simd, self.0, self.1)
    }
}

/// As [`dot`], inlined into a caller that has the vector instructions.
#[inline(always)]
pub fn dot_by_vectors<S: Simd>(simd: S, a: &[f32], b: &[f32]) -> f32 {
    let mut chains = [0.0f32; CHAINS];
    let (a, a_rest) = a.as_chunks::<CHAINS>();
    let (b, b_rest) = b.as_chunks::<CHAINS>();
    {
        let (chains, _) = S::as_mut_simd_f32s(&mut chains);
        for (a, b) in a.iter().zip(b) {
            let (a, _) = S::as_simd_f32s(a);
            let (b, _) = S::as_simd_f32s(b);
            for ((chain, a), b) in chains.iter_mut().zip(a).zip(b) {
                *chain = simd.mul_add_f32s(*a, *b, *chain);
            }
        }
    }
    for ((chain, a), b) in chains.iter_mut().zip(a_rest).zip(b_rest) {
        *chain = a.mul_add(*b, *chain);
    }
    join(chains)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, one chain after the other.
    fn by_definition(a: &[f32], b: &[f32]) -> f32 {
        let mut chains = [0.0f32; CHAINS];
        for (index, (a, b)) in a.iter().zip(b).enumerate() {
            let chain = &mut chains[index % CHAINS];
            *chain = a.mul_add(*b, *chain);
        }
        join(chains)
    }

    #[test]
    fn equals_its_definition_bit_by_bit_and_double_precision_nearly() {
        for length in [0usize, 1, 15, 16, 17, 40, 64, 1000] {
            let a: Vec<f32> = (0..length)
                .map(|i| ((i * 37) % 19) as f32 * 0.7 - 5.0)
                .collect();
            let b: Vec<f32> = (0..length).map(|i| ((i * 11) % 7) as f32 * 0.3).collect();
            let found = dot(&a, &b);
            assert_eq!(found.to_bits(), by_definition(&a, &b).to_bits(), "{length}");
            let pairs = a.iter().zip(&b);
            let exact: f64 = pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            assert!((f64::from(found) - exact).abs() < 1e-3, "{length}");
        }
    }
}
