//! Numbers for tests: pseudo-random, and the same in every run.

use candle_core::{Device, Result, Shape, Tensor};

/// A linear congruential generator with the constants of Numerical Recipes.
pub struct Draws(u32);

impl Draws {
    pub fn new(seed: u32) -> Self {
        Self(seed)
    }

    /// A number from -1 to below 1.
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) as f32 / (1 << 23) as f32 - 1.0
    }

    /// As many numbers from -1 to below 1.
    pub fn uniform(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.next()).collect()
    }

    /// Nearly normal numbers: sums of twelve uniform ones.
    pub fn normal(&mut self, mean: f32, deviation: f32, shape: impl Into<Shape>) -> Result<Tensor> {
        let shape = shape.into();
        let mut one = || (0..12).map(|_| self.next()).sum::<f32>() / 2.0;
        let values = (0..shape.elem_count()).map(|_| mean + deviation * one());
        Tensor::from_vec(values.collect(), shape, &Device::Cpu)
    }
}

/// As many numbers from -1 to below 1 as the seed gives.
pub fn uniform(count: usize, seed: u32) -> Vec<f32> {
    Draws::new(seed).uniform(count)
}
