//! The one thread that uses the models.

use super::{
    queue::{Job, Taken},
    reply::{Reply, Step},
    shared::Shared,
};
use crate::{
    error::ServeError,
    models::Ready,
    task::{Answers, Task},
};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Instant,
};

/// Quick inputs that are worked on together where each is told of.
const AT_ONCE: usize = 4;

pub(crate) struct Worker(pub(crate) Arc<Shared>);

impl Worker {
    /// Works until the queue is closed and empty.
    pub(crate) fn work(self) {
        while let Some((mut jobs, taken)) = self.0.queue.take(self.0.batch) {
            self.0.go_on();
            if let Some(job) = jobs.pop_if(|job| !job.reply.joins_others()) {
                self.step_through(job, taken);
                continue;
            }
            let (task, inputs, replies) = joined(jobs);
            let answers = self.run(&task, inputs);
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

    /// One job, whose client is told of each input. It is left when nobody waits for it any longer. As
    /// elsewhere its place is free before the client hears of the end.
    fn step_through(&self, mut job: Job, taken: Taken<'_>) {
        let mut taken = Some(taken);
        let mut left = std::mem::take(&mut job.inputs);
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
            _ => self.0.batch.min(AT_ONCE),
        };
        while let Some(inputs) = next(&mut left, at_once) {
            if job.is_forgotten() {
                return;
            }
            let answers = self.run(&job.task, inputs);
            if left.is_empty() || answers.is_err() {
                drop(taken.take());
            }
            match answers {
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
    fn run(&self, task: &Task, mut inputs: Vec<Ready>) -> Result<Answers, ServeError> {
        let shared = &self.0;
        let mut answers = Vec::with_capacity(inputs.len());
        while let Some(batch) = next(&mut inputs, shared.batch) {
            let (count, started) = (batch.len(), Instant::now());
            // On a thread of the pool, so that a network's layers find it awake.
            let run = || rayon::scope(|_| shared.models.run(task, batch));
            let found = catch_unwind(AssertUnwindSafe(run));
            shared.metrics.batch(count, started.elapsed());
            match found {
                Ok(found) if found.len() == count => answers.extend(found),
                Ok(_) => return Err(ServeError::bug("the models lost an input")),
                Err(_) => {
                    let message = "the models failed on this batch, which is a bug; others go on";
                    return Err(shared.panicked(message));
                }
            }
        }
        Ok(answers)
    }
}

/// The first `most` inputs, taken out; `None` where there is none.
fn next(inputs: &mut Vec<Ready>, most: usize) -> Option<Vec<Ready>> {
    let rest = inputs.split_off(most.min(inputs.len()));
    let first = std::mem::replace(inputs, rest);
    (!first.is_empty()).then_some(first)
}

/// What jobs of one task have to be done, and who gets how many of the answers.
fn joined(jobs: Vec<Job>) -> (Task, Vec<Ready>, Vec<(usize, Reply)>) {
    let mut task = Task::Metadata;
    let (mut inputs, mut replies) = (Vec::new(), Vec::new());
    for job in jobs {
        task = job.task;
        replies.push((job.count, job.reply));
        inputs.extend(job.inputs);
    }
    (task, inputs, replies)
}
