//! The noise that a picture is drawn from.

use crate::{DiffusionError, Result};
use std::f64::consts::{FRAC_PI_2, LN_2, SQRT_2};

/// Where a picture's noise comes from: its beginning, and what some schedulers add at each step.
#[derive(Clone, Debug, PartialEq)]
pub enum Noise {
    /// A seed of our own generator, which is the same on every machine: Matsumoto and Nishimura's
    /// Mersenne Twister, 24 bits of each number, in pairs through the transform of Box and Muller, in
    /// the order in which PyTorch's `torch.randn` takes them on the processor. A seed therefore means
    /// what it means to diffusers with a generator on the processor, but for the last bits; as there,
    /// only its lower 32 bits count. Values follow each other by channel, row and column.
    Seed(u64),
    /// Noise made elsewhere: (channels, rows, columns) of latents.
    Given {
        /// The beginning.
        start: Vec<f32>,
        /// What each step adds; may be empty where none does.
        steps: Vec<Vec<f32>>,
    },
}

impl Noise {
    /// The first pieces of so many values: the beginning, then those of the steps.
    ///
    /// # Errors
    /// When noise that was given ends before, or is of another length.
    pub fn pieces(&self, length: usize, count: usize) -> Result<Vec<Vec<f32>>> {
        let mut stream = NoiseStream::new(self);
        (0..count).map(|_| stream.next(length)).collect()
    }
}

/// One picture's noise, taken from piece by piece.
#[derive(Debug)]
pub(crate) struct NoiseStream<'a> {
    source: Source<'a>,
    taken: usize,
}

#[derive(Debug)]
enum Source<'a> {
    Generator(Box<Twister>),
    Given(&'a [f32], &'a [Vec<f32>]),
}

impl<'a> NoiseStream<'a> {
    pub(crate) fn new(noise: &'a Noise) -> Self {
        let source = match noise {
            Noise::Seed(seed) => Source::Generator(Box::new(Twister::new(*seed))),
            Noise::Given { start, steps } => Source::Given(start, steps),
        };
        Self { source, taken: 0 }
    }

    /// The next piece, of exactly so many values.
    pub(crate) fn next(&mut self, length: usize) -> Result<Vec<f32>> {
        self.taken += 1;
        let values = match &mut self.source {
            Source::Generator(generator) => return Ok(generator.normals(length)),
            Source::Given(start, _) if self.taken == 1 => *start,
            Source::Given(_, steps) => match steps.get(self.taken - 2) {
                Some(values) => values.as_slice(),
                None => {
                    return Err(DiffusionError::Request(format!(
                        "the scheduler adds noise at step {}, and the noise given ends before",
                        self.taken - 1
                    )));
                }
            },
        };
        if values.len() != length {
            return Err(DiffusionError::Request(format!(
                "noise of {} values for latents of {length}; it belongs to another size",
                values.len()
            )));
        }
        Ok(values.to_vec())
    }
}

/// The Mersenne Twister, MT19937.
#[derive(Debug)]
struct Twister {
    state: [u32; Self::LENGTH],
    next: usize,
}

impl Twister {
    const LENGTH: usize = 624;
    const MIDDLE: usize = 397;

    fn new(seed: u64) -> Self {
        let mut state = [0u32; Self::LENGTH];
        // The lower half of the seed, as PyTorch takes it.
        state[0] = seed as u32;
        for index in 1..Self::LENGTH {
            let before = state[index - 1];
            let mixed = (before ^ (before >> 30)).wrapping_mul(1_812_433_253);
            state[index] = mixed.wrapping_add(index as u32);
        }
        Self {
            state,
            next: Self::LENGTH,
        }
    }

    fn twist(&mut self) {
        for index in 0..Self::LENGTH {
            let upper = self.state[index] & 0x8000_0000;
            let lower = self.state[(index + 1) % Self::LENGTH] & 0x7fff_ffff;
            let joined = upper | lower;
            let mut value = self.state[(index + Self::MIDDLE) % Self::LENGTH] ^ (joined >> 1);
            if joined & 1 == 1 {
                value ^= 0x9908_b0df;
            }
            self.state[index] = value;
        }
        self.next = 0;
    }

    fn number(&mut self) -> u32 {
        if self.next == Self::LENGTH {
            self.twist();
        }
        let mut value = self.state[self.next];
        self.next += 1;
        value ^= value >> 11;
        value ^= (value << 7) & 0x9d2c_5680;
        value ^= (value << 15) & 0xefc6_0000;
        value ^ (value >> 18)
    }

    /// From 0 up to 1, a multiple of 2^-24.
    fn uniform(&mut self) -> f64 {
        f64::from(self.number() & 0x00ff_ffff) / f64::from(1u32 << 24)
    }

