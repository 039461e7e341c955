//! Sums in a fixed order: the same bits whatever the width of the machine's vectors.

/// How many sums run side by side.
pub(crate) const CHAINS: usize = 16;

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
