//! The models with the queue before them.

use crate::{
    error::{ErrorKind, ServeError},
    models::{Catalog, Models, Ready},
    options::{Limits, ServeOptions},
    task::{Answers, Input, Task},
    work::{Health, Job, Metrics, Queue, Reply, Shared, Stage, Step, Worker},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Instant,
};
use tokio::sync::{Semaphore, mpsc, oneshot};
use unprompt::{Source, image::dimensions};

/// Counted for a picture whose header cannot be read, and which most likely cannot be decoded.
const UNKNOWN_PIXELS: u64 = 1 << 20;

/// The models with the queue before them: what all dialects are made of.
pub(crate) struct Service {
    shared: Arc<Shared>,
    options: ServeOptions,
    /// Bytes of bodies that may still come.
    bodies: Arc<Semaphore>,
    is_draining: AtomicBool,
    started: Instant,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service")
            .field("catalog", self.catalog())
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Service {
    /// Starts the worker, a thread that lives until [`Service::close`].
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub(crate) fn start(
        models: Arc<dyn Models>,
        options: ServeOptions,
    ) -> std::io::Result<(Arc<Self>, JoinHandle<()>)> {
        let shared = Arc::new(Shared {
            models,
            queue: Queue::new(options.limits),
            health: Health::default(),
            metrics: Metrics::default(),
            batch: options.limits.batch.get(),
        });
        let worker = Worker(Arc::clone(&shared));
        let worker = std::thread::Builder::new()
            .name("models".into())
            .spawn(move || worker.work())?;
        let bodies = options.limits.bodies.min(Semaphore::MAX_PERMITS);
        let service = Self {
            shared,
            bodies: Arc::new(Semaphore::new(bodies)),
            is_draining: AtomicBool::new(false),
            started: Instant::now(),
            options,
        };
        Ok((Arc::new(service), worker))
    }

    /// What is loaded.
    pub(crate) fn catalog(&self) -> &Catalog {
        self.shared.models.catalog()
    }

    pub(crate) fn options(&self) -> &ServeOptions {
        &self.options
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.options.limits
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    pub(crate) fn bodies(&self) -> &Arc<Semaphore> {
        &self.bodies
    }

    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// Requests and pixels that wait or are worked on.
    pub(crate) fn load(&self) -> (usize, u64) {
        self.shared.queue.load()
    }

    /// Whether the models are in memory.
    pub(crate) fn is_loaded(&self) -> bool {
        self.shared.models.is_loaded()
    }

    /// Whether another request could be taken now.
    pub(crate) fn has_room(&self) -> bool {
        self.shared.queue.has_room()
    }

    /// Why the server is not well, if it is not.
    pub(crate) fn illness(&self) -> Option<String> {
        self.shared.health.illness()
    }

    /// From now on the server says that it is not ready; what comes all the same is still done.
    pub(crate) fn drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Relaxed)
    }

    /// Ends the worker after what is in the queue.
    pub(crate) fn close(&self) {
        self.shared.queue.close();
    }

    /// Has a task done with pictures or texts, all of them or none.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`], [`ErrorKind::Busy`] at once; [`ErrorKind::Unavailable`] where it is not
    /// done before `deadline`; [`ErrorKind::Bug`] where the models panicked.
    pub(crate) async fn submit(
        &self,
        task: Task,
        inputs: Vec<Input>,
        deadline: Instant,
    ) -> Result<Answers, ServeError> {
        if inputs.is_empty() {
            return Ok(Vec::new());
        }
        let (reply, answer) = oneshot::channel();
        let stage = match self.shared.models.prepares(&task) {
            true => Stage::Unprepared,
            false => Stage::Ready,
        };
        self.shared
            .queue
            .push(job(task, inputs, stage, deadline, Reply::Whole(reply)))?;
        self.shared.go_on();
        match tokio::time::timeout_at(deadline.into(), answer).await {
            Ok(Ok(answers)) => answers,
            Ok(Err(_)) => Err(Self::too_late()),
            Err(_) => Err(Self::too_late()),
        }
    }

    /// The same, each input's answer as soon as it is there. The receiver ends after the last; where it is
    /// dropped the rest is not worked on.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`], [`ErrorKind::Busy`] at once.
    pub(crate) fn submit_stepwise(
        &self,
        task: Task,
        inputs: Vec<Input>,
        deadline: Instant,
    ) -> Result<mpsc::UnboundedReceiver<Step>, ServeError> {
        let (reply, steps) = mpsc::unbounded_channel();
        if inputs.is_empty() {
            return Ok(steps);
        }
        // It may be left half-way, and is prepared as it goes.
        let reply = Reply::Steps(reply);
        self.shared
            .queue
            .push(job(task, inputs, Stage::Ready, deadline, reply))?;
        Ok(steps)
    }

    /// What is told where there was no time.
    pub(crate) fn too_late() -> ServeError {
        let message = "there was no time for it before the request's deadline; try again later";
        ServeError::new(ErrorKind::Unavailable, message)
    }
}

fn job(task: Task, inputs: Vec<Input>, stage: Stage, deadline: Instant, reply: Reply) -> Job {
    Job {
        task,
        pixels: inputs.iter().map(pixels).sum(),
        count: inputs.len(),
        inputs: inputs.into_iter().map(Ready::Given).collect(),
        stage,
        deadline,
        reply,
    }
}

fn pixels(input: &Input) -> u64 {
    let Input::Picture(Source::Memory(_, bytes)) = input else {
        return 0;
    };
    match dimensions(bytes) {
        Some((width, height)) => u64::from(width) * u64::from(height),
        None => UNKNOWN_PIXELS,
    }
}
