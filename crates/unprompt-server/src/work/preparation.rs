//! What is done with each input alone, before its batch: on all threads, while the models work on others.

use super::shared::Shared;
use crate::{error::ServeError, models::Ready, task::Task};
use rayon::prelude::*;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

/// So many batches are prepared beforehand: memory holds no more.
const BATCHES: usize = 2;

impl Shared {
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
            self.panicked("a picture could not be prepared, which is a bug; others go on")
        })
    }
}
