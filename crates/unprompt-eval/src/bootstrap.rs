//! How sure a mean is: intervals by resampling prompts.
//!
//! Pictures of one prompt are alike, so that an interval over pictures would be too narrow: whole
//! prompts are drawn, each with all its pictures (the cluster bootstrap of Davison and Hinkley,
//! "Bootstrap Methods and their Application", 1997, section 3.8, with percentile limits).

use serde::Serialize;

/// Resamples. The limits move by about a hundredth of the interval's width with another seed.
const RESAMPLES: usize = 2000;
/// Share of the resamples that lies on each side of the interval.
const TAIL: f64 = 0.025;
/// Where the generator begins: the same pictures have the same interval on every run.
const SEED: u64 = 20_230_516;

/// The limits that hold 95 % of the resampled means.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// The lower limit.
    pub low: f64,
    /// The upper limit.
    pub high: f64,
}

/// Pictures by prompt, for intervals of means over the pictures.
#[derive(Clone, Debug)]
pub struct Bootstrap {
    group_of: Vec<usize>,
    groups: usize,
}

impl Bootstrap {
    /// `group_of` has the group of each picture: numbers from 0 without gaps, the same for pictures of
    /// the same prompt.
    pub fn new(group_of: Vec<usize>) -> Self {
        let groups = group_of.iter().max().map_or(0, |last| last + 1);
        Self { group_of, groups }
    }

    /// How many groups there are.
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// The 95 % interval of the mean of a value that some pictures have, in the order of the pictures;
    /// `None` where fewer than two groups have one.
    ///
    /// Every call draws the same groups, so that the interval of a difference between two scores of
    /// the same pictures, which is a value of its own, is a paired one.
    pub fn interval(&self, values: &[Option<f64>]) -> Option<Interval> {
        let mut sums = vec![(0.0, 0u32); self.groups];
        for (group, value) in self.group_of.iter().zip(values) {
            if let Some(value) = value {
                sums[*group].0 += value;
                sums[*group].1 += 1;
            }
        }
        if sums.iter().filter(|(_, count)| *count > 0).count() < 2 {
            return None;
        }
        let mut random = SplitMix(SEED);
        let mut means: Vec<f64> = (0..RESAMPLES)
            .filter_map(|_| {
                let (mut sum, mut count) = (0.0, 0);
                for _ in 0..self.groups {
                    let drawn = &sums[random.below(self.groups)];
                    sum += drawn.0;
                    count += drawn.1;
                }
                (count > 0).then(|| sum / f64::from(count))
            })
            .collect();
        means.sort_by(f64::total_cmp);
        Some(Interval {
            low: quantile(&means, TAIL)?,
            high: quantile(&means, 1.0 - TAIL)?,
        })
    }
}

/// The value below which a share of sorted values lies, interpolated between its neighbours as numpy
/// does by default; `None` of no values.
pub fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = share.clamp(0.0, 1.0) * last as f64;
    let (below, fraction) = (place.floor() as usize, place.fract());
    let above = sorted[(below + 1).min(last)];
    Some(sorted[below] + (above - sorted[below]) * fraction)
}

/// SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014).
struct SplitMix(u64);

impl SplitMix {
    /// A number below `bound`, which is far smaller than 2^32, so that all are as likely as each
    /// other to within 2^-20.
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        (((bits >> 32) * bound as u64) >> 32) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_numpys() {
        let values = [1.0, 2.0, 4.0, 8.0];
        assert_eq!(quantile(&values, 0.0), Some(1.0));
        assert_eq!(quantile(&values, 0.5), Some(3.0));
        assert_eq!(
            quantile(&values, 0.9),
            Some(4.0 + 4.0 * 0.700_000_000_000_000_2)
        );
        assert_eq!(quantile(&values, 1.0), Some(8.0));
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn what_has_no_spread_has_no_width_and_one_prompt_no_interval() {
        let of = |groups: &[usize], values: &[Option<f64>]| {
            Bootstrap::new(groups.to_vec()).interval(values)
        };
        let half = Some(Interval {
            low: 0.5,
            high: 0.5,
        });
        assert_eq!(of(&[0, 1, 2], &[Some(0.5); 3]), half);
        assert_eq!(of(&[0, 0, 0], &[Some(0.5); 3]), None);
        assert_eq!(of(&[0, 0, 1], &[Some(0.5), Some(0.1), None]), None);
        assert_eq!(of(&[], &[]), None);
        // Resamples that draw only groups without a value have no mean.
        assert_eq!(of(&[0, 1, 2, 3], &[Some(0.5), Some(0.5), None, None]), half);
    }
}
