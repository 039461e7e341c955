//! The search for weights: projected gradient ascent of the mean cosine on the simplex.

use super::dot;

/// Steps of one ascent at most; most end long before, when no step gains any more.
const MOST_STEPS: usize = 1000;
/// A gain in mean cosine below this ends an ascent.
const SMALLEST_GAIN: f64 = 1e-13;
/// A step this short cannot move a weight.
const SHORTEST_STEP: f64 = 1e-10;

/// All that the mean cosine depends on: products of members with the truth and with each other.
/// The embeddings themselves are not needed again.
pub(super) struct Products {
    members: usize,
    /// Image by member.
    with_truth: Vec<f64>,
    /// Image by member by member.
    with_members: Vec<f64>,
}

impl Products {
    /// From rows, member by image, and the truth by image at unit length.
    pub(super) fn new(rows: &[Vec<Vec<f64>>], expected: &[Vec<f64>]) -> Self {
        let mut with_truth = Vec::with_capacity(expected.len() * rows.len());
        let mut with_members = Vec::with_capacity(expected.len() * rows.len() * rows.len());
        for (image, expected) in expected.iter().enumerate() {
            for member in rows {
                with_truth.push(dot(&member[image], expected));
                with_members.extend(rows.iter().map(|other| dot(&member[image], &other[image])));
            }
        }
        Self {
            members: rows.len(),
            with_truth,
            with_members,
        }
    }

    /// Mean cosine of the blend over some images. A blend that cancels out counts as 0.
    pub(super) fn mean_cosine(&self, weights: &[f64], images: &[usize]) -> f64 {
        self.cosine_and_gradient(weights, images, None)
    }

    /// The mean cosine over all pairs of some members for one image; 1 where there is no pair.
    pub(super) fn agreement(&self, members: &[usize], image: usize) -> f64 {
        let m = self.members;
        let gram = &self.with_members[image * m * m..][..m * m];
        let (mut sum, mut pairs) = (0.0, 0usize);
        for (index, &left) in members.iter().enumerate() {
            for &right in &members[index + 1..] {
                let squares = gram[left * m + left] * gram[right * m + right];
                sum += gram[left * m + right] / squares.sqrt();
                pairs += 1;
            }
        }
        if pairs == 0 { 1.0 } else { sum / pairs as f64 }
    }

    /// The length of the blend of one image before it is brought to unit length.
    pub(super) fn length(&self, weights: &[f64], image: usize) -> f64 {
        let m = self.members;
        let gram = &self.with_members[image * m * m..][..m * m];
        let rows = gram.chunks_exact(m).zip(weights);
        let square: f64 = rows.map(|(row, weight)| weight * dot(row, weights)).sum();
        square.max(0.0).sqrt()
    }

    /// The mean cosine; its gradient is written to `gradient`.
    fn cosine_and_gradient(
        &self,
        weights: &[f64],
        images: &[usize],
        gradient: Option<&mut [f64]>,
    ) -> f64 {
        let m = self.members;
        let mut total = 0.0;
        let mut slope = vec![0.0; m];
        let mut lean = vec![0.0; m];
        for &image in images {
            let truth = &self.with_truth[image * m..][..m];
            let gram = &self.with_members[image * m * m..][..m * m];
            for (lean, row) in lean.iter_mut().zip(gram.chunks_exact(m)) {
                *lean = dot(row, weights);
            }
            let square = dot(weights, &lean);
            // Rounding alone leaves about this much where unit vectors cancel out.
            if square < 1e-24 {
                continue;
            }
            let length = square.sqrt();
            let cosine = dot(weights, truth) / length;
            total += cosine;
            if gradient.is_some() {
                for ((slope, truth), lean) in slope.iter_mut().zip(truth).zip(&lean) {
                    *slope += truth / length - cosine * lean / square;
                }
            }
        }
        let n = images.len() as f64;
        if let Some(gradient) = gradient {
            gradient.iter_mut().zip(slope).for_each(|(g, s)| *g = s / n);
        }
        total / n
    }

