//! Sums and maxima in a fixed order: the same bits whatever the width of the machine's vectors.

use pulp::Simd;

/// How many of them run side by side.
pub(crate) const CHAINS: usize = 16;

/// Adds each term to its value, by vectors: left to itself the compiler would add them one by one, or
/// in pairs as [`join`] does.
#[inline(always)]
pub(crate) fn add<S: Simd, const LENGTH: usize>(
    simd: S,
    values: &mut [f32; LENGTH],
    terms: &[f32; LENGTH],
) {
    let (values, _) = S::as_mut_simd_f32s(values);
    let (terms, _) = S::as_simd_f32s(terms);
    for (value, term) in values.iter_mut().zip(terms) {
        *value = simd.add_f32s(*value, *term);
    }
}

/// The sum of the chains, halves added to halves.
#[inline(always)]
pub(crate) fn join(mut chains: [f32; CHAINS]) -> f32 {
    let mut width = CHAINS / 2;
    while width > 0 {
        for i in 0..width {
            chains[i] += chains[i + width];
        }
        width /= 2;
    }
    chains[0]
}

/// The largest of the chains in the same order.
#[inline(always)]
pub(crate) fn join_largest(mut chains: [f32; CHAINS]) -> f32 {
    let mut width = CHAINS / 2;
    while width > 0 {
        for i in 0..width {
            chains[i] = larger(chains[i], chains[i + width]);
        }
        width /= 2;
    }
    chains[0]
}

/// The larger value; the first where one of them is no number. `f32::max` asks which of them it is.
#[inline(always)]
pub(crate) fn larger(first: f32, second: f32) -> f32 {
    if second > first { second } else { first }
}
