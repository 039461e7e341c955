//! Which items an epoch sees, where sources count differently.

use crate::{Result, TrainError, random::Random};

/// No source is seen more often than this in an epoch.
const MOST: f64 = 1000.0;

/// The items of one source.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceItems {
    /// How often an epoch sees each of them, on average: above 0, at most 1,000. At 1 each is seen
    /// once; below, an epoch sees a part of them and the next one goes on with others.
    pub weight: f64,
    /// How many pictures each has, of which one is seen at a time.
    pub pictures: Vec<usize>,
}

/// The items of all sources, numbered one source after the other.
#[derive(Clone, Debug)]
pub(crate) struct Mixture {
    sources: Vec<SourceItems>,
    seed: u64,
    /// Pictures that an epoch sees.
    len: usize,
}

/// An item of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) item: usize,
    /// How often the epoch sees it before.
    pub(crate) before: u64,
    /// Pictures that it has.
    pub(crate) pictures: usize,
}

impl Mixture {
    pub(crate) fn new(sources: Vec<SourceItems>, seed: u64) -> Result<Self> {
        let failed = |message: String| Err(TrainError::Data(message));
        for SourceItems { weight, pictures } in &sources {
            if !(*weight > 0.0 && *weight <= MOST) {
                return failed(format!("weight {weight}, which must be from 0 to {MOST}"));
            }
            if pictures.contains(&0) {
                return failed("an item without a picture".into());
            }
        }
        let len = sources.iter().map(SourceItems::seen).sum();
        match len {
            0 => failed("there is no picture to train on".into()),
            len => Ok(Self { sources, seed, len }),
        }
    }

    /// Pictures that an epoch sees.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// What an epoch sees, in the order of the items. It is a function of seed and epoch.
    ///
    /// Each source is a stream that goes through its items again and again, in another order each
    /// time, and an epoch takes up where the one before it ended: so all items are seen equally
    /// often in the long run, whatever the weight.
    pub(crate) fn epoch(&self, epoch: u64) -> Vec<Seen> {
        let mut seen = Vec::with_capacity(self.len);
        let mut first = 0;
        for (number, source) in self.sources.iter().enumerate() {
            let items = source.pictures.len();
            let mut times = vec![0u64; items];
            let mut left = source.seen();
            let mut place = epoch * left as u64;
            while left > 0 {
                let (pass, skipped) = (place / items as u64, (place % items as u64) as usize);
                let taken = left.min(items - skipped);
                if taken == items {
                    times.iter_mut().for_each(|times| *times += 1);
                } else {
                    let keys = [self.seed, pass, 3, number as u64];
                    let order = Random::of(&keys).order(items);
                    let places = skipped..skipped + taken;
                    order[places].iter().for_each(|item| times[*item] += 1);
                }
                place += taken as u64;
                left -= taken;
            }
            for (item, (times, pictures)) in times.iter().zip(&source.pictures).enumerate() {
                seen.extend((0..*times).map(|before| Seen {
                    item: first + item,
                    before,
                    pictures: *pictures,
                }));
            }
            first += items;
        }
        seen
    }
}

impl SourceItems {
    /// Pictures of it that an epoch sees: at least one of a source that has any.
    fn seen(&self) -> usize {
        let items = self.pictures.len();
        let wanted = (self.weight * items as f64).round() as usize;
        wanted.max(items.min(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mixture(sources: &[(f64, usize)]) -> Mixture {
        let sources = sources.iter().map(|(weight, items)| SourceItems {
            weight: *weight,
            pictures: vec![1; *items],
        });
        Mixture::new(sources.collect(), 7).unwrap()
    }

    #[test]
    fn an_epoch_sees_each_source_by_its_weight_and_all_items_equally_often() {
        // Nothing of the second source; the last is seen a third of the time.
        let mixture = mixture(&[(1.0, 10), (2.0, 0), (2.5, 4), (0.3, 10)]);
        assert_eq!(mixture.len(), 10 + 10 + 3);
        let mut times = [0u64; 24];
        for epoch in 0..20 {
            let seen = mixture.epoch(epoch);
            assert_eq!(seen.len(), mixture.len());
            assert!(seen.is_sorted_by_key(|seen| (seen.item, seen.before)));
            let of = |range: std::ops::Range<usize>| {
                seen.iter()
                    .filter(|seen| range.contains(&seen.item))
                    .count()
            };
            assert_eq!([of(0..10), of(10..14), of(14..24)], [10, 10, 3]);
            seen.iter().for_each(|seen| times[seen.item] += 1);
            assert_eq!(mixture.epoch(epoch), seen);
        }
        assert_eq!(times[..10], [20; 10]);
        assert_eq!(times[10..14], [50; 4]);
        assert_eq!(times[14..], [6; 10]);
        // Which are seen changes from epoch to epoch.
        assert_ne!(mixture.epoch(0)[20..], mixture.epoch(1)[20..]);
    }

    #[test]
    fn an_item_that_is_seen_again_says_so() {
        let seen = mixture(&[(2.0, 2)]).epoch(5);
        let found: Vec<(usize, u64)> = seen.iter().map(|seen| (seen.item, seen.before)).collect();
        assert_eq!(found, [(0, 0), (0, 1), (1, 0), (1, 1)]);
    }

    #[test]
    fn what_cannot_be_mixed_is_refused() {
        for (weight, pictures) in [
            (0.0, vec![1]),
            (f64::NAN, vec![1]),
            (1001.0, vec![1]),
            (1.0, vec![1, 0]),
            (1.0, vec![]),
        ] {
            assert!(Mixture::new(vec![SourceItems { weight, pictures }], 0).is_err());
        }
    }
}