    /// The best weights over `members` (others are 0), adding up to 1, for some images.
    ///
    /// The mean of cosines may have several summits: the ascent begins at equal weights and close to
    /// every member by itself, and the earliest start wins a tie.
    pub(super) fn maximise(&self, members: &[usize], images: &[usize]) -> Vec<f64> {
        let share = 1.0 / members.len() as f64;
        let mut equal = vec![0.0; self.members];
        members.iter().for_each(|&member| equal[member] = share);
        let mut starts = vec![equal.clone()];
        for &member in members {
            let mut start: Vec<f64> = equal.iter().map(|weight| weight * 0.1).collect();
            start[member] += 0.9;
            starts.push(start);
        }
        let mut best = (f64::NEG_INFINITY, equal);
        for start in starts {
            let found = self.climb(start, members, images);
            if found.0 > best.0 + SMALLEST_GAIN {
                best = found;
            }
        }
        best.1
    }

    fn climb(&self, start: Vec<f64>, members: &[usize], images: &[usize]) -> (f64, Vec<f64>) {
        let mut gradient = vec![0.0; self.members];
        let mut weights = start;
        let mut height = self.cosine_and_gradient(&weights, images, Some(&mut gradient));
        let mut step = 1.0;
        for _ in 0..MOST_STEPS {
            let (mut next, mut reached);
            loop {
                let moved: Vec<f64> = members
                    .iter()
                    .map(|&member| weights[member] + step * gradient[member])
                    .collect();
                next = vec![0.0; self.members];
                for (&member, weight) in members.iter().zip(onto_simplex(&moved)) {
                    next[member] = weight;
                }
                reached = self.mean_cosine(&next, images);
                if reached > height || step < SHORTEST_STEP {
                    break;
                }
                step /= 2.0;
            }
            let gain = reached - height;
            if gain <= SMALLEST_GAIN {
                break;
            }
            weights = next;
            height = self.cosine_and_gradient(&weights, images, Some(&mut gradient));
            step *= 2.0;
        }
        (height, weights)
    }
}

/// The nearest point whose numbers are at least 0 and add up to 1 (Duchi et al., 2008).
fn onto_simplex(point: &[f64]) -> Vec<f64> {
    let mut sorted = point.to_vec();
    sorted.sort_by(|left, right| right.total_cmp(left));
    let (mut sum, mut shift) = (0.0, 0.0);
    for (index, value) in sorted.iter().enumerate() {
        sum += value;
        let candidate = (sum - 1.0) / (index + 1) as f64;
        if value - candidate > 0.0 {
            shift = candidate;
        }
    }
    point.iter().map(|value| (value - shift).max(0.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_goes_to_the_nearest_of_the_simplex() {
        assert_eq!(onto_simplex(&[0.25, 0.75]), [0.25, 0.75]);
        assert_eq!(onto_simplex(&[3.0, 0.0, -1.0]), [1.0, 0.0, 0.0]);
        assert_eq!(onto_simplex(&[0.0, 0.0]), [0.5, 0.5]);
    }

    #[test]
    fn the_gradient_is_that_of_differences() {
        let rows = vec![vec![vec![1.0, 0.0]], vec![vec![0.6, 0.8]]];
        let products = Products::new(&rows, &[vec![0.28, 0.96]]);
        let weights = [0.3, 0.7];
        let mut gradient = [0.0; 2];
        products.cosine_and_gradient(&weights, &[0], Some(&mut gradient));
        for member in 0..2 {
            let mut moved = weights;
            moved[member] += 1e-6;
            let up = products.mean_cosine(&moved, &[0]);
            moved[member] -= 2e-6;
            let down = products.mean_cosine(&moved, &[0]);
            assert!(((up - down) / 2e-6 - gradient[member]).abs() < 1e-8);
        }
    }
}
