//! From a socket to a handler: connections, limits, the key, bodies.

mod body;
mod guard;
mod router;
pub(crate) mod server;
pub(crate) mod signals;
mod write_deadline;
