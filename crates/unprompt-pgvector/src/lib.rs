//! A prompt index in a table of PostgreSQL, searched by its extension pgvector.
//!
//! ```text
//! PromptIndex --> export --> table <-- PromptTable: NearestPrompts
//! ```
//!
//! | file | what is in it |
//! |---|---|
//! | `address` | `postgresql://...?table=NAME`: where a table is, and what may be shown of that |
//! | `connection` | a connection that gives up in time, and its errors in words |
//! | `contents` | what a table says of itself, as its comment in the database |
//! | `extension` | pgvector as the database has it |
//! | `export` | an index becomes a table, all or nothing |
//! | `inspect` | what a table takes, and whether it holds what was exported |
//! | `table` | a table as a store of prompts |
//!
//! A table has the columns `id` (bigint, the row), `prompt` (text), `clip_embedding` and
//! `sentence_embedding` (halfvec: the bits of the index on disk). What is found is brought into order by
//! [`unprompt_index::rank`], so without an approximate index a search gives what the folder gives.
//!
//! Invariant: no error, name or debug output holds a password.
//!
//! Invariant: an export is one transaction: a table is whole or not there.
//!
//! Invariant: what the database answers is data: an answer of another shape is an error.

mod address;
mod connection;
mod contents;
mod export;
mod extension;
mod inspect;
mod table;

pub use address::{Address, DEFAULT_TABLE, is_address};
pub use export::{ApproximateIndex, export, remove};
pub use table::PromptTable;
