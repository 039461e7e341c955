//! The server as clients see it, before models that do what the tests say.

mod dialects;
mod events;
#[path = "../http_client/mod.rs"]
mod http_client;
mod limits;
mod running;
mod stopping;
mod strangers;
mod unloading;
mod worker;