    /// So many numbers of the standard normal distribution. Sixteen uniform ones at a time make eight
    /// pairs, a number and the one eight places behind it; a rest takes its sixteen anew, from the end
    /// of what is there.
    fn normals(&mut self, length: usize) -> Vec<f32> {
        const PIECE: usize = 16;
        let mut uniform: Vec<f64> = (0..length.max(PIECE)).map(|_| self.uniform()).collect();
        let mut values = vec![0.0; uniform.len()];
        let whole = uniform.len() / PIECE * PIECE;
        for (uniform, values) in uniform[..whole]
            .chunks_exact(PIECE)
            .zip(values.chunks_exact_mut(PIECE))
        {
            pairs(uniform, values);
        }
        if whole < uniform.len() {
            let last = uniform.len() - PIECE;
            for value in &mut uniform[last..] {
                *value = self.uniform();
            }
            pairs(&uniform[last..], &mut values[last..]);
        }
        values.truncate(length);
        values
    }
}

/// Box and Muller's transform of sixteen numbers.
fn pairs(uniform: &[f64], values: &mut [f32]) {
    let half = uniform.len() / 2;
    for index in 0..half {
        let radius = (-2.0 * logarithm(1.0 - uniform[index])).sqrt();
        let angle = 2.0 * std::f64::consts::PI * uniform[index + half];
        let (sine, cosine) = sine_and_cosine(angle);
        values[index] = (radius * cosine) as f32;
        values[index + half] = (radius * sine) as f32;
    }
}

/// The natural logarithm of a normal number above 0, by additions, products and one division only: the
/// system's own differs from machine to machine in the last bits.
fn logarithm(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut exponent = (bits >> 52) as i64 - 1023;
    let mut mantissa = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) | 0x3ff0_0000_0000_0000);
    if mantissa > SQRT_2 {
        mantissa /= 2.0;
        exponent += 1;
    }
    // ln(m) = 2 artanh((m - 1) / (m + 1)), whose argument is below 0.172.
    let z = (mantissa - 1.0) / (mantissa + 1.0);
    let square = z * z;
    let mut series = 0.0;
    for term in (0..12).rev() {
        series = series * square + 1.0 / f64::from(2 * term + 1);
    }
    2.0 * z * series + exponent as f64 * LN_2
}

/// Sine and cosine of an angle of at most some thousands, by additions and products only.
pub(crate) fn sine_and_cosine(angle: f64) -> (f64, f64) {
    // The rest of a quarter turn taken away in two parts.
    const QUARTER_LOW: f64 = 6.123_233_995_736_766e-17;
    let quarters = (angle / FRAC_PI_2).round_ties_even();
    let rest = (angle - quarters * FRAC_PI_2) - quarters * QUARTER_LOW;
    let square = rest * rest;
    let (mut sine, mut cosine) = (0.0, 0.0);
    // Taylor's series: below an eighth of a turn the next terms are beyond double precision.
    for term in (0..10).rev() {
        let n = f64::from(2 * term);
        sine = 1.0 - sine * square / ((n + 2.0) * (n + 3.0));
        cosine = 1.0 - cosine * square / ((n + 1.0) * (n + 2.0));
    }
    let sine = rest * sine;
    match (quarters as i64).rem_euclid(4) {
        0 => (sine, cosine),
        1 => (cosine, -sine),
        2 => (-sine, -cosine),
        _ => (-cosine, sine),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_equal_the_systems_in_all_but_the_last_bits() {
        for index in 1..5000 {
            let x = f64::from(index) / 1234.5;
            assert!((logarithm(x) - x.ln()).abs() < 2e-15 * x.ln().abs().max(1.0));
            for angle in [x, -x, 250.0 * x] {
                let (sine, cosine) = sine_and_cosine(angle);
                assert!((sine - angle.sin()).abs() < 3e-13, "{angle}");
                assert!((cosine - angle.cos()).abs() < 3e-13, "{angle}");
            }
        }
        assert_eq!(logarithm(1.0), 0.0);
    }

    #[test]
    fn the_twister_gives_the_numbers_of_its_authors() {
        // The 10,000th number of the seed 5489, as the standard of C++ states it.
        let mut twister = Twister::new(5489);
        let number = (0..10_000).map(|_| twister.number()).last();
        assert_eq!(number, Some(4_123_659_995));
    }

    #[test]
    fn noise_that_is_given_must_fit() {
        let noise = Noise::Given {
            start: vec![1.0, 2.0],
            steps: vec![vec![3.0, 4.0]],
        };
        let mut stream = NoiseStream::new(&noise);
        assert_eq!(stream.next(2).unwrap(), [1.0, 2.0]);
        assert_eq!(stream.next(2).unwrap(), [3.0, 4.0]);
        assert!(stream.next(2).unwrap_err().to_string().contains("step 2"));
        let error = NoiseStream::new(&noise).next(3).unwrap_err();
        assert!(error.to_string().contains("another size"));
    }
}
