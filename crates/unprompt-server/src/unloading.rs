//! Models that are forgotten when nobody asks, and loaded again when somebody does.

use crate::{
    models::{Catalog, Models},
    task::{Answer, Input, InputFailure, Task},
};
use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

/// Loads the models again; a failure is what clients are told.
pub type LoadAgain = dyn Fn() -> Result<Arc<dyn Models>, String> + Send + Sync;

/// Models whose weights are given back after `idle` without a request. The next request waits until they are
/// loaded again, and gets the same bits: they are the same files, or it fails.
pub struct Unloading {
    catalog: Catalog,
    idle: Duration,
    load: Box<LoadAgain>,
    kept: Mutex<Kept>,
}

struct Kept {
    models: Option<Arc<dyn Models>>,
    /// When the last request was answered.
    used: Instant,
}

impl fmt::Debug for Unloading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unloading")
            .field("catalog", &self.catalog)
            .field("idle", &self.idle)
            .finish_non_exhaustive()
    }
}

impl Unloading {
    /// Models that are loaded now, and how they are loaded again. A thread watches until nobody holds the
    /// result.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn new(
        models: Arc<dyn Models>,
        idle: Duration,
        load: Box<LoadAgain>,
    ) -> std::io::Result<Arc<Self>> {
        let watched = Arc::new(Self {
            catalog: models.catalog().clone(),
            idle,
            load,
            kept: Mutex::new(Kept {
                models: Some(models),
                used: Instant::now(),
            }),
        });
        let weak = Arc::downgrade(&watched);
        std::thread::Builder::new()
            .name("unload".into())
            .spawn(move || watch(&weak))?;
        Ok(watched)
    }

    /// A panic of a model leaves nothing half done here.
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the models if their time is over, and says when to look again.
    fn look(&self) -> Duration {
        // While a request is worked on its models are held, and this waits.
        let mut kept = self.kept();
        let idle = kept.used.elapsed();
        match self.idle.checked_sub(idle) {
            Some(left) if !left.is_zero() => left,
            _ => {
                kept.models = None;
                self.idle
            }
        }
    }
}

fn watch(models: &Weak<Unloading>) {
    while let Some(held) = models.upgrade() {
        let pause = held.look();
        drop(held);
        std::thread::sleep(pause);
    }
}

impl Models for Unloading {
    fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    fn is_loaded(&self) -> bool {
        // Who cannot look because a request is worked on knows as much.
        self.kept
            .try_lock()
            .map_or(true, |kept| kept.models.is_some())
    }

    fn run(&self, task: &Task, inputs: &[Input]) -> Vec<Result<Answer, InputFailure>> {
        let mut kept = self.kept();
        let models = match &kept.models {
            Some(models) => Arc::clone(models),
            None => match (self.load)() {
                Ok(models) => Arc::clone(kept.models.insert(models)),
                Err(message) => {
                    let failed =
                        InputFailure(format!("the models cannot be loaded again: {message}"));
                    return vec![Err(failed); inputs.len()];
                }
            },
        };
        let answers = models.run(task, inputs);
        kept.used = Instant::now();
        answers
    }
}
