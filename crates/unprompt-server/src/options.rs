//! What a server is started with.

use crate::ApiKey;
use std::{fmt, num::NonZeroUsize, sync::Arc, time::Duration};

/// How much of everything there may be at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one body.
    pub body: usize,
    /// Bytes of all bodies that are in memory. A chunk that does not fit is refused, not waited for.
    pub bodies: usize,
    /// Pictures of one request.
    pub pictures: usize,
    /// Texts of one request.
    pub texts: usize,
    /// Requests that wait or are worked on.
    pub requests: usize,
    /// Pixels of all pictures that wait or are worked on, as their headers have them.
    pub pixels: u64,
    /// Connections; more wait until one is closed.
    pub connections: usize,
    /// Pictures or texts that are worked on together.
    pub batch: NonZeroUsize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 32 << 20,
            bodies: 256 << 20,
            pictures: 32,
            texts: 256,
            requests: 64,
            pixels: 256 << 20,
            connections: 1024,
            batch: NonZeroUsize::new(16).unwrap_or(NonZeroUsize::MIN),
        }
    }
}

/// How long is waited for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For all headers of a request; also how long an idle connection is kept.
    pub header: Duration,
    /// For the next bytes of a body, and for a client to take the next bytes of an answer.
    pub idle: Duration,
    /// From a request's headers to its answer.
    pub request: Duration,
    /// For the requests that are under way when the server is told to stop.
    pub drain: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            header: Duration::from_secs(10),
            idle: Duration::from_secs(10),
            request: Duration::from_secs(30),
            drain: Duration::from_secs(35),
        }
    }
}

/// Takes one line for each request, without its end; the line is a JSON object.
pub type Log = Arc<dyn Fn(&str) + Send + Sync>;

/// What a server is started with.
#[derive(Clone, Default)]
pub struct ServeOptions {
    /// How much there may be at a time.
    pub limits: Limits,
    /// How long is waited.
    pub timeouts: Timeouts,
    /// What clients have to know, if anything.
    pub api_key: Option<ApiKey>,
    /// Only requests to a name of this machine itself are answered. This keeps web pages out whose
    /// name was made to lead here.
    pub only_local_names: bool,
    /// Who is told of each request.
    pub log: Option<Log>,
}

impl fmt::Debug for ServeOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServeOptions")
            .field("limits", &self.limits)
            .field("timeouts", &self.timeouts)
            .field("api_key", &self.api_key)
            .field("only_local_names", &self.only_local_names)
            .field("log", &self.log.is_some())
            .finish()
    }
}
