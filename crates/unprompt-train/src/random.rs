//! Numbers that look random and are the same everywhere: a function of what they are for.

/// A stream of random numbers that depends on nothing but the keys that it was made of. A step of
/// training asks for the stream of its own number, so that a run that goes on from the middle draws
/// what an unbroken one does.
#[derive(Clone, Debug)]
pub(crate) struct Random {
    state: u64,
}

impl Random {
    /// The stream of these keys, in this order.
    pub(crate) fn of(keys: &[u64]) -> Self {
        let mut random = Self { state: 0 };
        for key in keys {
            random.state = random.next_u64() ^ key;
        }
        random
    }

    /// SplitMix64 (Steele et al., "Fast splittable pseudorandom number generators", 2014).
    pub(crate) fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Evenly from `low` to `high`.
    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        let unit = (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        low + (high - low) * unit
    }

    /// A whole number below `end`, which is above 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        // The bias of a remainder is below 2^-40 for what there is to choose from here.
        (self.next_u64() % end.max(1) as u64) as usize
    }

    /// The numbers below `count` in a random order.
    pub(crate) fn order(&mut self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        for last in (1..count).rev() {
            order.swap(last, self.below(last + 1));
        }
        order
    }

    /// Values of a layer of so many inputs as PyTorch starts it: evenly up to one over the root of
    /// the inputs.
    pub(crate) fn layer(&mut self, count: usize, inputs: usize) -> Vec<f32> {
        let most = 1.0 / (inputs.max(1) as f64).sqrt();
        (0..count)
            .map(|_| self.between(-most, most) as f32)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_its_keys() {
        let draw = |keys: &[u64]| Random::of(keys).next_u64();
        assert_eq!(draw(&[1, 2]), draw(&[1, 2]));
        assert_ne!(draw(&[1, 2]), draw(&[2, 1]));
        assert_ne!(draw(&[1]), draw(&[1, 0]));
        let mut order = Random::of(&[7]).order(100);
        assert_ne!(order, (0..100).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..100).collect::<Vec<_>>());
        let mean = (0..10_000).scan(Random::of(&[3]), |random, _| Some(random.between(0.0, 1.0)));
        assert!((mean.sum::<f64>() / 10_000.0 - 0.5).abs() < 0.02);
    }
}
