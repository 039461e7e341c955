//! The rate of learning over a run.

use std::f64::consts::PI;

/// A rate that rises evenly during the warm-up and then falls along half a cosine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// Steps of the warm-up.
    pub warm_up: u64,
    /// The rate of the first step, if there is a warm-up.
    pub first: f64,
    /// The rate behind the warm-up.
    pub peak: f64,
    /// What it falls to.
    pub last: f64,
    /// All steps, those of the warm-up among them.
    pub steps: u64,
}

impl Schedule {
    /// The rate of a step, counted from 0: `CosineLRScheduler` of timm with `warmup_prefix`.
    pub fn rate(&self, step: u64) -> f64 {
        if step < self.warm_up {
            let share = step as f64 / self.warm_up as f64;
            return self.first + share * (self.peak - self.first);
        }
        let falling = self.steps.saturating_sub(self.warm_up).max(1);
        let share = ((step - self.warm_up) as f64 / falling as f64).min(1.0);
        self.last + 0.5 * (self.peak - self.last) * (1.0 + (PI * share).cos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rises_and_falls() {
        let schedule = Schedule {
            warm_up: 2,
            first: 0.1,
            peak: 1.0,
            last: 0.2,
            steps: 12,
        };
        for (step, expected) in [
            (0, 0.1),
            (1, 0.55),
            (2, 1.0),
            (7, 0.6),
            (12, 0.2),
            (99, 0.2),
        ] {
            assert!((schedule.rate(step) - expected).abs() < 1e-12, "{step}");
        }
    }
}
