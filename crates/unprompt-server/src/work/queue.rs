//! Jobs in the order of arrival, under limits.

use crate::{
    error::{ErrorKind, ServeError},
    options::Limits,
    task::{Input, Task},
    work::reply::Reply,
};
use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

/// One request's work.
pub(crate) struct Job {
    pub(crate) task: Task,
    pub(crate) inputs: Vec<Input>,
    /// Of all its pictures.
    pub(crate) pixels: u64,
    /// Nobody waits for it any longer after this.
    pub(crate) deadline: Instant,
    pub(crate) reply: Reply,
}

impl Job {
    /// Whether its client left or stopped waiting.
    pub(crate) fn is_forgotten(&self) -> bool {
        self.reply.is_closed() || Instant::now() >= self.deadline
    }
}

/// One worker takes from it, everybody puts in.
pub(crate) struct Queue {
    state: Mutex<State>,
    has_work: Condvar,
    limits: Limits,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    /// Requests and pixels that wait or are worked on.
    requests: usize,
    pixels: u64,
    is_closed: bool,
}

/// What a batch takes up until it is done, panic or not.
pub(crate) struct Taken<'a> {
    queue: &'a Queue,
    requests: usize,
    pixels: u64,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut state = self.queue.state();
        state.requests -= self.requests;
        state.pixels -= self.pixels;
    }
}

impl Queue {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            state: Mutex::default(),
            has_work: Condvar::new(),
            limits,
        }
    }

    /// Nothing in here can panic half-way.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a job in, or says at once why not.
    pub(crate) fn push(&self, job: Job) -> Result<(), ServeError> {
        if job.pixels > self.limits.pixels {
            let (pixels, most) = (job.pixels, self.limits.pixels);
            return Err(ServeError::new(
                ErrorKind::TooLarge,
                format!(
                    "its pictures have {pixels} pixels together, the most allowed are {most}; send fewer at a time"
                ),
            ));
        }
        let mut state = self.state();
        if state.is_closed {
            let message = "the server is about to stop";
            return Err(ServeError::new(ErrorKind::Unavailable, message));
        }
        let fits = |state: &State| {
            state.requests < self.limits.requests && state.pixels + job.pixels <= self.limits.pixels
        };
        if !fits(&state) {
            state.forget();
        }
        if !fits(&state) {
            return Err(busy());
        }
        state.requests += 1;
        state.pixels += job.pixels;
        state.waiting.push_back(job);
        self.has_work.notify_one();
        Ok(())
    }

    /// Whether a request without pictures could be taken now.
    pub(crate) fn has_room(&self) -> bool {
        let mut state = self.state();
        if state.requests >= self.limits.requests {
            state.forget();
        }
        state.requests < self.limits.requests
    }

    pub(crate) fn load(&self) -> (usize, u64) {
        let state = self.state();
        (state.requests, state.pixels)
    }

    /// No more is taken in; what is in is done.
    pub(crate) fn close(&self) {
        self.state().is_closed = true;
        self.has_work.notify_all();
    }

    /// Waits for work: the first job, and those behind it that ask for the same task, up to `batch`
    /// inputs in all. `None` once the queue is closed and empty.
    pub(crate) fn take(&self, batch: usize) -> Option<(Vec<Job>, Taken<'_>)> {
        let mut state = self.state();
        loop {
            state.forget();
            if !state.waiting.is_empty() {
                break;
            }
            if state.is_closed {
                return None;
            }
            let woken = self.has_work.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
        let mut jobs: Vec<Job> = Vec::new();
        let mut inputs = 0;
        while let Some(next) = state.waiting.front() {
            let joins = match jobs.first() {
                None => true,
                Some(first) => {
                    first.task == next.task
                        && first.reply.joins_others()
                        && next.reply.joins_others()
                        && inputs + next.inputs.len() <= batch
                }
            };
            if !joins {
                break;
            }
            inputs += next.inputs.len();
            jobs.extend(state.waiting.pop_front());
        }
        let taken = Taken {
            queue: self,
            requests: jobs.len(),
            pixels: jobs.iter().map(|job| job.pixels).sum(),
        };
        Some((jobs, taken))
    }
}

