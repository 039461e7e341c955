//! Unprompt over HTTP: one queue in front of the models, and the dialects that clients speak already.
//!
//! ```text
//! socket -> http: limits, key, body -> dialect -> Service: queue -> worker -> Models
//! ```
//!
//! | place | what is in it |
//! |---|---|
//! | `task`, `models`, `loaded`, `unloading` | what can be asked, of whom, and the models that answer |
//! | `work`, `service` | the queue, the worker, and what waits for it |
//! | `http` | connections, limits, the key, bodies |
//! | `input` | pictures and options out of bodies |
//! | `dialects` | one file a dialect: its routes, its words, its errors |
//! | `mcp` | tools for agents over standard input and output |
//! | `page`, `openapi` | what a browser gets, and the description of all places |
//!
//! Invariant: a record has the bits that the command line gives, whatever it is batched with.
//!
//! Invariant: the models are used by one worker, in the order of arrival. What is done with each picture
//! alone is done on all threads while the worker is at those before. Handlers parse and wait.
//!
//! Invariant: what is refused is refused at once, and never half: a request's pictures are taken
//! together or not at all.
//!
//! Invariant: a client names no file and no address of the server's side; nothing is fetched for it.

mod api_key;
mod dialects;
mod error;
mod http;
mod input;
mod loaded;
mod mcp;
mod models;
mod openapi;
mod options;
mod page;
mod route;
mod service;
mod task;
mod unloading;
mod work;

pub use api_key::ApiKey;
pub use error::{ErrorKind, ServeError};
pub use http::{
    server::{Finish, Server},
    signals::told_to_stop,
};
pub use loaded::{LoadedModels, ModelChoice};
pub use mcp::{Mcp, Roots};
pub use models::{Catalog, Models, Ready};
pub use openapi::record_schemas;
pub use options::{Limits, Log, ServeOptions, Timeouts};
pub use task::{Answer, Input, InputFailure, Task};
pub use unloading::{LoadAgain, Unloading};
