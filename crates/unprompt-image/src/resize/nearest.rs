//! Nearest neighbour.

/// Picks, for each target pixel, the source pixel under its centre.
pub(super) fn resize(pixels: &[u8], from: (usize, usize), to: (usize, usize)) -> Vec<u8> {
    let columns = sources(from.0, to.0);
    let rows = sources(from.1, to.1);
    let source = pixels.as_chunks::<3>().0;
    let mut output = Vec::with_capacity(to.0 * to.1 * 3);
    for row in rows {
        let row = &source[row * from.0..][..from.0];
        output.extend(columns.iter().flat_map(|&column| row[column]));
    }
    output
}

/// The source coordinate of each target coordinate.
///
/// The centre is accumulated step by step, not multiplied: Pillow does so, and its rounding errors
/// decide ties.
fn sources(from: usize, to: usize) -> Vec<usize> {
    let step = from as f64 / to as f64;
    let mut centre = step * 0.5;
    (0..to)
        .map(|_| {
            let source = (centre as usize).min(from - 1);
            centre += step;
            source
        })
        .collect()
}