impl State {
    /// Drops what nobody waits for.
    fn forget(&mut self) {
        let (requests, pixels) = (&mut self.requests, &mut self.pixels);
        self.waiting.retain(|job| {
            let stays = !job.is_forgotten();
            if !stays {
                *requests -= 1;
                *pixels -= job.pixels;
            }
            stays
        });
    }
}

/// The refusal of a full queue.
pub(crate) fn busy() -> ServeError {
    ServeError::new(ErrorKind::Busy, "the queue is full; try again later")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Answers;
    use std::time::Duration;
    use tokio::sync::oneshot;

    type Receiver = oneshot::Receiver<Result<Answers, ServeError>>;

    fn job(task: Task, inputs: usize, pixels: u64) -> (Job, Receiver) {
        let (reply, receiver) = oneshot::channel();
        let job = Job {
            task,
            inputs: vec![Input::Text(String::new()); inputs],
            pixels,
            deadline: Instant::now() + Duration::from_secs(60),
            reply: Reply::Whole(reply),
        };
        (job, receiver)
    }

    fn queue(requests: usize, pixels: u64) -> Queue {
        Queue::new(Limits {
            requests,
            pixels,
            ..Limits::default()
        })
    }

    fn kind(result: Result<(), ServeError>) -> Option<ErrorKind> {
        result.err().map(|error| error.kind())
    }

    const TEXTS: Task = Task::EmbedText { raw: false };

    #[test]
    fn it_is_full_in_requests_and_in_pixels_until_a_batch_is_done() {
        let queue = queue(2, 100);
        let (first, _first) = job(Task::Metadata, 1, 60);
        let (large, _large) = job(Task::Metadata, 1, 41);
        let (second, _second) = job(Task::Metadata, 1, 40);
        let (third, _third) = job(TEXTS, 1, 0);
        let (too_large, _too_large) = job(Task::Metadata, 1, 101);
        assert_eq!(kind(queue.push(first)), None);
        assert_eq!(kind(queue.push(large)), Some(ErrorKind::Busy));
        assert_eq!(kind(queue.push(second)), None);
        assert_eq!(kind(queue.push(third)), Some(ErrorKind::Busy));
        assert_eq!(kind(queue.push(too_large)), Some(ErrorKind::TooLarge));
        assert_eq!((queue.load(), queue.has_room()), ((2, 100), false));
        let (jobs, taken) = queue.take(16).unwrap();
        assert_eq!((jobs.len(), queue.load()), (2, (2, 100)));
        drop(taken);
        assert_eq!(queue.load(), (0, 0));
    }

    #[test]
    fn equal_tasks_are_taken_together_in_their_order_and_others_wait() {
        let queue = queue(10, 0);
        let mut receivers = Vec::new();
        for (task, inputs) in [
            (TEXTS, 9),
            (TEXTS, 7),
            (TEXTS, 1),
            (Task::Metadata, 1),
            (TEXTS, 40),
        ] {
            let (job, receiver) = job(task, inputs, 0);
            queue.push(job).unwrap();
            receivers.push(receiver);
        }
        let mut sizes = Vec::new();
        for _ in 0..4 {
            let (jobs, _taken) = queue.take(16).unwrap();
            sizes.push(jobs.iter().map(|job| job.inputs.len()).collect::<Vec<_>>());
        }
        assert_eq!(sizes, [vec![9, 7], vec![1], vec![1], vec![40]]);
        queue.close();
        assert!(queue.take(16).is_none());
        let (late, _late) = job(TEXTS, 1, 0);
        assert_eq!(kind(queue.push(late)), Some(ErrorKind::Unavailable));
    }

    #[test]
    fn what_nobody_waits_for_makes_room() {
        let queue = queue(2, 10);
        let (left, receiver) = job(TEXTS, 1, 10);
        let (mut late, _late) = job(TEXTS, 1, 0);
        late.deadline = Instant::now();
        queue.push(left).unwrap();
        drop(receiver);
        queue.push(late).unwrap();
        let (next, _next) = job(TEXTS, 3, 10);
        queue.push(next).unwrap();
        let (jobs, _taken) = queue.take(16).unwrap();
        assert_eq!((jobs.len(), jobs[0].inputs.len()), (1, 3));
    }
}
