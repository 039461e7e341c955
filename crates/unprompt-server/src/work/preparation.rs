//! What is done with each input alone, before its batch: on all threads, while the models work on others.

use super::{health::Health, metrics::Metrics, queue::Queue};
use crate::{
    error::ServeError,
    models::{Models, Ready},
    task::Task,
};
use rayon::prelude::*;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

/// So many batches are prepared beforehand: memory holds no more.
const BATCHES: usize = 2;

pub(crate) struct Preparation {
    pub(crate) models: Arc<dyn Models>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) health: Arc<Health>,
    pub(crate) metrics: Arc<Metrics>,
    /// Inputs that are worked on together.
    pub(crate) batch: usize,
}

impl Preparation {
    /// Begins with what came into reach: to be called when something was put into the queue, or taken out of it.
    pub(crate) fn go_on(self: &Arc<Self>) {
        for unprepared in self.queue.unprepared(BATCHES * self.batch) {
            let own = Arc::clone(self);
            rayon::spawn_fifo(move || {
                let prepared = own.prepare(&unprepared.task, unprepared.inputs);
                own.queue.prepared(unprepared.number, prepared);
                // Who left meanwhile made room, which nobody else looks for.
                own.go_on();
            });
        }
    }

    /// A panic costs this request.
    fn prepare(&self, task: &Task, inputs: Vec<Ready>) -> Result<Vec<Ready>, ServeError> {
        let one = |input| match input {
            Ready::Given(input) => self.models.prepare(task, input),
            prepared => prepared,
        };
        let prepare = || inputs.into_par_iter().map(one).collect();
        catch_unwind(AssertUnwindSafe(prepare)).map_err(|_| {
            self.health.panicked();
            self.metrics.panic();
            ServeError::bug("a picture could not be prepared, which is a bug; others go on")
        })
    }
}
