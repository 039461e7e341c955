//! The queue, the worker, and what is told of them.

mod health;
mod metrics;
mod preparation;
mod queue;
mod reply;
mod shared;
mod worker;

pub(crate) use health::Health;
pub(crate) use metrics::Metrics;
pub(crate) use queue::{Job, Queue, Stage, busy};
pub(crate) use reply::{Reply, Step};
pub(crate) use shared::Shared;
pub(crate) use worker::Worker;
