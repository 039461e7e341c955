//! Models that are forgotten when nobody asks, and loaded again when somebody does.

use crate::{
    models::{Catalog, Models, Ready},
    task::{Answer, Input, InputFailure, Task},
};
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::{
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

/// Loads the models again; a failure is what clients are told.
pub type LoadAgain = dyn Fn() -> Result<Arc<dyn Models>, String> + Send + Sync;

/// After this long the threads of a pool that was dropped are gone.
const PARTING: Duration = Duration::from_millis(500);
/// A block that allocators take from the system and give back at once, and what they hold with it.
const LARGE: usize = 32 << 20;

/// Models whose weights are given back after `idle` without a request. The next request waits until they are
/// loaded again, and gets the same bits: they are the same files, or it fails.
///
/// They are loaded and used on threads of their own, which end with them: an allocator keeps what is freed
/// for the thread that it was made on, as long as that lives.
pub struct Unloading {
    catalog: Catalog,
    idle: Duration,
    load: Box<LoadAgain>,
    kept: Mutex<Kept>,
}

struct Kept {
    held: Option<Held>,
    /// When the last request was answered.
    used: Instant,
}

/// Models, and the threads that they live on. Fields are dropped in this order. Whoever uses them has a
/// clone.
#[derive(Clone)]
struct Held {
    models: Arc<dyn Models>,
    threads: Arc<ThreadPool>,
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
    /// Models that `first` loads now, and `again` whenever they were forgotten. A thread watches until nobody
    /// holds the result.
    ///
    /// # Errors
    /// The error of `first`, or when there are no threads to be had.
    pub fn new<E: From<io::Error> + Send>(
        idle: Duration,
        first: impl FnOnce() -> Result<Arc<dyn Models>, E> + Send,
        again: Box<LoadAgain>,
    ) -> Result<Arc<Self>, E> {
        let threads = threads().map_err(E::from)?;
        let models = threads.install(first)?;
        let watched = Arc::new(Self {
            catalog: models.catalog().clone(),
            idle,
            load: again,
            kept: Mutex::new(Kept {
                held: Some(Held {
                    models,
                    threads: Arc::new(threads),
                }),
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
        let mut kept = self.kept();
        let left = self.idle.saturating_sub(kept.used.elapsed());
        if !left.is_zero() {
            return left;
        }
        if let Some(held) = &kept.held
            && Arc::strong_count(&held.models) > 1
        {
            return self.idle;
        }
        let forgotten = kept.held.take();
        drop(kept);
        if forgotten.is_some() {
            drop(forgotten);
            std::thread::sleep(PARTING);
            std::hint::black_box(vec![1u8; LARGE]);
        }
        self.idle
    }
}

fn watch(models: &Weak<Unloading>) {
    while let Some(held) = models.upgrade() {
        let pause = held.look();
        drop(held);
        std::thread::sleep(pause);
    }
}

/// As many as compute elsewhere.
fn threads() -> io::Result<ThreadPool> {
    let count = rayon::current_num_threads();
    let threads = ThreadPoolBuilder::new().num_threads(count).build();
    threads.map_err(io::Error::other)
}

impl Models for Unloading {
    fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    fn is_loaded(&self) -> bool {
        // Who cannot look because they are loaded just now knows as much.
        self.kept
            .try_lock()
            .map_or(true, |kept| kept.held.is_some())
    }

    fn prepares(&self, task: &Task) -> bool {
        self.held_now()
            .is_some_and(|held| held.models.prepares(task))
    }

    /// What comes before they are loaded again is prepared when it is answered.
    fn prepare(&self, task: &Task, input: Input) -> Ready {
        match self.held_now() {
            Some(held) => held.models.prepare(task, input),
            None => Ready::Given(input),
        }
    }

    fn run(&self, task: &Task, inputs: Vec<Ready>) -> Vec<Result<Answer, InputFailure>> {
        let held = match self.held() {
            Ok(held) => held,
            Err(message) => {
                let failed = InputFailure(format!("the models cannot be loaded again: {message}"));
                return vec![Err(failed); inputs.len()];
            }
        };
        let answers = held.threads.install(|| held.models.run(task, inputs));
        // Before they are let go.
        self.kept().used = Instant::now();
        answers
    }
}

impl Unloading {
    /// The models where they are in memory, without a wait for their being loaded: whoever takes a request in
    /// asks this.
    fn held_now(&self) -> Option<Held> {
        self.kept.try_lock().ok()?.held.clone()
    }

    /// The models, loaded again if they were forgotten.
    fn held(&self) -> Result<Held, String> {
        let mut kept = self.kept();
        if let Some(held) = &kept.held {
            return Ok(held.clone());
        }
        let threads = threads().map_err(|error| error.to_string())?;
        let models = threads.install(|| (self.load)())?;
        let held = Held {
            models,
            threads: Arc::new(threads),
        };
        Ok(kept.held.insert(held).clone())
    }
}
