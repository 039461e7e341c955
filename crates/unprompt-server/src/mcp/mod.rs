//! Tools for agents over standard input and output: the Model Context Protocol, spoken by `rmcp`.
//!
//! | file | what is in it |
//! |---|---|
//! | `roots` | which files may be looked at |
//! | `tools` | what each tool is called, takes and gives |
//! | `calls` | what becomes of a call |
//! | `session` | the protocol |
//!
//! Invariant: nothing is read but pictures below the roots, nothing is written, and nothing is fetched.

mod calls;
mod roots;
mod session;
mod tools;

pub use roots::Roots;
pub use session::Mcp;
