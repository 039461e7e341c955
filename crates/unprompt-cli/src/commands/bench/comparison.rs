//! Comparing our numbers with a peer's.

use serde_json::Value;

pub(super) fn largest_difference(ours: &Value, theirs: &Value) -> Option<f32> {
    let (ours, theirs) = (ours.as_array()?, theirs.as_array()?);
    if ours.len() != theirs.len() {
        return None;
    }
    let pairs = ours.iter().zip(theirs);
    pairs
        // Both computed in f32, of which one prints more digits than the other.
        .map(|(a, b)| Some((a.as_f64()? as f32 - b.as_f64()? as f32).abs()))
        .try_fold(0.0, |largest: f32, difference| {
            Some(largest.max(difference?))
        })
}

/// The smallest cosine between a row and the same row of the other list; none for no rows.
pub(super) fn least_cosine(ours: &[Vec<f32>], theirs: &[Vec<f32>]) -> Option<f64> {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        let pairs = a.iter().zip(b);
        pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    let cosine = |(a, b): (&Vec<f32>, &Vec<f32>)| dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
    ours.iter().zip(theirs).map(cosine).reduce(f64::min)
}

pub(super) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => (values[n / 2 - 1] + values[n / 2]) / 2.0,
    }
}
