//! Answers as server-sent events: each record as soon as it is there.

use super::pictures::something_else;
use crate::{
    error::ServeError,
    route::{Call, respond},
    service::Service,
    task::{Answer, Input, InputFailure, Task},
    work::Step,
};
use axum::{
    body::{Body, Bytes},
    http::{StatusCode, header},
    response::Response,
};
use futures_util::{StreamExt as _, stream};
use serde::Serialize;
use serde_json::{Value, json};
use std::{
    convert::Infallible,
    time::{Duration, Instant},
};
use tokio::sync::mpsc::UnboundedReceiver;

pub(super) const EVENTS: &str = "text/event-stream";
/// A line goes out at least so often, so that nobody takes the connection for dead.
const BEAT: Duration = Duration::from_secs(5);

/// Whether a client asks for events.
pub(super) fn are_asked_for(call: &Call) -> bool {
    let accept = call.headers.get_all(header::ACCEPT).into_iter();
    let mut accept = accept.filter_map(|value| value.to_str().ok());
    accept.any(|value| value.split(',').any(|one| one.trim().starts_with(EVENTS)))
}

/// What becomes of one input's answer: its record.
type Record<R> = fn(String, &Task, Result<Answer, InputFailure>) -> Result<R, ServeError>;

/// The events of a request: `queued` and `begun`, `record` for each picture, and `done` or `failed` at the
/// end. A client that leaves is not worked for beyond the picture that is worked on.
pub(super) fn answer<R: Serialize + 'static>(
    service: &Service,
    call: &Call,
    task: Task,
    inputs: Vec<Input>,
    paths: Vec<String>,
    record: Record<R>,
) -> Result<Response, ServeError> {
    let total = inputs.len();
    let steps = service.submit_stepwise(task.clone(), inputs, call.deadline)?;
    let events = Events {
        steps,
        paths: paths.into_iter(),
        task,
        record,
        done: 0,
        total,
        deadline: call.deadline,
        is_over: false,
    };
    let first = event("queued", &json!({ "total": total }));
    let first = stream::iter([Ok::<Bytes, Infallible>(first)]);
    let rest = stream::unfold(events, Events::next);
    let body = Body::from_stream(first.chain(rest));
    Ok(respond(StatusCode::OK, EVENTS, body))
}

struct Events<R> {
    steps: UnboundedReceiver<Step>,
    paths: std::vec::IntoIter<String>,
    task: Task,
    record: Record<R>,
    done: usize,
    total: usize,
    deadline: Instant,
    is_over: bool,
}

impl<R: Serialize> Events<R> {
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        if self.is_over {
            return None;
        }
        let until = self.deadline.min(Instant::now() + BEAT);
        let event = match tokio::time::timeout_at(until.into(), self.steps.recv()).await {
            Err(_) if Instant::now() >= self.deadline => self.failed(&Service::too_late()),
            Err(_) => Bytes::from_static(b": at work\n\n"),
            Ok(Some(Step::Begun)) => event("begun", &json!({ "total": self.total })),
            Ok(Some(Step::Done(answer))) => self.record(answer),
            Ok(Some(Step::Failed(error))) => self.failed(&error),
            // The worker is done with it.
            Ok(None) if self.done == self.total => {
                self.is_over = true;
                event("done", &json!({ "total": self.total }))
            }
            Ok(None) => self.failed(&Service::too_late()),
        };
        Some((Ok(event), self))
    }

    fn record(&mut self, answer: Result<Answer, InputFailure>) -> Bytes {
        let Some(path) = self.paths.next() else {
            return self.failed(&something_else());
        };
        match (self.record)(path, &self.task, answer) {
            Ok(record) => {
                self.done += 1;
                let (done, total) = (self.done, self.total);
                event(
                    "record",
                    &Done {
                        done,
                        total,
                        record,
                    },
                )
            }
            Err(error) => self.failed(&error),
        }
    }

    fn failed(&mut self, error: &ServeError) -> Bytes {
        self.is_over = true;
        let body = json!({ "error": error.to_string(), "kind": error.kind().name() });
        event("failed", &body)
    }
}

/// A record is written as it is, not by way of a [`Value`], which would show other digits.
#[derive(Serialize)]
struct Done<R> {
    done: usize,
    total: usize,
    record: R,
}

/// One event; JSON has no line ends of its own.
fn event(name: &str, data: &impl Serialize) -> Bytes {
    let data = serde_json::to_string(data).unwrap_or_else(|_| Value::Null.to_string());
    format!("event: {name}\ndata: {data}\n\n").into()
}
