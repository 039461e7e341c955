//! Jobs in the order of arrival, under limits.

use crate::{
    error::{ErrorKind, ServeError},
    models::Ready,
    options::Limits,
    task::Task,
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
    /// None of them while they are prepared.
    pub(crate) inputs: Vec<Ready>,
    /// How many it has.
    pub(crate) count: usize,
    pub(crate) stage: Stage,
    /// Of all its pictures.
    pub(crate) pixels: u64,
    /// Nobody waits for it any longer after this.
    pub(crate) deadline: Instant,
    pub(crate) reply: Reply,
}

/// Where a job that waits stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Each input is to be looked at alone.
    Unprepared,
    /// That is being done.
    InPreparation(u64),
    /// It may be worked on.
    Ready,
}

/// A job's inputs, on their way to be prepared.
pub(crate) struct Unprepared {
    /// Names the job.
    pub(crate) number: u64,
    pub(crate) task: Task,
    pub(crate) inputs: Vec<Ready>,
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
    /// Jobs that were ever prepared.
    prepared: u64,
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

    /// Those of the first `most` inputs that are to be prepared and are not yet.
    pub(crate) fn unprepared(&self, most: usize) -> Vec<Unprepared> {
        let mut state = self.state();
        let State {
            waiting, prepared, ..
        } = &mut *state;
        let (mut found, mut before) = (Vec::new(), 0);
        for job in waiting.iter_mut() {
            if before >= most {
                break;
            }
            before += job.count;
            if job.stage == Stage::Unprepared {
                *prepared += 1;
                job.stage = Stage::InPreparation(*prepared);
                found.push(Unprepared {
                    number: *prepared,
                    task: job.task.clone(),
                    inputs: std::mem::take(&mut job.inputs),
                });
            }
        }
        found
    }

    /// Takes what was [`unprepared`](Self::unprepared) back. A failure is told to whoever waits for the job,
    /// which is then over.
    pub(crate) fn prepared(&self, number: u64, inputs: Result<Vec<Ready>, ServeError>) {
        let mut state = self.state();
        let mut waiting = state.waiting.iter();
        let Some(place) = waiting.position(|job| job.stage == Stage::InPreparation(number)) else {
            // Nobody waited for it any longer.
            return;
        };
        match inputs {
            Ok(inputs) => {
                state.waiting[place].inputs = inputs;
                state.waiting[place].stage = Stage::Ready;
            }
            Err(error) => {
                let Some(job) = state.waiting.remove(place) else {
                    return;
                };
                state.requests -= 1;
                state.pixels -= job.pixels;
                job.reply.fail(error);
            }
        }
        self.has_work.notify_one();
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

    /// Waits for work: the first job, and those behind it that ask for the same task and are ready as well,
    /// up to `batch` inputs in all. `None` once the queue is closed and empty.
    pub(crate) fn take(&self, batch: usize) -> Option<(Vec<Job>, Taken<'_>)> {
        let mut state = self.state();
        loop {
            state.forget();
            match state.waiting.front() {
                Some(first) if first.stage == Stage::Ready => break,
                Some(_) => {}
                None if state.is_closed => return None,
                None => {}
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
                        && next.stage == Stage::Ready
                        && inputs + next.count <= batch
                }
            };
            if !joins {
                break;
            }
            inputs += next.count;
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
    use crate::task::{Answers, Input};
    use std::time::Duration;
    use tokio::sync::oneshot;

    type Receiver = oneshot::Receiver<Result<Answers, ServeError>>;

    fn job(task: Task, inputs: usize, pixels: u64) -> (Job, Receiver) {
        let (reply, receiver) = oneshot::channel();
        let given = (0..inputs).map(|_| Ready::Given(Input::Text(String::new())));
        let job = Job {
            task,
            inputs: given.collect(),
            count: inputs,
            stage: Stage::Ready,
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

    #[test]
    fn what_is_prepared_is_taken_in_the_order_of_arrival() {
        let queue = queue(10, 100);
        let mut receivers = Vec::new();
        for inputs in [1, 2, 3, 1] {
            let (mut job, receiver) = job(TEXTS, inputs, 10);
            job.stage = Stage::Unprepared;
            queue.push(job).unwrap();
            receivers.push(receiver);
        }
        // The third begins within the first four inputs, the fourth behind them.
        let mut found = queue.unprepared(4);
        let sizes: Vec<usize> = found.iter().map(|one| one.inputs.len()).collect();
        assert_eq!(sizes, [1, 2, 3]);
        assert!(queue.unprepared(4).is_empty());
        let (third, second, first) = (found.pop(), found.pop(), found.pop());
        let hand_back = |one: Option<Unprepared>| {
            let one = one.unwrap();
            queue.prepared(one.number, Ok(one.inputs));
        };
        hand_back(second);
        hand_back(first);
        let (jobs, taken) = queue.take(16).unwrap();
        let sizes: Vec<usize> = jobs.iter().map(|job| job.inputs.len()).collect();
        assert_eq!(sizes, [1, 2], "the third is not ready");
        drop(taken);
        let failed = ServeError::bug("it failed");
        queue.prepared(third.unwrap().number, Err(failed));
        assert_eq!(queue.load(), (1, 10));
        assert!(matches!(receivers[2].try_recv(), Ok(Err(_))));
        hand_back(queue.unprepared(4).pop());
        assert_eq!(queue.take(16).unwrap().0.len(), 1);
    }

    #[test]
    fn what_nobody_waits_for_any_longer_is_prepared_in_vain() {
        let queue = queue(1, 10);
        let (mut left, receiver) = job(TEXTS, 1, 10);
        left.stage = Stage::Unprepared;
        queue.push(left).unwrap();
        let found = queue.unprepared(16).pop().unwrap();
        drop(receiver);
        let (next, _next) = job(TEXTS, 3, 10);
        queue.push(next).unwrap();
        queue.prepared(found.number, Ok(found.inputs));
        assert_eq!(queue.load(), (1, 10));
        assert_eq!(queue.take(16).unwrap().0[0].count, 3);
    }
}
