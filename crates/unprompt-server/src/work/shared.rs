//! What the service, the preparation and the worker have together.

use super::{health::Health, metrics::Metrics, queue::Queue};
use crate::{error::ServeError, models::Models};
use std::sync::Arc;

pub(crate) struct Shared {
    pub(crate) models: Arc<dyn Models>,
    pub(crate) queue: Queue,
    pub(crate) health: Health,
    pub(crate) metrics: Metrics,
    /// Inputs that are worked on together.
    pub(crate) batch: usize,
}

impl Shared {
    /// Counts a panic of the models; what is told of it.
    pub(crate) fn panicked(&self, message: &'static str) -> ServeError {
        self.health.panicked();
        self.metrics.panic();
        ServeError::bug(message)
    }
}
