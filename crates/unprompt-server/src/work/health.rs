//! Whether the worker is well.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// So many panics within so long are an illness.
const PANICS: usize = 3;
const WITHIN: Duration = Duration::from_secs(60);

/// The latest panics.
#[derive(Default)]
pub(crate) struct Health(Mutex<VecDeque<Instant>>);

impl Health {
    pub(crate) fn panicked(&self) {
        self.panicked_at(Instant::now());
    }

    fn panicked_at(&self, now: Instant) {
        let mut panics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        panics.push_back(now);
        if panics.len() > PANICS {
            panics.pop_front();
        }
    }

    /// What is wrong, if something is.
    pub(crate) fn illness(&self) -> Option<String> {
        self.illness_at(Instant::now())
    }

    fn illness_at(&self, now: Instant) -> Option<String> {
        let panics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = panics.iter().filter(|at| now.duration_since(**at) < WITHIN);
        (recent.count() >= PANICS).then(|| {
            format!("the models failed {PANICS} times within {WITHIN:?}; see standard error")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_panics_within_a_minute_are_an_illness_that_passes() {
        let health = Health::default();
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        health.panicked_at(start);
        health.panicked_at(after(10));
        assert_eq!(health.illness_at(after(11)), None);
        health.panicked_at(after(65));
        assert_eq!(health.illness_at(after(66)), None);
        health.panicked_at(after(69));
        assert!(health.illness_at(after(69)).is_some());
        assert_eq!(health.illness_at(after(71)), None);
    }
}
