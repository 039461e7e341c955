//! The one thread that uses the models.

use super::{
    health::Health,
    metrics::Metrics,
    queue::{Job, Queue},
    reply::{Reply, Step},
};
use crate::{
    error::ServeError,
    models::Models,
    task::{Answers, Input, Task},
};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Instant,
};

/// Quick inputs that are worked on together where each is told of.
const AT_ONCE: usize = 4;

pub(crate) struct Worker {
    pub(crate) models: Arc<dyn Models>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) health: Arc<Health>,
    pub(crate) metrics: Arc<Metrics>,
    /// Inputs that are worked on together.
    pub(crate) batch: usize,
}

impl Worker {
    /// Works until the queue is closed and empty.
    pub(crate) fn work(self) {
        while let Some((mut jobs, taken)) = self.queue.take(self.batch) {
            if let Some(job) = jobs.pop_if(|job| !job.reply.joins_others()) {
                self.step_through(job);
                continue;
            }
            let (task, inputs, replies) = joined(jobs);
            let answers = self.run(&task, &inputs);
            // Before the answers go out, so that whoever has one finds its place free.
            drop(taken);
            let mut answers = answers.map(Vec::into_iter);
            for (count, reply) in replies {
                let Reply::Whole(reply) = reply else { continue };
                let own = match &mut answers {
                    Ok(answers) => Ok(answers.take(count).collect()),
                    Err(error) => Err(error.clone()),
                };
                // Whose client left meanwhile is told nothing.
                let _ = reply.send(own);
            }
        }
    }

    /// One job, whose client is told of each input. It is left when nobody waits for it any longer.
    fn step_through(&self, job: Job) {
        let tell = |step: Step| match &job.reply {
            Reply::Steps(steps) => steps.send(step).is_ok(),
            Reply::Whole(_) => false,
        };
        if !tell(Step::Begun) {
            return;
        }
        // What takes long is told of one by one; equal bits come out of any division.
        let at_once = match job.task {
            Task::Interrogate { .. } | Task::Caption(_) => 1,
            _ => self.batch.min(AT_ONCE),
        };
        for inputs in job.inputs.chunks(at_once) {
            if job.is_forgotten() {
                return;
            }
            match self.run(&job.task, inputs) {
                Ok(answers) => {
                    for answer in answers {
                        tell(Step::Done(answer));
                    }
                }
                Err(error) => {
                    tell(Step::Failed(error));
                    return;
                }
            }
        }
    }

    /// All inputs, a batch at a time. A panic costs the jobs that were taken together.
    fn run(&self, task: &Task, inputs: &[Input]) -> Result<Answers, ServeError> {
        let mut answers = Vec::with_capacity(inputs.len());
        for batch in inputs.chunks(self.batch) {
            let started = Instant::now();
            // On a thread of the pool, so that a network's layers find it awake.
            let run = || rayon::scope(|_| self.models.run(task, batch));
            let found = catch_unwind(AssertUnwindSafe(run));
            self.metrics.batch(batch.len(), started.elapsed());
            match found {
                Ok(found) if found.len() == batch.len() => answers.extend(found),
                Ok(_) => return Err(ServeError::bug("the models lost an input")),
                Err(_) => {
                    self.health.panicked();
                    self.metrics.panic();
                    return Err(ServeError::bug(
                        "the models failed on this batch, which is a bug; others go on",
                    ));
                }
            }
        }
        Ok(answers)
    }
}

/// What jobs of one task have to be done, and who gets how many of the answers.
fn joined(jobs: Vec<Job>) -> (Task, Vec<Input>, Vec<(usize, Reply)>) {
    let mut task = Task::Metadata;
    let (mut inputs, mut replies) = (Vec::new(), Vec::new());
    for job in jobs {
        task = job.task;
        replies.push((job.inputs.len(), job.reply));
        inputs.extend(job.inputs);
    }
    (task, inputs, replies)
}
