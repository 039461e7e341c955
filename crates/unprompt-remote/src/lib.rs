//! Captions by models that another server runs: one that speaks OpenAI's interface for chats, as Ollama,
//! vLLM, llama.cpp and LM Studio do.
//!
//! Such a model is named `openai:MODEL@URL`, where `URL` is `http://HOST:PORT`, or the place below which its
//! interface is, such as `https://HOST/v1`.
//!
//! Invariant: nothing is asked of any other address than the one that was named; no redirect is followed.
//! Invariant: a picture leaves as pixels; what its file says besides stays here.
//! Invariant: the key is in no error and in no debug output.
//! Invariant: knows nothing of pictures' files, and decides nothing: whoever calls has been allowed to.

mod address;
mod answer;
mod client;
mod error;
mod picture;

pub use address::{Address, is_remote};
pub use client::{Question, Remote, Timeouts};
pub use error::RemoteError;
pub use picture::png_of;
